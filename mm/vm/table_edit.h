/*
 * The engine below all changes of page tables. A change of a range is a function from an entry to an entry, pure, which is
 * asked twice: a first pass finds what is wrong and counts the tables that will be needed, then they are taken, and a second
 * pass writes, under the same locks. A change of one page, as of a fault, is a slot: its entry, locked.
 *
 * Entries are leaves, marks (arch/pte.h), holes and tables; a mark or a leaf stands for all pages below it, and is split where
 * only a part of them changes. The engine knows frames by number only, and flushes nothing: see page_table.h.
 */
#ifndef MM_VM_TABLE_EDIT_H
#define MM_VM_TABLE_EDIT_H

#include "mm/vm/page_table.h"

/* What change() answers: not the whole of this, look at its parts. No entry: reserved bits are set. */
#define PTE_DESCEND PTE(~0ul)

struct table_edit {
    struct page_table *table;
    size_t first, end; /* pages, of the table's half */

    /**
     * The new entry for an old one, which is a leaf, a mark or a hole of @level, @page its first page: all of its pages are in
     * the range. @old: leave it. PTE_DESCEND, above level 0: ask for the parts (a table is put there). Asked about a
     * level-0 part of an entry that reaches out of the range, and the answer is old, that entry is left as it is, else it
     * is split. Sets edit->error to refuse the whole edit. Changes nothing else.
     */
    pte_t (*change)(struct table_edit *edit, pte_t old, size_t page, unsigned level);

    /* Called behind each write, under the lock, with entries that are no tables; NULL: nobody wants to know. */
    void (*changed)(struct table_edit *edit, pte_t old, pte_t new, size_t page, unsigned level);

    struct table_gather *gather; /* for the flush; NULL: no leaf is changed, and no table emptied */
    struct table_hint *hint; /* the hart's own, or NULL */
    bool sure; /* change() refuses nothing: tables of level 0 need no first pass */
    bool keeps_holes; /* change() leaves them as they are, and is not asked */
    int error;

    /*
     * Of the engine. The top is the lowest table that has all pages in it: nothing above it changes, unless it becomes empty.
     */
    pfn_t top;
    unsigned top_level;
    size_t needed;
    pfn_t spare; /* tables to be */
    pfn_t unused; /* those in which nothing was put */
    struct lock_node node;
};

/**
 * table_edit_run - ask change() about every entry of a range, and write what it answers.
 *
 * Returns 0; edit->error; ERR_STATE when a sealed root would have to change; ERR_NO_MEMORY. On error nothing has changed.
 * What frames that are shown now hold is written before.
 */
int table_edit_run(struct table_edit *edit);

/*
 * The 2 MiB in which a hart works, for one table. A table of entries that is some hart's hint stays when it becomes empty, so a
 * hart that maps and unmaps there changes nothing above it. All zeros: none. Of one hart.
 */
struct table_hint {
    size_t unit; /* page / PAGE_ENTRIES + 1 */
    struct table_page *page;
    entry_t *entries;
};

static inline bool table_hint_matches(const struct table_hint *hint, size_t page)
{
    return hint->unit == page / PAGE_ENTRIES + 1;
}

/** table_hint_drop - the hart works elsewhere from now on, or the space ends. A table that is empty is gathered: if there is
 *  one, flush it and release. Does nothing to no hint. */
void table_hint_drop(struct page_table *table, struct table_hint *hint, struct table_gather *gather);

/* One entry, locked. */
struct table_slot {
    struct page_table *table;
    entry_t *entry;
    struct table_page *page; /* of the frame that the entry is in */
    pte_t pte; /* the entry as it is; the slot's holder alone changes it, by table_slot_set() */
    unsigned level;
    struct lock_node node;
};

#define SLOT_MAKE 1u /* split leaves and marks, so that the slot is of level 0, but for a hole, which stays */

/**
 * table_slot_lock - the entry that shows a page, for this hart alone until table_slot_unlock().
 * @hint: the hart's own; one that is none becomes the table that is found, if that is of level 0; may be NULL
 *
 * Returns 0; ERR_RANGE for a page that is not of the table's half; ERR_NO_MEMORY, with SLOT_MAKE. One slot at a time, and no edit of
 * the table meanwhile. To sleep, or wait for other harts, the slot is let go.
 */
static inline int table_slot_lock(
    struct page_table *table, size_t page, unsigned flags, struct table_hint *hint, struct table_slot *slot);

/** table_slot_set - write the entry: a leaf or mark, of the slot's level. What a frame that it shows holds is written before. */
static inline void table_slot_set(struct table_slot *slot, pte_t pte);

static inline void table_slot_unlock(struct table_slot *slot);

/** table_slot_harts - the harts that may have translations from the slot's table (`tracked`), to be changed by its holder. */
static inline hart_mask_t *table_slot_harts(struct table_slot *slot)
{
    return &slot->page->harts;
}

/* --- inline, as every fault goes through it -------------------------------------------------------------- */

static inline bool table_by_node(const struct page_table *table)
{
    return table->locking == TABLE_LOCK_NODE;
}

/* The reverse of table_lock_top(), or of a hint's lock. */
static inline void table_unlock_top(struct page_table *table, struct table_page *top, struct lock_node *node)
{
    if (likely(table_by_node(table)))
        table_page_unlock(top);
    else
        lock_release(&table->lock, node);
}

int table_slot_lock_without_hint(
    struct page_table *table, size_t page, unsigned flags, struct table_hint *hint, struct table_slot *slot);

static inline int table_slot_lock(
    struct page_table *table, size_t page, unsigned flags, struct table_hint *hint, struct table_slot *slot)
{
    if (unlikely(!hint || !table_hint_matches(hint, page)))
        return table_slot_lock_without_hint(table, page, flags, hint, slot);
    slot->table = table;
    slot->page = hint->page;
    slot->entry = hint->entries + page_index(page, 0);
    slot->level = 0;
    /* It is in the tree: it is pinned. */
    if (likely(table_by_node(table)))
        table_page_lock(slot->page);
    else
        lock_acquire(&table->lock, &slot->node);
    /* Relaxed: only the lock's holder changes it. ld. */
    slot->pte = PTE(atomic_load_explicit(slot->entry, memory_order_relaxed));
    return 0;
}

static inline void table_slot_set(struct table_slot *slot, pte_t pte)
{
    if (slot->pte.bits == 0)
        slot->page->live++;
    /* Release (fence rw,w; sd), pairs with the walkers of other harts: what the frame holds is there before they see it. */
    store_release(slot->entry, pte.bits);
    slot->pte = pte;
}

static inline void table_slot_unlock(struct table_slot *slot)
{
    table_unlock_top(slot->table, slot->page, &slot->node);
}

#endif
