/*
 * heap.remote: a ring of harts; each allocates blocks of 64 bytes for its right neighbour and frees those of its left
 * one, a batch at a time, the batch being a block, too. Every free is remote: buffers that flow through a pipeline,
 * and what drains the allocating side's caches and floods the freeing side's. An operation is one block allocated
 * here, freed there; a batch is a sixty-fourth more.
 *
 * After xmalloc-test, in which half of the threads allocate batches and the others free them (Lever and Boreham, USENIX
 * FREENIX 2000; with batches in Kuszmaul's SuperMalloc, 2015). Here each hart does both, so one hart does the work that each
 * of many does, with itself for a neighbour; and as many batches are under way for each hart, so that memory is
 * reused as late with one hart as with many.
 */
#include "arch/cpu.h"
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/ring.h"
#include "bench/workloads.h"
#include "lib/error.h"

#define BYTES        ((size_t)64)
#define BATCH_BLOCKS 64u

/* Batches under way to a hart before the trial: 8 KiB of blocks, all of which a warm-up gets through. Slack for a neighbour that is
 * late is as much again. */
#define UNDER_WAY 2u
#define MOST      (2 * UNDER_WAY)

struct batch {
    void *blocks[BATCH_BLOCKS];
};

static struct ring *ring_to(const struct bench_run *bench, unsigned index)
{
    return &((struct ring *)bench->state)[index % bench->nharts];
}

/* Returns false when there is no room on the ring, or no memory: the batch is whole or there is none. */
static ALWAYS_INLINE bool produce(struct bench_hart *hart, struct ring *ring, const bool timed)
{
    if (!ring_has_room(ring, MOST))
        return false;
    struct batch *batch = bench_heap_alloc(hart, sizeof(*batch), timed);
    if (unlikely(!batch))
        return false;
    for (unsigned i = 0; i < BATCH_BLOCKS; i++) {
        batch->blocks[i] = bench_heap_alloc(hart, BYTES, timed);
        block_mark(batch->blocks[i], BYTES, &batch->blocks[i]);
    }
    ring_put(ring, batch);
    return true;
}

static ALWAYS_INLINE bool consume(struct bench_hart *hart, struct ring *ring, const bool timed)
{
    struct batch *batch = ring_take(ring);
    if (!batch)
        return false;
    for (unsigned i = 0; i < BATCH_BLOCKS; i++) {
        block_look(hart, batch->blocks[i], BYTES, &batch->blocks[i], timed);
        bench_heap_free(hart, batch->blocks[i], timed);
    }
    bench_heap_free(hart, batch, timed);
    return true;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct ring *left = ring_to(hart->run, hart->index), *right = ring_to(hart->run, hart->index + 1);
    for (uint64_t i = 0; i < rounds; i++) {
        if (produce(hart, right, timed))
            hart->ops += BATCH_BLOCKS;
        else if (bench_over(hart))
            return;
        if (!consume(hart, left, timed))
            cpu_relax();
    }
}

BENCH_LOOP(run, loop)

static void send(void *argument)
{
    struct bench_hart *hart = argument;
    produce(hart, ring_to(hart->run, hart->index + 1), false);
}

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct ring));
    if (!bench->state)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < UNDER_WAY; i++)
        bench_each(bench, send);
    return 0;
}

static size_t held_bytes(const struct bench_run *bench)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < bench->nharts; i++) {
        const struct batch *batch;
        for (uint64_t k = 0; (batch = ring_look(ring_to(bench, i), k)); k++) {
            bytes += sizeof(*batch);
            for (unsigned block = 0; block < BATCH_BLOCKS; block++)
                bytes += batch->blocks[block] ? BYTES : 0;
        }
    }
    return bytes;
}

static void teardown(struct bench_run *bench)
{
    for (unsigned i = 0; i < bench->nharts; i++) {
        for (struct batch *batch; (batch = ring_take(ring_to(bench, i)));) {
            for (unsigned k = 0; k < BATCH_BLOCKS; k++)
                heap_free(&bench->heap, batch->blocks[k]);
            heap_free(&bench->heap, batch);
        }
    }
    bench_buffer_free(bench->state);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    rings_describe(parts, bench->state, bench->nharts, sizeof(struct ring));
}

const struct workload workload_heap_remote = {
    .name = "heap.remote",
    .measures = "a ring: each hart frees the 64 bytes that its neighbour allocated",
    .axis = BENCH_HEAP,
    .rounds = 16,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .held_bytes = held_bytes,
    .describe = describe,
};
