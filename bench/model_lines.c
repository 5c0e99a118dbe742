/*
 * What it costs several harts to use one line, with as little as possible around it:
 *
 *   model.pingpong      harts take turns in a ring; each turn is a compare-and-swap on a line that the hart before
 *                       has written. Only the compare-and-swap is measured. At one hart the line is its own,
 *                       so the difference is what the line's way from core to core costs
 *   model.amo_shared    every hart adds to the same word, atomically; model.amo_private: to a word of its own
 *   model.write_packed  every hart now and then increments a word of its own, and the words share a line (false
 *                       sharing); model.write_padded: the words are on lines of their own
 *
 * An operation is one compare-and-swap, one addition, one increment.
 */
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/error.h"

/* Between two increments, so that they do not queue for the line but meet it in the other hart's cache. */
#define WRITE_GAP_INSTRUCTIONS 1000

struct lines {
    _Atomic uint64_t target CACHE_ALIGNED;
    struct {
        _Atomic uint64_t turn; /* the ring's; its hart is turn mod harts. So many swaps have been done */
        _Atomic uint64_t over; /* the span that has ended: the number of its first meeting */
    } CACHE_ALIGNED ring;
    struct {
        volatile uint64_t word;
    } packed[HART_MAX] CACHE_ALIGNED;
    struct {
        union {
            volatile uint64_t word;
            _Atomic uint64_t counter;
            uint64_t left; /* the last span of the ring that this hart has left */
        };
    } CACHE_ALIGNED own[HART_MAX];
};

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(sizeof(struct lines));
    return bench->state ? 0 : ERR_NO_MEMORY;
}

static void teardown(struct bench_run *bench)
{
    bench_buffer_free(bench->state);
}

/* --- ping-pong --- */

/*
 * The ring runs until a hart finds at its turn that time is up. It says so and passes the turn on; each of the others
 * does the same at its turn. So nobody is left waiting, and the turn comes to rest where the next span takes it up.
 */
static void pingpong(struct bench_hart *hart, uint64_t rounds)
{
    struct lines *lines = hart->run->state;
    uint64_t *left = &lines->own[hart->index].left, span = hart->meetings, since = hart->start;
    (void)rounds;
    while (*left != span) {
        uint64_t turn;
        /* Acquire (ld; fence r,rw), pairs with the release below: we see the target as the hart before left it. */
        while (turn = atomic_load_explicit(&lines->ring.turn, memory_order_acquire),
            turn % hart->run->nharts != hart->index)
            cpu_relax();
        /* Relaxed: the turn orders it. */
        if (bench_over(hart) || atomic_load_explicit(&lines->ring.over, memory_order_relaxed) == span) {
            store_relaxed(&lines->ring.over, span);
            *left = span;
        }
        uint64_t expected = turn, begin = clock_now();
        atomic_compare_exchange_strong_explicit(
            &lines->target, &expected, turn + 1, memory_order_relaxed, memory_order_relaxed);
        uint64_t end = clock_now();
        hart->paused += begin - since;
        since = end;
        hart->ops++;
        store_release(&lines->ring.turn, turn + 1); /* fence rw,w; sd */
    }
}

static int check_pingpong(struct bench_run *bench, struct writer *why)
{
    const struct lines *lines = bench->state;
    uint64_t count = atomic_load_explicit(&lines->target, memory_order_relaxed);
    if (count == bench->total_ops)
        return 0;
    writer_format(why, "%lu compare-and-swaps counted up to %lu", bench->total_ops, count);
    return ERR_CORRUPT;
}

const struct workload workload_model_pingpong = {
    .name = "model.pingpong",
    .measures = "compare-and-swap on a line that another hart has just written",
    .axis = BENCH_MACHINE,
    .setup = setup,
    .run = pingpong,
    .teardown = teardown,
    .check = check_pingpong,
};

/* --- atomic additions --- */

static ALWAYS_INLINE void add(_Atomic uint64_t *counter, uint64_t rounds)
{
    /* Relaxed: a count orders nothing. amoadd.d. */
    for (uint64_t i = 0; i < rounds; i++)
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void amo_shared(struct bench_hart *hart, uint64_t rounds)
{
    struct lines *lines = hart->run->state;
    add(&lines->target, rounds);
    hart->ops += rounds;
}

static void amo_private(struct bench_hart *hart, uint64_t rounds)
{
    struct lines *lines = hart->run->state;
    add(&lines->own[hart->index].counter, rounds);
    hart->ops += rounds;
}

const struct workload workload_model_amo_shared = {
    .name = "model.amo_shared",
    .measures = "atomic additions to one word",
    .axis = BENCH_MACHINE,
    .rounds = 64,
    .setup = setup,
    .run = amo_shared,
    .teardown = teardown,
    .check = check_pingpong,
};

const struct workload workload_model_amo_private = {
    .name = "model.amo_private",
    .measures = "atomic additions to a word of the hart's own",
    .axis = BENCH_MACHINE,
    .rounds = 64,
    .setup = setup,
    .run = amo_private,
    .teardown = teardown,
};

/* --- false sharing --- */

static ALWAYS_INLINE void increment(volatile uint64_t *word, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        *word = *word + 1;
        for (uint64_t left = WRITE_GAP_INSTRUCTIONS / 2; left > 0; left--)
            __asm__ volatile("" : "+r"(left));
    }
}

static void write_packed(struct bench_hart *hart, uint64_t rounds)
{
    struct lines *lines = hart->run->state;
    increment(&lines->packed[hart->index].word, rounds);
    hart->ops += rounds;
}

static void write_padded(struct bench_hart *hart, uint64_t rounds)
{
    struct lines *lines = hart->run->state;
    increment(&lines->own[hart->index].word, rounds);
    hart->ops += rounds;
}

const struct workload workload_model_write_packed = {
    .name = "model.write_packed",
    .measures = "increments of words that share a line",
    .axis = BENCH_MACHINE,
    .rounds = 8,
    .setup = setup,
    .run = write_packed,
    .teardown = teardown,
};

const struct workload workload_model_write_padded = {
    .name = "model.write_padded",
    .measures = "increments of words on lines of their own",
    .axis = BENCH_MACHINE,
    .rounds = 8,
    .setup = setup,
    .run = write_padded,
    .teardown = teardown,
};
