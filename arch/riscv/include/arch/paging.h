/* Which page table this hart uses. */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "arch/addr.h"

/** paging_use - change this hart to the table with that root, and forget all of the old one. It is also the one with which
 *  harts enter C that start from now on. */
void paging_use(pfn_t root);

/** paging_root - the root that this hart uses. */
pfn_t paging_root(void);

/** paging_flush - forget this hart's cached translations: sfence.vma of everything. */
void paging_flush(void);

/** paging_enter - this hart walks another table from now on, for translations of that ASID. Flushes nothing: what it remembers of
 *  the ASID is of this table, or flushed behind this. Not for what harts start with: paging_use(). */
void paging_enter(pfn_t root, uint16_t asid);

/** paging_flush_asid - forget this hart's translations of an ASID, but for those of all spaces (PTE_G). */
void paging_flush_asid(uint16_t asid);

/** paging_flush_page - forget this hart's translation of one page, but for one of all spaces; paging_flush_page_of_all - of whatever
 *  space, too. Leaves only, of any size, and not the pointers to tables that were followed to find them. */
void paging_flush_page(vaddr_t vaddr, uint16_t asid);
void paging_flush_page_of_all(vaddr_t vaddr);

/** paging_asid_bits - how many bits of an ASID the hart has, 0 … 16. */
unsigned paging_asid_bits(void);

/** paging_direct_limit - the first physical address that the direct map cannot show. */
paddr_t paging_direct_limit(void);

#endif
