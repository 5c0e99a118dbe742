/*
 * frame.remote: a ring of harts; each allocates for its right neighbour and frees what its left neighbour
 * allocated. Every free is remote: the flow of buffers through a pipeline, and the case that starves the
 * allocating side's cache and floods the freeing side's. An operation is one frame allocated here, freed there.
 */
#include <stdatomic.h>

#include "arch/atomic.h"
#include "arch/cpu.h"
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/error.h"

/* Frames are handed over a cache line at a time, so that the hand-over itself, which is not what is measured,
 * costs about an eighth of a transfer a frame. */
#define LINE_FRAMES (CACHE_LINE_BYTES / sizeof(pfn_t))

/* Lines in flight between two harts: slack for a neighbour that the host does not run for a moment. */
#define RING_LINES 32
#define RING_MASK  (RING_LINES * LINE_FRAMES - 1)

/* From one hart to the next: one producer, one consumer, counters that only grow. */
struct ring {
    _Atomic uint64_t produced CACHE_ALIGNED;
    _Atomic uint64_t consumed CACHE_ALIGNED;
    pfn_t frames[RING_LINES * LINE_FRAMES] CACHE_ALIGNED;
};

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct ring));
    return bench->state ? 0 : ERR_NO_MEMORY;
}

/* Frees what has come from the left. Returns whether anything had. */
static ALWAYS_INLINE bool consume(struct bench_hart *hart, struct ring *ring, const bool timed)
{
    /* Acquire (ld; fence r,rw), pairs with the release in produce: the frames' numbers are there. */
    uint64_t produced = atomic_load_explicit(&ring->produced, memory_order_acquire);
    uint64_t consumed = atomic_load_explicit(&ring->consumed, memory_order_relaxed); /* only we write it */
    if (produced == consumed)
        return false;
    for (uint64_t i = consumed; i < produced; i++)
        bench_free(hart, ring->frames[i & RING_MASK], 0, timed);
    /* Release (fence rw,w; sd): we have read the slots before the producer fills them again. */
    store_release(&ring->consumed, produced);
    return true;
}

/* Allocates a line of frames for the right. Returns false, having done nothing, when the ring is full. */
static ALWAYS_INLINE bool produce(struct bench_hart *hart, struct ring *ring, const bool timed)
{
    uint64_t produced = atomic_load_explicit(&ring->produced, memory_order_relaxed); /* only we write it */
    /* Acquire (ld; fence r,rw), pairs with the release in consume. */
    if (produced - atomic_load_explicit(&ring->consumed, memory_order_acquire) > RING_MASK + 1 - LINE_FRAMES)
        return false;
    for (uint64_t i = produced; i < produced + LINE_FRAMES; i++)
        ring->frames[i & RING_MASK] = bench_alloc(hart, 0, 0, timed);
    /* Release (fence rw,w; sd), pairs with the acquire in consume. */
    store_release(&ring->produced, produced + LINE_FRAMES);
    return true;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct ring *rings = hart->run->state;
    struct ring *left = &rings[hart->index];
    struct ring *right = &rings[(hart->index + 1) % hart->run->nharts];
    for (uint64_t i = 0; i < rounds; i++) {
        if (produce(hart, right, timed))
            hart->ops += LINE_FRAMES;
        else if (bench_over(hart))
            return;
        if (!consume(hart, left, timed))
            cpu_relax();
    }
}

BENCH_LOOP(run, loop)

static void teardown(struct bench_run *bench)
{
    struct ring *rings = bench->state;
    for (unsigned i = 0; i < bench->nharts; i++) {
        uint64_t produced = atomic_load_explicit(&rings[i].produced, memory_order_relaxed);
        for (uint64_t k = atomic_load_explicit(&rings[i].consumed, memory_order_relaxed); k < produced; k++) {
            if (!pfn_is_none(rings[i].frames[k & RING_MASK]))
                frame_free(&bench->arena, rings[i].frames[k & RING_MASK], 0);
        }
    }
    bench_buffer_free(rings);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    const struct ring *rings = bench->state;
#define ADD(name, member)                                                                                    \
    parts_add_array(parts, name, &rings->member, sizeof(rings->member), bench->nharts, sizeof(*rings))
    ADD("produced of ring", produced);
    ADD("consumed of ring", consumed);
    ADD("slots of ring", frames);
#undef ADD
}

const struct workload workload_frame_remote = {
    .name = "frame.remote",
    .measures = "a ring: each hart frees what its neighbour allocated",
    .axis = BENCH_FRAME,
    .rounds = 16,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .describe = describe,
};
