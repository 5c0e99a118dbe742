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

/** paging_direct_limit - the first physical address that the direct map cannot show. */
paddr_t paging_direct_limit(void);

#endif
