/* The calls of page_table.h about ranges of physical memory, as edits: see table_edit.h. */
#include "mm/vm/page_table.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/table_lock.h"

struct range_edit {
    struct table_edit edit;
    uint64_t shown; /* frame that the first page shows; of page_table_map() only */
    uint64_t bits; /* PTE_RIGHTS and PTE_G */
    unsigned level_max;
};

static struct range_edit *range_of(struct table_edit *edit)
{
    return CONTAINER_OF(edit, struct range_edit, edit);
}

static int range_init(struct range_edit *range, struct page_table *table, vaddr_t vaddr, size_t bytes)
{
    *range = (struct range_edit){.edit = {.table = table}};
    struct table_edit *edit = &range->edit;
    if (!IS_ALIGNED(vaddr.value, (uint64_t)PAGE_BYTES) || !IS_ALIGNED(bytes, (size_t)PAGE_BYTES) ||
        bytes == 0)
        return ERR_INVALID;
    edit->first = vaddr_to_page(vaddr);
    if (!vaddr_is_canonical(vaddr) || edit->first < table->first || edit->first >= table->end ||
        bytes / PAGE_BYTES > table->end - edit->first)
        return ERR_RANGE;
    edit->end = edit->first + bytes / PAGE_BYTES;
    return 0;
}

static bool rights_fit(const struct page_table *table, uint64_t rights)
{
    return pte_rights_valid(rights) && !(rights & PTE_U && table_is_kernel(table));
}

static pte_t map_entry(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    const struct range_edit *range = range_of(edit);
    uint64_t frame = range->shown + (page - edit->first);
    if (old.bits != 0) {
        edit->error = ERR_EXISTS;
        return old;
    }
    if (level > range->level_max || !IS_ALIGNED(frame, page_level_pages(level)))
        return PTE_DESCEND;
    return pte_leaf(PFN(frame), range->bits);
}

int page_table_map(
    struct page_table *table, vaddr_t vaddr, paddr_t paddr, size_t bytes, uint64_t rights, unsigned level_max)
{
    struct range_edit range;
    int error = range_init(&range, table, vaddr, bytes);
    if (error)
        return error;
    if (!IS_ALIGNED(paddr.value, (uint64_t)PAGE_BYTES) || !rights_fit(table, rights) ||
        level_max >= PAGE_LEVELS)
        return ERR_INVALID;
    range.shown = paddr_to_pfn_floor(paddr).value;
    if (range.shown + (range.edit.end - range.edit.first) > 1ul << PTE_PFN_BITS)
        return ERR_RANGE;
    range.bits = rights | table->global;
    range.level_max = level_max;
    range.edit.change = map_entry;
    return table_edit_run(&range.edit);
}

static pte_t unmap_entry(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    (void)edit;
    (void)old;
    (void)page;
    (void)level;
    return PTE(0);
}

static void tell_removed(struct table_edit *edit, pte_t old, pte_t new, size_t page, unsigned level)
{
    struct table_leaf leaf = leaf_of(old, page, level);
    (void)new;
    if (pte_is_leaf(old))
        edit->gather->removed(edit->gather, &leaf);
}

int page_table_unmap(struct page_table *table, vaddr_t vaddr, size_t bytes, struct table_gather *gather)
{
    struct range_edit range;
    int error = range_init(&range, table, vaddr, bytes);
    range.edit.gather = gather;
    range.edit.sure = true;
    range.edit.change = unmap_entry;
    if (gather->removed)
        range.edit.changed = tell_removed;
    return error ? error : table_edit_run(&range.edit);
}

static pte_t protect_entry(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    uint64_t bits = range_of(edit)->bits, kept = old.bits & (PTE_COW | PTE_FOREIGN);
    (void)page;
    (void)level;
    if (pte_is_leaf(old))
        return pte_leaf(pte_pfn(old), bits | kept);
    return pte_is_mark(old) ? pte_mark(pte_mark_kind(old), bits | kept, pte_pfn(old)) : old;
}

int page_table_protect(
    struct page_table *table, vaddr_t vaddr, size_t bytes, uint64_t rights, struct table_gather *gather)
{
    struct range_edit range;
    int error = range_init(&range, table, vaddr, bytes);
    if (!error && !rights_fit(table, rights))
        error = ERR_INVALID;
    range.bits = rights | table->global;
    range.edit.gather = gather;
    range.edit.sure = true;
    range.edit.change = protect_entry;
    return error ? error : table_edit_run(&range.edit);
}

/* --- looking ----------------------------------------------------------------------------------------- */

bool page_table_find(struct page_table *table, vaddr_t vaddr, struct table_leaf *leaf)
{
    struct lock_node node;
    if (!vaddr_is_canonical(vaddr))
        return false;
    table_read_begin(table, &node);
    struct table_look look = table_look_up(table, vaddr_to_page(vaddr));
    table_read_end(table, &node);
    if (pte_is_valid(look.pte))
        *leaf = leaf_of(look.pte, vaddr_to_page(vaddr), look.level);
    return pte_is_valid(look.pte);
}

bool page_table_translate(struct page_table *table, vaddr_t vaddr, paddr_t *paddr)
{
    struct table_leaf leaf;
    if (!page_table_find(table, vaddr, &leaf))
        return false;
    paddr->value = pfn_to_paddr(leaf.pfn).value + (vaddr.value - leaf.vaddr.value);
    return true;
}
