/*
 * Threads of programs. A thread is its registers and what it waits for; it has no stack in the kernel. A handler that cannot
 * answer at once therefore does not wait: it leaves a function behind, `park`, which the hart calls when it has put
 * the thread's registers away, as the last thing that it does with the thread: from then on whoever wakes it, on any
 * hart, owns it, writes its result into the registers, and makes it ready.
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include <stdatomic.h>

#include "arch/user.h"
#include "lib/base.h"
#include "smp/hart.h"

struct process;
struct thread;

/*
 * Who has the thread. Wakers find it in a list of those who wait for something, the one who ends its process in the process.
 *
 *   RUNNING   its hart, or the queue in which it is ready
 *   PARKING   its hart, about to make it wait. Wakers stand by: whoever is in a list already needs no lock any more.
 *   KILLED    its hart, which finds that it need not wait
 *   BLOCKED   nobody; who makes RUNNING of it wakes it
 */
enum thread_state { THREAD_RUNNING, THREAD_PARKING, THREAD_KILLED, THREAD_BLOCKED };

/* Makes the thread wait for something. Returns true if there is nothing to wait for any more: it is ready. */
typedef bool thread_park_t(struct thread *thread);

struct thread {
    struct user_context context; /* first: a trap is given this */
    struct process *process;
    thread_park_t *park; /* what its hart does when it has left user mode; NULL: it goes on */
    int tid;

    /* Where it may run; changed by any thread of its process. Where it is queued, runs or ran last. */
    _Atomic uint64_t affinity;
    unsigned hart;
    struct thread *next_ready; /* in that hart's queue */

    _Atomic uint32_t state; /* enum thread_state */

    /* What it waits for; several at once, e.g. a futex and a time. */
    struct thread *futex_next, *futex_prev; /* under the lock of the bucket */
    struct futex_bucket *futex_bucket; /* in which it is; NULL: none */
    uint64_t futex_address;
    uint32_t futex_value; /* that it expects there */
    struct thread *sleep_next; /* under the lock of sleep_hart's queue */
    unsigned sleep_hart;
    bool asleep;
    bool has_deadline;
    uint64_t deadline; /* of time_now() */
    struct thread *waiter_next; /* of its process, for a child; under the family's lock */
    bool is_waiter;

    /* It has paused: thread_resume(). */
    _Atomic uint32_t paused;
    unsigned resumer; /* the hart that waits for that, or HART_NONE */

    struct thread *next, *prev; /* of its process, under the family's lock */
    size_t written; /* of a write() that goes on when the thread runs next */
    uint64_t set_child_tid, clear_child_tid; /* addresses; 0: none */

    bool fp_used;
    unsigned fp_hart; /* whose unit has its registers, unless another thread has used it since */
    struct user_fp fp;
};

/* No hart. */
#define HART_NONE HART_MAX

/** thread_new - a thread of a process, not yet known to it. NULL: no memory, or no number is free: THREADS_MAX live. @error: a
 *  negated errno then */
struct thread *thread_new(struct process *process, long *error);

/** thread_free - of one that never ran, or has ended. */
void thread_free(struct thread *thread);

/** thread_add - make it one of its process's, ready. False, and it is as it was: the process is about to end. */
bool thread_add(struct thread *thread);

/** thread_leave - for handlers: what to do with the thread that runs on this hart when its registers are put away. Returns
 *  SYSCALL_LEAVES. */
long thread_leave(struct thread *thread, thread_park_t *park);

/** thread_parks - for park functions, first: it is about to wait. False: its process ends, it is ready as it is. */
bool thread_parks(struct thread *thread);

/**
 * thread_block - for park functions, last: it waits from now on, and belongs to whoever wakes it. Returns whether it is ready
 * instead, because its process ends.
 */
bool thread_block(struct thread *thread);

/** thread_stays - for park functions, between the two: there is nothing to wait for; it is in no list. Returns true. */
bool thread_stays(struct thread *thread);

/** thread_claim - become the one who wakes it, found in a list whose lock is held. False: somebody else has it. */
bool thread_claim(struct thread *thread);

/** thread_kill - the same without a list, for one whose process ends; one that is about to wait is told not to. */
bool thread_kill(struct thread *thread);

/** thread_wake - claimed, make it ready; it leaves what lists it still is in. thread_wake_all - all of a list by next_ready. */
void thread_wake(struct thread *thread);
void thread_wake_all(struct thread *first);

/** thread_end - the end of one that runs no more, on the hart that ran it last, its space entered. A park function. */
bool thread_end(struct thread *thread);

/*
 * For benchmarks and tests: a program asks for work by the system call SYSCALL_PAUSE, which returns when somebody resumes
 * the thread, with a word of theirs. The family comes to rest when all its threads have paused or ended: family_run().
 */

/** process_paused_thread - the thread of a process that paused on a hart; NULL if there is none, or it has ended. */
struct thread *process_paused_thread(struct process *process, unsigned hart);

/**
 * thread_resume - let a thread that has paused on this hart go on, and return when it has paused again.
 *
 * The hart meanwhile runs whatever is ready for it, children that the thread has made too. In a function of smp_call(), on the
 * hart that the thread is pinned to. Returns 0; ERR_STATE when the thread has ended, or was not paused.
 */
int thread_resume(struct thread *thread, uint64_t word);

/** thread_answer_pause - the same for the next family_run() to do. The family is at rest. Returns 0 or ERR_STATE. */
int thread_answer_pause(struct thread *thread, uint64_t word);

/** thread_use_fp - let it use the floating-point unit of this hart, where it runs, from now on. thread_store_fp - put what
 *  it has there into memory. */
void thread_use_fp(struct thread *thread);
void thread_store_fp(struct thread *thread);

/* Threads that can exist at a time: one word of numbers a hart. A fork bomb ends here, or where memory ends. */
#define THREADS_MAX (HART_MAX * 64)

/** id_take - a number for a thread or process, 1 … THREADS_MAX, or 0. id_give - back. */
int id_take(void);
void id_give(int id);

#endif
