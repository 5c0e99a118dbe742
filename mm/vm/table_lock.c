/* See table_lock.h. */
#include "mm/vm/table_lock.h"
#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/error.h"

/* As smp/lock_ttas.c, where the reasons stand. */
#define BACKOFF_TURNS_MIN 4
#define BACKOFF_TURNS_MAX (BACKOFF_TURNS_MIN * HART_MAX)

NOINLINE void table_page_wait(struct table_page *page)
{
    uint64_t since = lock_wait_begin();
    unsigned turns = BACKOFF_TURNS_MIN;
    for (;;) {
        /* Relaxed: only a hint whether to try. lw. */
        while (atomic_load_explicit(&page->lock, memory_order_relaxed))
            cpu_relax();
        if (table_page_take(page))
            break;
        unsigned wait = turns + hart_index() % turns;
        while (wait--)
            cpu_relax();
        turns = MIN(2 * turns, BACKOFF_TURNS_MAX);
    }
    lock_wait_end(since);
}

/* --- finding and locking --------------------------------------------------------------------------------- */

static bool is_in_one_entry(size_t first, size_t end, unsigned level)
{
    return first >> (level * PAGE_LEVEL_BITS) == (end - 1) >> (level * PAGE_LEVEL_BITS);
}

/* By node without a lock, or under that of the table that it begins with. */
static bool step_down(pfn_t *pfn, unsigned *level, size_t first, size_t end, unsigned floor)
{
    if (*level <= floor || !is_in_one_entry(first, end, *level))
        return false;
    pte_t pte = entry_follow(table_entry(*pfn, first, *level));
    if (!pte_is_table(pte))
        return false;
    *pfn = pte_pfn(pte);
    --*level;
    return true;
}

static pfn_t find(const struct page_table *table, size_t first, size_t end, unsigned floor, unsigned *level)
{
    pfn_t pfn = table->root;
    *level = PAGE_LEVEL_ROOT;
    while (step_down(&pfn, level, first, end, floor))
        ;
    return pfn;
}

/* Of a table that is locked and was found without a lock. */
static bool is_stale(const struct table_page *page)
{
    return unlikely(page->flags & TABLE_STALE) && !plant_is(PLANT_TABLE_STALE);
}

static pfn_t lock_by_node(
    const struct page_table *table, size_t first, size_t end, unsigned floor, unsigned *level)
{
    for (;;) {
        epoch_enter();
        pfn_t pfn = find(table, first, end, floor, level);
        struct table_page *page = table_page(table, pfn);
        (void)inject_due(INJECT_LOOK);
        table_page_lock(page);
        if (is_stale(page)) {
            table_page_unlock(page); /* before the epoch ends: behind it the frame may be another table */
            epoch_exit();
            counter_add(COUNTER_TABLE_RETRY, 1);
            continue;
        }
        epoch_exit();
        /* What was a leaf or a hole when it was found may be a table now. */
        while (step_down(&pfn, level, first, end, floor)) {
            struct table_page *child = table_page(table, pfn);
            table_page_lock(child);
            table_page_unlock(page);
            page = child;
        }
        return pfn;
    }
}

pfn_t table_lock_top(struct page_table *table, size_t first, size_t end, unsigned floor,
    struct lock_node *node, unsigned *level)
{
    if (table_by_node(table))
        return lock_by_node(table, first, end, floor, level);
    lock_acquire(&table->lock, node);
    return find(table, first, end, floor, level);
}

void table_lock_below(const struct page_table *table, pfn_t top, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; level > 0 && page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(top, page, level));
        if (!pte_is_table(pte))
            continue;
        table_page_lock(table_page(table, pte_pfn(pte)));
        table_lock_below(table, pte_pfn(pte), level - 1, page, next);
    }
}

void table_unlock_below(const struct page_table *table, pfn_t top, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; level > 0 && page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(top, page, level));
        if (!pte_is_table(pte))
            continue;
        table_unlock_below(table, pte_pfn(pte), level - 1, page, next);
        table_page_unlock(table_page(table, pte_pfn(pte)));
    }
}

void table_lock_all(struct page_table *table, struct lock_node *node)
{
    unsigned level;
    table_lock_top(table, table->first, table->end, PAGE_LEVEL_ROOT, node, &level);
    if (table_by_node(table))
        table_lock_below(table, table->root, PAGE_LEVEL_ROOT, table->first, table->end);
}

void table_unlock_all(struct page_table *table, struct lock_node *node)
{
    if (table_by_node(table))
        table_unlock_below(table, table->root, PAGE_LEVEL_ROOT, table->first, table->end);
    table_unlock_top(table, table_page(table, table->root), node);
}

/* --- tables outside of the tree -------------------------------------------------------------------------- */

int table_chain_fill(const struct page_table *table, pfn_t *chain, size_t count)
{
    for (; count > 0; count--) {
        pfn_t pfn = table_take_frame(table->source);
        if (pfn_is_none(pfn)) {
            table_chain_free(table, chain);
            return ERR_NO_MEMORY;
        }
        table_chain_push(table, chain, pfn);
    }
    return 0;
}

void table_chain_free(const struct page_table *table, pfn_t *chain)
{
    while (!pfn_is_none(*chain))
        table->source->free(table->source, table_chain_pop(table, chain));
}

static void free_retired(struct epoch_entry *entry)
{
    struct table_page *page = CONTAINER_OF(entry, struct table_page, retired);
    struct table_source *source = page->source;
    source->free(source, pfn_add(source->base, (size_t)(page - source->pages)));
}

void page_table_release(struct page_table *table, struct table_gather *gather)
{
    while (!pfn_is_none(gather->tables)) {
        pfn_t pfn = table_chain_pop(table, &gather->tables);
        struct table_page *page = table_page(table, pfn);
        if (!table_by_node(table) || plant_is(PLANT_TABLE_EARLY)) {
            table->source->free(table->source, pfn);
            continue;
        }
        page->source = table->source;
        epoch_retire(&page->retired, free_retired);
    }
    gather->first = gather->end = gather->nleaves = 0;
    gather->harts = hart_mask_none();
}

/* --- tables that come and go ----------------------------------------------------------------------------- */

pfn_t table_new(const struct page_table *table, pfn_t *spare, pte_t whole, unsigned level)
{
    DEBUG_ASSERT(!pfn_is_none(*spare)); /* they were counted */
    pfn_t pfn = table_chain_pop(table, spare);
    struct table_page *page = table_page(table, pfn);
    /* Nobody else knows the table: what links it orders all this. */
    table_page_begin(page, level);
    page->live = whole.bits ? PAGE_ENTRIES : 0;
    for (size_t i = 0; whole.bits && i < PAGE_ENTRIES; i++)
        store_relaxed(
            table_entry(pfn, 0, 0) + i, pte_piece(whole, i * page_level_pages(level), level + 1).bits);
    if (table_by_node(table))
        store_relaxed(&page->lock, 1);
    return pfn;
}

bool table_unlink_if_empty(struct page_table *table, struct table_page *parent, entry_t *entry, size_t page,
    struct table_gather *gather)
{
    pte_t pte = entry_load(entry);
    pfn_t pfn = pte_pfn(pte);
    struct table_page *child = table_page(table, pfn);
    if (child->live > 0 || child->pins > 0 || pte.bits & PTE_KEPT)
        return false;
    /* Relaxed: who flushes orders it before the flush, on this hart and, by its interrupt, on others. sd. */
    store_relaxed(entry, 0);
    table_mirror(table, entry, child->level + 1u);
    parent->live--;
    child->flags |= TABLE_STALE;
    gather->harts.bits |= child->harts.bits;
    if (table_by_node(table))
        table_page_unlock(child);
    table_chain_push(table, &gather->tables, pfn);
    if (gather->unlinked)
        gather->unlinked(gather, pfn, ALIGN_DOWN(page, page_level_pages(child->level + 1u)), child->level);
    return true;
}

/* Returns whether the parent is empty now, too. */
static bool reclaim_child(
    struct page_table *table, pfn_t parent, unsigned level, size_t page, struct table_gather *gather)
{
    entry_t *entry = table_entry(parent, page, level);
    pte_t pte = entry_load(entry);
    if (!pte_is_table(pte))
        return false;
    struct table_page *child = table_page(table, pte_pfn(pte));
    if (table_by_node(table))
        table_page_lock(child);
    bool gone = table_unlink_if_empty(table, table_page(table, parent), entry, page, gather);
    if (!gone && table_by_node(table))
        table_page_unlock(child);
    return gone && table_page(table, parent)->live == 0;
}

void table_reclaim(struct page_table *table, size_t page, unsigned level, struct table_gather *gather)
{
    struct lock_node node;
    bool goes_on = true;
    while (goes_on && ++level <= PAGE_LEVEL_ROOT) {
        unsigned found;
        pfn_t parent = table_lock_top(table, page, page + 1, level, &node, &found);
        /* If there is none of that level any more, another hart was here. */
        goes_on = found == level && reclaim_child(table, parent, level, page, gather);
        table_unlock_top(table, table_page(table, parent), &node);
    }
}
