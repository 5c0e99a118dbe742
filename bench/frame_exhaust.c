/*
 * frame.exhaust: the last per cent of the arena. All harts together hold all frames but that per cent. Who may have
 * those, and who must give back for them, is settled by permits, one for each of those frames, which wander from hart
 * to hart. A permit allows one hart to take a frame; it then goes to a random hart, which must free one that it has
 * held for long; and on to another random hart, which may take one. So no more frames are asked for than are free, a
 * moment when no permit is for taking finds the arena full to the last frame, and frames are freed by other harts,
 * into their caches, than those that want them: an allocation that finds nothing is a bug, and fails the data point.
 * An operation is one frame out and, by whomever, back.
 *
 * A trial's first half leaves another thirty-second of the arena free, which nobody asks for. Between the halves each
 * hart takes its part of that. The latencies of the second half are `latency_last`, those of the first `latency`.
 *
 * After LLFree's benchmarks at a given filling of memory (Wrenger et al., USENIX ATC 2023); the permits are ours.
 */
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/error.h"

/* Of a hart's quota. */
#define LAST_DIVISOR  100
#define SLACK_DIVISOR 32

/* Frames that move at a time: permits spread quickly, and nobody passes the end of a phase by much. */
#define STEP_FRAMES 16

/* What a hart may come to hold more than its quota: rarely as much, and then it passes permits on. */
#define MORE_FRAMES 512

/* The permits that a hart has, in a word: to take in the lower half, to free in the upper. */
#define PERMITS_TO_FREE_SHIFT 32

enum phase { BEFORE, LAST, PHASES };

static const enum bench_latency latency_of[PHASES] = {BENCH_TAKE, BENCH_MORE};

struct holder {
    _Atomic uint64_t permits CACHE_ALIGNED; /* added to by all, taken from by its owner */

    /* Written by the owner only. Frames as numbers from the arena's base. */
    uint32_t *held CACHE_ALIGNED;
    size_t count;
    size_t
        oldest; /* goes round: a walk that costs next to nothing, through frames that were shuffled at first */
    uint64_t refused; /* allocations that failed though a frame was free */
    uint64_t ops[PHASES], cycles[PHASES]; /* of the last trial that is reported */
};

struct exhaust {
    size_t capacity; /* of a hart */
    size_t last, slack; /* frames of a hart */
    uint32_t *frames;
    struct holder holders[HART_MAX];
};

static void hold(struct bench_hart *hart, struct holder *holder, pfn_t pfn)
{
    if (likely(!pfn_is_none(pfn)))
        holder->held[holder->count++] = (uint32_t)(pfn.value - hart->arena->base.value);
    else
        holder->refused++; /* the permit is lost with it */
}

/* The frame that came last. */
static pfn_t let_go(const struct bench_hart *hart, struct holder *holder)
{
    return pfn_add(hart->arena->base, holder->held[--holder->count]);
}

/* The frame that has been held for longest; the one that came last has its place then. */
static pfn_t exchange(const struct bench_hart *hart, struct holder *holder)
{
    size_t i = holder->oldest < holder->count ? holder->oldest : 0;
    uint32_t frame = holder->held[i];
    holder->held[i] = holder->held[--holder->count];
    holder->oldest = i + 1;
    return pfn_add(hart->arena->base, frame);
}

/* The quotas of all harts add up to the arena. What stays free lies scattered. */
static void fill(void *argument)
{
    struct bench_hart *hart = argument;
    struct exhaust *exhaust = hart->run->state;
    struct holder *holder = &exhaust->holders[hart->index];
    size_t nframes = hart->arena->nframes, n = hart->run->nharts;
    size_t quota = nframes / n + (hart->index < nframes % n);
    for (size_t i = exhaust->last; i < quota; i++)
        hold(hart, holder, frame_alloc(hart->arena, 0, 0));
    rng_shuffle(&hart->rng, holder->held, holder->count);
    for (size_t i = 0; i < exhaust->slack && holder->count > 0; i++)
        frame_free(hart->arena, let_go(hart, holder), 0);
}

static void teardown(struct bench_run *bench)
{
    struct exhaust *exhaust = bench->state;
    for (unsigned i = 0; exhaust->frames && i < bench->nharts; i++) {
        struct holder *holder = &exhaust->holders[i];
        while (holder->count > 0)
            frame_free(&bench->arena, let_go(&bench->harts[i], holder), 0);
    }
    bench_buffer_free(exhaust->frames);
    bench_buffer_free(exhaust);
    bench->state = NULL;
}

static int setup(struct bench_run *bench)
{
    struct exhaust *exhaust = bench_buffer(sizeof(*exhaust));
    if (!exhaust)
        return ERR_NO_MEMORY;
    bench->state = exhaust;
    size_t quota = bench->arena.nframes / bench->nharts;
    exhaust->last = MAX(quota / LAST_DIVISOR, 1ul);
    exhaust->slack = quota / SLACK_DIVISOR;
    exhaust->capacity = quota + 1 + exhaust->slack + MORE_FRAMES;
    exhaust->frames = bench_buffer(bench->nharts * exhaust->capacity * sizeof(uint32_t));
    if (!exhaust->frames) {
        teardown(bench);
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < bench->nharts; i++) {
        exhaust->holders[i].held = &exhaust->frames[i * exhaust->capacity];
        atomic_init(&exhaust->holders[i].permits, exhaust->last);
    }
    bench_each(bench, fill);
    return 0;
}

static void pass_to(struct exhaust *exhaust, const struct bench_run *bench, uint32_t random, uint64_t permits)
{
    struct holder *holder = &exhaust->holders[(uint64_t)random * bench->nharts >> 32];
    /* Release (amoadd.d.rl), pairs with the acquire in step: the frames are free before anyone may ask for them. */
    if (permits)
        atomic_fetch_add_explicit(&holder->permits, permits, memory_order_release);
}

/* In two halves, to random harts. */
static void pass_on(struct bench_hart *hart, uint64_t permits, unsigned shift)
{
    uint64_t random = rng_next(&hart->rng);
    pass_to(hart->run->state, hart->run, (uint32_t)random, permits / 2 << shift);
    pass_to(hart->run->state, hart->run, random >> 32, (permits - permits / 2) << shift);
}

/* Returns how many permits to free come of it. A hart that holds too much passes the permits on as they are. */
static ALWAYS_INLINE uint64_t take(
    struct bench_hart *hart, struct holder *holder, enum phase phase, uint64_t allowed, const bool timed)
{
    const struct exhaust *exhaust = hart->run->state;
    size_t before = holder->count;
    if (unlikely(before + allowed > exhaust->capacity - exhaust->slack)) {
        pass_on(hart, allowed, 0);
        return 0;
    }
    for (uint64_t i = 0; i < allowed; i++)
        hold(hart, holder, bench_alloc_as(hart, latency_of[phase], 0, 0, timed));
    hart->ops += allowed;
    return holder->count - before;
}

/* Returns how many permits to take come of it. A hart that holds too little passes the permits on as they are. */
static ALWAYS_INLINE uint64_t give(
    struct bench_hart *hart, struct holder *holder, uint64_t wanted, const bool timed)
{
    if (unlikely(holder->count < wanted)) {
        pass_on(hart, wanted, PERMITS_TO_FREE_SHIFT);
        return 0;
    }
    for (uint64_t i = 0; i < wanted; i++)
        bench_free(hart, exchange(hart, holder), 0, timed);
    return wanted;
}

/* Uses some of the permits that it has, those to take first, so that the arena is full again and again. Returns
 * whether there were any. */
static ALWAYS_INLINE bool step(struct bench_hart *hart, enum phase phase, const bool timed)
{
    struct exhaust *exhaust = hart->run->state;
    struct holder *holder = &exhaust->holders[hart->index];
    /* Acquire (ld; fence r,rw), pairs with the release in pass_to. Only we take from it. */
    uint64_t permits = atomic_load_explicit(&holder->permits, memory_order_acquire);
    if (permits == 0)
        return false;
    uint64_t to_take = MIN((uint32_t)permits, (uint64_t)STEP_FRAMES);
    uint64_t to_free = to_take ? 0 : MIN(permits >> PERMITS_TO_FREE_SHIFT, (uint64_t)STEP_FRAMES);
    /* Relaxed (amoadd.d): what we take was there. */
    atomic_fetch_sub_explicit(
        &holder->permits, to_take | to_free << PERMITS_TO_FREE_SHIFT, memory_order_relaxed);
    if (to_take)
        pass_on(hart, take(hart, holder, phase, to_take, timed), PERMITS_TO_FREE_SHIFT);
    else
        pass_on(hart, give(hart, holder, to_free, timed), 0);
    return true;
}

/* Between phases, the harts being quiet: all permits are to take again. So a phase begins with its per cent free, and
 * there is something to tell of the slowest. */
static void settle(struct bench_hart *hart, struct holder *holder)
{
    /* Relaxed both (ld, amoadd.d): nobody else uses them, and the meetings order what others have passed on. */
    uint64_t to_free = atomic_load_explicit(&holder->permits, memory_order_relaxed) >> PERMITS_TO_FREE_SHIFT;
    to_free = MIN(to_free, holder->count);
    for (uint64_t i = 0; i < to_free; i++)
        bench_free(hart, exchange(hart, holder), 0, false);
    atomic_fetch_add_explicit(
        &holder->permits, to_free - (to_free << PERMITS_TO_FREE_SHIFT), memory_order_relaxed);
}

/* Steps until then. */
static ALWAYS_INLINE void spend_phase(
    struct bench_hart *hart, enum phase phase, uint64_t rounds, uint64_t until, const bool timed)
{
    struct holder *holder = &((struct exhaust *)hart->run->state)->holders[hart->index];
    uint64_t since = clock_now(), ops = hart->ops;
    do {
        for (uint64_t i = 0; i < rounds; i++) {
            if (!step(hart, phase, timed))
                cpu_relax();
        }
    } while (clock_now() < until);
    if (hart->reported) {
        holder->ops[phase] = hart->ops - ops;
        holder->cycles[phase] = clock_now() - since;
    }
}

/* A whole trial. All harts are at the last per cent before any counts it as such, and until none does; it has its
 * half of the time however long it took to come there. */
static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct exhaust *exhaust = hart->run->state;
    struct holder *holder = &exhaust->holders[hart->index];
    uint64_t half = (hart->deadline - hart->start) / 2;
    spend_phase(hart, BEFORE, rounds, hart->start + half, timed);
    bench_meet(hart);
    settle(hart, holder);
    for (size_t i = 0; i < exhaust->slack; i++)
        hold(hart, holder, bench_alloc(hart, 0, 0, false));
    spend_phase(hart, LAST, rounds, bench_meet(hart) + half, timed);
    bench_meet(hart);
    settle(hart, holder);
    for (size_t i = 0; i < exhaust->slack && holder->count > 0; i++)
        bench_free(hart, let_go(hart, holder), 0, false);
    hart->ops += exhaust->slack;
}

BENCH_LOOP(run, loop)

static void conclude(struct bench_run *bench)
{
    const struct exhaust *exhaust = bench->state;
    uint64_t ops[PHASES] = {0}, cycles[PHASES] = {0};
    for (unsigned i = 0; i < bench->nharts; i++) {
        for (enum phase phase = BEFORE; phase < PHASES; phase++) {
            ops[phase] += exhaust->holders[i].ops[phase];
            cycles[phase] += exhaust->holders[i].cycles[phase];
        }
    }
    bench_figure(bench, "last_frames", exhaust->last * bench->nharts, 1);
    bench_figure(bench, "slack_frames", exhaust->slack * bench->nharts, 1);
    bench_figure(bench, "cycles_per_op_before", cycles[BEFORE], ops[BEFORE]);
    bench_figure(bench, "cycles_per_op_last", cycles[LAST], ops[LAST]);
}

static int check(struct bench_run *bench, struct writer *why)
{
    const struct exhaust *exhaust = bench->state;
    uint64_t refused = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        refused += exhaust->holders[i].refused;
    if (refused == 0)
        return 0;
    writer_format(why, "%lu allocations found nothing though a frame was free; ", refused);
    return ERR_CORRUPT;
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    const struct exhaust *exhaust = bench->state;
    parts_add_array(parts, "permits of hart", &exhaust->holders[0].permits,
        sizeof(exhaust->holders[0].permits), bench->nharts, sizeof(struct holder));
}

const struct workload workload_frame_exhaust = {
    .name = "frame.exhaust",
    .measures = "the last per cent of the arena, freed here and wanted there",
    .axis = BENCH_FRAME,
    .rounds = 16,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .conclude = conclude,
    .check = check,
    .latency_more = "latency_last",
    .describe = describe,
};
