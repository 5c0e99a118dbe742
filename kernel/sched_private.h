/* What the files of the scheduler share. */
#ifndef KERNEL_SCHED_PRIVATE_H
#define KERNEL_SCHED_PRIVATE_H

#include "kernel/sched.h"
#include "smp/lock.h"

enum resumed { RESUMED_RUNS, RESUMED_PAUSED, RESUMED_ENDED };

struct sched_hart {
    struct lock lock; /* of the two lists */
    struct thread *first, *last; /* ready */
    struct thread *sleepers; /* by rising deadline */
    _Atomic unsigned nready;
    _Atomic uint64_t next_deadline; /* of the first sleeper; UINT64_MAX: none */

    _Atomic uint32_t idle CACHE_ALIGNED; /* it sleeps, or is about to look a last time */
    struct thread *fp_owner; /* whose registers are in its floating-point unit */
    bool slice_over;
    _Atomic uint32_t resumed; /* enum resumed: what has become of the thread that this hart resumed */
} CACHE_ALIGNED;

extern struct sched_hart sched_queues[HART_MAX];

static inline struct sched_hart *sched_queue(void)
{
    return &sched_queues[hart_index()];
}

/** sched_enqueue - queue a thread that nobody else has on a hart. */
void sched_enqueue(struct thread *thread, unsigned hart);

/** sched_loop - run threads on this hart until a family is at rest; NULL: until the thread that this hart has resumed has
 *  paused or ended. */
void sched_loop(const struct family *family);

/** sched_wake_sleepers - wake those of this hart whose time has come. */
void sched_wake_sleepers(void);

/** sched_set_timer - let the timer interrupt this hart. */
void sched_set_timer(uint64_t when);

#endif
