/*
 * Who may change which entries: the locks behind `ptlock=`. By space there is one. By node each frame of a table has one, and
 * a change of a range holds those of the lowest table that has all of the range in it, and of all tables below that in the range.
 *
 * The way to that lowest table is gone without a lock, inside an epoch, so a table that is found there may leave the tree
 * before its lock is taken: it is stale then, which its holder sees, and begins again. Locks are taken from above to
 * below and from low addresses to high ones, and kept to the end, but for those above the lowest common table, which are let go on
 * the way: no cycle can close, and who holds a table's lock keeps its children in the tree.
 * Source: CortenMM, SOSP 2025, the advanced locking protocol; RadixVM, EuroSys 2013.
 */
#ifndef MM_VM_TABLE_LOCK_H
#define MM_VM_TABLE_LOCK_H

#include "mm/vm/table_edit.h"
#include "mm/vm/table_entries.h"

/**
 * table_lock_top - lock the lowest table that has a range in it, of @floor or a level above. table_unlock_top() is the reverse.
 *
 * By node the tables below are not locked yet. Returns the table, and its level.
 */
pfn_t table_lock_top(struct page_table *table, size_t first, size_t end, unsigned floor,
    struct lock_node *node, unsigned *level);

/** table_lock_below, table_unlock_below - of all tables below @top in a range. */
void table_lock_below(const struct page_table *table, pfn_t top, unsigned level, size_t first, size_t end);
void table_unlock_below(const struct page_table *table, pfn_t top, unsigned level, size_t first, size_t end);

/** table_lock_all, table_unlock_all - every table of this half. */
void table_lock_all(struct page_table *table, struct lock_node *node);
void table_unlock_all(struct page_table *table, struct lock_node *node);

/* --- looking without changing -------------------------------------------------------------------------- */

/** table_read_begin, table_read_end - between them the tables that are found by going down from the root stay what they were;
 *  entries change. */
static inline void table_read_begin(struct page_table *table, struct lock_node *node)
{
    if (table_by_node(table))
        epoch_enter();
    else
        lock_acquire(&table->lock, node);
}

static inline void table_read_end(struct page_table *table, struct lock_node *node)
{
    if (table_by_node(table))
        epoch_exit();
    else
        lock_release(&table->lock, node);
}

/* The leaf, mark or hole that shows a page. */
struct table_look {
    pte_t pte;
    unsigned level;
    pfn_t table; /* that it is in */
};

/** table_look_up - between table_read_begin() and _end(), or under the locks. A table that has left the tree meanwhile is full of
 *  holes, as it was when it left. */
static inline struct table_look table_look_up(const struct page_table *table, size_t page)
{
    struct table_look look = {.level = PAGE_LEVEL_ROOT, .table = table->root};
    look.pte = entry_follow(table_entry(look.table, page, look.level));
    while (pte_is_table(look.pte)) {
        look.table = pte_pfn(look.pte);
        look.pte = entry_follow(table_entry(look.table, page, --look.level));
    }
    return look;
}

/* --- tables outside of the tree ------------------------------------------------------------------------ */

/** table_chain_push, table_chain_pop - PFN_NONE ends the list. */
static inline void table_chain_push(const struct page_table *table, pfn_t *chain, pfn_t pfn)
{
    table_page(table, pfn)->next = *chain;
    *chain = pfn;
}

static inline pfn_t table_chain_pop(const struct page_table *table, pfn_t *chain)
{
    pfn_t pfn = *chain;
    *chain = table_page(table, pfn)->next;
    return pfn;
}

/** table_chain_fill - take so many frames, or none. 0 or ERR_NO_MEMORY. */
int table_chain_fill(const struct page_table *table, pfn_t *chain, size_t count);

/** table_chain_free - of tables that no hart has seen. */
void table_chain_free(const struct page_table *table, pfn_t *chain);

/** table_hint_adopt - make a hint that is none that table of level 0, whose lock is held. */
void table_hint_adopt(struct table_hint *hint, size_t page, pfn_t table, struct table_page *of);

/* --- tables that come and go, under the locks ------------------------------------------------------------ */

/** table_new - an unlinked table, of which each entry shows its part of @whole: an entry of the level above @level. By node its
 *  lock is held. */
pfn_t table_new(const struct page_table *table, pfn_t *spare, pte_t whole, unsigned level);

/** table_unlink_if_empty - take a child out of its table, if it is empty, no hint, and not to be kept; it is gathered. By
 *  node both are locked; returns whether the child has gone, and then it is locked no more. */
bool table_unlink_if_empty(struct page_table *table, struct table_page *parent, entry_t *entry, size_t page,
    struct table_gather *gather);

/** table_reclaim - take the table of a level that shows a page out, if it is empty, and what becomes empty by that above it. No
 *  lock is held. */
void table_reclaim(struct page_table *table, size_t page, unsigned level, struct table_gather *gather);

#endif
