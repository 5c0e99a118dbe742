/*
 * The end of every search of "llfree" that has found nothing: a last one that does not believe the counts, and the
 * proof that there is nothing. Included once into each of the two designs.
 */
#ifndef MM_FRAME_LLFREE_EXACT_H
#define MM_FRAME_LLFREE_EXACT_H

#include "arch/cpu.h"
#include "mm/frame/llfree_lower.h"

/* Whether there is such a block in a child, by what it is and by its bits. Acquire, see find_anywhere(): ld;
 * fence r,rw. */
static bool looks_free(struct llfree *self, uint32_t child, unsigned order)
{
    uint64_t pair = LOAD_ACQUIRE(child_pair(self, child));
    unsigned shift = child_shift(child);
    if (order >= CHILD_ORDER)
        return order == CHILD_ORDER ? child_field(pair, shift) == CHILD_ALL
                                    : child % 2 == 0 && pair == PAIR_ALL;
    if (child_is_block(pair, shift) || (order > 0 && child_free(pair, shift) < 1 << order))
        return false;
    unsigned count = order > ROW_ORDER ? 1u << (order - ROW_ORDER) : 1, run = 0;
    for (unsigned i = 0; i < CHILD_ROWS; i++) {
        uint64_t row = LOAD_ACQUIRE(&self->rows[child * CHILD_ROWS + i]);
        unsigned bit = 0;
        if (i % count == 0)
            run = 0;
        if (row_take(&row, MIN(order, ROW_ORDER), &bit) && ++run == count)
            return true;
    }
    return false;
}

/* A block of a child, on credit: nobody has paid. The count of the child comes first all the same, since one that is
 * whole must not become a block of its own meanwhile; the tree's gets a debt afterwards. */
static uint32_t take_on_credit(struct llfree *self, uint32_t child, unsigned order)
{
    uint32_t index = LLFREE_NONE;
    if (order >= CHILD_ORDER) {
        index = huge_take(self, child, order);
    } else if (order > 0 ? child_pay(self, child, 1u << order)
                         : UPDATE(self, cas_acquire, child_pair(self, child), child_force,
                               child_shift(child))) { /* as in child_pay() */
        index = field_take(self, child * CHILD_ROWS, order);
        if (index == LLFREE_NONE)
            child_credit(self, child, 1u << order);
    }
    if (index != LLFREE_NONE)
        TAKE(self, tree_entry(self, tree_of(self, index)), 1ull << order);
    return index;
}

/* The sum of all versions, which only grow, and of all attempts. Returns false while one of those is under way.
 * Acquire: ld; fence r,rw. */
static bool sum_events(struct llfree *self, uint64_t *sum)
{
    bool quiet = true;
    *sum = 0;
    for (uint32_t tree = 0; tree < self->ntrees; tree++)
        *sum += LOAD_ACQUIRE(tree_entry(self, tree)) / TREE_VERSION;
    for (unsigned i = 0; i < self->nharts; i++) {
        uint64_t attempts = LOAD_ACQUIRE(&self->harts[i].attempts);
        *sum += LOAD_ACQUIRE(&self->harts[i].local) / LOCAL_VERSION + attempts;
        quiet = quiet && attempts % 2 == 0;
    }
    return quiet;
}

/*
 * The last resort, and what makes PFN_NONE exact. No count is believed here, because a count may be too low while
 * frames are free: a hart has paid and not yet looked, looked in vain and not yet been paid back, freed the bit and
 * not yet counted it. And frames may move behind a search, of whatever. Here both; all memory is in use but frame x
 * of child 1:
 *
 *     hart 0                   hart 1                          hart 2
 *     pays for a frame of
 *     the tree: its count
 *     is 0 now
 *                              looks at child 0: nothing
 *                                                              frees y, of child 0
 *                                                              pays, and takes x
 *                              looks at child 1: nothing
 *     finds y
 *
 * One frame was free at every moment; hart 1 must not say that there was none. The bits tell the truth. So they are
 * what is searched, and a frame that is seen to be free is taken on credit: its child's count may fall below zero, and
 * so may its tree's, until whoever has paid in vain is paid back. Nobody waits for that one. Two things are left that
 * a search of the bits could miss.
 *
 * A frame that is freed behind it, like y. Each free, after it has cleared the bit, raises the version of a tree or of a
 * reservation, with release. Let t be the moment between a search that saw nothing but taken frames and the second
 * sum. If the sums before and after are equal, no version was raised between them. Say a frame is free at t. Then a
 * version was raised behind its last free, before the first sum read it; so its bit was cleared before that, and as
 * nobody has taken the frame since, the search has seen it free. It has not: at t no frame was free. A free that has
 * cleared its bit by then and not raised the version counts as one after t.
 *
 * Rows that hide for the time of an attempt at several of them (rows_take), and may come back without having been
 * freed. Here alone is waiting: while an attempt is under way, nobody is told that there is nothing. A search that
 * saw a row of an attempt has acquired its release, and finds `attempts` odd, or another than before it.
 *
 * Orders above 0 are found in any case when all is quiet, by the same search; while others take and free, one that
 * finds nothing is believed.
 */
static uint32_t find_anywhere(struct llfree *self, struct llfree_hart *hart, unsigned order)
{
    for (;;) {
        uint64_t before, after;
        bool quiet = sum_events(self, &before), lost = false;
        uint32_t child = hart->row / CHILD_ROWS;
        for (uint32_t i = 0; i < self->nchildren; i++) {
            (void)inject_due(INJECT_LOOK);
            if (looks_free(self, child, order)) {
                uint32_t index = take_on_credit(self, child, order);
                if (index != LLFREE_NONE)
                    return index;
                lost = true; /* to another, who has it now */
            }
            child = child + 1 < self->nchildren ? child + 1 : 0;
        }
        if (!lost && (order > 0 || (quiet && sum_events(self, &after) && before == after)))
            return LLFREE_NONE;
        if (!quiet)
            cpu_relax();
    }
}

#endif
