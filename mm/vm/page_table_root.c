/* Page tables as a whole: their beginning and end, and what holds of their roots. */
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/table_entries.h"

#define HALF_PAGES ((size_t)PAGE_COUNT_TOTAL / 2)

int page_table_init(struct page_table *table, struct table_source *source, enum table_locking locking,
    const struct lock_ops *lock_kind, const struct page_table *kernel)
{
    if (kernel && !kernel->sealed)
        return ERR_STATE;
    *table = (struct page_table){.mirror = PFN_NONE,
        .source = source,
        .first = 1,
        .end = HALF_PAGES,
        .locking = locking}; /* not the null page */
    if (!kernel) {
        table->first = HALF_PAGES;
        table->end = PAGE_COUNT_TOTAL;
        table->global = PTE_G;
    }
    lock_init(&table->lock, lock_kind, "page table");
    table->root = kernel ? table_new_root(source, kernel->root) : table_take_frame(source);
    if (pfn_is_none(table->root))
        return ERR_NO_MEMORY;
    table_page_begin(table_page(table, table->root), PAGE_LEVEL_ROOT);
    return 0;
}

int page_table_split(struct page_table *table, pfn_t user)
{
    table->mirror = table_new_root(table->source, user);
    page_table_mirror(table);
    return pfn_is_none(table->mirror) ? ERR_NO_MEMORY : 0;
}

void page_table_mirror(struct page_table *table)
{
    for (size_t i = 0; i < PAGE_ENTRIES / 2; i++)
        table_mirror(table, table_entry(table->root, 0, 0) + i, PAGE_LEVEL_ROOT);
}

static void set_global_below(
    struct page_table *table, pfn_t pfn, unsigned level, size_t page, size_t first, size_t end)
{
    for (size_t i = 0; i < PAGE_ENTRIES; i++, page += page_level_pages(level)) {
        entry_t *entry = table_entry(pfn, 0, 0) + i;
        pte_t pte = entry_load(entry);
        if (page < table->first || (page >= first && page < end))
            continue;
        if (pte_is_leaf(pte))
            store_relaxed(entry, (pte.bits & ~PTE_G) | table->global); /* the harts flush behind it */
        else if (pte_is_table(pte))
            set_global_below(table, pte_pfn(pte), level - 1, page, first, end);
    }
}

void page_table_set_global(struct page_table *table, bool global, size_t first, size_t end)
{
    table->global = global ? PTE_G : 0;
    set_global_below(table, table->root, PAGE_LEVEL_ROOT, 0, first, end);
}

void page_table_destroy(struct page_table *table)
{
    size_t unit = page_level_pages(PAGE_LEVEL_ROOT);
    for (size_t page = ALIGN_DOWN(table->first, unit); page < table->end; page += unit) {
        pte_t pte = entry_load(table_entry(table->root, page, PAGE_LEVEL_ROOT));
        if (!pte_is_valid(pte))
            continue;
        ASSERT(pte.bits & PTE_KEPT && table_page(table, pte_pfn(pte))->live == 0);
        table->source->free(table->source, pte_pfn(pte));
    }
    table_page(table, table->root)->live = 0;
    table->source->free(table->source, table->root);
    if (!pfn_is_none(table->mirror))
        table->source->free(table->source, table->mirror);
    table->root = table->mirror = PFN_NONE;
}

int page_table_keep(struct page_table *table, vaddr_t vaddr)
{
    size_t page = vaddr_to_page(vaddr);
    if (!vaddr_is_canonical(vaddr) || page < table->first || page >= table->end)
        return ERR_RANGE;
    if (table->sealed)
        return ERR_STATE;
    entry_t *entry = table_entry(table->root, page, PAGE_LEVEL_ROOT);
    pte_t pte = entry_load(entry);
    if (pte_is_leaf(pte))
        return ERR_EXISTS;
    if (pte_is_valid(pte)) {
        store_relaxed(entry, pte.bits | PTE_KEPT); /* for the walkers nothing changes */
        return 0;
    }
    pfn_t child = table_take_frame(table->source);
    if (pfn_is_none(child))
        return ERR_NO_MEMORY;
    table_page_begin(table_page(table, child), PAGE_LEVEL_ROOT - 1);
    table_link(table_page(table, table->root), entry, child, PTE_KEPT);
    return 0;
}

void page_table_seal(struct page_table *table)
{
    size_t unit = page_level_pages(PAGE_LEVEL_ROOT);
    for (size_t page = ALIGN_DOWN(table->first, unit); page < table->end; page += unit) {
        entry_t *entry = table_entry(table->root, page, PAGE_LEVEL_ROOT);
        pte_t pte = entry_load(entry);
        if (pte_is_table(pte))
            store_relaxed(entry, pte.bits | PTE_KEPT); /* for the walkers nothing changes */
    }
    table->sealed = true;
}
