/* Page tables as a whole: the walk over all leaves, and the recount that proves them right. */
#include "arch/console.h"
#include "lib/error.h"
#include "mm/vm/table_entries.h"

static void walk_below(const struct page_table *table, pfn_t pfn, unsigned level, size_t first, size_t end,
    struct table_visitor *visitor)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(pfn, page, level));
        if (pte_is_leaf(pte)) {
            struct table_leaf leaf = leaf_of(pte, page, level);
            visitor->visit(visitor, &leaf);
        } else if (pte_is_valid(pte)) {
            walk_below(table, pte_pfn(pte), level - 1, page, next, visitor);
        }
    }
}

void page_table_walk(struct page_table *table, struct table_visitor *visitor)
{
    struct lock_node node;
    lock_acquire(&table->lock, &node);
    walk_below(table, table->root, PAGE_LEVEL_ROOT, table->first, table->end, visitor);
    lock_release(&table->lock, &node);
}

static size_t count_below(const struct page_table *table, pfn_t pfn, unsigned level, size_t first, size_t end)
{
    size_t count = 0;
    for (size_t page = first, next; level > 0 && page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(pfn, page, level));
        if (pte_is_table(pte))
            count += 1 + count_below(table, pte_pfn(pte), level - 1, page, next);
    }
    return count;
}

size_t page_table_count(struct page_table *table)
{
    struct lock_node node;
    lock_acquire(&table->lock, &node);
    size_t count = count_below(table, table->root, PAGE_LEVEL_ROOT, table->first, table->end);
    lock_release(&table->lock, &node);
    return count;
}

static int corrupt(size_t page, unsigned level, pte_t pte, const char *finding)
{
    console_format("page table: entry %#lx at %#lx, level %u: %s\n", pte.bits, page_to_vaddr(page).value,
        level, finding);
    return ERR_CORRUPT;
}

static const char *leaf_finding(const struct page_table *table, pte_t pte, unsigned level)
{
    uint64_t rights = pte.bits & PTE_RIGHTS;
    if (!pte_rights_valid(rights))
        return "rights that cannot be";
    if (rights & PTE_U && table->global)
        return "the user's in the kernel's half";
    if (pte.bits != pte_leaf(pte_pfn(pte), rights | table->global).bits)
        return "bits that no leaf here has";
    if (!IS_ALIGNED(pte_pfn(pte).value, page_level_pages(level)))
        return "a large leaf that shows a misaligned frame";
    return NULL;
}

static const char *table_finding(const struct page_table *table, pte_t pte, unsigned level)
{
    uint64_t kept = level == PAGE_LEVEL_ROOT ? pte.bits & PTE_KEPT : 0;
    if (level == 0)
        return "a table below the last level";
    if (pte.bits != (pte_table(pte_pfn(pte)).bits | kept))
        return "bits that no table's entry has";
    if (!kept && table_page(table, pte_pfn(pte))->live == 0)
        return "an empty table";
    return NULL;
}

/* Returns 0 or ERR_CORRUPT. */
static int check_below(const struct page_table *table, pfn_t pfn, unsigned level, size_t first, size_t end)
{
    size_t live = 0;
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(pfn, page, level));
        if (pte.bits == 0)
            continue;
        const char *finding = "not valid, and not zero";
        if (pte_is_valid(pte))
            finding = pte_is_leaf(pte) ? leaf_finding(table, pte, level) : table_finding(table, pte, level);
        if (finding)
            return corrupt(page, level, pte, finding);
        live++;
        if (pte_is_leaf(pte))
            continue;
        int error = check_below(table, pte_pfn(pte), level - 1, page, next);
        if (error)
            return error;
    }
    if (live == table_page(table, pfn)->live)
        return 0;
    console_format("page table: %lu entries are valid of a table at %#lx, level %u, that counts %u\n", live,
        page_to_vaddr(first).value, level, table_page(table, pfn)->live);
    return ERR_CORRUPT;
}

static int check_kernel_half(const struct page_table *table, const struct page_table *kernel)
{
    size_t unit = page_level_pages(PAGE_LEVEL_ROOT);
    for (size_t page = kernel->first; page < kernel->end; page += unit) {
        pte_t own = entry_load(table_entry(table->root, page, PAGE_LEVEL_ROOT));
        if (own.bits != entry_load(table_entry(kernel->root, page, PAGE_LEVEL_ROOT)).bits)
            return corrupt(page, PAGE_LEVEL_ROOT, own, "differs from the kernel's");
    }
    return 0;
}

int page_table_validate(struct page_table *table, const struct page_table *kernel)
{
    size_t unit = page_level_pages(PAGE_LEVEL_ROOT);
    /* From the root's first entry on: the null page is not to be mapped, but looked at. */
    int error = check_below(table, table->root, PAGE_LEVEL_ROOT, ALIGN_DOWN(table->first, unit), table->end);
    return !error && kernel ? check_kernel_half(table, kernel) : error;
}
