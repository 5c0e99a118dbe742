/*
 * What the files of the design "llfree" share: where its metadata lies, and the packed states with every
 * transition that they make, each a pure function that says whether it may be made. Who makes it atomic is said
 * in llfree_update.h.
 *
 * After LLFree (Wrenger, Rommel, Halbuer, Dietrich, Lohmann, "LLFree: Scalable and Optionally-Persistent
 * Page-Frame Allocation", USENIX ATC 2023). Four levels, of which each counts what is free in the one below:
 *
 *     bit     a frame: 1 is taken. 64 are a row, 512 the field of a child, one cache line
 *     child   2 MiB: how many of its bits are 0, or that the whole is given out as one block
 *     tree    8 children, 16 MiB: what is free in it, less what the hart that has reserved it counts by itself
 *     local   a hart's reservation: a tree, and the part of its count that the hart uses up alone
 *
 * Whoever wants frames pays for them from the top down, and whoever frees gives back from the bottom up. So
 * what stands in a counter is really there below, and a block that was paid for can be found.
 */
#ifndef MM_FRAME_LLFREE_H
#define MM_FRAME_LLFREE_H

#include <stdatomic.h>

#include "lib/base.h"
#include "lib/bits.h"
#include "mm/frame/frame.h"

#define ROW_FRAMES   64
#define ROW_ORDER    6
#define CHILD_ORDER  FRAME_ORDER_HUGE
#define CHILD_FRAMES (1u << CHILD_ORDER)
#define CHILD_ROWS   (CHILD_FRAMES / ROW_FRAMES)

/* Children of a tree. A tree is what a hart reserves: one should last for thousands of allocations. 8, as in the
 * authors' later versions, are 16 MiB; the paper has 32. */
#define TREE_CHILDREN 8u

/* There must be more trees than harts, or reserving is musical chairs. So an arena that has too few for its harts has
 * trees of half the size, or of a quarter: two children, as a block of order 10 lies in one tree. In the original the
 * size is fixed; its arenas are not 64 MiB for 8 harts. */
#define TREES_PER_HART    2u
#define TREE_CHILDREN_MIN 2u

#define LLFREE_NONE UINT32_MAX /* no frame, row or tree */

/*
 * A tree's line: its entry, and the entries of its children, two in a word, since a block of order 10 is two
 * children and taken by one swap. The pairs are spread evenly over the line, so that a pair's index becomes an address
 * by a shift, whichever the size of the trees.
 * The original has these in two arrays, 16 trees and 32 children to a line. A remote free changes an entry of both
 * kinds, so here it takes one line from another hart and not two, and shares it with those that use the tree only.
 */
struct llfree_slot {
    _Atomic uint64_t pair; /* two entries of 16 bits, in the lower half */
    _Atomic uint64_t entry; /* of the tree, in its first slot */
};

struct llfree_tree {
    struct llfree_slot slots[TREE_CHILDREN / 2]; /* smaller trees use every second, or the first */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct llfree_tree) == CACHE_LINE_BYTES, "one line a tree");
_Static_assert(CHILD_ROWS * sizeof(uint64_t) == CACHE_LINE_BYTES, "one line a field");

/* What is a hart's own. Others come here to steal from its count, and to see whether it is undoing something. */
struct llfree_hart {
    _Atomic uint64_t local;
    _Atomic uint64_t attempts; /* odd while it takes several rows for one block, and may yet put them back */
    uint32_t tree; /* the one in `local`; only its hart changes it, and drain(), when all is quiet */
    uint32_t row; /* where the next search begins; in the tree, if there is one */
    uint32_t freed_tree; /* where it freed last, of trees that it has not reserved, */
    uint32_t frees_in_row; /* and how often in succession */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct llfree_hart) == CACHE_LINE_BYTES, "one line a hart");

struct llfree {
    _Atomic uint64_t *rows; /* the bits, CHILD_ROWS a child */
    _Atomic uint64_t *shapes; /* as many; see shape_of() */
    struct llfree_tree *trees;
    uint32_t tree_order; /* frames of a tree, as a power of two */
    uint32_t pair_shift; /* bytes from one pair of children to the next, likewise */
    uint32_t nchildren, ntrees;
    uint32_t nharts;
    bool reserves; /* there are more trees than harts */
    struct lock lock; /* of llfree_locked: around every change of what is atomic here */
    struct llfree_hart harts[];
};

static ALWAYS_INLINE struct llfree *llfree_of(const struct frame_allocator *fa)
{
    return fa->metadata;
}

static ALWAYS_INLINE uint32_t tree_of(const struct llfree *self, size_t index)
{
    return index >> self->tree_order;
}

static ALWAYS_INLINE uint32_t tree_of_row(const struct llfree *self, uint32_t row)
{
    return row >> (self->tree_order - ROW_ORDER);
}

static ALWAYS_INLINE uint32_t row_of_tree(const struct llfree *self, uint32_t tree)
{
    return tree << (self->tree_order - ROW_ORDER);
}

static ALWAYS_INLINE uint32_t tree_frames(const struct llfree *self)
{
    return 1u << self->tree_order;
}

static ALWAYS_INLINE uint32_t tree_children(const struct llfree *self)
{
    return 1u << (self->tree_order - CHILD_ORDER);
}

static ALWAYS_INLINE _Atomic uint64_t *tree_entry(struct llfree *self, uint32_t tree)
{
    return &self->trees[tree].slots[0].entry;
}

/* Bits of a child's entry. */
#define CHILD_BITS 16

/* The word that a child's entry is in, and its place there. */
static ALWAYS_INLINE _Atomic uint64_t *child_pair(struct llfree *self, size_t child)
{
    char *slot = (char *)self->trees + (child / 2 << self->pair_shift);
    return &((struct llfree_slot *)slot)->pair;
}

static ALWAYS_INLINE unsigned child_shift(size_t child)
{
    return child % 2 * CHILD_BITS;
}

/*
 * A child's entry, 16 bits: the count in bits 0 … 10, and above it whether the child is one block. The count is
 * kept as free + CHILD_ZERO, because it may fall below zero for a moment: see find_anywhere() in llfree.c. It cannot
 * fall further than there are harts.
 */
#define CHILD_ZERO   512u
#define CHILD_ALL    (CHILD_ZERO + CHILD_FRAMES)
#define CHILD_HUGE   (1u << 11 | CHILD_ZERO) /* a block of order 9 */
#define CHILD_FIRST  (2u << 11 | CHILD_ZERO) /* first half of one of order 10 */
#define CHILD_SECOND (3u << 11 | CHILD_ZERO)

#define PAIR_ALL   (CHILD_ALL | CHILD_ALL << CHILD_BITS)
#define PAIR_BLOCK (CHILD_FIRST | CHILD_SECOND << CHILD_BITS)

_Static_assert(CHILD_ALL < 1u << 11 && HART_MAX < CHILD_ZERO, "the count fits");

static ALWAYS_INLINE uint32_t child_field(uint64_t pair, unsigned shift)
{
    return (uint16_t)(pair >> shift);
}

static ALWAYS_INLINE bool child_is_block(uint64_t pair, unsigned shift)
{
    return child_field(pair, shift) >= CHILD_HUGE;
}

/* Of a child that is no block. */
static ALWAYS_INLINE int child_free(uint64_t pair, unsigned shift)
{
    return (int)child_field(pair, shift) - (int)CHILD_ZERO;
}

/* n frames of a child that has as many and is no block, in one comparison. */
static ALWAYS_INLINE bool child_take(uint64_t *pair, unsigned shift, unsigned n)
{
    if (child_field(*pair, shift) - (CHILD_ZERO + n) > CHILD_FRAMES - n)
        return false;
    *pair -= (uint64_t)n << shift;
    return true;
}

/* One frame on credit. */
static ALWAYS_INLINE bool child_force(uint64_t *pair, unsigned shift)
{
    if (child_is_block(*pair, shift))
        return false;
    *pair -= 1ull << shift;
    return true;
}

/* The whole child, from one state to another. */
static ALWAYS_INLINE bool child_swap(uint64_t *pair, unsigned shift, uint32_t from, uint32_t to)
{
    if (child_field(*pair, shift) != from)
        return false;
    *pair ^= (uint64_t)(from ^ to) << shift;
    return true;
}

static ALWAYS_INLINE bool pair_swap(uint64_t *pair, uint32_t from, uint32_t to)
{
    if (*pair != from)
        return false;
    *pair = to;
    return true;
}

/*
 * A tree's entry: the count in bits 0 … 19, as free + TREE_ZERO, since what is taken on credit is subtracted here
 * while it still stands in the count of the hart that has the tree; bit 20, whether one has; above it the version,
 * how often frames were freed into it.
 */
#define TREE_ZERO     (1ull << 18)
#define TREE_RESERVED (1ull << 20)
#define TREE_VERSION  (1ull << 21)

static ALWAYS_INLINE int64_t tree_free(uint64_t entry)
{
    return (int64_t)(entry & (TREE_RESERVED - 1)) - (int64_t)TREE_ZERO;
}

static inline bool tree_take(uint64_t *entry, unsigned n)
{
    if (tree_free(*entry) < (int64_t)n)
        return false;
    *entry -= n;
    return true;
}

/* Its count to a hart that will have it for itself. @free: how many those are, n or more */
static inline bool tree_reserve(uint64_t *entry, unsigned n, uint64_t *free)
{
    if ((*entry & TREE_RESERVED) || tree_free(*entry) < (int64_t)n)
        return false;
    *free = (uint64_t)tree_free(*entry);
    *entry += TREE_RESERVED - *free;
    return true;
}

/* What has gathered in it meanwhile, to the hart that has it. */
static inline bool tree_collect(uint64_t *entry, uint64_t *free)
{
    if (tree_free(*entry) <= 0)
        return false;
    *free = (uint64_t)tree_free(*entry);
    *entry -= *free;
    return true;
}

/* A reservation: its count in bits 0 … 15; its tree + 1 in bits 16 … 37, 0 for none; the version as above. */
#define LOCAL_TREE_SHIFT 16
#define LOCAL_VERSION    (1ull << 38)

_Static_assert((FRAME_COUNT_MAX >> FRAME_ORDER_MAX) + 1 < LOCAL_VERSION >> LOCAL_TREE_SHIFT, "the tree fits");

static ALWAYS_INLINE uint64_t local_free(uint64_t local)
{
    return (uint16_t)local;
}

static inline uint32_t local_tree(uint64_t local)
{
    return (local & (LOCAL_VERSION - 1)) >> LOCAL_TREE_SHIFT; /* + 1 */
}

/* @tree: of what was taken, for those who do not know it; may be NULL */
static ALWAYS_INLINE bool local_take(uint64_t *local, unsigned n, uint32_t *tree)
{
    if (local_free(*local) < n)
        return false;
    *local -= n;
    if (tree)
        *tree = local_tree(*local) - 1;
    return true;
}

/* Another tree in place of the one that there was. @tree: LLFREE_NONE for none */
static inline bool local_exchange(uint64_t *local, uint32_t tree, uint64_t free, uint64_t *old)
{
    *old = *local;
    *local = (*local & -LOCAL_VERSION) | (uint64_t)(uint32_t)(tree + 1) << LOCAL_TREE_SHIFT | free;
    return true;
}

/*
 * The shape of what was given out: a bit a frame, besides the one that says that it is taken. The original does
 * without: it frees whatever bits it is told to, where this project wants every wrong free found. Two bits are
 * the code of a pair of frames, and blocks larger than a frame are pairs:
 *
 *     00  single frames        10  first pair of a block of 4 and more frames, or its last:
 *     01  inside a block           the first is at an even place among the pairs, the last at an odd one
 *     11  a block of 2
 *
 *     order 3    01 11 1001 ..    frames 0 to 7, lowest bit first: pairs 10, 01, 01, 10
 *
 * so what is between a block's own frames tells its order, whatever lies around it. Codes are written by whoever
 * takes frames, and mean something only while the frames are taken: freeing leaves them as they are. So single
 * frames, as long as nothing else has been there, only ever read theirs, and that line is shared by all harts.
 */
static ALWAYS_INLINE unsigned shape_of_frame(uint64_t shapes, size_t index)
{
    return shapes >> (index % ROW_FRAMES & ~1ul) & 3;
}

static inline uint64_t shape_mask(unsigned frames)
{
    return bits_mask(0, MIN(frames, ROW_FRAMES));
}

/* Of a block of 2 or more frames, in the i-th row that it reaches into, at bit 0. */
static inline uint64_t shape_of(unsigned order, unsigned i)
{
    unsigned frames = 1u << order;
    uint64_t shape = 0x5555555555555555ull & shape_mask(frames);
    if (order == 1)
        return 3;
    if (i == 0)
        shape ^= 3;
    if ((i + 1) * ROW_FRAMES >= frames)
        shape ^= 3ull << ((frames - 1) % ROW_FRAMES - 1);
    return shape;
}

static inline bool shape_write(uint64_t *shapes, unsigned bit, unsigned order)
{
    uint64_t mask = shape_mask(1u << order) << bit, shape = shape_of(order, 0) << bit;
    if ((*shapes & mask) == shape)
        return false; /* one such was there before */
    *shapes = (*shapes & ~mask) | shape;
    return true;
}

/* A free block of 2^order <= 64 frames of a row. @bit: where */
static ALWAYS_INLINE bool row_take(uint64_t *row, unsigned order, unsigned *bit)
{
    static const uint64_t aligned[ROW_ORDER + 1] = {~0ull, 0x5555555555555555, 0x1111111111111111,
        0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1};
    uint64_t runs = ~*row;
    /* Each step leaves the bits from which on twice as many are free. */
    for (unsigned step = 0; step < order; step++)
        runs &= runs >> (1u << step);
    runs &= aligned[order];
    if (!runs)
        return false;
    *bit = bits_lowest(runs);
    *row |= shape_mask(1u << order) << *bit;
    return true;
}

static ALWAYS_INLINE bool row_give(uint64_t *row, uint64_t mask)
{
    if ((*row & mask) != mask)
        return false;
    *row &= ~mask;
    return true;
}

/** llfree_validate, llfree_describe - frame_allocator_ops.validate and describe, of both. */
int llfree_validate(struct frame_allocator *fa);
void llfree_describe(struct frame_allocator *fa, struct parts *parts);

#endif
