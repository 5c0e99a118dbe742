/*
 * The design "llfree": a lock-free allocator in which harts keep out of each other's way by reserving trees of 16 MiB
 * and are never hindered by one that stands still. The structure is told in llfree.h; here are the operations,
 * with the fast paths of single frames.
 *
 * Where there are as many harts as trees, or more, nobody reserves anything, as in the original: the harts begin
 * their searches in different places and pay from the trees' counts.
 *
 * Compiled a second time by llfree_locked.c.
 */
#ifndef LLFREE_LOCKED
#define LLFREE_LOCKED 0
#endif

#include "lib/string.h"
#include "mm/frame/llfree_exact.h"
#include "mm/frame/llfree_upper.h"

/* Frees in succession into a tree that is not the hart's own before it is reserved: the paper's. */
#define FREES_BEFORE_RESERVING 4

/* See TREES_PER_HART. */
static unsigned tree_order_for(size_t nframes, unsigned nharts)
{
    unsigned order = CHILD_ORDER + bits_highest(TREE_CHILDREN);
    while (order > CHILD_ORDER + bits_highest(TREE_CHILDREN_MIN) &&
           DIV_CEIL(nframes, 1ull << order) < (uint64_t)TREES_PER_HART * nharts)
        order--;
    return order;
}

static size_t llfree_metadata_size(size_t nframes, unsigned nharts)
{
    size_t nchildren = DIV_CEIL(nframes, CHILD_FRAMES);
    return sizeof(struct llfree) + nharts * sizeof(struct llfree_hart) +
           DIV_CEIL(nframes, 1ull << tree_order_for(nframes, nharts)) * sizeof(struct llfree_tree) +
           2 * nchildren * CHILD_ROWS * sizeof(uint64_t); /* taken, and shapes */
}

static int llfree_init(struct frame_allocator *fa)
{
    struct llfree *self = llfree_of(fa);
    memset(self, 0, llfree_metadata_size(fa->nframes, fa->nharts));
    self->nharts = fa->nharts;
    self->tree_order = tree_order_for(fa->nframes, fa->nharts);
    self->pair_shift = bits_highest(sizeof(struct llfree_tree)) - (self->tree_order - CHILD_ORDER - 1);
    self->nchildren = DIV_CEIL(fa->nframes, CHILD_FRAMES);
    self->ntrees = DIV_CEIL(self->nchildren, tree_children(self));
    self->reserves = self->ntrees > self->nharts;
    self->trees = (struct llfree_tree *)&self->harts[fa->nharts];
    self->rows = (_Atomic uint64_t *)&self->trees[self->ntrees];
    self->shapes = &self->rows[self->nchildren * CHILD_ROWS];
#if LLFREE_LOCKED
    lock_init(&self->lock, fa->lock_kind, "frame.llfree_locked");
#endif
    /* Relaxed: nobody else is here yet. */
    for (uint32_t row = 0; row < self->nchildren * CHILD_ROWS; row++) {
        size_t first = (size_t)row * ROW_FRAMES;
        unsigned there = CLAMP(fa->nframes, first, first + ROW_FRAMES) - first;
        /* Frames that the arena lacks are taken for ever. */
        store_relaxed(&self->rows[row], ~bits_mask(0, there));
    }
    for (uint32_t child = 0; child < self->ntrees * tree_children(self); child++) {
        size_t first = (size_t)child * CHILD_FRAMES;
        uint32_t n = CLAMP(fa->nframes, first, first + CHILD_FRAMES) - first;
        *child_pair(self, child) += (uint64_t)(CHILD_ZERO + n) << child_shift(child);
        *tree_entry(self, child / tree_children(self)) += n;
    }
    for (uint32_t tree = 0; tree < self->ntrees; tree++)
        *tree_entry(self, tree) += TREE_ZERO;
    for (unsigned i = 0; i < fa->nharts; i++) {
        self->harts[i].tree = LLFREE_NONE;
        self->harts[i].freed_tree = LLFREE_NONE;
        self->harts[i].row = (uint64_t)self->nchildren * i / fa->nharts * CHILD_ROWS;
    }
    return 0;
}

/* Counts a free, in the order in which find_anywhere() relies on it: the bits are clear. A block of whole children has
 * no bits, and their entries say already that they are free. */
static ALWAYS_INLINE bool count_own(struct llfree *self, struct llfree_hart *hart, size_t index, uint64_t n)
{
    if (tree_of(self, index) != hart->tree)
        return false;
    if (n < CHILD_FRAMES)
        child_credit(self, index / CHILD_FRAMES, n);
    GIVE(self, &hart->local, LOCAL_VERSION + n); /* amoadd.d.rl */
    return true;
}

/* The same for a tree that is not the hart's own; after some in succession it becomes so. */
static NOINLINE void count_remote(struct frame_allocator *fa, uint32_t index, uint64_t n)
{
    struct llfree *self = llfree_of(fa);
    uint32_t tree = tree_of(self, index);
    _Atomic uint64_t *entry = tree_entry(self, tree);
    /* One behind the other, so that the line is taken from another hart once. amoadd.d.rl */
    if (n < CHILD_FRAMES)
        child_credit(self, index / CHILD_FRAMES, n);
    GIVE(self, entry, TREE_VERSION + n);
    if (!self->reserves)
        return;
    struct llfree_hart *hart = own_hart(self);
    counter_add(COUNTER_FRAME_REMOTE, 1);
    if (tree != hart->freed_tree) {
        hart->freed_tree = tree;
        hart->frees_in_row = 0;
    }
    if (++hart->frees_in_row < FREES_BEFORE_RESERVING)
        return;
    hart->frees_in_row = 0;
    uint64_t free = 0;
    if (inject_due(INJECT_REFILL) || !UPDATE(self, cas_relaxed, entry, tree_reserve, 1, &free))
        return;
    change_reservation(self, hart, tree, free);
    hart->row = index / ROW_FRAMES;
    counter_add(COUNTER_FRAME_REFILL, 1);
}

static void count_free(struct frame_allocator *fa, uint32_t index, uint64_t n)
{
    struct llfree *self = llfree_of(fa);
    if (!count_own(self, own_hart(self), index, n))
        count_remote(fa, index, n);
}

/* The planted bug: a single frame that was given out is free. */
static COLD void give_again(struct frame_allocator *fa, uint32_t index)
{
    struct llfree *self = llfree_of(fa);
    CLEAR(self, &self->rows[index / ROW_FRAMES], 1ull << index % ROW_FRAMES);
    count_free(fa, index, 1);
}

/* Everything that may be tried, the usual first. */
static NOINLINE pfn_t alloc_slow(struct frame_allocator *fa, unsigned order)
{
    struct llfree *self = llfree_of(fa);
    struct llfree_hart *hart = own_hart(self);
    uint32_t index = LLFREE_NONE;
    if (self->reserves) {
        index = take_reserved(self, hart, order);
        if (index == LLFREE_NONE)
            index = take_by_reserving(self, hart, order);
    }
    if (index == LLFREE_NONE)
        index = take_shared(self, hart, order);
    if (index == LLFREE_NONE && self->reserves)
        index = take_stolen(self, order);
    if (index == LLFREE_NONE)
        index = find_anywhere(self, hart, order);
    if (index == LLFREE_NONE)
        return PFN_NONE;
    if (order < CHILD_ORDER) {
        if (!self->reserves || tree_of(self, index) == hart->tree)
            hart->row = index / ROW_FRAMES;
        shape_set(self, index, order);
    }
    if (order == 0 && plant_due(PLANT_TWICE))
        give_again(fa, index);
    return pfn_add(fa->base, index);
}

/* A single frame that the hart's own count has been charged for, and, if `child_paid`, the child of its row. */
static NOINLINE pfn_t alloc_paid(struct frame_allocator *fa, bool child_paid)
{
    struct llfree *self = llfree_of(fa);
    struct llfree_hart *hart = own_hart(self);
    uint32_t index = LLFREE_NONE;
    if (child_paid) {
        index = field_take(self, hart->row, 0);
        if (index == LLFREE_NONE)
            child_credit(self, hart->row / CHILD_ROWS, 1);
    }
    if (index == LLFREE_NONE)
        index = lower_take(self, hart->row, 0);
    if (index == LLFREE_NONE) {
        GIVE(self, &hart->local, 1);
        return alloc_slow(fa, 0);
    }
    hart->row = index / ROW_FRAMES;
    shape_set(self, index, 0);
    return pfn_add(fa->base, index);
}

/* A single frame of the hart's own tree, out of the row where it found one last. */
static LEAF_PATH pfn_t llfree_alloc(struct frame_allocator *fa, unsigned order)
{
    struct llfree *self = llfree_of(fa);
    struct llfree_hart *hart = own_hart(self);
    unsigned bit = 0;
    if (unlikely(order != 0) || unlikely(!UPDATE(self, cas_relaxed, &hart->local, local_take, 1, NULL)))
        return alloc_slow(fa, order);
    size_t row = hart->row;
    if (unlikely(!child_pay(self, row / CHILD_ROWS, 1)))
        return alloc_paid(fa, false);
    /* Acquire, as in field_take(). lr.d.aq; bne; sc.d; bnez. */
    if (unlikely(!UPDATE(self, cas_acquire, &self->rows[row], row_take, 0, &bit)))
        return alloc_paid(fa, true);
    size_t index = row * ROW_FRAMES + bit;
    /* Relaxed, as in shape_set(). ld. */
    if (unlikely(shape_of_frame(LOAD(&self->shapes[row]), index)))
        shape_set(self, index, 0);
    if (plant_due(PLANT_TWICE))
        give_again(fa, index);
    return pfn_add(fa->base, index);
}

/* The ways out of a free that is wrong; called last, so that the return address is that of the call of
 * frame_free(). */

static COLD void refuse_place(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0));
}

static COLD void refuse_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    frame_refuse(
        fa, misuse_at(llfree_of(fa), pfn.value - fa->base.value), pfn, order, __builtin_return_address(0));
}

static NOINLINE LEAF_PATH void free_block(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    uint32_t index = pfn.value - fa->base.value;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    if (unlikely(!lower_give(llfree_of(fa), index, order)))
        refuse_free(fa, pfn, order);
    else
        count_free(fa, index, 1ull << order);
}

static LEAF_PATH void llfree_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    uint64_t index = pfn.value - fa->base.value;
    if (unlikely(order != 0)) {
        free_block(fa, pfn, order);
        return;
    }
    if (unlikely(index >= fa->nframes)) {
        refuse_place(fa, pfn, order);
        return;
    }
    struct llfree *self = llfree_of(fa);
    struct llfree_hart *hart = own_hart(self);
    uint64_t bit = 1ull << index % ROW_FRAMES;
    if (plant_due(PLANT_LOST))
        return;
    /* Relaxed: whoever has the frame has its shape. ld. Then release, as in lower_give(): amoand.d.rl. */
    if (unlikely(shape_of_frame(LOAD(&self->shapes[index / ROW_FRAMES]), index)) ||
        unlikely(!(CLEAR(self, &self->rows[index / ROW_FRAMES], bit) & bit))) {
        refuse_free(fa, pfn, order);
        return;
    }
    if (unlikely(!count_own(self, hart, index, 1)))
        count_remote(fa, index, 1);
}

static size_t llfree_stranded_count(struct frame_allocator *fa)
{
    struct llfree *self = llfree_of(fa);
    int64_t count = 0;
    for (unsigned i = 0; i < self->nharts; i++) {
        uint64_t local = LOAD(&self->harts[i].local);
        if (local_tree(local))
            count += (int64_t)local_free(local) + tree_free(LOAD(tree_entry(self, local_tree(local) - 1)));
    }
    return MAX(count, 0);
}

static size_t llfree_free_count(struct frame_allocator *fa)
{
    struct llfree *self = llfree_of(fa);
    int64_t count = 0;
    for (uint32_t tree = 0; tree < self->ntrees; tree++)
        count += tree_free(LOAD(tree_entry(self, tree)));
    for (unsigned i = 0; i < self->nharts; i++)
        count += (int64_t)local_free(LOAD(&self->harts[i].local));
    return MAX(count, 0);
}

static void llfree_drain(struct frame_allocator *fa)
{
    struct llfree *self = llfree_of(fa);
    for (unsigned i = 0; i < self->nharts; i++)
        change_reservation(self, &self->harts[i], LLFREE_NONE, 0);
}

#if LLFREE_LOCKED
const struct frame_allocator_ops frame_llfree_locked = {
    .name = "llfree_locked",
#else
const struct frame_allocator_ops frame_llfree = {
    .name = "llfree",
    .lockless = true,
#endif
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = llfree_metadata_size,
    .init = llfree_init,
    .alloc = llfree_alloc,
    .free = llfree_free,
    .free_count = llfree_free_count,
    .stranded_count = llfree_stranded_count,
    .drain = llfree_drain,
    .validate = llfree_validate,
    .describe = llfree_describe,
};
