/* Which data points to measure: the selections by name, and the walk over every combination. */
#ifndef BENCH_POINTS_H
#define BENCH_POINTS_H

#include "bench/bench.h"

/* As the keys `frame`, `heap`, `lock`, `harts` and `seed` have it, and `bench` or the monitor's command. */
struct bench_selection {
    const char *bench; /* comma lists of names and globs */
    const char *frame;
    const char *heap;
    const char *lock; /* or LOCK_DEFAULT */
    uint64_t harts[HART_MAX]; /* ascending; none: default */
    size_t nharts;
    uint64_t seed;
    unsigned shard, shards; /* of the chosen points only one part in so many is measured here */
    uint64_t
        from; /* of those, from this number on; who says so boots again for what is left (main.c). 0: all */
};

/* Locks when none are named: all kinds where locks are the subject, and elsewhere one that does not collapse when
 * the host has fewer cores than there are harts. */
#define LOCK_DEFAULT       "default"
#define LOCK_UNDER_SUBJECT "ttas"

/* Where heaps under test have their pages from. */
#define HEAP_FRAMES "hartcache"

/** bench_selection - what was chosen; the one instance. */
struct bench_selection *bench_selection(void);

/**
 * selection_set_bench - choose workloads.
 * @names: comma list of names and globs; must stay
 * @why: on error gets the valid names
 *
 * Returns 0 or what select_check() returned.
 */
int selection_set_bench(const char *names, struct writer *why);

/** selection_check_available - prove that what the chosen workloads work on is not damaged; and there, where they are named and
 *  no glob has chosen them, or nothing else is left to measure. 0, or an error with the reason in @why. */
int selection_check_available(struct writer *why);

/** selection_has_frame, selection_has_heap, selection_has_lock - whether a variant was chosen. @axis: what the lock is under. */
bool selection_has_frame(const struct frame_allocator_ops *frame);
bool selection_has_heap(const struct heap_ops *heap);
bool selection_has_lock(const struct lock_ops *lock, enum bench_axis axis);

/** selection_is_all_frames, selection_is_all_heaps - whether nobody chose. */
bool selection_is_all_frames(void);
bool selection_is_all_heaps(void);

struct bench_point {
    const struct workload *workload;
    struct bench_variant variant;
    unsigned nharts;
    unsigned number; /* from 1 */
};

/**
 * points_for_each - call visit for every data point of this shard, workload by workload, variant by variant, harts
 * ascending. A point's number does not depend on the shard.
 * @visit: may be NULL, to count
 *
 * Returns how many points this shard has.
 */
unsigned points_for_each(void (*visit)(const struct bench_point *point, void *argument), void *argument);

/** points_total - how many points were chosen, in all shards together. */
unsigned points_total(void);

#endif
