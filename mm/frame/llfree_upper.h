/*
 * The upper half of "llfree": which tree a block is taken from, and whose count pays for it. Every function that finds
 * nothing has paid everything back. Included once into each of the two designs.
 */
#ifndef MM_FRAME_LLFREE_UPPER_H
#define MM_FRAME_LLFREE_UPPER_H

#include "mm/frame/llfree_lower.h"

/* How far around the last tree a partly used one is looked for before an entirely free one anywhere is taken: the
 * neighbourhood of the original, a quarter of what its line of 16 trees holds on each side. */
#define NEAR_TREES 4

/* A tree is partly used when it is worth the trouble, but not entirely free. */
#define PARTIAL_SHARE 16

/* Counts are relaxed throughout: the bits carry the frames. Where one goes up it is a release all the same, for
 * find_anywhere(). */

/* What was paid and not used, back to the tree. amoadd.d.rl. */
static void tree_credit(struct llfree *self, uint32_t tree, uint64_t n)
{
    GIVE(self, tree_entry(self, tree), n);
}

static void unreserve(struct llfree *self, uint32_t tree, uint64_t free)
{
    GIVE(self, tree_entry(self, tree), free - TREE_RESERVED);
}

/* Make a tree, or LLFREE_NONE, the hart's own in place of the one that was. The tree is marked already, and its
 * count, or what is left of it, is `free`. */
static void change_reservation(struct llfree *self, struct llfree_hart *hart, uint32_t tree, uint64_t free)
{
    uint64_t old = 0;
    UPDATE(self, cas_relaxed, &hart->local, local_exchange, tree, free, &old); /* lr.d; bne; sc.d; bnez */
    if (local_tree(old))
        unreserve(self, local_tree(old) - 1, local_free(old));
    hart->tree = tree;
}

/* Out of the hart's own tree; when its count does not suffice, with what others have freed there. */
static uint32_t take_reserved(struct llfree *self, struct llfree_hart *hart, unsigned order)
{
    uint64_t freed = 0;
    while (!UPDATE(self, cas_relaxed, &hart->local, local_take, 1u << order, NULL)) {
        if (hart->tree == LLFREE_NONE ||
            !UPDATE(self, cas_relaxed, tree_entry(self, hart->tree), tree_collect, &freed))
            return LLFREE_NONE;
        GIVE(self, &hart->local, freed);
    }
    uint32_t index = lower_take(self, hart->row, order);
    if (index == LLFREE_NONE)
        GIVE(self, &hart->local, 1ull << order);
    return index;
}

/* Out of a tree that nobody has, which becomes the hart's own if there is such a block. */
static uint32_t try_tree(struct llfree *self, struct llfree_hart *hart, uint32_t tree, unsigned order)
{
    uint64_t free = 0;
    if (inject_due(INJECT_REFILL) ||
        !UPDATE(self, cas_relaxed, tree_entry(self, tree), tree_reserve, 1u << order, &free))
        return LLFREE_NONE;
    uint32_t index = lower_take(self, row_of_tree(self, tree), order);
    if (index == LLFREE_NONE) {
        unreserve(self, tree, free);
        return LLFREE_NONE;
    }
    change_reservation(self, hart, tree, free - (1u << order));
    hart->row = row_of_tree(self, tree);
    counter_add(COUNTER_FRAME_REFILL, 1);
    return index;
}

/* Of the trees whose count is in a range, the first with such a block; round all of them from `start`. */
static uint32_t try_trees(struct llfree *self, struct llfree_hart *hart, unsigned order, int64_t least)
{
    uint32_t tree = tree_of_row(self, hart->row);
    for (uint32_t i = 0; i < self->ntrees; i++) {
        uint64_t entry = LOAD(tree_entry(self, tree));
        uint32_t index = LLFREE_NONE;
        if (!(entry & TREE_RESERVED) && tree_free(entry) >= least)
            index = try_tree(self, hart, tree, order);
        if (index != LLFREE_NONE)
            return index;
        tree = tree + 1 < self->ntrees ? tree + 1 : 0;
    }
    return LLFREE_NONE;
}

/* A new tree for the hart, in the paper's order: one near by that is partly used, so that entirely free ones stay
 * so; an entirely free one; any. */
static uint32_t take_by_reserving(struct llfree *self, struct llfree_hart *hart, unsigned order)
{
    uint32_t start = tree_of_row(self, hart->row);
    for (uint32_t i = 1; i <= 2 * NEAR_TREES && order < CHILD_ORDER; i++) {
        uint32_t distance = DIV_CEIL(i, 2) % self->ntrees;
        uint32_t tree = (start + (i % 2 ? distance : self->ntrees - distance)) % self->ntrees;
        uint64_t entry = LOAD(tree_entry(self, tree));
        uint32_t index = LLFREE_NONE;
        if (!(entry & TREE_RESERVED) && tree_free(entry) >= (int64_t)tree_frames(self) / PARTIAL_SHARE &&
            tree_free(entry) < (int64_t)tree_frames(self))
            index = try_tree(self, hart, tree, order);
        if (index != LLFREE_NONE)
            return index;
    }
    uint32_t index = try_trees(self, hart, order, tree_frames(self));
    return index != LLFREE_NONE ? index : try_trees(self, hart, order, 1 << order);
}

/* Out of any tree, paid from the tree's count: what nobody has reserved, or what was freed into a tree that
 * somebody has. */
static uint32_t take_shared(struct llfree *self, struct llfree_hart *hart, unsigned order)
{
    uint32_t tree = tree_of_row(self, hart->row);
    for (uint32_t i = 0; i < self->ntrees; i++) {
        if (UPDATE(self, cas_relaxed, tree_entry(self, tree), tree_take, 1u << order)) {
            uint32_t index = lower_take(self, i == 0 ? hart->row : row_of_tree(self, tree), order);
            if (index != LLFREE_NONE)
                return index;
            tree_credit(self, tree, 1u << order);
        }
        tree = tree + 1 < self->ntrees ? tree + 1 : 0;
    }
    return LLFREE_NONE;
}

/* Out of the tree of another hart, paid from what that one has for itself. It may have left the tree before
 * something has to be paid back, so the tree gets it. */
static uint32_t take_stolen(struct llfree *self, unsigned order)
{
    for (unsigned i = 1; i < self->nharts; i++) {
        struct llfree_hart *victim = &self->harts[(hart_index() + i) % self->nharts];
        uint32_t tree = LLFREE_NONE;
        if (!UPDATE(self, cas_relaxed, &victim->local, local_take, 1u << order, &tree))
            continue;
        uint32_t index = lower_take(self, row_of_tree(self, tree), order);
        if (index != LLFREE_NONE) {
            counter_add(COUNTER_FRAME_STEAL, 1);
            return index;
        }
        tree_credit(self, tree, 1u << order);
    }
    return LLFREE_NONE;
}

#endif
