/*
 * model.ipi: hart 0 interrupts all others of the run, which are at work, and waits until each has acknowledged from
 * its handler: a TLB shootdown without the flush. An operation is one such round over all targets; at one
 * hart there is no target, and it is the cost of asking nobody.
 */
#include "arch/atomic.h"
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/error.h"
#include "smp/ipi.h"

/* What a target does between two looks at whether the run is over: long against the interrupt, short against a span. */
#define WORK_INSTRUCTIONS 200

struct ipi {
    _Atomic uint64_t over; /* the span that has ended: the number of its first meeting */
};

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(sizeof(struct ipi));
    return bench->state ? 0 : ERR_NO_MEMORY;
}

/* Until time is up, and then says so: one look at the clock decides both. Were the harness to look again, after a look
 * here that found some time left, it could be the first to find none, and the others would work for ever. */
static void send(struct bench_hart *hart, uint64_t rounds)
{
    struct ipi *ipi = hart->run->state;
    hart_mask_t others = hart_mask_without(hart_mask_first(hart->run->nharts), hart->index);
    do {
        for (uint64_t i = 0; i < rounds; i++)
            ipi_ping(others);
        hart->ops += rounds;
    } while (!bench_over(hart));
    store_relaxed(&ipi->over, hart->meetings);
}

/* Until hart 0 is done, and not by its own clock: a hart that has gone from the run acknowledges nothing. */
static void work(struct bench_hart *hart)
{
    struct ipi *ipi = hart->run->state;
    /* Relaxed: nothing else is communicated. */
    while (atomic_load_explicit(&ipi->over, memory_order_relaxed) != hart->meetings) {
        for (uint64_t left = WORK_INSTRUCTIONS / 2; left > 0; left--)
            __asm__ volatile("" : "+r"(left));
    }
}

static void run(struct bench_hart *hart, uint64_t rounds)
{
    if (hart->index == 0)
        send(hart, rounds);
    else
        work(hart);
}

static void teardown(struct bench_run *bench)
{
    bench_buffer_free(bench->state);
}

const struct workload workload_model_ipi = {
    .name = "model.ipi",
    .measures = "interrupting all other harts until each has acknowledged",
    .axis = BENCH_MACHINE,
    .rounds = 4,
    .setup = setup,
    .run = run,
    .teardown = teardown,
};
