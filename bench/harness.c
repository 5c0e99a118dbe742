/*
 * One data point: the allocator under test is made anew, then the harts run the trials and one pass with
 * latencies, each with a warm-up of its own. Under the model a trial is one region. In a trial all harts start
 * together behind a barrier and stop at a deadline. A hart's span begins when the last of them has come, even if
 * the host runs it only later: spans that did not overlap would add up to more than the machine can do. It does
 * not begin before: what the host spends on harts that wait for the others can be longer than a trial. It ends
 * when the hart stops, so one that is late does not stretch the others'.
 */
#include "bench/harness.h"
#include "bench/points.h"
#include "bench/vm.h"
#include "arch/model.h"
#include "arch/panic.h"
#include "kernel/record.h"
#include "lib/error.h"
#include "lib/stats.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/call.h"

/* Each trial warms up for a quarter of its length: caches are full and code is translated after a tenth of that. */
#define WARM_UP_DIVISOR 4

/* The pass with latencies warms up in pieces, and between two of them the harts are quiet and hart 0 looks at what
 * lies in caches: its reading of their lines costs no figure anything. */
#define WARM_UP_PIECES 8

/* The model's clock costs a few cycles and not hundreds, and with 64 harts on one lock a round is long. */
#define MODEL_ROUNDS_DIVISOR 16

#define NEVER UINT64_MAX

static struct bench_hart bench_harts[HART_MAX];
static struct histogram *merged[BENCH_LATENCIES];

/* The first buffers of the data point's workload, to be named in reports. None so far has more than two. */
static struct {
    void *base;
    size_t bytes;
} buffers[4];
static size_t nbuffers;

struct trial {
    uint64_t ops, cycles, ops_per_sec, failed, fairness;
    uint64_t counters[COUNTER_COUNT];
    uint64_t model[MODEL_STAT_COUNT];
};

void *bench_buffer(size_t bytes)
{
    size_t frames = MAX(DIV_CEIL(bytes, (size_t)PAGE_BYTES), 1ul);
    size_t align = (size_t)PAGE_BYTES << bits_order(frames);
    void *buffer =
        heap_alloc_for(&kernel_heap, MAX(bytes, (size_t)PAGE_BYTES), align, __builtin_return_address(0));
    if (!buffer)
        return NULL;
    if (nbuffers < ARRAY_SIZE(buffers)) {
        buffers[nbuffers].base = buffer;
        buffers[nbuffers++].bytes = bytes;
    }
    return memset(buffer, 0, bytes);
}

void bench_buffer_free(void *buffer)
{
    kfree(buffer);
}

void bench_describe_buffers(struct parts *parts)
{
    for (size_t i = 0; i < nbuffers; i++)
        parts_add_nth(parts, "buffer", i, buffers[i].base, buffers[i].bytes);
}

int bench_prepare(void)
{
    for (unsigned kind = 0; kind < BENCH_LATENCIES; kind++) {
        if (!merged[kind] && !(merged[kind] = bench_buffer(sizeof(struct histogram))))
            return ERR_NO_MEMORY;
        for (unsigned i = 0; i < hart_count(); i++) {
            struct histogram **own = &bench_harts[i].latency[kind];
            if (!*own && !(*own = bench_buffer(sizeof(struct histogram))))
                return ERR_NO_MEMORY;
        }
    }
    return 0;
}

void bench_finish(void)
{
    for (unsigned kind = 0; kind < BENCH_LATENCIES; kind++) {
        bench_buffer_free(merged[kind]);
        merged[kind] = NULL;
        for (unsigned i = 0; i < hart_count(); i++) {
            bench_buffer_free(bench_harts[i].latency[kind]);
            bench_harts[i].latency[kind] = NULL;
        }
    }
}

void bench_figure(struct bench_run *run, const char *name, uint64_t value, uint64_t per)
{
    ASSERT(run->nfigures < BENCH_FIGURES_MAX);
    run->figures[run->nfigures++] = (struct bench_figure){name, value, per};
}

void bench_each(struct bench_run *run, void (*function)(void *hart))
{
    for (unsigned i = 0; i < run->nharts; i++)
        smp_call(hart_mask_one(i), function, &run->harts[i]);
}

void bench_record(struct bench_hart *hart, enum bench_latency kind, uint64_t since, uint64_t until)
{
    uint64_t took = until - since;
    histogram_record(hart->latency[kind], took > hart->clock_cost ? took - hart->clock_cost : 0);
}

uint64_t bench_meet(struct bench_hart *hart)
{
    const struct bench_run *run = hart->run;
    unsigned meeting = hart->meetings++ % ARRAY_SIZE(hart->arrived);
    uint64_t last = 0;
    hart->arrived[meeting] = clock_now();
    barrier_wait(&hart->run->barrier); /* every hart's time is written before, and read after */
    for (unsigned i = 0; i < run->nharts; i++)
        last = MAX(last, run->harts[i].arrived[meeting]);
    return last;
}

/* Whether the harts of a collective workload have done enough. All must answer alike, so hart 0 decides before
 * it comes to the barrier, and names the round: a hart that is slow to look cannot mistake a later decision. */
static bool over_together(struct bench_hart *hart)
{
    struct bench_run *run = hart->run;
    hart->round++;
    /* Relaxed both: the barrier between them orders the store before every load of the same round. */
    if (hart->index == 0 && bench_over(hart))
        atomic_store_explicit(&run->last_round, hart->round, memory_order_relaxed);
    barrier_wait(&run->barrier); /* measured: who waits for the slowest has lost that time */
    return atomic_load_explicit(&run->last_round, memory_order_relaxed) == hart->round;
}

static void begin(struct bench_hart *hart, uint64_t span)
{
    /* `round` goes on: a slow hart may still look at the last decision. */
    hart->ops = hart->failed = hart->paused = 0;
    memcpy(hart->counters, arch_hart_self()->counters, sizeof(hart->counters));
    hart->start = bench_meet(hart);
    hart->deadline = hart->start + span;
    uint64_t reading = clock_now(); /* virtual time has no price outside of a region */
    hart->clock_cost = clock_kind() == CLOCK_MODEL ? clock_now() - reading : clock_overhead();
    model_measure();
}

static void end(struct bench_hart *hart)
{
    hart->cycles = clock_now() - hart->start - hart->paused;
    model_end(); /* what follows is the harness's, and longer with each counter that there is */
    hart->total_ops += hart->ops;
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        hart->counters[i] = arch_hart_self()->counters[i] - hart->counters[i];
}

/* Works for so long. What the last call of it measured is what a trial reports. */
static void spend(struct bench_hart *hart, uint64_t span, bool reported)
{
    const struct workload *workload = hart->run->workload;
    uint64_t rounds =
        clock_kind() == CLOCK_MODEL ? DIV_CEIL(workload->rounds, MODEL_ROUNDS_DIVISOR) : workload->rounds;
    hart->reported = reported;
    begin(hart, span);
    do
        workload->run(hart, rounds);
    while (workload->collective ? !over_together(hart) : !bench_over(hart));
    end(hart);
}

/* Pieces until their time is up: for workloads whose rounds are long, one of them. All harts see the same bounds, so
 * all do the same number. Untimed, so that the latencies are those of warm caches. */
static void warm_up_watched(struct bench_hart *hart, uint64_t span)
{
    bool timed = hart->timed;
    uint64_t began = bench_meet(hart), now;
    hart->timed = false;
    do {
        spend(hart, span / WARM_UP_PIECES, false);
        now = bench_meet(hart); /* none goes on before hart 0 has come to the next meeting */
        if (hart->index == 0)
            memory_watch(hart->run);
    } while (now - began < span);
    hart->timed = timed;
}

/* A hart's share of a trial. Participants are the harts 0 … n − 1, so a hart's index is its place. */
static void take_part(void *argument)
{
    struct bench_run *run = argument;
    struct bench_hart *hart = &run->harts[hart_index()];
    model_enter(run->nharts);
    if (hart->timed)
        warm_up_watched(hart, run->warm_up);
    else
        spend(hart, run->warm_up, false);
    spend(hart, run->span, !hart->timed);
    if (run->variant.vm)
        barrier_wait(
            &run->barrier); /* who has left the region answers no shootdown that others in it wait for */
    model_leave();
}

/* Operations a second. What does not fit 64 bits loses bits that no clock is exact to. */
static uint64_t ops_per_sec(uint64_t ops, uint64_t cycles)
{
    while (ops > UINT64_MAX / clock_hz()) {
        ops /= 2;
        cycles /= 2;
    }
    return cycles ? ops * clock_hz() / cycles : 0;
}

static void summarise(struct bench_run *run, struct trial *trial)
{
    uint64_t ops[HART_MAX];
    memset(trial, 0, sizeof(*trial));
    for (unsigned i = 0; i < run->nharts; i++) {
        struct bench_hart *hart = &run->harts[i];
        ops[i] = hart->ops;
        trial->ops += hart->ops;
        trial->cycles += hart->cycles;
        trial->failed += hart->failed;
        trial->ops_per_sec += ops_per_sec(hart->ops, hart->cycles);
        for (unsigned k = 0; k < COUNTER_COUNT; k++)
            trial->counters[k] += hart->counters[k];
        run->total_ops += hart->total_ops;
        hart->total_ops = 0;
    }
    for (unsigned i = 0; i < MODEL_STAT_COUNT; i++)
        trial->model[i] = model_stat_sum(i, run->nharts);
    run->stale += trial->model[MODEL_STAT_STALE];
    trial->fairness = stats_jain_millionths(ops, run->nharts);
}

static void run_trial(struct bench_run *run, uint64_t span, bool timed, struct trial *trial)
{
    run->span = span;
    run->warm_up = span / WARM_UP_DIVISOR;
    if (clock_kind() == CLOCK_MODEL)
        run->warm_up = MAX(run->warm_up, run->workload->warm_up_cycles);
    atomic_store_explicit(&run->last_round, NEVER, memory_order_relaxed); /* smp_call publishes it */
    for (unsigned i = 0; i < run->nharts; i++) {
        run->harts[i].timed = timed;
        run->harts[i].round = 0;
    }
    smp_call(hart_mask_first(run->nharts), take_part, run);
    memory_watch(run);
    summarise(run, trial);
}

static int make_arena(struct bench_run *run, const struct frame_allocator_ops *frame,
    const struct lock_ops *lock, size_t nframes_max)
{
    const struct memory_plan *memory = memory_plan();
    size_t nframes = nframes_max ? MIN(memory->arena_frames, nframes_max) : memory->arena_frames;
    return frame_allocator_init(
        &run->arena, frame, lock, "arena", memory->metadata, memory->arena_base, nframes, hart_count());
}

/* All heaps have their pages from the same allocator over the same kind of lock: what differs is their own. */
static int make_heap(struct bench_run *run, size_t nframes_max)
{
    int error =
        make_arena(run, frame_allocator_find(HEAP_FRAMES), lock_kind_find(LOCK_UNDER_SUBJECT), nframes_max);
    return error ? error
                 : heap_init(&run->heap, run->variant.heap, run->variant.lock, "heap", &run->arena,
                       memory_plan()->heap_metadata, HEAP_GUARD_DEFAULT);
}

static int make_subject(struct bench_run *run, size_t nframes_max)
{
    return run->variant.heap    ? make_heap(run, nframes_max)
           : run->variant.frame ? make_arena(run, run->variant.frame, run->variant.lock, nframes_max)
           : run->variant.vm    ? vm_begin(run)
                                : 0;
}

static void prepare_harts(struct bench_run *run)
{
    if (run->variant.heap)
        record_start(&run->heap);
    barrier_init(&run->barrier, run->nharts);
    nbuffers = 0;
    for (unsigned i = 0; i < run->nharts; i++) {
        struct bench_hart *hart = &run->harts[i];
        hart->run = run;
        hart->arena = run->variant.frame ? &run->arena : NULL;
        hart->heap = run->variant.heap ? &run->heap : NULL;
        hart->index = i;
        hart->meetings = hart->total_ops = hart->damaged = 0;
        rng_seed(&hart->rng, run->seed, i);
        for (unsigned kind = 0; kind < BENCH_LATENCIES; kind++)
            histogram_reset(hart->latency[kind]);
    }
}

static int prepare_run(struct bench_run *run, size_t nframes_max)
{
    int error = make_subject(run, nframes_max);
    if (error)
        return error;
    prepare_harts(run);
    return run->workload->setup ? run->workload->setup(run) : 0;
}

/* The trial with the median throughput stands for all. */
static void choose(const struct trial *trials, unsigned count, struct bench_result *result)
{
    uint64_t rates[TRIALS_MAX];
    for (unsigned i = 0; i < count; i++)
        rates[i] = trials[i].ops_per_sec;
    stats_sort(rates, count);
    const struct trial *median = trials;
    while (median->ops_per_sec != stats_median(rates, count))
        median++;
    result->ops = median->ops;
    result->cycles = median->cycles;
    result->ops_per_sec = median->ops_per_sec;
    result->ops_per_sec_min = rates[0];
    result->ops_per_sec_max = rates[count - 1];
    result->failed_ops = median->failed;
    result->fairness_millionths = median->fairness;
    memcpy(result->counters, median->counters, sizeof(result->counters));
    memcpy(result->model, median->model, sizeof(result->model));
}

static void collect_latencies(struct bench_run *run, struct bench_result *result)
{
    for (unsigned kind = 0; kind < BENCH_LATENCIES; kind++) {
        histogram_reset(merged[kind]);
        for (unsigned i = 0; i < run->nharts; i++)
            histogram_merge(merged[kind], run->harts[i].latency[kind]);
        result->latency[kind] = merged[kind];
    }
}

/* After teardown nothing is held: no block is in use, and every page goes back. */
static int inspect_heap(struct bench_run *run, struct bench_result *result, struct writer *why)
{
    result->misuses = atomic_load_explicit(&run->heap.misuse_count, memory_order_relaxed);
    if (result->misuses != 0) {
        writer_format(why, "%lu misuses of the heap", result->misuses);
        return ERR_CORRUPT;
    }
    int error = heap_validate(&run->heap, 0);
    heap_drain(&run->heap);
    error = error ? error : heap_validate(&run->heap, 0);
    error = error ? error : frame_validate(&run->arena, 0);
    if (error)
        writer_format(why, "%s does not validate after the run", run->variant.heap->name);
    return error;
}

/* The same for frames: every one has to be back, once. */
static int inspect_arena(struct bench_run *run, struct bench_result *result, struct writer *why)
{
    if (run->variant.heap)
        return inspect_heap(run, result, why);
    if (!run->variant.frame)
        return 0;
    result->misuses = atomic_load_explicit(&run->arena.misuse_count, memory_order_relaxed);
    if (result->misuses != 0) {
        writer_format(why, "%lu frees were refused", result->misuses);
        return ERR_CORRUPT;
    }
    int error = frame_validate(&run->arena, 0);
    if (error)
        writer_format(why, "%s does not validate after the run", run->variant.frame->name);
    return error;
}

static int inspect_model(const struct bench_result *result, struct writer *why)
{
    uint64_t rescues = result->model[MODEL_STAT_RESCUES], stale = result->model[MODEL_STAT_STALE];
    if (rescues)
        writer_format(why, "the model had to let harts run out of order %lu times", rescues);
    else if (stale)
        writer_format(why,
            "translations were used %lu times behind the shootdown that should have removed them", stale);
    return rescues || stale ? ERR_CORRUPT : 0;
}

static int measure(
    struct bench_run *run, const struct bench_plan *plan, struct bench_result *result, struct writer *why)
{
    static struct trial trials[TRIALS_MAX]; /* too large for a stack */
    const struct workload *workload = run->workload;
    struct trial discarded;
    uint64_t span = clock_kind() == CLOCK_MODEL ? plan->trial_cycles : clock_hz() / 1000 * plan->trial_ms;
    int error = prepare_run(run, plan->arena_frames);
    if (error) {
        writer_format(why, "setup: %s", error_text(error));
        return error;
    }
    model_label(plan->label);
    memory_watch(run);
    if (plan->ready)
        plan->ready(run);
    for (unsigned i = 0; i < plan->trials; i++)
        run_trial(run, span, false, &trials[i]);
    model_label(0);
    run_trial(run, span, true, &discarded);
    if (run->variant.heap)
        record_stop(&run->heap); /* what teardown frees is not the workload's doing */
    choose(trials, plan->trials, result);
    collect_latencies(run, result);
    memory_inspect(run, &result->memory);
    if (workload->conclude)
        workload->conclude(run);
    result->nfigures = run->nfigures;
    memcpy(result->figures, run->figures, sizeof(result->figures));
    error = workload->check ? workload->check(run, why) : 0;
    if (workload->teardown)
        workload->teardown(run);
    result->model[MODEL_STAT_STALE] = run->stale; /* of all regions: none may have any */
    int arena_error = inspect_arena(run, result, why);
    return error ? error : arena_error ? arena_error : inspect_model(result, why);
}

int bench_measure(const struct workload *workload, struct bench_variant variant, unsigned nharts,
    const struct bench_plan *plan, struct bench_result *result, struct writer *why)
{
    static struct bench_run run; /* one at a time; too large for a stack */
    char text[100];
    struct buffer_writer lost;
    memset(result, 0, sizeof(*result));
    memset(&run, 0, sizeof(run));
    run.workload = workload;
    run.variant = variant;
    run.nharts = nharts;
    run.seed = plan->seed;
    run.harts = bench_harts;
    kernel_spaces_drain();
    int error = memory_move();
    if (error) {
        writer_format(why, "memory: %s", error_text(error));
        return error;
    }
    error = measure(&run, plan, result, why);
    if (variant.vm)
        vm_end();
    buffer_writer_init(&lost, text, sizeof(text));
    int memory_error = memory_return(&lost.writer);
    if (memory_error)
        writer_format(why, "%s%s", error ? ", and " : "", text);
    return error ? error : memory_error;
}
