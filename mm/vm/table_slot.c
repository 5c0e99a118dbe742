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
        *pfn = child;
        if (table_by_node(table))
            table_page_unlock(parent);
        slot->entry = table_entry(child, page, slot->level);
        slot->pte = entry_load(slot->entry);
    }
    return error;
}

int table_slot_lock(
    struct page_table *table, size_t page, unsigned flags, struct table_hint *hint, struct table_slot *slot)
{
    int error = 0;
    if (unlikely(page < table->first || page >= table->end))
        return ERR_RANGE;
    pfn_t pfn = table_lock_top(table, page, page + 1, 0, hint, &slot->node, &slot->level);
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

void table_slot_set(struct table_slot *slot, pte_t pte)
{
    DEBUG_ASSERT(pte.bits != 0 && !pte_is_table(pte));
    slot->page->live = (uint16_t)(slot->page->live + (slot->pte.bits == 0));
    /* Release (fence rw,w; sd), pairs with the walkers of other harts: what the frame holds is there before they see it. */
    store_release(slot->entry, pte.bits);
    slot->pte = pte;
}

void table_slot_unlock(struct table_slot *slot)
{
    table_unlock_top(slot->table, slot->page, &slot->node);
}

void table_hint_drop(struct page_table *table, struct table_hint *hint, struct table_gather *gather)
{
    struct lock_node node;
    unsigned level;
    if (hint->unit == 0)
        return;
    size_t page = (hint->unit - 1) * PAGE_ENTRIES;
    struct table_page *of = table_page(table, table_lock_top(table, page, page + 1, 0, hint, &node, &level));
    bool empty = --of->pins == 0 && of->live == 0;
    table_unlock_top(table, of, &node);
    *hint = (struct table_hint){0};
    if (empty)
        table_reclaim(table, page, 0, gather);
}
