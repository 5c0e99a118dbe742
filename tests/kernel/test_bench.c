/* The harness: the moments between which it measures. */
#include "bench/bench.h"
#include "bench/harness.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

#define MEETINGS 50

static struct bench_run run;
static struct bench_hart participants[HART_MAX];
static uint64_t times[HART_MAX][MEETINGS];

static void meet(void *unused)
{
    struct bench_hart *hart = &participants[hart_index()];
    (void)unused;
    for (unsigned i = 0; i < MEETINGS; i++) {
        uint64_t before = clock_now();
        times[hart->index][i] = bench_meet(hart);
        CHECK(times[hart->index][i] >= before);
        CHECK(times[hart->index][i] <= clock_now());
    }
}

TEST(bench_harts_agree_when_they_met)
{
    run.nharts = hart_count();
    run.harts = participants;
    barrier_init(&run.barrier, run.nharts);
    for (unsigned i = 0; i < run.nharts; i++)
        participants[i] = (struct bench_hart){.run = &run, .index = i};
    smp_call(hart_mask_first(hart_count()), meet, NULL);
    for (unsigned hart = 1; hart < hart_count(); hart++) {
        for (unsigned i = 0; i < MEETINGS; i++)
            CHECK(times[hart][i] == times[0][i]);
    }
}

static void measure(const struct workload *workload, struct bench_variant variant)
{
    static struct bench_result result;
    const struct bench_plan plan = {.trials = 1, .trial_ms = 5, .seed = 1};
    char text[200];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    CHECK(bench_measure(workload, variant, hart_count(), &plan, &result, &why.writer) == 0);
    bool ours = workload->axis != BENCH_MACHINE; /* those may be one hart's work, and time nothing */
    CHECK(result.ops >= (ours ? hart_count() : 1) && result.ops_per_sec > 0);
    CHECK(result.latency[BENCH_TAKE]->total > 0 || !ours);
}

TEST(bench_every_workload_ends_and_is_right)
{
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; workload_at(i); i++) {
        enum bench_axis axis = workload_at(i)->axis;
        measure(workload_at(i),
            (struct bench_variant){.frame = axis == BENCH_FRAME ? frame_allocator_at(0) : NULL,
                .lock = axis == BENCH_MACHINE ? NULL : &lock_ttas});
    }
}
