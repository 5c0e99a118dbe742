/* One entry at a time, as faults change them, and the hints of the harts that do: see table_edit.h. */
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/table_lock.h"

/* Puts tables in the place of a leaf or mark down to level 0; the slot's lock becomes that of the last one. */
static int split(struct table_slot *slot, pfn_t *pfn, size_t page)
{
    struct page_table *table = slot->table;
    pfn_t spare = PFN_NONE;
    if (slot->level == PAGE_LEVEL_ROOT && table->sealed)
        return ERR_STATE;
    int error = table_chain_fill(table, &spare, slot->level);
    while (!error && slot->level > 0) {
        pfn_t child = table_new(table, &spare, slot->pte, --slot->level);
        struct table_page *parent = slot->page;
        slot->page = table_page(table, child);
        if (pte_is_leaf(slot->pte))
            slot->page->harts = parent->harts;
        table_link(parent, slot->entry, child, 0);
        table_mirror(table, slot->entry, slot->level + 1);
        *pfn = child;
        if (table_by_node(table))
            table_page_unlock(parent);
        slot->entry = table_entry(child, page, slot->level);
        slot->pte = entry_load(slot->entry);
    }
    return error;
}

/* A hint that is none becomes a table of level 0, whose lock is held. */
void table_hint_adopt(struct table_hint *hint, size_t page, pfn_t pfn, struct table_page *of)
{
    if (hint->unit != 0)
        return;
    hint->unit = page / PAGE_ENTRIES + 1;
    hint->page = of;
    hint->entries = table_entry(pfn, 0, 0);
    of->pins++;
}

int table_slot_lock_without_hint(
    struct page_table *table, size_t page, unsigned flags, struct table_hint *hint, struct table_slot *slot)
{
    int error = 0;
    if (page < table->first || page >= table->end)
        return ERR_RANGE;
    pfn_t pfn = table_lock_top(table, page, page + 1, 0, &slot->node, &slot->level);
    slot->table = table;
    slot->page = table_page(table, pfn);
    slot->entry = table_entry(pfn, page, slot->level);
    slot->pte = entry_load(slot->entry);
    if (flags & SLOT_MAKE && slot->level > 0 && slot->pte.bits)
        error = split(slot, &pfn, page);
    if (error)
        table_slot_unlock(slot);
    else if (hint && slot->level == 0)
        table_hint_adopt(hint, page, pfn, slot->page);
    return error;
}

void table_hint_drop(struct page_table *table, struct table_hint *hint, struct table_gather *gather)
{
    struct table_slot slot;
    if (hint->unit == 0)
        return;
    size_t page = (hint->unit - 1) * PAGE_ENTRIES;
    table_slot_lock(table, page, 0, hint, &slot);
    bool empty = --slot.page->pins == 0 && slot.page->live == 0;
    table_slot_unlock(&slot);
    *hint = (struct table_hint){0};
    if (empty)
        table_reclaim(table, page, 0, gather);
}
