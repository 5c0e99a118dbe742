/*
 * Processes: a space, threads, children. Those that descend from one process are a family, which is run and comes to an end
 * as a whole, and has one lock for who is whose: processes that fork on different harts in families of their own
 * share nothing.
 */
#ifndef KERNEL_PROCESS_H
#define KERNEL_PROCESS_H

#include <stdatomic.h>

#include "kernel/thread.h"
#include "lib/base.h"
#include "mm/vm/space.h"
#include "smp/lock.h"

#define PROCESS_NAME_BYTES 24

struct family {
    struct lock lock; /* of everything below, and in its processes what says so */
    struct process *root; /* the first one; stays until family_destroy() */
    struct process *all; /* for lists of them */
    _Atomic uint32_t nactive; /* threads that have neither paused nor ended */
    _Atomic uint32_t nmessages; /* about processes that were ended */
};

struct process {
    struct family *family;
    struct space *space; /* NULL when the last thread has ended */
    int pid;
    char name[PROCESS_NAME_BYTES];
    _Atomic uint32_t exiting; /* no thread of it enters user mode any more */

    /* Under the family's lock. */
    int status; /* as wait4() tells it; of the first who said */
    bool zombie; /* it has ended, and waits to be asked for */
    struct process *parent, *children, *next_child, *prev_child;
    struct process *next_all, *prev_all;
    struct thread *threads;
    unsigned nthreads;
    struct thread *waiters; /* for children */
};

/* What wait4() tells. */
#define STATUS_EXITED(code)   (((code)&0xff) << 8)
#define STATUS_KILLED(signal) ((signal)&0x7f)

/* Linux's numbers of what a process can die of here. */
enum signal {
    SIGNAL_ILL = 4,
    SIGNAL_TRAP = 5,
    SIGNAL_BUS = 7,
    SIGNAL_KILL = 9,
    SIGNAL_SEGV = 11,
    SIGNAL_CHLD = 17
};

/** family_create - a family of one process without a thread. NULL: no memory, or no number. */
struct family *family_create(const char *name);

/** family_destroy - its processes have ended; the root too, unless it never had a thread. */
void family_destroy(struct family *family);

/** process_fork - a child of a process, over a copy of its space. @error: a negated errno when NULL is returned. */
struct process *process_fork(struct process *parent, long *error);

/** process_drop - a child that never had a thread. */
void process_drop(struct process *process);

/** process_exit - let a process end with a status, unless it does already: no thread of it enters user mode again, and all
 *  that wait are woken for it. Any hart. @self: the caller's thread, or NULL */
void process_exit(struct process *process, struct thread *self, int status);

/** process_ended - its last thread has. */
void process_ended(struct process *process);

/**
 * process_take_child - for wait4(): a child that has ended, which the caller forgets by process_free().
 * @pid: its number; -1: any
 *
 * Returns NULL if there is none, and in *any whether there is such a child at all.
 */
struct process *process_take_child(struct process *process, int pid, bool *any);

void process_free(struct process *process);

/** process_wait_park - a park function: wait until some child ends, then do the system call again. */
bool process_wait_park(struct thread *thread);

/** process_waiter_remove - it does not wait for children any more. Under the family's lock. */
void process_waiter_remove(struct process *process, struct thread *thread);

/** family_rests - one of its threads has paused or ended. */
void family_rests(struct family *family);

/** family_kill - let all its processes end; they do so in the next family_run(). No hart runs it. */
void family_kill(struct family *family);

#endif
