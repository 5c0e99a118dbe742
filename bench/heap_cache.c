/*
 * heap.cache_thrash and heap.cache_scratch: each hart allocates a block of 8 bytes, writes to it a hundred times, frees it. If
 * blocks of several harts lie on one cache line, each write takes the line from another hart: false sharing, which a
 * heap causes actively when it divides a line between harts that ask at the same time (thrash), and passively when a
 * hart is given again what it freed, though others have the rest of the line (scratch). For that one hart has allocated a
 * block for each, side by side if the heap does that, and each begins by freeing its own. An operation is one block.
 *
 * After cache-thrash and cache-scratch of Hoard (Berger, McKinley, Blumofe and Wilson, ASPLOS 2000). `make bench LINES=1`
 * names the lines.
 */
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/workloads.h"
#include "lib/error.h"

#define BYTES MARK_BYTES

/* A few times what the heap does, so that a line that is shared is what costs most. */
#define WRITES 100

/* A block that the first hart allocated for this one; NULL: none, or it has been freed. */
struct gift {
    void *block;
} CACHE_ALIGNED;

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct gift *gift = &((struct gift *)hart->run->state)[hart->index];
    if (unlikely(gift->block)) {
        block_look(hart, gift->block, BYTES, gift, timed);
        heap_free(hart->heap, gift->block);
        gift->block = NULL;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        void *block = bench_heap_alloc(hart, BYTES, timed);
        for (unsigned k = 0; k < WRITES && likely(block); k++)
            block_mark(block, BYTES, hart);
        block_look(hart, block, BYTES, hart, timed);
        bench_heap_free(hart, block, timed);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct gift));
    return bench->state ? 0 : ERR_NO_MEMORY;
}

/* All by one hart, the first. */
static void give_all(struct bench_run *bench)
{
    struct gift *gifts = bench->state;
    for (unsigned i = 0; i < bench->nharts; i++) {
        gifts[i].block = heap_alloc(&bench->heap, BYTES);
        block_mark(gifts[i].block, BYTES, &gifts[i]);
    }
}

static int setup_scratch(struct bench_run *bench)
{
    int error = setup(bench);
    if (!error)
        give_all(bench);
    return error;
}

static void teardown(struct bench_run *bench)
{
    bench_buffer_free(bench->state);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    parts_add_array(
        parts, "gift of hart", bench->state, sizeof(struct gift), bench->nharts, sizeof(struct gift));
}

const struct workload workload_heap_cache_scratch = {
    .name = "heap.cache_scratch",
    .measures = "8 bytes allocated, written to, freed, after freeing one of several that one hart allocated",
    .axis = BENCH_HEAP,
    .rounds = 64,
    .setup = setup_scratch,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .describe = describe,
};

const struct workload workload_heap_cache_thrash = {
    .name = "heap.cache_thrash",
    .measures = "8 bytes allocated, written to, freed",
    .axis = BENCH_HEAP,
    .rounds = 64,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .describe = describe,
};
