/*
 * frame.batch: 64 frames out, the same 64 back, last out first in. A burst as a driver's ring or a small mapping
 * makes it; fits a cache of a few dozen frames and overflows a smaller one. An operation is one frame out and back.
 */
#include "bench/bench.h"
#include "bench/workloads.h"

#define BATCH 64

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    pfn_t held[BATCH];
    for (uint64_t i = 0; i < rounds; i++) {
        for (unsigned k = 0; k < BATCH; k++)
            held[k] = bench_alloc(hart, 0, 0, timed);
        for (unsigned k = BATCH; k-- > 0;)
            bench_free(hart, held[k], 0, timed);
    }
    hart->ops += rounds * BATCH;
}

BENCH_LOOP(run, loop)

const struct workload workload_frame_batch = {
    .name = "frame.batch",
    .measures = "64 frames out, 64 back",
    .axis = BENCH_FRAME,
    .rounds = 4,
    .run = run,
};
