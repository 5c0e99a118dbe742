/*
 * Which thread a hart runs. Each hart has a queue of its own, first come, first served; a hart without work takes from
 * others' what may run on it, and sleeps when there is nothing. Threads are woken onto a hart that sleeps, if they may
 * run there, else onto the one where they ran last.
 *
 * Harts run threads inside of smp_call()'s functions, so a family begins and ends as a step of whoever
 * tests or measures. Under the host's clock a thread is interrupted when its slice is over; the model has
 * no timer, and threads give way when they wait.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "kernel/process.h"
#include "kernel/thread.h"

/** sched_init - boot hart, once. */
void sched_init(void);

/**
 * sched_use - the harts that threads may run on from now on; all of the machine's at first. No thread exists.
 * sched_harts - which they are.
 */
void sched_use(hart_mask_t usable);
hart_mask_t sched_harts(void);

/**
 * family_run - run a family on all harts of sched_use() until each of its threads has paused or ended. Under the model's clock that is
 * a region: what comes of it depends on nothing that the host does.
 *
 * From the boot hart's thread of control; one at a time. Returns 0, or ERR_STATE when threads have paused.
 */
int family_run(struct family *family);

/** sched_ready - queue a thread that nobody else has. Any hart. */
void sched_ready(struct thread *thread);

/** sched_has_other - whether this hart has something else to run. */
bool sched_has_other(void);

/** sched_sleep - for park functions: let the thread be woken at its deadline, too, with -ETIMEDOUT, or 0 if it waits for the
 *  time alone. Before thread_block(). */
void sched_sleep(struct thread *thread);

/** sched_sleep_cancel - it is not to be woken by time any more. */
void sched_sleep_cancel(struct thread *thread);

/** sched_kick - let all harts that run threads look whether theirs may go on. */
void sched_kick(void);

/** sched_at_rest - the last thread of a family has paused or ended: all harts that wait for it are told. */
void sched_at_rest(const struct family *family);

/** sched_ended - a thread is about to be gone: who resumed it is told. */
void sched_ended(struct thread *thread);

#endif
