/*
 * What a workload sees of the benchmark harness. A workload owns its loop and nothing else: threads, start and
 * stop, clocks, histograms, counters, allocators under test and output are the harness's.
 *
 * To add one: a file with a `struct workload` and a line in workloads.c. docs/adding-a-variant.md.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "arch/clock.h"
#include "lib/base.h"
#include "lib/histogram.h"
#include "lib/json.h"
#include "lib/parts.h"
#include "lib/rng.h"
#include "mm/frame/frame.h"
#include "mm/heap/heap.h"
#include "mm/vm/vm_design.h"
#include "smp/barrier.h"
#include "smp/lock.h"
#include "trace/counter.h"

/* What a workload is about, and so which variants it is measured over. */
enum bench_axis {
    BENCH_FRAME, /* each frame allocator, over each kind of lock that was asked for */
    BENCH_HEAP, /* each heap, over each kind of lock that was asked for. Measured only when named, not by `*` */
    BENCH_LOCK, /* each kind of lock */
    BENCH_MACHINE, /* nothing of ours: what the machine itself costs. Measured only when named, not by `*` */
    BENCH_VM, /* designs of virtual memory, over the choices that the workload is about. Measured only when named, not by `*` */
};

/* What a design of virtual memory is made of. */
enum bench_vm_choice { BENCH_VM_SPLIT, BENCH_VM_ASID, BENCH_VM_PTLOCK, BENCH_VM_SHOOTDOWN, BENCH_VM_CHOICES };

struct bench_variant {
    const struct frame_allocator_ops *frame; /* NULL on other axes */
    const struct lock_ops
        *lock; /* NULL on BENCH_MACHINE and BENCH_VM, and for allocators and heaps without locks */
    const struct heap_ops *heap; /* NULL on other axes */
    const struct vm_design *vm; /* NULL on other axes */
};

/* The distributions of latency that a data point has. */
enum bench_latency {
    BENCH_TAKE, /* an allocation, or taking a lock */
    BENCH_GIVE, /* a free */
    BENCH_MORE, /* what the workload tells apart from those, under workload->latency_more */
    BENCH_LATENCIES
};

/* A finding of the workload's own: value / per. */
struct bench_figure {
    const char *name;
    uint64_t value, per;
};

#define BENCH_FIGURES_MAX 10

struct bench_run;
struct bench_vm;

/* One participating hart's share of a data point, on lines of its own. */
struct bench_hart {
    struct bench_run *run;
    struct frame_allocator *arena; /* the allocator under test; BENCH_FRAME only */
    struct heap *heap; /* the heap under test; BENCH_HEAP only */
    unsigned index; /* 0 … run->nharts − 1 */
    bool timed; /* this trial records latencies */
    bool reported; /* this is what a trial reports: no warm-up, no latencies */
    uint64_t ops; /* the workload counts what it did here, failed allocations too */
    uint64_t total_ops; /* with those of warm-ups, until the run adds them up */
    uint64_t clock_cost; /* of a reading of the clock, in its cycles */
    uint64_t failed; /* allocations that found nothing */
    uint64_t damaged; /* blocks that somebody else wrote to, in all trials: marks.h */
    uint64_t round; /* of a collective workload */
    uint64_t start, deadline; /* clock at which the trial began and ends; the same for all harts */
    uint64_t paused; /* cycles of the span that do not count */
    uint64_t cycles; /* from the common start to this hart's end, pauses taken out */
    uint64_t meetings; /* that this hart has come to */
    struct rng rng;
    struct histogram *latency[BENCH_LATENCIES];
    uint64_t counters[ALIGN_UP(
        COUNTER_COUNT, 16u)]; /* events of the span; an even number of lines, however many they are */

    /* When it came to the last two meetings, for the others to read. Two, because a hart may be at the next one
     * before another has read the times of this one; never at the one after that. */
    uint64_t arrived[2] CACHE_ALIGNED;
    uint8_t stagger
        [CACHE_LINE_BYTES]; /* an odd number of lines, or all harts' times would have the same home bank */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct bench_hart) / CACHE_LINE_BYTES % 2 == 1, "as said above");

struct workload {
    const char *name; /* "frame.churn" */
    const char *measures; /* one line for people */
    enum bench_axis axis;

    /* BENCH_VM: what threads in user mode do, and which choices it is about (bench/vm.h). NULL on other axes. */
    const struct bench_vm *vm;

    /* The largest order it asks for: an allocator that has no such blocks, or does not put freed ones together again,
     * is not measured with it. */
    unsigned order;

    /* Rounds between two looks at the clock: enough that the look costs under a per cent of the work. */
    uint64_t rounds;

    /* What it takes under the model until caches are as they stay, at least; 0: a quarter of a trial is enough. */
    uint64_t warm_up_cycles;

    /* All harts do the same number of rounds, and each round ends with a barrier. */
    bool collective;

    /* Whether what it works on is there: 0, ERR_NOT_FOUND or another error with the reason in @why unless that is NULL. NULL: always. A glob does
     * not choose a workload that has nothing to work on. Boot hart. */
    int (*available)(struct writer *why);

    /* Prepare run->state. 0 or a negative error. NULL: nothing to do. Boot hart. */
    int (*setup)(struct bench_run *run);

    /* The loop: do `rounds` rounds, add to hart->ops. On every participating hart at once. */
    void (*run)(struct bench_hart *hart, uint64_t rounds);

    /* Give everything back that the rounds still hold, and run->state. Boot hart. */
    void (*teardown)(struct bench_run *run);

    /* Prove that the result is right, before teardown. 0, or ERR_CORRUPT with the reason in @why. NULL: nothing
     * beyond the allocator's own validate, which the harness always calls. */
    int (*check)(struct bench_run *run, struct writer *why);

    /* Bytes that it holds of the heap between rounds, as it asked for them; the harts are quiet. NULL: none. */
    size_t (*held_bytes)(const struct bench_run *run);

    /* Say what was found besides, by bench_figure(). After the trials, before check. Boot hart. NULL: nothing. */
    void (*conclude)(struct bench_run *run);

    /* The name in results of the latencies under BENCH_MORE. NULL: it has none. */
    const char *latency_more;

    /* Parameters as members of the open JSON object. NULL: none. */
    void (*parameters)(struct json *json);

    /* Name the parts of run->state, for reports of contended cache lines. NULL: they are offsets in a buffer. */
    void (*describe)(struct bench_run *run, struct parts *parts);
};

/* One data point being measured. */
struct bench_run {
    const struct workload *workload;
    struct bench_variant variant;
    unsigned nharts;
    uint64_t seed;
    uint64_t span, warm_up; /* cycles a trial lasts, and what is before it */
    uint64_t total_ops; /* of all harts in all trials so far */
    uint64_t stale; /* uses of stale translations that the model has seen, the same */
    void *state; /* the workload's */
    struct frame_allocator arena; /* under test, or, with BENCH_HEAP, what the heap has its pages from */
    struct heap heap;
    struct barrier barrier;
    _Atomic uint64_t last_round; /* of a collective workload */
    size_t stranded_max; /* frames; the most that was seen between rounds */
    size_t reserved_max; /* bytes of the heap's pages; the same */
    unsigned nfigures;
    struct bench_figure figures[BENCH_FIGURES_MAX];
    struct bench_hart *harts;
};

/** workload_at - the i-th workload; NULL behind the last. workload_name_at - its name. */
const struct workload *workload_at(size_t i);
const char *workload_name_at(size_t i);

/** bench_buffer - memory for a workload's state, zeroed, up to HEAP_BYTES_MAX; NULL when there is none. On pages of its own,
 *  aligned to its size rounded up to a power of two, whichever heap the kernel runs on: nothing that is measured shares
 *  a line with it. bench_buffer_free - give it back; NULL is fine. */
void *bench_buffer(size_t bytes);
void bench_buffer_free(void *buffer);

/** bench_figure - a finding for the results: value / per as a decimal, or value alone where per is 1; null where
 *  per is 0. At most BENCH_FIGURES_MAX. */
void bench_figure(struct bench_run *run, const char *name, uint64_t value, uint64_t per);

/** bench_each - run a function on the run's harts, one after the other: what they do to the arena is then the same
 *  every time, under every clock. Boot hart, outside of trials. */
void bench_each(struct bench_run *run, void (*function)(void *hart));

/** bench_over - whether the trial's time is up. For loops that wait for another hart. */
static inline bool bench_over(const struct bench_hart *hart)
{
    return clock_now() >= hart->deadline;
}

/**
 * bench_meet - a barrier of all the run's harts that returns when the last of them came, the same for all.
 * Bounds of what is measured are such moments: a hart that the host runs late has then lost time that
 * counts, whereas bounds of its own would let harts that took turns add up to more than the machine can do.
 */
uint64_t bench_meet(struct bench_hart *hart);

/*
 * BENCH_LOOP(run, loop) defines a workload's run function from a loop that takes `const bool timed`, so that the
 * untimed trials carry no trace of the timing.
 */
#define BENCH_LOOP(run, loop)                                                                                \
    static void run(struct bench_hart *hart, uint64_t rounds)                                                \
    {                                                                                                        \
        if (hart->timed)                                                                                     \
            loop(hart, rounds, true);                                                                        \
        else                                                                                                 \
            loop(hart, rounds, false);                                                                       \
    }

/** bench_record - a latency from @since to @until, the clock's own cost taken off. Outside of critical sections. */
void bench_record(struct bench_hart *hart, enum bench_latency kind, uint64_t since, uint64_t until);

/** bench_alloc, bench_free - frame_alloc and frame_free on the allocator under test, timed in timed trials.
 *  A failed allocation is counted; freeing PFN_NONE is nothing. bench_alloc_as: a latency of this kind. */
static ALWAYS_INLINE pfn_t bench_alloc_as(
    struct bench_hart *hart, enum bench_latency kind, unsigned order, unsigned flags, const bool timed)
{
    uint64_t since = timed ? clock_now() : 0;
    pfn_t pfn = frame_alloc(hart->arena, order, flags);
    if (timed)
        bench_record(hart, kind, since, clock_now());
    if (unlikely(pfn_is_none(pfn)))
        hart->failed++;
    return pfn;
}

static ALWAYS_INLINE pfn_t bench_alloc(
    struct bench_hart *hart, unsigned order, unsigned flags, const bool timed)
{
    return bench_alloc_as(hart, BENCH_TAKE, order, flags, timed);
}

static ALWAYS_INLINE void bench_free(struct bench_hart *hart, pfn_t pfn, unsigned order, const bool timed)
{
    if (unlikely(pfn_is_none(pfn)))
        return;
    uint64_t since = timed ? clock_now() : 0;
    frame_free(hart->arena, pfn, order);
    if (timed)
        bench_record(hart, BENCH_GIVE, since, clock_now());
}

/** bench_heap_alloc, bench_heap_free - the same of the heap under test; freeing NULL is nothing.
 *  bench_heap_realloc: NULL is counted as a failure, and the block is as it was. */
static ALWAYS_INLINE void *bench_heap_alloc(struct bench_hart *hart, size_t bytes, const bool timed)
{
    uint64_t since = timed ? clock_now() : 0;
    void *pointer = heap_alloc(hart->heap, bytes);
    if (timed)
        bench_record(hart, BENCH_TAKE, since, clock_now());
    if (unlikely(!pointer))
        hart->failed++;
    return pointer;
}

static ALWAYS_INLINE void *bench_heap_realloc(
    struct bench_hart *hart, void *pointer, size_t bytes, const bool timed)
{
    uint64_t since = timed ? clock_now() : 0;
    void *moved = heap_realloc(hart->heap, pointer, bytes);
    if (timed)
        bench_record(hart, BENCH_TAKE, since, clock_now());
    if (unlikely(!moved))
        hart->failed++;
    return moved;
}

static ALWAYS_INLINE void bench_heap_free(struct bench_hart *hart, void *pointer, const bool timed)
{
    if (unlikely(!pointer))
        return;
    uint64_t since = timed ? clock_now() : 0;
    heap_free(hart->heap, pointer);
    if (timed)
        bench_record(hart, BENCH_GIVE, since, clock_now());
}

#endif
