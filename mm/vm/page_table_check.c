/* Page tables as a whole: the walk over all leaves, and the recount that proves them right. */
#include "arch/console.h"
#include "lib/error.h"
#include "mm/vm/table_lock.h"

static void walk_below(const struct page_table *table, pfn_t pfn, unsigned level, size_t first, size_t end,
    struct table_visitor *visitor)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(pfn, page, level));
        if (pte_is_leaf(pte) || (pte_is_mark(pte) && visitor->marks)) {
            struct table_leaf leaf = leaf_of(pte, page, level);
            visitor->visit(visitor, &leaf);
        } else if (pte_is_table(pte)) {
            walk_below(table, pte_pfn(pte), level - 1, page, next, visitor);
        }
    }
}

/* Of the root. The null page is not to be mapped, but looked at. */
static size_t first_page(const struct page_table *table)
{
    return ALIGN_DOWN(table->first, page_level_pages(PAGE_LEVEL_ROOT));
}

void page_table_walk(struct page_table *table, struct table_visitor *visitor)
{
    struct lock_node node;
    table_lock_all(table, &node);
    walk_below(table, table->root, PAGE_LEVEL_ROOT, first_page(table), table->end, visitor);
    table_unlock_all(table, &node);
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
    table_lock_all(table, &node);
    size_t count = count_below(table, table->root, PAGE_LEVEL_ROOT, table->first, table->end);
    table_unlock_all(table, &node);
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
    if (rights & PTE_U && table_is_kernel(table))
        return "the user's in the kernel's half";
    /* Of a kernel's that is not in every space the trampoline's still are. */
    uint64_t soft = pte.bits & (table_is_kernel(table) ? PTE_G : PTE_COW | PTE_FOREIGN);
    if (pte.bits != pte_leaf(pte_pfn(pte), rights | soft).bits || table->global & ~pte.bits)
        return "bits that no leaf here has";
    if (soft & PTE_COW && rights & PTE_W)
        return "to be copied before it is written, but it can be written";
    if (!IS_ALIGNED(pte_pfn(pte).value, page_level_pages(level)))
        return "a large leaf that shows a misaligned frame";
    return NULL;
}

static const char *mark_finding(const struct page_table *table, pte_t pte, unsigned level)
{
    enum pte_mark kind = pte_mark_kind(pte);
    uint64_t rights = pte.bits & PTE_RIGHTS, soft = pte.bits & (PTE_COW | PTE_FOREIGN);
    if (table_is_kernel(table))
        return "not valid, and not zero";
    if (kind == PTE_MARK_NONE || kind >= PTE_MARK_COUNT)
        return "a mark of no kind";
    if ((rights & (PTE_R | PTE_W | PTE_X)) && !pte_rights_valid(rights))
        return "rights that cannot be";
    bool owned = kind == PTE_MARK_LEAVING || kind == PTE_MARK_BUSY;
    uint64_t owner = owned ? pte.bits >> PTE_MARK_OWNER_SHIFT << PTE_MARK_OWNER_SHIFT : 0;
    if (pte.bits != (pte_mark(kind, rights | soft, pte_pfn(pte)).bits | owner))
        return "bits that no mark has";
    if (kind == PTE_MARK_ANON && pte_pfn(pte).value != 0)
        return "a mark without a frame that has one";
    if (!IS_ALIGNED(pte_pfn(pte).value, page_level_pages(level)))
        return "a large mark of a misaligned frame";
    return NULL;
}

static const char *table_finding(const struct page_table *table, pte_t pte, unsigned level)
{
    const struct table_page *child = table_page(table, pte_pfn(pte));
    uint64_t kept = level == PAGE_LEVEL_ROOT ? pte.bits & PTE_KEPT : 0;
    if (level == 0)
        return "a table below the last level";
    if (pte.bits != (pte_table(pte_pfn(pte)).bits | kept))
        return "bits that no table's entry has";
    if (!kept && child->live == 0 && child->pins == 0)
        return "an empty table";
    if (child->level != level - 1 || child->flags & TABLE_STALE)
        return "a table that is noted to be another";
    if (child->pins > 0 && child->level > 0)
        return "a hint of a level that hints do not have";
    return NULL;
}

static const char *entry_finding(const struct page_table *table, pte_t pte, unsigned level)
{
    if (pte_is_table(pte))
        return table_finding(table, pte, level);
    return pte_is_leaf(pte) ? leaf_finding(table, pte, level) : mark_finding(table, pte, level);
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
        const char *finding = entry_finding(table, pte, level);
        if (finding)
            return corrupt(page, level, pte, finding);
        live++;
        if (!pte_is_table(pte))
            continue;
        int error = check_below(table, pte_pfn(pte), level - 1, page, next);
        if (error)
            return error;
    }
    const struct table_page *of = table_page(table, pfn);
    /* Relaxed: the harts are quiet. */
    bool locked = table_by_node(table) && atomic_load_explicit(&of->lock, memory_order_relaxed);
    if (live == of->live && !locked)
        return 0;
    console_format("page table: %lu entries are not zero of a table at %#lx, level %u, that counts %u%s\n",
        live, page_to_vaddr(first).value, level, of->live, locked ? ", and it is locked" : "");
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

static int check_mirror(const struct page_table *table)
{
    if (pfn_is_none(table->mirror))
        return 0;
    for (size_t i = 0; i < PAGE_ENTRIES / 2; i++) {
        pte_t own = entry_load(table_entry(table->root, 0, 0) + i);
        pte_t mirrored = entry_load(table_entry(table->mirror, 0, 0) + i);
        if (mirrored.bits != (pte_is_valid(own) ? own.bits : 0))
            return corrupt(i * page_level_pages(PAGE_LEVEL_ROOT), PAGE_LEVEL_ROOT, mirrored,
                "of the user's root differs from the kernel's");
    }
    return 0;
}

int page_table_validate(struct page_table *table, const struct page_table *kernel)
{
    int error = check_below(table, table->root, PAGE_LEVEL_ROOT, first_page(table), table->end);
    if (!error)
        error = check_mirror(table);
    return !error && kernel ? check_kernel_half(table, kernel) : error;
}
