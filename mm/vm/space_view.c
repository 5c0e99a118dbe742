/*
 * Views, for schemes that track who may have a translation (`tracked`, after RadixVM, EuroSys 2013): each hart has a root and
 * tables of 2 MiB entries of its own for a space, which are a cache of the space's. Tables of entries are the space's, and
 * appear in a hart's view when the hart first faults in those 2 MiB; the table notes the hart. So whoever changes an entry knows which
 * harts can have its translation, and a hart that was never there is not disturbed.
 *
 * The entry of a view that points to a table is written under that table's lock, by the hart when it links it and by whoever
 * takes the table out of the tree. The tables of a view stay until the space ends.
 */
#include "arch/panic.h"
#include "arch/paging.h"
#include "arch/split.h"
#include "lib/error.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_entries.h"

pfn_t space_view_root(struct space *space)
{
    if (!space->by_table)
        return space->table.root;
    pfn_t root = space_hart(space)->root;
    return pfn_is_none(root) ? space->pool->kernel->root : root;
}

static pfn_t user_root(struct space *space)
{
    if (!space->by_table)
        return space->table.mirror;
    pfn_t root = space_hart(space)->user_root;
    return pfn_is_none(root) ? space->pool->user : root;
}

void space_use_view(struct space *space, uint16_t asid)
{
    paging_enter(space_view_root(space), asid);
    if (space->separate)
        split_enter(user_root(space), space->has_asid ? asid + 1 : asid, !space->has_asid);
    else
        split_leave();
}

/* Returns whether there was memory. */
static bool make_roots(struct space *space, struct space_hart *own)
{
    pfn_t root = table_new_root(space->pool->tables, space->table.root);
    if (space->separate && !pfn_is_none(root)) {
        own->user_root = table_new_root(space->pool->tables, space->pool->user);
        if (pfn_is_none(own->user_root)) {
            space->pool->tables->free(space->pool->tables, root);
            return false;
        }
    }
    own->root = root;
    return !pfn_is_none(root);
}

/* The entry of this hart's view that points to the table of entries for a page; NULL: no memory. */
static entry_t *view_entry(struct space *space, size_t page)
{
    struct space_hart *own = space_hart(space);
    if (pfn_is_none(own->root)) {
        if (!make_roots(space, own))
            return NULL;
        if (space_current() == space)
            space_use_view(space, asid_of(&space->context));
    }
    entry_t *entry = table_entry(own->root, page, PAGE_LEVEL_ROOT);
    pte_t pte = entry_load(entry);
    if (!pte_is_table(pte)) {
        pfn_t table = table_take_frame(space->pool->tables);
        if (pfn_is_none(table))
            return NULL;
        pte = pte_table(table);
        /* Release (fence rw,w; sd): this hart's walker, and space_view_unlinked() on others, find zeros behind it. */
        store_release(entry, pte.bits);
        if (!pfn_is_none(own->user_root))
            store_release(table_entry(own->user_root, page, PAGE_LEVEL_ROOT), pte.bits); /* the same */
    }
    return table_entry(pte_pfn(pte), page, PAGE_LEVEL_2M);
}

int space_view_link(struct space *space, struct table_slot *slot, size_t page)
{
    hart_mask_t *known = table_slot_harts(slot);
    if (hart_mask_test(*known, hart_index()))
        return 0;
    entry_t *entry = view_entry(space, page);
    if (!entry)
        return ERR_NO_MEMORY;
    pfn_t table = paddr_to_pfn_floor(direct_to_paddr((const void *)slot->entry));
    known->bits |= hart_mask_one(hart_index()).bits;
    /* Release (fence rw,w; sd): as table_link(). */
    store_release(entry, pte_table(table).bits);
    return 0;
}

void space_view_unlinked(struct space *space, pfn_t table, size_t page)
{
    HART_MASK_FOR_EACH (hart, table_page(&space->table, table)->harts) {
        pte_t pte = entry_load(table_entry(space->harts[hart].root, page, PAGE_LEVEL_ROOT));
        /* Relaxed: the harts are flushed before the table is used again. sd. */
        store_relaxed(table_entry(pte_pfn(pte), page, PAGE_LEVEL_2M), 0);
    }
}

/* Calls visit() for each frame of a view, the root last. */
static void for_each_table(struct space *space, pfn_t root,
    void (*visit)(struct space *space, pfn_t table, size_t *count), size_t *count)
{
    for (size_t i = 0; i < PAGE_ENTRIES / 2; i++) {
        pte_t pte = entry_load(table_entry(root, 0, 0) + i);
        if (pte_is_table(pte))
            visit(space, pte_pfn(pte), count);
    }
    visit(space, root, count);
}

static void free_table(struct space *space, pfn_t table, size_t *count)
{
    (void)count;
    space->pool->tables->free(space->pool->tables, table);
}

static void count_table(struct space *space, pfn_t table, size_t *count)
{
    (void)space;
    (void)table;
    ++*count;
}

void space_view_destroy(struct space *space)
{
    for (unsigned i = 0; i < space->pool->nharts; i++) {
        if (!pfn_is_none(space->harts[i].root))
            for_each_table(space, space->harts[i].root, free_table, NULL);
        if (!pfn_is_none(space->harts[i].user_root))
            free_table(space, space->harts[i].user_root, NULL);
    }
}

size_t space_view_tables(struct space *space)
{
    size_t count = 0;
    for (unsigned i = 0; i < space->pool->nharts; i++) {
        if (!pfn_is_none(space->harts[i].root))
            for_each_table(space, space->harts[i].root, count_table, &count);
        count += !pfn_is_none(space->harts[i].user_root);
    }
    return count;
}
