/*
 * frame.huge: two 2 MiB frames out, the same two back. What backs a large mapping or a guest's memory, and the only
 * load in which a huge frame is not the exception. Two a hart are half of an arena of 8 MiB for each hart of the
 * machine, so none fails for want of memory there. An operation is one frame out and back. After the huge-frame runs
 * of LLFree's benchmarks (Wrenger et al., USENIX ATC 2023).
 */
#include "bench/bench.h"
#include "bench/workloads.h"

#define HELD 2

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    pfn_t held[HELD];
    for (uint64_t i = 0; i < rounds; i++) {
        for (unsigned k = 0; k < HELD; k++)
            held[k] = bench_alloc(hart, FRAME_ORDER_HUGE, 0, timed);
        for (unsigned k = HELD; k-- > 0;)
            bench_free(hart, held[k], FRAME_ORDER_HUGE, timed);
    }
    hart->ops += rounds * HELD;
}

BENCH_LOOP(run, loop)

const struct workload workload_frame_huge = {
    .name = "frame.huge",
    .measures = "two 2 MiB frames out, two back",
    .axis = BENCH_FRAME,
    .order = FRAME_ORDER_HUGE,
    .rounds = 64,
    .run = run,
};
