/* Measuring one data point: warm-up, trials, a pass for latencies, checks. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include "arch/model_page.h"
#include "bench/bench.h"
#include "bench/memory.h"

#define TRIALS_MAX 31

struct bench_plan {
    unsigned trials; /* 1 … TRIALS_MAX */
    uint64_t trial_ms; /* under other clocks than the model's */
    uint64_t trial_cycles; /* under the model's */
    uint64_t seed;
    uint64_t label; /* what reports call the trials: model_label() */
    size_t arena_frames; /* of the arena, no more than so many; 0: all that there are */
    void (*ready)(struct bench_run *run); /* called when all is set up; NULL: nobody wants to know */
};

/* What was measured. Of several trials the one with the median throughput is reported. */
struct bench_result {
    uint64_t ops; /* of all harts */
    uint64_t cycles; /* summed over the harts */
    uint64_t ops_per_sec; /* of all harts together */
    uint64_t ops_per_sec_min, ops_per_sec_max; /* over the trials */
    uint64_t failed_ops; /* allocations that found nothing */
    uint64_t fairness_millionths;
    uint64_t counters[COUNTER_COUNT];
    uint64_t model[MODEL_STAT_COUNT]; /* where cycles went and what happened; all 0 without a model */
    struct bench_memory memory;
    uint64_t misuses;
    const struct histogram *latency[BENCH_LATENCIES]; /* of all harts; valid until the next data point */
    unsigned nfigures;
    struct bench_figure figures[BENCH_FIGURES_MAX]; /* of the workload */
};

/** bench_prepare - buffers for histograms, before the first data point. 0 or ERR_NO_MEMORY.
 *  bench_finish - give them back, behind the last, and after a failure. */
int bench_prepare(void);
void bench_finish(void);

/**
 * bench_measure - measure one data point.
 * @nharts: harts 0 … nharts − 1 take part
 * @why: on error the reason
 *
 * Boot hart, nothing else running. Returns 0; ERR_NO_MEMORY where the workload found no room for its state;
 * ERR_CORRUPT where the allocator, the lock or the workload's own check found the result wrong: the
 * numbers are filled in all the same.
 */
int bench_measure(const struct workload *workload, struct bench_variant variant, unsigned nharts,
    const struct bench_plan *plan, struct bench_result *result, struct writer *why);

/** bench_describe_buffers - name the buffers that this data point's workload has asked for. */
void bench_describe_buffers(struct parts *parts);

#endif
