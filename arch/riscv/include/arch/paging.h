/* The boot page table and its end: who may still use the low half. */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "arch/addr.h"

/** paging_drop_boot_mappings - remove the identity map and every leaf of the direct map that shows no RAM.
 *  @ram_first, @ram_end: bounds of all RAM. Boot hart, once, when no hart runs low any more; then each hart
 *  calls paging_flush(). */
void paging_drop_boot_mappings(paddr_t ram_first, paddr_t ram_end);

/** paging_flush - forget this hart's cached translations: sfence.vma of everything. */
void paging_flush(void);

/** paging_direct_limit - the first physical address that the direct map cannot show. */
paddr_t paging_direct_limit(void);

#endif
