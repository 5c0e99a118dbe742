/*
 * The lower half of "llfree": blocks out of bits and children, and back. Whoever takes has paid the tree's or the
 * reservation's count before, see llfree.c. Every function that finds nothing leaves everything as it was.
 * Included once into each of the two designs.
 */
#ifndef MM_FRAME_LLFREE_LOWER_H
#define MM_FRAME_LLFREE_LOWER_H

#include "arch/panic.h"
#include "mm/frame/llfree_update.h"

static ALWAYS_INLINE struct llfree_hart *own_hart(struct llfree *self)
{
    DEBUG_ASSERT(hart_index() < self->nharts);
    return &self->harts[hart_index()];
}

/* The numbers in front of a member of an aligned group of `count`, and it, go round within the group. */
static inline uint32_t round_in(uint32_t start, uint32_t i, uint32_t count)
{
    return (start & ~(count - 1)) | ((start + i) & (count - 1));
}

/* n frames of a child that has as many. Acquire, pairs with the release in lower_give(): frames that were last freed
 * as one block with all their child have passed through no other word. lr.d.aq; bne; sc.d; bnez. */
static ALWAYS_INLINE bool child_pay(struct llfree *self, size_t child, unsigned n)
{
    return UPDATE(self, cas_acquire, child_pair(self, child), child_take, child_shift(child), n);
}

static ALWAYS_INLINE void child_credit(struct llfree *self, size_t child, uint64_t n)
{
    /* Release, pairs with the acquire of who takes the child as a whole, and has to find the frames as they were
     * left. amoadd.d.rl. */
    GIVE(self, child_pair(self, child), n << child_shift(child));
}

/* Taken by a hart: write down what it is a block of. The rows of larger blocks are the hart's own. */
static void shape_set(struct llfree *self, uint32_t index, unsigned order)
{
    _Atomic uint64_t *shapes = &self->shapes[index / ROW_FRAMES];
    unsigned bit = index % ROW_FRAMES;
    /* Relaxed throughout: the block's owner passes this on with the block. */
    if (order == 0) {
        /* ld; amoand.d */
        if (shape_of_frame(LOAD(shapes), index))
            CLEAR(self, shapes, 3ull << (bit & ~1u));
    } else if (order < ROW_ORDER) {
        /* lr.d; bne; sc.d; bnez: neighbours write theirs */
        UPDATE(self, cas_relaxed, shapes, shape_write, bit, order);
    } else {
        for (unsigned i = 0; i < 1u << (order - ROW_ORDER); i++)
            store_relaxed(&shapes[i], shape_of(order, i)); /* sd */
    }
}

/* Whether what is taken there has the shape of such a block, order 1 … 8. */
static bool shape_is(struct llfree *self, uint32_t index, unsigned order)
{
    _Atomic uint64_t *shapes = &self->shapes[index / ROW_FRAMES];
    uint64_t mask = shape_mask(1u << order) << index % ROW_FRAMES;
    /* Relaxed, as above. ld. */
    for (unsigned i = 0; i * ROW_FRAMES < 1u << order; i++)
        if ((LOAD(&shapes[i]) & mask) != shape_of(order, i) << index % ROW_FRAMES)
            return false;
    return true;
}

static inline bool row_take_all(uint64_t *row)
{
    unsigned bit = 0;
    return row_take(row, ROW_ORDER, &bit);
}

/* Several rows at once are taken one after the other, and put back if one turns out to be taken. Meanwhile they
 * are neither free nor given out, which `attempts` tells those who must know. */
static bool rows_take(struct llfree *self, uint32_t row, unsigned count)
{
    struct llfree_hart *hart = own_hart(self);
    /* Relaxed: only this hart writes it, and the first row's release carries it. */
    uint64_t attempts = LOAD(&hart->attempts);
    store_relaxed(&hart->attempts, attempts + 1);
    unsigned got = 0;
    /* Acquire: the frames as they were freed. Release, pairs with the acquire in looks_free(): who sees the row
     * taken sees `attempts` odd. lr.d.aq; bne; sc.d.rl; bnez. */
    while (got < count && !(got > 0 && inject_due(INJECT_ROW)) &&
           UPDATE(self, cas_acq_rel, &self->rows[row + got], row_take_all))
        got++;
    for (unsigned i = 0; got < count && i < got; i++) {
        uint32_t back = row + i + plant_due(PLANT_LLFREE_UNDO);
        CLEAR(self, &self->rows[back], ~0ull); /* release, like a free of these frames. amoand.d.rl */
    }
    /* Release, pairs with the acquire in sum_events(): the rows are back. fence rw,w; sd. */
    store_release(&hart->attempts, attempts + 2);
    return got == count;
}

static uint32_t take_rows(struct llfree *self, uint32_t start_row, unsigned order)
{
    unsigned count = 1u << (order - ROW_ORDER);
    for (unsigned i = 0; i < CHILD_ROWS; i += count) {
        uint32_t row = round_in(start_row & ~(count - 1), i, CHILD_ROWS);
        unsigned empty = 0;
        while (empty < count && LOAD(&self->rows[row + empty]) == 0)
            empty++;
        if (empty == count && rows_take(self, row, count))
            return row * ROW_FRAMES;
    }
    return LLFREE_NONE;
}

/* A block of order 0 … 8 of the child that start_row lies in. */
static uint32_t field_take(struct llfree *self, uint32_t start_row, unsigned order)
{
    if (order > ROW_ORDER)
        return take_rows(self, start_row, order);
    for (unsigned i = 0; i < CHILD_ROWS; i++) {
        uint32_t row = round_in(start_row, i, CHILD_ROWS);
        unsigned bit = 0;
        /* Acquire, pairs with the release of the free: the frames as they were left. lr.d.aq; bne; sc.d; bnez. */
        if (UPDATE(self, cas_acquire, &self->rows[row], row_take, order, &bit))
            return row * ROW_FRAMES + bit;
    }
    return LLFREE_NONE;
}

/* A child, or two of which it is the first, as one block. */
static uint32_t huge_take(struct llfree *self, uint32_t child, unsigned order)
{
    _Atomic uint64_t *pair = child_pair(self, child);
    DEBUG_ASSERT(order == CHILD_ORDER || child % 2 == 0);
    if (inject_due(INJECT_CHILD))
        return LLFREE_NONE;
    /* Acquire, pairs with the releases of frees into it. lr.d.aq; bne; sc.d; bnez. Both halves of order 10 are in
     * one word: there is no state with half of it taken that could be put back wrongly. */
    bool taken = order == CHILD_ORDER
                     ? UPDATE(self, cas_acquire, pair, child_swap, child_shift(child), CHILD_ALL, CHILD_HUGE)
                     : UPDATE(self, cas_acquire, pair, pair_swap, PAIR_ALL, PAIR_BLOCK);
    return taken ? child * CHILD_FRAMES : LLFREE_NONE;
}

/* A block of a tree that has enough of its frames in the caller's name. */
static uint32_t lower_take(struct llfree *self, uint32_t start_row, unsigned order)
{
    unsigned step = order > CHILD_ORDER ? 2 : 1;
    uint32_t start = (start_row / CHILD_ROWS) & ~(step - 1);
    for (unsigned i = 0; i < tree_children(self); i += step) {
        uint32_t child = round_in(start, i, tree_children(self)), index = LLFREE_NONE;
        if (order >= CHILD_ORDER) {
            index = huge_take(self, child, order);
        } else if (child_pay(self, child, 1u << order)) {
            if (!inject_due(INJECT_CHILD))
                index = field_take(self, i == 0 ? start_row : child * CHILD_ROWS, order);
            if (index == LLFREE_NONE)
                child_credit(self, child ^ plant_due(PLANT_LLFREE_UNDO), 1u << order);
        }
        if (index != LLFREE_NONE)
            return index;
    }
    return LLFREE_NONE;
}

/* Why a free was wrong: there is something, or nothing. Relaxed: for the report. lw, ld. */
static enum frame_misuse_kind misuse_at(struct llfree *self, uint32_t index)
{
    uint32_t child = index / CHILD_FRAMES;
    bool taken = child_is_block(LOAD(child_pair(self, child)), child_shift(child)) ||
                 (LOAD(&self->rows[index / ROW_FRAMES]) >> index % ROW_FRAMES & 1);
    return taken ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE;
}

/* Back into bits and children; false, with nothing changed, if it is no block. Of two harts that free the same, the
 * first change decides. Release everywhere: what the block's last user wrote, to its next. Orders 1 … 10. */
static bool lower_give(struct llfree *self, uint32_t index, unsigned order)
{
    uint32_t child = index / CHILD_FRAMES;
    _Atomic uint64_t *pair = child_pair(self, child);
    _Atomic uint64_t *row = &self->rows[index / ROW_FRAMES];
    /* lr.d; bne; sc.d.rl; bnez */
    if (order == CHILD_ORDER)
        return UPDATE(self, cas_release, pair, child_swap, child_shift(child), CHILD_HUGE, CHILD_ALL);
    if (order > CHILD_ORDER)
        return UPDATE(self, cas_release, pair, pair_swap, PAIR_BLOCK, PAIR_ALL);
    /* lr.d; bne; sc.d.rl; bnez. Taken bits of a block's shape are a block, all of it. */
    if (!shape_is(self, index, order) ||
        !UPDATE(self, cas_release, row, row_give, shape_mask(1u << order) << index % ROW_FRAMES))
        return false;
    for (unsigned i = 1; i * ROW_FRAMES < 1u << order; i++)
        CLEAR(self, &row[i], ~0ull); /* amoand.d.rl */
    return true;
}

#endif
