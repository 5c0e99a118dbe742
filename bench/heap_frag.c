/*
 * heap.frag: what is left of a heap's pages after it has aged. Before the trials the harts, in turns, live through phases
 * that differ in the sizes asked for: fill up to the peak, replace as much again at random, free down to the trough.
 * One block in sixteen stays for good, wherever it came to lie. What the heap then has in pages, and what of that lies in
 * blocks, are the figures: the same seed leaves the same heap under every clock.
 *
 * In a trial each hart replaces blocks of that heap at random, of sizes as in the last phase: always among the same few places,
 * or what is measured were misses of memory that the caches have not seen yet. An operation is one replacement.
 *
 * Peak and trough, and sizes that shift, because programs fragment memory in phases (Wilson, Johnstone, Neely and Boles,
 * "Dynamic storage allocation: a survey and critical review", 1995); live bytes against those held after Johnstone
 * and Wilson, "The memory fragmentation problem: solved?" (ISMM 1998).
 */
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/workloads.h"
#include "lib/bits.h"
#include "lib/error.h"

/* Of all harts together, as asked for: the same heap, whatever the number of harts that share it. */
#define PEAK_BYTES   ((size_t)2 << 20)
#define TROUGH_BYTES (PEAK_BYTES / 2)

#define LONG_LIVED      16 /* one in so many */
#define TURN_BLOCKS_MAX 32
#define PLACES          64 /* of blocks that a hart replaces in a trial */

/* Sizes of a phase: a power of two in which all have the same share, and within it any number. */
struct sizes {
    unsigned first, last; /* exponents; sizes are from 2^first up to 2^(last + 1) */
};

static const struct sizes phases[] = {
    {4, 8}, /* 16 to 512 bytes: names, links, structures */
    {7, 10}, /* 128 to 2048: larger ones, packets */
    {4, 13}, /* 16 to 16384: buffers among them */
    {4, 8},
};

#define BYTES_MIN ((size_t)16)

enum step { FILL, REPLACE, FREE, STEPS };

struct block {
    void *base;
    uint32_t bytes;
    uint32_t mark; /* random: blocks are moved within the list, so their place does not tell them apart */
};

struct ager {
    struct rng rng;
    struct block *blocks; /* the long-lived in front */
    size_t count, nlong;
    size_t bytes; /* in those blocks */
    size_t replaced; /* bytes, in this step */
    bool done; /* with this step */
    bool failed; /* a block could not be had */
} CACHE_ALIGNED;

struct frag {
    unsigned phase;
    enum step step;
    size_t blocks_max; /* of a hart */
    struct block *blocks;
    struct heap_stats stats; /* once it has aged */
    size_t asked; /* of that, bytes */
    struct ager agers[HART_MAX];
};

static ALWAYS_INLINE size_t random_bytes(const struct sizes *sizes, uint64_t bits)
{
    unsigned exponent = sizes->first + ((bits & 0xffff) * (sizes->last - sizes->first + 1) >> 16);
    return ((size_t)1 << exponent) + (bits >> 16 & bits_mask(0, exponent));
}

static ALWAYS_INLINE const void *mark_of(const struct block *block)
{
    return (const void *)(uintptr_t)block->mark;
}

/* A block of a random size in it. Returns its bytes, 0 when there is no memory. */
static ALWAYS_INLINE size_t fill(struct bench_hart *hart, struct ager *ager, struct block *block,
    const struct sizes *sizes, const bool timed)
{
    uint64_t bits = rng_next(&ager->rng);
    size_t bytes = random_bytes(sizes, bits);
    block->base = bench_heap_alloc(hart, bytes, timed);
    block->bytes = block->base ? bytes : 0;
    block->mark = bits >> 32;
    block_mark(block->base, bytes, mark_of(block));
    ager->bytes += block->bytes;
    return block->bytes;
}

static ALWAYS_INLINE void empty(
    struct bench_hart *hart, struct ager *ager, const struct block *block, const bool timed)
{
    block_look(hart, block->base, block->bytes, mark_of(block), timed);
    bench_heap_free(hart, block->base, timed);
    ager->bytes -= block->bytes;
}

/* Returns false when there is no memory. */
static bool grow(struct bench_hart *hart, struct ager *ager, const struct sizes *sizes)
{
    bool stays = rng_below(&ager->rng, LONG_LIVED) == 0;
    struct block block;
    if (fill(hart, ager, &block, sizes, false) == 0)
        return false;
    size_t place = ager->count++;
    if (stays) {
        ager->blocks[place] = ager->blocks[ager->nlong];
        place = ager->nlong++;
    }
    ager->blocks[place] = block;
    return true;
}

/* Frees a random block of those that do not stay; returns its bytes, 0 when there is none. */
static size_t shrink(struct bench_hart *hart, struct ager *ager)
{
    if (ager->count == ager->nlong)
        return 0;
    struct block *block = &ager->blocks[ager->nlong + rng_below(&ager->rng, ager->count - ager->nlong)];
    size_t bytes = block->bytes;
    empty(hart, ager, block, false);
    *block = ager->blocks[--ager->count];
    return bytes;
}

/* A little of the step; false when it is done. */
static bool age(struct bench_hart *hart, struct ager *ager)
{
    const struct frag *frag = hart->run->state;
    size_t peak = PEAK_BYTES / hart->run->nharts;
    bool fills = frag->step == FILL;
    if (frag->step == FREE)
        return ager->bytes > TROUGH_BYTES / hart->run->nharts && shrink(hart, ager) > 0;
    if (ager->bytes < peak) {
        ager->failed |= !grow(hart, ager, &phases[frag->phase]);
        return !ager->failed;
    }
    if (fills || ager->replaced >= peak)
        return false;
    ager->replaced += shrink(hart, ager);
    return true;
}

/* A hart's turn, of a random length: nobody's blocks lie in strides. */
static void take_turn(void *argument)
{
    struct bench_hart *hart = argument;
    struct frag *frag = hart->run->state;
    struct ager *ager = &frag->agers[hart->index];
    for (uint64_t left = 1 + rng_below(&ager->rng, TURN_BLOCKS_MAX); left > 0 && !ager->done; left--)
        ager->done = !age(hart, ager);
}

/* Whether all are done with the step. */
static bool all_done(const struct bench_run *bench, const struct frag *frag)
{
    for (unsigned i = 0; i < bench->nharts; i++)
        if (!frag->agers[i].done)
            return false;
    return true;
}

/* Returns false when there was not enough memory. */
static bool grow_old(struct bench_run *bench, struct frag *frag)
{
    for (unsigned k = 0; k < ARRAY_SIZE(phases) * STEPS; k++) {
        frag->phase = k / STEPS;
        frag->step = k % STEPS;
        for (unsigned i = 0; i < bench->nharts; i++) {
            frag->agers[i].done = false;
            frag->agers[i].replaced = 0;
        }
        while (!all_done(bench, frag))
            bench_each(bench, take_turn);
        heap_stats(&bench->heap, &frag->stats); /* which keeps the peaks */
    }
    for (unsigned i = 0; i < bench->nharts; i++) {
        if (frag->agers[i].failed)
            return false;
        frag->asked += frag->agers[i].bytes;
    }
    return true;
}

static void teardown(struct bench_run *bench)
{
    struct frag *frag = bench->state;
    for (unsigned i = 0; frag->blocks && i < bench->nharts; i++)
        for (size_t k = 0; k < frag->agers[i].count; k++)
            heap_free(&bench->heap, frag->agers[i].blocks[k].base);
    bench_buffer_free(frag->blocks);
    bench_buffer_free(frag);
    bench->state = NULL;
}

static int setup(struct bench_run *bench)
{
    struct frag *frag = bench_buffer(sizeof(*frag));
    if (!frag)
        return ERR_NO_MEMORY;
    bench->state = frag;
    frag->blocks_max = PEAK_BYTES / bench->nharts / BYTES_MIN + 1;
    frag->blocks = bench_buffer(bench->nharts * frag->blocks_max * sizeof(struct block));
    for (unsigned i = 0; frag->blocks && i < bench->nharts; i++) {
        frag->agers[i].blocks = &frag->blocks[i * frag->blocks_max];
        rng_seed(&frag->agers[i].rng, bench->seed, HART_MAX + i); /* streams that other trials do not have */
    }
    if (frag->blocks && grow_old(bench, frag))
        return 0;
    teardown(bench);
    return ERR_NO_MEMORY;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct frag *frag = hart->run->state;
    struct ager *ager = &frag->agers[hart->index];
    size_t places = MIN(ager->count, (size_t)PLACES);
    for (uint64_t i = 0; i < rounds; i++) {
        struct block *block = &ager->blocks[ager->count - 1 - rng_below(&ager->rng, places)];
        empty(hart, ager, block, timed);
        fill(hart, ager, block, &phases[ARRAY_SIZE(phases) - 1], timed);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

static size_t held_bytes(const struct bench_run *bench)
{
    const struct frag *frag = bench->state;
    size_t bytes = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        bytes += frag->agers[i].bytes;
    return bytes;
}

static void conclude(struct bench_run *bench)
{
    const struct frag *frag = bench->state;
    const struct heap_stats *stats = &frag->stats;
    bench_figure(bench, "live_bytes", frag->asked, 1);
    bench_figure(bench, "block_bytes", stats->live_bytes, 1);
    bench_figure(bench, "reserved_bytes", stats->reserved_bytes, 1);
    bench_figure(bench, "reserved_bytes_peak", stats->reserved_bytes_peak, 1);
    bench_figure(bench, "reserved_per_live", stats->reserved_bytes, frag->asked);
    bench_figure(bench, "internal_fragmentation", stats->live_bytes - frag->asked, stats->live_bytes);
    bench_figure(
        bench, "external_fragmentation", stats->reserved_bytes - stats->live_bytes, stats->reserved_bytes);
}

/* What the heap says of itself fits what is held of it. */
static int check(struct bench_run *bench, struct writer *why)
{
    const struct frag *frag = bench->state;
    const struct heap_stats *stats = &frag->stats;
    if (stats->live_bytes >= frag->asked && stats->reserved_bytes >= stats->live_bytes)
        return marks_check(bench, why);
    writer_format(why, "of the aged heap %zu bytes are held, %zu in blocks, %zu in pages; ", frag->asked,
        stats->live_bytes, stats->reserved_bytes);
    return ERR_CORRUPT;
}

const struct workload workload_heap_frag = {
    .name = "heap.frag",
    .measures = "blocks replaced in a heap that has aged, and what its pages hold",
    .axis = BENCH_HEAP,
    .rounds = 64,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = check,
    .conclude = conclude,
    .held_bytes = held_bytes,
};
