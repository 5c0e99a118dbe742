/* How the files of page tables reach entries. A table is known by its frame, and seen through the direct map. */
#ifndef MM_VM_TABLE_ENTRIES_H
#define MM_VM_TABLE_ENTRIES_H

#include "arch/atomic.h"
#include "mm/vm/page_table.h"

/* The walkers of other harts read entries at any time, so each is written whole. */
typedef _Atomic uint64_t entry_t;

static inline entry_t *table_entry(pfn_t table, size_t page, unsigned level)
{
    return (entry_t *)pfn_to_direct(table) + page_index(page, level);
}

/* Relaxed: only holders of the lock change entries. ld. */
static inline pte_t entry_load(const entry_t *entry)
{
    return PTE(atomic_load_explicit(entry, memory_order_relaxed));
}

static inline struct table_page *table_page(const struct page_table *table, pfn_t pfn)
{
    return &table->source->pages[pfn.value - table->source->base.value];
}

/* The page behind the entry that shows @page, or @end if that comes first. */
static inline size_t entry_end(size_t page, size_t end, unsigned level)
{
    return MIN(ALIGN_DOWN(page, page_level_pages(level)) + page_level_pages(level), end);
}

static inline struct table_leaf leaf_of(pte_t pte, size_t page, unsigned level)
{
    return (struct table_leaf){.vaddr = page_to_vaddr(ALIGN_DOWN(page, page_level_pages(level))),
        .pfn = pte_pfn(pte),
        .rights = pte.bits & PTE_RIGHTS,
        .level = level};
}

#endif
