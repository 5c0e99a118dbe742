/*
 * heap.mixed: a buffer of blocks of 8 to 1023 bytes, small ones more often than large ones, that is filled and emptied over and
 * over. Each time another fifth of it stays; what lies below is freed in the order in which it was allocated, what
 * lies above in the opposite one. What has stayed goes to the next hart, which frees it one time later, for a
 * fifth that it got from the hart before. An operation is a block allocated and freed.
 *
 * After sh6bench and sh8bench, by which MicroQuill compares its SmartHeap with others: sizes, orders and the fifth are theirs,
 * and so it is that some blocks are freed by other threads. Nobody waits, and one hart hands over to itself.
 */
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/ring.h"
#include "bench/workloads.h"
#include "lib/bits.h"
#include "lib/error.h"

/* Sizes from 2^3 up to 2^10, each power of two as likely: a block of n bytes is half as likely as one of n / 2. */
#define EXPONENT_FIRST 3
#define EXPONENTS      7

/* 35 KiB of blocks in the buffer, which is more than a first-level cache, and the better part of it replaced nine times a trial
 * of a quick heap. */
#define FIFTHS     5u
#define BLOCKS     32u /* in a fifth */
#define HALF_CYCLE ((FIFTHS - 1) * BLOCKS) /* calls that empty the buffer, and that fill it */

/* Of each hart before the trials. Everything in the buffer is a second-hand fifth after five. */
#define CYCLES 8

struct slot {
    void *block;
    size_t bytes;
};

struct fifth {
    struct slot slots[BLOCKS];
} CACHE_ALIGNED;

struct mixer {
    struct fifth *buffer[FIFTHS];
    unsigned kept; /* which one stays */
    unsigned place; /* in the cycle: first it is emptied, from HALF_CYCLE on filled */
    struct ring inbox CACHE_ALIGNED; /* fifths that wait for this hart: one */
    struct fifth fifths[FIFTHS + 1]; /* that it had at first */
} CACHE_ALIGNED;

_Static_assert(HART_MAX <= RING_SLOTS, "all that wait may wait for one hart");

static struct mixer *mixer_of(const struct bench_run *bench, unsigned index)
{
    return &((struct mixer *)bench->state)[index % bench->nharts];
}

static ALWAYS_INLINE struct slot *slot_to_empty(const struct mixer *mixer, unsigned place)
{
    unsigned fifth = place / BLOCKS, i = place % BLOCKS;
    if (fifth < mixer->kept)
        return &mixer->buffer[fifth]->slots[i];
    return &mixer->buffer[FIFTHS - 1 - (fifth - mixer->kept)]->slots[BLOCKS - 1 - i];
}

static ALWAYS_INLINE struct slot *slot_to_fill(const struct mixer *mixer, unsigned place)
{
    unsigned fifth = place / BLOCKS;
    return &mixer->buffer[fifth + (fifth >= mixer->kept)]->slots[place % BLOCKS];
}

static ALWAYS_INLINE void empty(struct bench_hart *hart, struct slot *slot, const bool timed)
{
    if (slot->block)
        block_look(hart, slot->block, slot->bytes, slot, timed);
    bench_heap_free(hart, slot->block, timed);
    slot->block = NULL;
}

static ALWAYS_INLINE void fill(struct bench_hart *hart, struct slot *slot, const bool timed)
{
    uint64_t bits = rng_next(&hart->rng);
    unsigned exponent = EXPONENT_FIRST + ((bits & UINT32_MAX) * EXPONENTS >> 32);
    slot->bytes = (1u << exponent) + (bits >> 32 & ((1u << exponent) - 1));
    slot->block = bench_heap_alloc(hart, slot->bytes, timed);
    block_mark(slot->block, slot->bytes, slot);
}

/* The buffer is full: what has stayed goes on to the next hart, if there is something for it, and the next fifth stays. */
static void begin_cycle(struct bench_hart *hart, struct mixer *mixer)
{
    struct fifth *other = ring_take(&mixer->inbox);
    if (other) {
        ring_put(&mixer_of(hart->run, hart->index + 1)->inbox, mixer->buffer[mixer->kept]);
        mixer->buffer[mixer->kept] = other;
    }
    mixer->kept = (mixer->kept + 1) % FIFTHS;
    mixer->place = 0;
}

/* So many calls of the heap. */
static ALWAYS_INLINE void advance(
    struct bench_hart *hart, struct mixer *mixer, uint64_t calls, const bool timed)
{
    for (uint64_t i = 0; i < calls; i++) {
        unsigned place = mixer->place++;
        if (place < HALF_CYCLE) {
            empty(hart, slot_to_empty(mixer, place), timed);
            continue;
        }
        fill(hart, slot_to_fill(mixer, place - HALF_CYCLE), timed);
        if (place == 2 * HALF_CYCLE - 1)
            begin_cycle(hart, mixer);
    }
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    advance(hart, mixer_of(hart->run, hart->index), rounds, timed);
    hart->ops += rounds / 2; /* two calls an operation */
}

BENCH_LOOP(run, loop)

static void fill_all(void *argument)
{
    struct bench_hart *hart = argument;
    struct mixer *mixer = mixer_of(hart->run, hart->index);
    for (unsigned i = 0; i <= FIFTHS; i++)
        for (unsigned k = 0; k < BLOCKS; k++)
            fill(hart, &mixer->fifths[i].slots[k], false);
    for (unsigned i = 0; i < FIFTHS; i++)
        mixer->buffer[i] = &mixer->fifths[i];
    ring_put(&mixer->inbox, &mixer->fifths[FIFTHS]);
}

static void go_round(void *argument)
{
    const struct bench_hart *hart = argument;
    advance(argument, mixer_of(hart->run, hart->index), 2 * HALF_CYCLE, false);
}

/* As after some time, the harts are at different places of the cycle. */
static void to_its_place(void *argument)
{
    const struct bench_hart *hart = argument;
    uint64_t calls = HALF_CYCLE / 2 + 2 * HALF_CYCLE * hart->index / hart->run->nharts;
    advance(argument, mixer_of(hart->run, hart->index), calls, false);
}

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct mixer));
    if (!bench->state)
        return ERR_NO_MEMORY;
    bench_each(bench, fill_all);
    for (unsigned i = 0; i < CYCLES; i++)
        bench_each(bench, go_round);
    bench_each(bench, to_its_place);
    return 0;
}

/* The i-th slot of all harts, NULL behind the last: where some hart had it at first, whoever has it now. */
static struct slot *slot_at(const struct bench_run *bench, size_t i)
{
    size_t fifth = i / BLOCKS, hart = fifth / (FIFTHS + 1);
    return hart < bench->nharts
               ? &mixer_of(bench, (unsigned)hart)->fifths[fifth % (FIFTHS + 1)].slots[i % BLOCKS]
               : NULL;
}

static size_t held_bytes(const struct bench_run *bench)
{
    size_t bytes = 0;
    const struct slot *slot;
    for (size_t i = 0; (slot = slot_at(bench, i)); i++)
        bytes += slot->block ? slot->bytes : 0;
    return bytes;
}

static void teardown(struct bench_run *bench)
{
    const struct slot *slot;
    for (size_t i = 0; (slot = slot_at(bench, i)); i++)
        heap_free(&bench->heap, slot->block);
    bench_buffer_free(bench->state);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    const struct mixer *mixers = bench->state;
    parts_add_array(parts, "buffer of hart", mixers, sizeof(*mixers), bench->nharts, sizeof(*mixers));
    rings_describe(parts, &mixers->inbox, bench->nharts, sizeof(*mixers));
}

const struct workload workload_heap_mixed = {
    .name = "heap.mixed",
    .measures = "a buffer of blocks of 8 to 1023 bytes, of which another fifth stays each time",
    .axis = BENCH_HEAP,
    .rounds = 256,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .held_bytes = held_bytes,
    .describe = describe,
};
