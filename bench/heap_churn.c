/*
 * heap.churn: allocate a block of 64 bytes, free it; heap.churn_4k: the same of 4 KiB. The hot loop of a kernel's small
 * objects, and of its buffers of a page; the best case of any cache. An operation is the pair.
 */
#include "bench/bench.h"
#include "bench/workloads.h"

#define SMALL ((size_t)64)
#define PAGE  ((size_t)4096)

static ALWAYS_INLINE void churn(struct bench_hart *hart, uint64_t rounds, size_t bytes, const bool timed)
{
    for (uint64_t i = 0; i < rounds; i++)
        bench_heap_free(hart, bench_heap_alloc(hart, bytes, timed), timed);
    hart->ops += rounds;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    churn(hart, rounds, SMALL, timed);
}

BENCH_LOOP(run, loop)

static ALWAYS_INLINE void loop_4k(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    churn(hart, rounds, PAGE, timed);
}

BENCH_LOOP(run_4k, loop_4k)

const struct workload workload_heap_churn = {
    .name = "heap.churn",
    .measures = "allocate 64 bytes, free them",
    .axis = BENCH_HEAP,
    .rounds = 256,
    .run = run,
};

const struct workload workload_heap_churn_4k = {
    .name = "heap.churn_4k",
    .measures = "allocate 4 KiB, free them",
    .axis = BENCH_HEAP,
    .rounds = 256,
    .run = run_4k,
};
