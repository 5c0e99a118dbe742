/*
 * frame.churn: allocate one frame, free it. The hot loop of page faults and page tables, and the best case of
 * any cache; an operation is the pair. frame.zero is the same with frames that must come zeroed.
 */
#include "bench/bench.h"
#include "bench/workloads.h"

static ALWAYS_INLINE void churn(struct bench_hart *hart, uint64_t rounds, unsigned flags, const bool timed)
{
    for (uint64_t i = 0; i < rounds; i++)
        bench_free(hart, bench_alloc(hart, 0, flags, timed), 0, timed);
    hart->ops += rounds;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    churn(hart, rounds, 0, timed);
}

BENCH_LOOP(run, loop)

static ALWAYS_INLINE void loop_zero(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    churn(hart, rounds, FRAME_ZERO, timed);
}

BENCH_LOOP(run_zero, loop_zero)

const struct workload workload_frame_churn = {
    .name = "frame.churn",
    .measures = "allocate one frame, free it",
    .axis = BENCH_FRAME,
    .rounds = 256,
    .run = run,
};

const struct workload workload_frame_zero = {
    .name = "frame.zero",
    .measures = "allocate one zeroed frame, free it",
    .axis = BENCH_FRAME,
    .rounds = 64,
    .run = run_zero,
};
