/*
 * frame.bulk and frame.random: the harts together take half of the arena, each an equal share, and give it back;
 * more than any cache holds, so the global allocator is what is measured. In frame.bulk each hart frees its
 * own share in the order it came. In frame.random the whole set is shuffled, so that most frees are of frames
 * that another hart allocated and neighbouring frames come back at unrelated moments. An operation is one frame
 * out and back. After the bulk and random benchmarks of LLFree (Wrenger et al., USENIX ATC 2023).
 */
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/error.h"

/* A slot whose allocation failed. */
#define NOTHING UINT32_MAX

/* Frames as numbers from the arena's base. `held` is filled by allocation, hart by hart; `order` is a permutation
 * of its indices; `mine` is, hart by hart, what that hart will free. */
struct bulk {
    size_t share; /* frames of a hart */
    size_t total;
    uint32_t *held;
    uint32_t *order;
    uint32_t *mine;
};

static size_t array_bytes(const struct bulk *bulk)
{
    return bulk->total * sizeof(uint32_t);
}

static void teardown(struct bench_run *bench)
{
    struct bulk *bulk = bench->state;
    if (!bulk)
        return;
    bench_buffer_free(bulk->held);
    bench_buffer_free(bulk->order);
    bench_buffer_free(bulk->mine);
    bench_buffer_free(bulk);
    bench->state = NULL;
}

static int setup(struct bench_run *bench)
{
    struct bulk *bulk = bench_buffer(sizeof(*bulk));
    if (!bulk)
        return ERR_NO_MEMORY;
    bench->state = bulk;
    bulk->share = bench->arena.nframes / 2 / bench->nharts;
    bulk->total = bulk->share * bench->nharts;
    bulk->held = bench_buffer(array_bytes(bulk));
    bulk->order = bench_buffer(array_bytes(bulk));
    bulk->mine = bench_buffer(array_bytes(bulk));
    if (!bulk->held || !bulk->order || !bulk->mine) {
        teardown(bench);
        return ERR_NO_MEMORY;
    }
    struct rng rng;
    rng_seed(&rng, bench->seed, HART_MAX); /* a stream that no hart has */
    for (size_t i = 0; i < bulk->total; i++)
        bulk->order[i] = (uint32_t)i;
    rng_shuffle(&rng, bulk->order, bulk->total);
    return 0;
}

static ALWAYS_INLINE void take_share(struct bench_hart *hart, const struct bulk *bulk, const bool timed)
{
    uint64_t base = hart->arena->base.value;
    uint32_t *held = &bulk->held[hart->index * bulk->share];
    for (size_t i = 0; i < bulk->share; i++) {
        pfn_t pfn = bench_alloc(hart, 0, 0, timed);
        held[i] = pfn_is_none(pfn) ? NOTHING : (uint32_t)(pfn.value - base);
    }
}

static ALWAYS_INLINE void give_back(
    struct bench_hart *hart, const uint32_t *frames, size_t count, const bool timed)
{
    uint64_t base = hart->arena->base.value;
    for (size_t i = 0; i < count; i++)
        bench_free(hart, frames[i] == NOTHING ? PFN_NONE : PFN(base + frames[i]), 0, timed);
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    const struct bulk *bulk = hart->run->state;
    for (uint64_t i = 0; i < rounds; i++) {
        take_share(hart, bulk, timed);
        bench_meet(hart); /* all together hold half of the arena, however a lock lets them through */
        give_back(hart, &bulk->held[hart->index * bulk->share], bulk->share, timed);
    }
    hart->ops += rounds * bulk->share;
}

BENCH_LOOP(run, loop)

/* Copies this hart's part of the shuffled set to where it reads it in sequence, outside the measured span: the
 * look-up is the benchmark's doing, not the allocator's. Waiting for the slowest to have allocated is measured. */
static void gather(struct bench_hart *hart, const struct bulk *bulk)
{
    uint64_t since = bench_meet(hart); /* all have allocated */
    size_t first = hart->index * bulk->share;
    for (size_t i = first; i < first + bulk->share; i++)
        bulk->mine[i] = bulk->held[bulk->order[i]];
    hart->paused += bench_meet(hart) - since; /* all have read */
}

static ALWAYS_INLINE void loop_random(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    const struct bulk *bulk = hart->run->state;
    for (uint64_t i = 0; i < rounds; i++) {
        take_share(hart, bulk, timed);
        gather(hart, bulk);
        give_back(hart, &bulk->mine[hart->index * bulk->share], bulk->share, timed);
    }
    hart->ops += rounds * bulk->share;
}

BENCH_LOOP(run_random, loop_random)

/* Collective, for the harts meet in a round; and without that, harts that an unfair lock lets through one after the other
 * would each have a short span of its own, whose rates add up to more than the machine can do. */
const struct workload workload_frame_bulk = {
    .name = "frame.bulk",
    .measures = "each hart takes its share of half the arena, then frees it",
    .axis = BENCH_FRAME,
    .rounds = 1,
    .collective = true,
    .setup = setup,
    .run = run,
    .teardown = teardown,
};

const struct workload workload_frame_random = {
    .name = "frame.random",
    .measures = "the same, freed in random order across the whole set: most frees are remote",
    .axis = BENCH_FRAME,
    .rounds = 1,
    .collective = true,
    .setup = setup,
    .run = run_random,
    .teardown = teardown,
};
