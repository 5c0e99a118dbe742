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

/** paging_window_tables - bytes of page tables that a window of @bytes with such leaves needs. */
size_t paging_window_tables(size_t bytes, unsigned leaf_shift);

/**
 * paging_window_map - show physical memory a second time, with leaves of a chosen size, to measure what the size of
 * pages costs. There is one window, in the boot page table only, in a slot of the root that nothing else uses.
 * @base: aligned to a leaf
 * @bytes: a multiple of a leaf, at most 1 GiB
 * @leaf_shift: 12 or 21
 * @tables: paging_window_tables() bytes in the direct map, zeroed, page-aligned; in use until paging_window_unmap()
 *
 * Returns the window's address. Boot hart, nothing else running.
 */
void *paging_window_map(paddr_t base, size_t bytes, unsigned leaf_shift, void *tables);

/** paging_window_unmap - take the window away; then each hart that has used it calls paging_flush(). */
void paging_window_unmap(void);

/** paging_direct_limit - the first physical address that the direct map cannot show. */
paddr_t paging_direct_limit(void);

#endif
