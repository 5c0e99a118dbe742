/*
 * What the files of the designs "nbbuddy" and "nbbuddy_locked" share: where the state of a block is, and the packed
 * words with every transition that they make, each a pure function that says whether it may be made.
 *
 * After Marotta, Ianni, Scarselli, Pellegrini and Quaglia, "NBBS: A Non-Blocking Buddy System for Multi-core
 * Machines" (CCGrid 2019; IEEE Transactions on Computers 2022). A node of a tree is a block that could be given out;
 * its state says whether it is, or something in one of its halves. Whoever takes a block marks it first and then its
 * ancestors upwards; whoever frees one unmarks them upwards as far as they are empty. No more than one word is
 * changed at a time, and nobody waits.
 *
 * As in the paper's second version several levels of a tree, a "bunch", are in one word and change together. A bunch
 * here keeps only its lowest level: a node above is free if all below it is.
 *
 *     leaf    32 bytes, the smallest block
 *     slot    1 KiB: 32 leaves, and the lower bunch of blocks up to half of it
 *     tree    16 KiB: 16 slots, and the upper bunch of blocks from a slot up; the largest block, as in the paper
 *
 * So a block is one change where something else lies in its slot, and two where nothing does. There is a tree for
 * every 16 KiB of the arena whether they are the heap's or not, and the words of none ever move: whoever comes late,
 * to a tree whose pages have gone, finds its slots taken, and nothing else happens.
 */
#ifndef MM_HEAP_NBBUDDY_H
#define MM_HEAP_NBBUDDY_H

#include <stdatomic.h>

#include "lib/base.h"
#include "lib/bits.h"
#include "mm/heap/heap_span.h"

/* Orders are of leaves. 16 bytes for a leaf would have made half as much of a tree's words; who asks for up to 16
 * bytes gets 32. */
#define LEAF_SHIFT 5
#define SLOT_ORDER 5
#define SLOT_SHIFT (LEAF_SHIFT + SLOT_ORDER)
#define TREE_ORDER 9
#define TREE_SHIFT (LEAF_SHIFT + TREE_ORDER)
#define PAGE_ORDER (PAGE_SHIFT - LEAF_SHIFT)
#define ORDERS     (TREE_ORDER + 1)

#define SLOT_LEAVES (1u << SLOT_ORDER)
#define TREE_SLOTS  (1u << (TREE_ORDER - SLOT_ORDER))
#define PAGE_SLOTS  (1u << (PAGE_SHIFT - SLOT_SHIFT))
#define TREE_PAGES  (TREE_SLOTS / PAGE_SLOTS)

/* A span is a whole tree or, where the frame allocator has no more, a page of one. */
#define WHOLE_SPAN_ORDER (TREE_SHIFT - PAGE_SHIFT)

#define NBBUDDY_NONE SIZE_MAX /* no block and no tree */

/* An upper bunch has a line of its own; the lower ones of a tree fill two. Another tree may be another hart's: with
 * all that is 1.2 % of the memory. */
struct nbbuddy_upper {
    _Atomic uint64_t bunch;
} CACHE_ALIGNED;

_Static_assert(TREE_SLOTS * sizeof(uint64_t) % CACHE_LINE_BYTES == 0, "no line is two trees'");

/* What is a hart's own: where it begins to look. In the paper too each level has its own place, and the places of
 * the harts are spread over all memory at first. */
#define PLACES (SLOT_ORDER + 1)

struct nbbuddy_hart {
    uint64_t place
        [PLACES]; /* where it had the last block of an order from; the last is of all of a slot or more */
    uint64_t
        freed; /* a block of less than a slot that it freed since it last looked for one, or NBBUDDY_NONE */
    uint32_t window; /* where looking around begins, a word of `rooms` */
    uint32_t spare; /* the tree that this hart emptied last; its pages are kept */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct nbbuddy_hart) == CACHE_LINE_BYTES, "one line a hart");

struct nbbuddy {
    _Atomic uint64_t *lowers; /* TREE_SLOTS a tree */
    struct nbbuddy_upper *uppers;
    _Atomic uint64_t *rooms; /* a byte a tree; see room_of() */
    size_t bytes; /* of the arena, in trees */
    uint32_t ntrees, nrooms;
    struct lock lock; /* of nbbuddy_locked: around every operation */
    struct nbbuddy_hart harts[];
};

/* Blocks are known by their offset in the arena, in bytes. */
static ALWAYS_INLINE uint32_t tree_of(size_t offset)
{
    return offset >> TREE_SHIFT;
}

static ALWAYS_INLINE unsigned slot_of(size_t offset)
{
    return offset >> SLOT_SHIFT & (TREE_SLOTS - 1);
}

static ALWAYS_INLINE unsigned leaf_of(size_t offset)
{
    return offset >> LEAF_SHIFT & (SLOT_LEAVES - 1);
}

static ALWAYS_INLINE _Atomic uint64_t *upper_at(const struct nbbuddy *self, size_t offset)
{
    return &self->uppers[offset >> TREE_SHIFT].bunch;
}

static ALWAYS_INLINE _Atomic uint64_t *lower_at(const struct nbbuddy *self, size_t offset)
{
    return &self->lowers[offset >> SLOT_SHIFT];
}

/*
 * The lower bunch: bit i, leaf i is taken; bit 32 + i, a block begins there. A block is a leaf where one begins and
 * all the taken ones up to the next where one begins, or up to one that is free. A free leaf has neither bit, so a
 * slot in which nothing lies is 0.
 *
 * At leaf 0 a block begins whenever it is taken, so its second bit is to be had: that the slot is marked in the upper
 * bunch, and will be until this one is 0. Who sees it need not go up.
 */
#define LOWER_LEAVES 0xffffffffull
#define LOWER_MARKED (1ull << 32)

/* The places of a bunch that belong to the block that begins at one. @ends: bit i, no block
 * goes on from i - 1 to i; the bunch's own end is one, and what is behind it is nothing */
static ALWAYS_INLINE uint64_t run_from(uint64_t ends, unsigned first)
{
    uint64_t end = ends >> (first + 1);
    return (((end & -end) << 1) - 1) << first;
}

/* The lowest place of those that are free from which on 2^order are, aligned; 0: none. Folded as bits_aligned_runs()
 * does, in line. */
static ALWAYS_INLINE uint64_t run_find(uint64_t free, unsigned order)
{
    static const uint32_t aligned[SLOT_ORDER] = {0xffffffff, 0x55555555, 0x11111111, 0x01010101, 0x00010001};
    for (unsigned length = 1; length < 1u << order; length *= 2)
        free &= free >> length;
    free &= aligned[order];
    return free & -free;
}

/* 2^order places from one on. */
static ALWAYS_INLINE uint64_t run_of(uint64_t first, unsigned order)
{
    return (first << (1u << order)) - first;
}

/* The leaves of the block that begins there; 0: none does. */
static ALWAYS_INLINE uint64_t lower_block(uint64_t lower, unsigned leaf)
{
    uint64_t begins = lower >> 32;
    if (!((lower & (begins | 1)) >> leaf & 1))
        return 0;
    return run_from(~lower | begins | 1ull << SLOT_LEAVES, leaf);
}

/* A free block of 2^order < SLOT_LEAVES leaves. @first: the bit of its first; @before: what the bunch was */
static ALWAYS_INLINE bool lower_take(uint64_t *lower, unsigned order, uint64_t *first, uint64_t *before)
{
    *first = run_find(~*lower & LOWER_LEAVES, order);
    *before = *lower;
    *lower |= run_of(*first, order) | (*first << 32 & ~LOWER_MARKED);
    return *first != 0;
}

/* The block that begins there. @left: what the bunch is then; 0: nothing, and nothing is said of the upper one */
static ALWAYS_INLINE bool lower_give(uint64_t *lower, unsigned leaf, uint64_t *left)
{
    uint64_t block = lower_block(*lower, leaf);
    if (block == 0)
        return false;
    *left = *lower & ~(block | (1ull << leaf & ~1ull) << 32);
    if (!(*left & LOWER_LEAVES))
        *left = 0;
    *lower = *left;
    return true;
}

static inline bool lower_mark(uint64_t *lower)
{
    if (*lower == 0 || (*lower & LOWER_MARKED))
        return false;
    *lower |= LOWER_MARKED;
    return true;
}

/*
 * The upper bunch: bit i and bit 16 + i are the state of slot i, bits 32 … 35 say which pages are the heap's, bit 36
 * that they are one span; above it the version, how often a slot was divided.
 *
 *     00  free                                   11  a block begins here
 *     01  divided: something lies in it          10  a block goes on here
 *
 * (bit i first). Slots of a page that is not the heap's look as if a block began at each, so nobody takes or divides
 * them, and no block reaches into them.
 *
 * The version stands where the paper has, for each half of a node, a bit that a free which empties it sets on its
 * way up and that a block taken meanwhile clears, so that the free does not unmark what is in use again. One bit
 * cannot tell one free from another, and a free may be late. Let x and y be the halves of c, and c one of the halves
 * of r, of 5 states as in the authors' program (github.com/HPDCS/NBBS, 1lvl-nb):
 *
 *     hart 0                hart 1                             hart 2
 *     frees x: unmarks c,
 *     is to unmark r
 *                           takes x again, marks c and r
 *                           frees x: sets the bit of c;
 *                           y is free, so r's is to be set
 *                                                              takes y: marks c, marks r and
 *                                                              clears its bit, has y
 *                           sets the bit of r; unmarks c,
 *                           as far as x is concerned; y is
 *                           in use, so that is all
 *     the bit of r is set:
 *     unmarks r
 *
 * and r is given out with y in it. With a version hart 0 notices: see join() in nbbuddy.c. 27 bits are a while: to
 * be fooled a hart would have to stand still between two instructions while others divide slots of one tree 2^27
 * times, no more and no less. Everything else that changes a word may be done whatever happened before, if the word
 * says so.
 */
#define UPPER_SLOTS       0xffffull
#define UPPER_STATES      0xffffffffull
#define UPPER_PAGE_SHIFT  32
#define UPPER_PAGES       (0xfull << UPPER_PAGE_SHIFT)
#define UPPER_WHOLE       (1ull << 36)
#define UPPER_VERSION     (1ull << 37)
#define UPPER_PAGE_STATES 0x000f000full

/* The states of a slot, of upper_state(). */
#define SLOT_FREE    0u
#define SLOT_GOES_ON 1u
#define SLOT_DIVIDED (1u << 16)
#define SLOT_BEGINS  (SLOT_DIVIDED | 1u)

_Static_assert(TREE_SLOTS == 16 && TREE_PAGES == 4, "the fields");

static ALWAYS_INLINE uint32_t upper_state(uint64_t upper, unsigned slot)
{
    return upper >> slot & SLOT_BEGINS;
}

static ALWAYS_INLINE bool upper_has_page(uint64_t upper, unsigned page)
{
    return upper >> (UPPER_PAGE_SHIFT + page) & 1;
}

static inline uint64_t upper_free_slots(uint64_t upper)
{
    return ~(upper | upper >> 16) & UPPER_SLOTS;
}

static inline uint64_t upper_divided_slots(uint64_t upper)
{
    return upper >> 16 & ~upper & UPPER_SLOTS;
}

/* The slots of the block that begins there; 0: none does. */
static ALWAYS_INLINE uint64_t upper_block(uint64_t upper, unsigned slot)
{
    if (upper_state(upper, slot) != SLOT_BEGINS || !upper_has_page(upper, slot / PAGE_SLOTS))
        return 0;
    return run_from(~upper | upper >> 16 | 1ull << TREE_SLOTS, slot);
}

/* A free block of 2^order leaves, a slot or more. One larger than a page lies in pages of one span. @first: the bit
 * of its first slot */
static ALWAYS_INLINE bool upper_take(uint64_t *upper, unsigned order, uint64_t *first)
{
    *first = run_find(upper_free_slots(*upper), order - SLOT_ORDER);
    if (order > PAGE_ORDER && !(*upper & UPPER_WHOLE))
        return false;
    *upper |= run_of(*first, order - SLOT_ORDER) | *first << 16;
    return *first != 0;
}

static ALWAYS_INLINE bool upper_give(uint64_t *upper, unsigned slot)
{
    uint64_t block = upper_block(*upper, slot);
    *upper &= ~(block | 1ull << (16 + slot));
    return block != 0;
}

/* Something lies in the slot: a change, too, if that was known. False: it is not to be had. */
static ALWAYS_INLINE bool upper_divide(uint64_t *upper, unsigned slot)
{
    if (*upper >> slot & 1)
        return false;
    *upper |= 1ull << (16 + slot);
    *upper += UPPER_VERSION;
    return true;
}

/* Nothing does any more. */
static ALWAYS_INLINE bool upper_join(uint64_t *upper, unsigned slot)
{
    if (upper_state(*upper, slot) != SLOT_DIVIDED)
        return false;
    *upper &= ~(1ull << (16 + slot));
    return true;
}

/* Of a span: the bits that say that its pages are there, and those of its slots. */
static inline uint64_t upper_span(bool whole, unsigned page)
{
    return whole ? UPPER_WHOLE | UPPER_PAGES : 1ull << (UPPER_PAGE_SHIFT + page);
}

static inline uint64_t upper_span_states(bool whole, unsigned page)
{
    return whole ? UPPER_STATES : UPPER_PAGE_STATES << (page * PAGE_SLOTS);
}

/* A span of the heap's own, all free. */
static inline bool upper_open(uint64_t *upper, bool whole, unsigned page)
{
    *upper &= ~upper_span_states(whole, page);
    *upper |= upper_span(whole, page);
    return true;
}

/* Whether nothing lies in the span that a page is in, which is there. */
static ALWAYS_INLINE bool upper_is_idle(uint64_t upper, unsigned page)
{
    return upper_has_page(upper, page) && !(upper & upper_span_states(upper & UPPER_WHOLE, page));
}

static inline bool upper_close(uint64_t *upper, unsigned page, bool *whole)
{
    if (!upper_is_idle(*upper, page))
        return false;
    *whole = *upper & UPPER_WHOLE;
    *upper &= ~upper_span(*whole, page);
    *upper |= upper_span_states(*whole, page);
    return true;
}

/*
 * Of each tree what is perhaps to be had there: one more than the largest order, in a byte. A hint: who has looked
 * in vain lowers it, who frees something raises it, and either may come late. So nothing is concluded from it, but
 * it is what searches go by, eight trees at a look.
 */
#define ROOM_BITS   8
#define ROOMS       (64 / ROOM_BITS)
#define ROOM_LEAVES SLOT_ORDER /* blocks of less than a slot */
#define ROOM_ALL    ORDERS
#define ROOM_ONES   0x0101010101010101ull

static ALWAYS_INLINE unsigned room_of(uint64_t rooms, unsigned i)
{
    return (uint8_t)(rooms >> i * ROOM_BITS);
}

/* The top bits of the bytes that are larger than an order. */
static inline uint64_t rooms_for(uint64_t rooms, unsigned order)
{
    return (rooms + (127 - order) * ROOM_ONES) & 128 * ROOM_ONES;
}

static inline bool room_raise(uint64_t *rooms, unsigned i, unsigned room)
{
    unsigned old = room_of(*rooms, i);
    if (old >= room)
        return false;
    *rooms += (uint64_t)(room - old) << i * ROOM_BITS;
    return true;
}

static inline bool room_lower(uint64_t *rooms, unsigned i, unsigned room)
{
    unsigned old = room_of(*rooms, i);
    if (old <= room)
        return false;
    *rooms -= (uint64_t)(old - room) << i * ROOM_BITS;
    return true;
}

static ALWAYS_INLINE struct nbbuddy *nbbuddy_of(const struct heap *heap)
{
    return heap->metadata;
}

/** nbbuddy_refuse - a free that is of no block, or of a large span. @caller: of the free */
void nbbuddy_refuse(struct heap *heap, void *pointer, const void *caller) COLD;

/** nbbuddy_usable_size, nbbuddy_validate, nbbuddy_walk, nbbuddy_describe - as heap_ops has them, of both designs. */
size_t nbbuddy_usable_size(struct heap *heap, const void *pointer);
int nbbuddy_validate(struct heap *heap);
void nbbuddy_walk(struct heap *heap, heap_visit *visit, void *argument);
void nbbuddy_describe(struct heap *heap, struct parts *parts);

#endif
