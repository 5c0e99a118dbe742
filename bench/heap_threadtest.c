/*
 * heap.threadtest: each hart allocates so many blocks of 64 bytes, then frees them, first in first out; and again. No block is
 * ever another hart's; what costs is that every cache of free blocks overflows and runs dry in turn, and that pages fill
 * and empty. An operation is a block allocated and freed.
 *
 * After threadtest of Hoard (Berger, McKinley, Blumofe and Wilson, ASPLOS 2000), with as many blocks a hart whatever
 * the number of harts. The harts begin at different places of the cycle, as they would be after some time: a trial sees as
 * many frees as allocations even of a heap that does not get through one cycle in it.
 */
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/workloads.h"
#include "lib/error.h"

#define BYTES ((size_t)64)

/* 16 KiB a hart: several pages, which fit a first-level cache all the same, and ten cycles a trial and more. */
#define BLOCKS 256u

struct tester {
    unsigned place; /* in the cycle: up to BLOCKS allocations have been made, from there on frees */
    void *blocks[BLOCKS];
} CACHE_ALIGNED;

/* So many calls of the heap, from the place on. */
static ALWAYS_INLINE void advance(
    struct bench_hart *hart, struct tester *tester, uint64_t calls, const bool timed)
{
    unsigned place = tester->place;
    for (uint64_t i = 0; i < calls; i++) {
        void **block = &tester->blocks[place % BLOCKS];
        if (place < BLOCKS) {
            *block = bench_heap_alloc(hart, BYTES, timed);
            block_mark(*block, BYTES, block);
        } else {
            block_look(hart, *block, BYTES, block, timed);
            bench_heap_free(hart, *block, timed);
        }
        place = (place + 1) % (2 * BLOCKS);
    }
    tester->place = place;
}

static struct tester *tester_of(const struct bench_hart *hart)
{
    return &((struct tester *)hart->run->state)[hart->index];
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    advance(hart, tester_of(hart), rounds, timed);
    hart->ops += rounds / 2; /* two calls an operation */
}

BENCH_LOOP(run, loop)

static void half_a_cycle(void *argument)
{
    advance(argument, tester_of(argument), BLOCKS, false);
}

static void to_its_place(void *argument)
{
    const struct bench_hart *hart = argument;
    advance(argument, tester_of(hart), BLOCKS / 2 + 2 * BLOCKS * hart->index / hart->run->nharts, false);
}

/* All harts have been through one cycle at the same time, so the pages for that are there. */
static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct tester));
    if (!bench->state)
        return ERR_NO_MEMORY;
    bench_each(bench, half_a_cycle);
    bench_each(bench, half_a_cycle);
    bench_each(bench, to_its_place);
    return 0;
}

/* The blocks that a hart holds are those from the first to the second of these. */
static unsigned oldest(const struct tester *tester)
{
    return tester->place < BLOCKS ? 0 : tester->place - BLOCKS;
}

static unsigned newest(const struct tester *tester)
{
    return MIN(tester->place, BLOCKS);
}

static size_t held_bytes(const struct bench_run *bench)
{
    const struct tester *testers = bench->state;
    size_t blocks = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        for (unsigned k = oldest(&testers[i]); k < newest(&testers[i]); k++)
            blocks += testers[i].blocks[k] != NULL;
    return blocks * BYTES;
}

static void teardown(struct bench_run *bench)
{
    struct tester *testers = bench->state;
    for (unsigned i = 0; i < bench->nharts; i++)
        for (unsigned k = oldest(&testers[i]); k < newest(&testers[i]); k++)
            heap_free(&bench->heap, testers[i].blocks[k]);
    bench_buffer_free(testers);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    parts_add_array(
        parts, "pointers of hart", bench->state, sizeof(struct tester), bench->nharts, sizeof(struct tester));
}

const struct workload workload_heap_threadtest = {
    .name = "heap.threadtest",
    .measures = "256 blocks of 64 bytes out, 256 back",
    .axis = BENCH_HEAP,
    .rounds = 256,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .held_bytes = held_bytes,
    .describe = describe,
};
