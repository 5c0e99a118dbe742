/*
 * The design "cascade": a bitmap of free frames under a tree of summaries, one lock around it all. A node has 64
 * children and a word for each order: a bit of it says whether the child has a free block of that order. A
 * search goes down from the root, one bit at a time, so that it looks at as many nodes as the tree is high, two
 * for an arena of 64 MiB, however full or fragmented the arena is.
 *
 * Alignment comes for free, because the tree is cut where blocks are:
 *
 *     order 0 … 5     a run inside one word of the bitmap
 *     order 6         a whole word
 *     order 7 … 10    a run of whole words: a run of bits in the lowest node's word for order 6
 *
 * A block of some order contains blocks of all smaller ones, so what a child says to its parent is one number:
 * for how many of the orders it has a block, counted from 0 up. A change climbs only as long as that
 * number changes. Searches take the lowest address.
 *
 * After rCore's bitmap-allocator (rcore-os, 2018) and MankorOS (2023): trees of bits with one summary for all sizes,
 * which have to look around for contiguous blocks. The words by order are this design's.
 */
#include "mm/frame/frame.h"
#include "arch/console.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/string.h"
#include "trace/inject.h"

#define FANOUT      64
#define ORDERS      (FRAME_ORDER_MAX + 1)
#define WORD_ORDER  6 /* of a whole word of the bitmap */
#define WORD_FRAMES (1u << WORD_ORDER)

/* 64^5 words are 2^36 frames, more than FRAME_COUNT_MAX. */
#define LEVELS_MAX 5

/* No block in use begins here. */
#define ORDER_NONE 0xff

struct cascade_node {
    /* fits[k], bit c: child c has a free block of order k. In nodes of level 0, whose children are words of the
     * bitmap, fits[7] and up say where the block begins. */
    uint64_t fits[ORDERS];
} CACHE_ALIGNED;

struct cascade_level {
    struct cascade_node *nodes;
    uint32_t count;
};

struct cascade {
    struct lock lock; /* protects everything below */
    uint32_t nframes;
    uint32_t nwords;
    uint32_t nfree;
    uint32_t nlevels;
    uint64_t *free; /* a bit a frame */
    uint8_t *order; /* a frame: of the block in use that begins there */
    struct cascade_level levels[LEVELS_MAX]; /* the last one is the root alone */
};

/* The positions in a word where an aligned run of 2^order bits can begin. */
static const uint64_t aligned_positions[WORD_ORDER + 1] = {
    0xffffffffffffffff,
    0x5555555555555555,
    0x1111111111111111,
    0x0101010101010101,
    0x0001000100010001,
    0x0000000100000001,
    0x0000000000000001,
};

/* The positions of aligned runs of 2^order set bits, given those of half the size. */
static inline uint64_t next_runs(uint64_t runs, unsigned order)
{
    return runs & runs >> (1u << (order - 1)) & aligned_positions[order];
}

static uint64_t runs_in_word(uint64_t word, unsigned order)
{
    for (unsigned k = 1; k <= order; k++)
        word = next_runs(word, k);
    return word;
}

/* For how many orders a word of the bitmap has a block: 0 … WORD_ORDER + 1. */
static unsigned fits_of_word(uint64_t word)
{
    unsigned fits = 0;
    while (word && fits < WORD_ORDER)
        word = next_runs(word, ++fits);
    return word ? WORD_ORDER + 1 : fits;
}

static unsigned fits_of_node(const struct cascade_node *node)
{
    unsigned fits = ORDERS;
    while (fits > 0 && node->fits[fits - 1] == 0)
        fits--;
    return fits;
}

/* Only in nodes of level 0: blocks of more than one word. */
static void find_runs_of_words(struct cascade_node *node)
{
    for (unsigned order = WORD_ORDER + 1; order < ORDERS; order++)
        node->fits[order] = next_runs(node->fits[order - 1], order - WORD_ORDER);
}

/* The `count` words from `word` on, which lie under one node, had blocks for `before` orders and now for `after`. */
static void refit(struct cascade *cascade, uint32_t word, uint32_t count, unsigned before, unsigned after)
{
    uint64_t children = bits_mask(word % FANOUT, count);
    uint32_t child = word;
    for (unsigned level = 0; before != after && level < cascade->nlevels; level++) {
        struct cascade_node *node = &cascade->levels[level].nodes[child / FANOUT];
        unsigned node_before = fits_of_node(node);
        for (unsigned order = before; order < after; order++)
            node->fits[order] |= children;
        for (unsigned order = after; order < before; order++)
            node->fits[order] &= ~children;
        if (level == 0 && MAX(before, after) > WORD_ORDER)
            find_runs_of_words(node);
        before = node_before;
        after = fits_of_node(node);
        child /= FANOUT;
        children = 1ull << child % FANOUT;
    }
}

/* Makes a block free or not. All its frames are the opposite. */
static void mark(struct cascade *cascade, uint32_t index, unsigned order, bool free)
{
    uint32_t word = index / WORD_FRAMES;
    if (order < WORD_ORDER) {
        uint64_t frames = bits_mask(index % WORD_FRAMES, 1u << order);
        uint64_t before = cascade->free[word], after = before ^ frames;
        cascade->free[word] = after;
        refit(cascade, word, 1, fits_of_word(before), fits_of_word(after));
    } else {
        uint32_t count = 1u << (order - WORD_ORDER);
        memset(&cascade->free[word], free ? 0xff : 0, count * sizeof(uint64_t));
        refit(cascade, word, count, free ? 0 : WORD_ORDER + 1, free ? WORD_ORDER + 1 : 0);
    }
    cascade->nfree += free ? 1u << order : -(1u << order);
}

/* The lowest free block; false if there is none. */
static bool take(struct cascade *cascade, unsigned order, uint32_t *index)
{
    uint32_t child = 0;
    for (unsigned level = cascade->nlevels; level-- > 0;) {
        uint64_t fits = cascade->levels[level].nodes[child].fits[order];
        if (fits == 0) /* at the root; below, the node above has said that there is one */
            return false;
        child = child * FANOUT + bits_lowest(fits);
    }
    *index = child * WORD_FRAMES;
    if (order < WORD_ORDER)
        *index += bits_lowest(runs_in_word(cascade->free[child], order));
    mark(cascade, *index, order, false);
    cascade->order[*index] = order;
    return true;
}

static void give(struct cascade *cascade, uint32_t index, unsigned order)
{
    cascade->order[index] = ORDER_NONE;
    mark(cascade, index, order, true);
}

/* Lays the levels out from `nodes` on; returns how many nodes there are. NULL nodes only to count them. */
static size_t lay_out(
    struct cascade_level *levels, uint32_t *nlevels, struct cascade_node *nodes, size_t nframes)
{
    size_t children = DIV_CEIL(nframes, WORD_FRAMES), total = 0;
    *nlevels = 0;
    do {
        children = DIV_CEIL(children, FANOUT);
        levels[(*nlevels)++] = (struct cascade_level){nodes ? nodes + total : NULL, children};
        total += children;
    } while (children > 1);
    return total;
}

static size_t cascade_metadata_size(size_t nframes, unsigned nharts)
{
    struct cascade_level levels[LEVELS_MAX];
    uint32_t nlevels;
    (void)nharts;
    return ALIGN_UP(sizeof(struct cascade), (size_t)CACHE_LINE_BYTES) +
           lay_out(levels, &nlevels, NULL, nframes) * sizeof(struct cascade_node) +
           DIV_CEIL(nframes, WORD_FRAMES) * sizeof(uint64_t) + nframes;
}

static int cascade_init(struct frame_allocator *fa)
{
    struct cascade *cascade = fa->metadata;
    struct cascade_node *nodes = (struct cascade_node *)(cascade + 1);
    memset(cascade, 0, sizeof(*cascade));
    lock_init(&cascade->lock, fa->lock_kind, "frame.cascade");
    cascade->nframes = cascade->nfree = fa->nframes;
    cascade->nwords = DIV_CEIL(fa->nframes, WORD_FRAMES);
    size_t nnodes = lay_out(cascade->levels, &cascade->nlevels, nodes, fa->nframes);
    cascade->free = (uint64_t *)(nodes + nnodes);
    cascade->order = (uint8_t *)(cascade->free + cascade->nwords);

    memset(nodes, 0, nnodes * sizeof(*nodes));
    memset(cascade->order, ORDER_NONE, fa->nframes);
    for (uint32_t word = 0; word < cascade->nwords; word++) {
        /* The frames of the last word that the arena lacks are never free. */
        cascade->free[word] = bits_mask(0, MIN(cascade->nframes - word * WORD_FRAMES, WORD_FRAMES));
        refit(cascade, word, 1, 0, fits_of_word(cascade->free[word]));
    }
    return 0;
}

static pfn_t cascade_alloc(struct frame_allocator *fa, unsigned order)
{
    struct cascade *cascade = fa->metadata;
    struct lock_node node;
    uint32_t index = 0;
    lock_acquire(&cascade->lock, &node);
    bool found = take(cascade, order, &index);
    if (found && plant_due(PLANT_CASCADE_TWICE))
        give(cascade, index, order);
    lock_release(&cascade->lock, &node);
    return found ? pfn_add(fa->base, index) : PFN_NONE;
}

/* Whether the frame lies in a block in use. */
static bool in_use(const struct cascade *cascade, uint32_t index)
{
    return !(cascade->free[index / WORD_FRAMES] & bits_mask(index % WORD_FRAMES, 1));
}

static void cascade_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct cascade *cascade = fa->metadata;
    enum frame_misuse_kind kind;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint32_t index = pfn.value - fa->base.value;
    struct lock_node node;
    lock_acquire(&cascade->lock, &node);
    bool right = cascade->order[index] == order;
    kind = in_use(cascade, index) ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE;
    if (right && !plant_due(PLANT_CASCADE_LOST))
        give(cascade, index, order);
    lock_release(&cascade->lock, &node);
    if (unlikely(!right))
        frame_refuse(fa, kind, pfn, order, __builtin_return_address(0));
}

static size_t cascade_free_count(struct frame_allocator *fa)
{
    struct cascade *cascade = fa->metadata;
    struct lock_node node;
    lock_acquire(&cascade->lock, &node);
    size_t count = cascade->nfree;
    lock_release(&cascade->lock, &node);
    return count;
}

static int report(const char *finding, uint32_t index)
{
    console_format("frame: cascade: frame %u of the arena: %s\n", index, finding);
    return ERR_CORRUPT;
}

/* Every frame is free or in exactly one block in use. */
static int check_frames(const struct cascade *cascade)
{
    uint32_t nfree = 0;
    for (uint32_t index = 0; index < cascade->nframes;) {
        unsigned order = cascade->order[index];
        if (!in_use(cascade, index)) {
            if (order != ORDER_NONE)
                return report("free, but a block in use begins there", index);
            nfree++;
            index++;
            continue;
        }
        if (order >= ORDERS)
            return report("not free, but in no block", index);
        if (!IS_ALIGNED(index, 1u << order) || cascade->nframes - index < 1u << order)
            return report("head of a block that cannot be there", index);
        for (uint32_t end = index++ + (1u << order); index < end; index++)
            if (!in_use(cascade, index) || cascade->order[index] != ORDER_NONE)
                return report("inside a block in use, but free or a head itself", index);
    }
    if (nfree == cascade->nfree)
        return 0;
    console_format("frame: cascade: %u frames are free, the count says %u\n", nfree, cascade->nfree);
    return ERR_CORRUPT;
}

/* For how many orders a child has a block, from what is below: the word itself, or the node's words. */
static unsigned fits_of_child(const struct cascade *cascade, unsigned level, uint32_t child)
{
    if (level > 0)
        return child < cascade->levels[level - 1].count
                   ? fits_of_node(&cascade->levels[level - 1].nodes[child])
                   : 0;
    return child < cascade->nwords ? fits_of_word(cascade->free[child]) : 0;
}

static int check_node(const struct cascade *cascade, unsigned level, uint32_t number)
{
    struct cascade_node right = {{0}};
    for (unsigned c = 0; c < FANOUT; c++) {
        unsigned fits = fits_of_child(cascade, level, number * FANOUT + c);
        for (unsigned order = 0; order < fits; order++)
            right.fits[order] |= 1ull << c;
    }
    if (level == 0)
        find_runs_of_words(&right);
    for (unsigned order = 0; order < ORDERS; order++) {
        uint64_t says = cascade->levels[level].nodes[number].fits[order];
        if (says == right.fits[order])
            continue;
        console_format("frame: cascade: node %u of level %u says 0x%llx of order %u, right is 0x%llx\n",
            number, level, (unsigned long long)says, order, (unsigned long long)right.fits[order]);
        return ERR_CORRUPT;
    }
    return 0;
}

static int cascade_validate(struct frame_allocator *fa)
{
    struct cascade *cascade = fa->metadata;
    int error = check_frames(cascade);
    for (unsigned level = 0; !error && level < cascade->nlevels; level++)
        for (uint32_t number = 0; !error && number < cascade->levels[level].count; number++)
            error = check_node(cascade, level, number);
    return error;
}

static void cascade_describe(struct frame_allocator *fa, struct parts *parts)
{
    static const char *const names[LEVELS_MAX] = {
        "node of level 0", "node of level 1", "node of level 2", "node of level 3", "node of level 4"};
    struct cascade *cascade = fa->metadata;
    lock_describe(&cascade->lock, parts);
    parts_add(parts, "header", &cascade->nframes, sizeof(*cascade) - offsetof(struct cascade, nframes));
    parts_add(parts, "count of free frames", &cascade->nfree, sizeof(cascade->nfree));
    for (unsigned level = 0; level < cascade->nlevels; level++)
        parts_add_array(parts, names[level], cascade->levels[level].nodes, sizeof(struct cascade_node),
            cascade->levels[level].count, sizeof(struct cascade_node));
    parts_add_array(parts, "free word", cascade->free, sizeof(uint64_t), cascade->nwords, sizeof(uint64_t));
    parts_add_array(parts, "order of frame", cascade->order, 1, cascade->nframes, 1);
}

const struct frame_allocator_ops frame_cascade = {
    .name = "cascade",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = cascade_metadata_size,
    .init = cascade_init,
    .alloc = cascade_alloc,
    .free = cascade_free,
    .free_count = cascade_free_count,
    .validate = cascade_validate,
    .describe = cascade_describe,
};
