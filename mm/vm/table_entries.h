/* How the files of page tables reach entries. A table is known by its frame, and seen through the direct map. */
#ifndef MM_VM_TABLE_ENTRIES_H
#define MM_VM_TABLE_ENTRIES_H

#include "arch/atomic.h"
#include "mm/vm/page_table.h"
#include "trace/inject.h"

static inline entry_t *table_entry(pfn_t table, size_t page, unsigned level)
{
    return (entry_t *)pfn_to_direct(table) + page_index(page, level);
}

/* Relaxed: only holders of the lock change entries. ld. */
static inline pte_t entry_load(const entry_t *entry)
{
    return PTE(atomic_load_explicit(entry, memory_order_relaxed));
}

/* By harts without the lock: the entries of the table that this one points to are read behind it, by address dependency.
 * Pairs with table_link(). ld. */
static inline pte_t entry_follow(const entry_t *entry)
{
    return PTE(load_dependent(entry));
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
        .pte = pte,
        .pfn = pte_pfn(pte),
        .rights = pte.bits & PTE_RIGHTS,
        .level = level};
}

/* A frame becomes an empty table, whatever it was before. The lock is free: who had it last let it go. */
static inline void table_page_begin(struct table_page *page, unsigned level)
{
    page->live = 0;
    page->level = (uint8_t)level;
    page->flags = 0;
    page->harts = hart_mask_none();
    page->pins = 0;
}

static inline pfn_t table_take_frame(struct table_source *source)
{
    if (inject_due(INJECT_TABLE))
        return PFN_NONE;
    pfn_t pfn = source->alloc(source);
    /* There may be tables that only wait for their epoch. */
    return pfn_is_none(pfn) && epoch_collect() > 0 ? source->alloc(source) : pfn;
}

/* A root that shows of the high half what another does. PFN_NONE: no memory. */
static inline pfn_t table_new_root(struct table_source *source, pfn_t like)
{
    pfn_t root = table_take_frame(source);
    for (size_t i = PAGE_ENTRIES / 2; !pfn_is_none(root) && i < PAGE_ENTRIES; i++)
        store_relaxed(table_entry(root, 0, 0) + i,
            entry_load(table_entry(like, 0, 0) + i).bits); /* no hart knows the root yet */
    return root;
}

/* Puts a table below another one, in place of a hole, leaf or mark. @kept: PTE_KEPT or 0 */
static inline void table_link(struct table_page *parent, entry_t *entry, pfn_t child, uint64_t kept)
{
    parent->live += entry_load(entry).bits == 0;
    /* Release (fence rw,w; sd), pairs with the walkers of all harts, who reach the child's entries through this one. */
    store_release(entry, pte_table(child).bits | kept);
}

/* Behind a change of an entry, when it is the root's: U-mode sees the same. Marks are not for walkers. */
static inline void table_mirror(const struct page_table *table, const entry_t *entry, unsigned level)
{
    if (likely(level < PAGE_LEVEL_ROOT) || likely(pfn_is_none(table->mirror)))
        return;
    pte_t pte = entry_load(entry);
    entry_t *mirrored = table_entry(table->mirror, 0, 0) + (uintptr_t)entry % PAGE_BYTES / sizeof(*entry);
    /* Release (fence rw,w; sd): as table_link(). */
    store_release(mirrored, pte_is_valid(pte) ? pte.bits : 0);
}

/* Harts may know the pages [page, end), which are one leaf or mark, otherwise: those @of, if the tables say so. */
static inline void table_gather_add(struct table_gather *gather, size_t page, size_t end, hart_mask_t of)
{
    if (gather->first == gather->end) {
        gather->first = page;
        gather->end = end;
    }
    gather->first = MIN(gather->first, page);
    gather->end = MAX(gather->end, end);
    gather->nleaves++;
    gather->harts.bits |= of.bits;
}

static inline bool table_is_kernel(const struct page_table *table)
{
    return table->end == PAGE_COUNT_TOTAL;
}

#endif
