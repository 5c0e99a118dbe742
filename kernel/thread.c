/* Threads from their beginning to their end, and who wakes one that waits: see thread.h. */
#include "kernel/thread.h"
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/panic.h"
#include "arch/uaccess.h"
#include "kernel/futex.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/syscall.h"
#include "lib/error.h"
#include "mm/kmalloc.h"
#include "trace/inject.h"

struct thread *thread_new(struct process *process, long *error)
{
    *error = -ENOMEM;
    struct thread *thread = inject_due(INJECT_THREAD) ? NULL : kzalloc(sizeof(*thread));
    if (!thread)
        return NULL;
    thread->tid = process->threads ? id_take() : process->pid; /* the first has the process's */
    if (thread->tid == 0) {
        *error = -EAGAIN;
        kfree(thread);
        return NULL;
    }
    thread->process = process;
    thread->hart = hart_index();
    thread->fp_hart = thread->resumer = HART_NONE;
    store_relaxed(&thread->affinity, sched_harts().bits);
    return thread;
}

/* A process has the number of its first thread, and keeps it for as long as somebody may ask for it. */
void thread_free(struct thread *thread)
{
    if (thread->tid != thread->process->pid)
        id_give(thread->tid);
    kfree(thread);
}

bool thread_add(struct thread *thread)
{
    struct process *process = thread->process;
    struct family *family = process->family;
    struct lock_node node;
    lock_acquire(&family->lock, &node);
    /* Relaxed: it is written under the lock. */
    bool ends = atomic_load_explicit(&process->exiting, memory_order_relaxed) != 0;
    if (!ends) {
        thread->next = process->threads;
        if (thread->next)
            thread->next->prev = thread;
        process->threads = thread;
        process->nthreads++;
        /* Relaxed: only whoever makes 0 of it has something to say. */
        atomic_fetch_add_explicit(&family->nactive, 1, memory_order_relaxed);
    }
    lock_release(&family->lock, &node);
    if (!ends)
        sched_ready(thread);
    return !ends;
}

long thread_leave(struct thread *thread, thread_park_t *park)
{
    thread->park = park;
    hart_attend();
    return SYSCALL_LEAVES;
}

static bool change(struct thread *thread, uint32_t from, uint32_t to)
{
    /* All orders, on failure too (arch/atomic.h): what the one has done with the thread is seen by the other.
     * lr.w.aqrl; bne; sc.w.rl; bnez. */
    return atomic_compare_exchange_strong_explicit(
        &thread->state, &from, to, memory_order_seq_cst, memory_order_seq_cst);
}

/* Whoever ends the process makes `exiting` first and then looks at its threads; this one becomes PARKING and then looks
 * at the process. Both are swaps with all orders (amoswap.w.aqrl), so one of the two sees the other. */
bool thread_parks(struct thread *thread)
{
    atomic_exchange_explicit(&thread->state, THREAD_PARKING, memory_order_seq_cst);
    if (likely(!atomic_load_explicit(&thread->process->exiting, memory_order_seq_cst)))
        return true;
    store_relaxed(
        &thread->state, THREAD_RUNNING); /* it is in no list; who ends the process does not need it */
    return false;
}

bool thread_stays(struct thread *thread)
{
    store_relaxed(&thread->state, THREAD_RUNNING); /* as above */
    return true;
}

bool thread_block(struct thread *thread)
{
    if (likely(change(thread, THREAD_PARKING, THREAD_BLOCKED)))
        return false;
    store_relaxed(&thread->state, THREAD_RUNNING); /* KILLED: nobody else changes that */
    futex_cancel(thread);
    sched_sleep_cancel(thread);
    return true;
}

bool thread_claim(struct thread *thread)
{
    uint32_t state;
    /* Relaxed: change() orders. */
    while ((state = atomic_load_explicit(&thread->state, memory_order_relaxed)) == THREAD_PARKING)
        cpu_relax();
    return state == THREAD_BLOCKED && change(thread, THREAD_BLOCKED, THREAD_RUNNING);
}

bool thread_kill(struct thread *thread)
{
    for (;;) {
        /* Sequentially consistent: see thread_parks(). fence rw,rw; lw; fence r,rw. */
        uint32_t state = atomic_load_explicit(&thread->state, memory_order_seq_cst);
        if (state == THREAD_BLOCKED && change(thread, THREAD_BLOCKED, THREAD_RUNNING))
            return true;
        if (state == THREAD_RUNNING || state == THREAD_KILLED)
            return false;
        if (state == THREAD_PARKING && change(thread, THREAD_PARKING, THREAD_KILLED))
            return false;
    }
}

void thread_wake(struct thread *thread)
{
    futex_cancel(thread);
    sched_sleep_cancel(thread);
    sched_ready(thread);
}

void thread_wake_all(struct thread *first)
{
    for (struct thread *next; first; first = next) {
        next = first->next_ready;
        thread_wake(first);
    }
}

static void forget(struct process *process, struct thread *thread)
{
    if (thread->next)
        thread->next->prev = thread->prev;
    if (thread->prev)
        thread->prev->next = thread->next;
    else
        process->threads = thread->next;
    process_waiter_remove(process, thread);
}

/* Where there is no memory to show the word to this hart, or to copy its page, who joins would wait for ever. So the process ends, as
 * it does when it finds no memory itself. */
static void clear_tid(struct thread *thread, uint64_t word)
{
    if (user_store_word(word, 0) == 0)
        return;
    int error = space_fault(thread->process->space, VADDR(word), PTE_W);
    if (error == ERR_NO_MEMORY)
        process_exit(thread->process, thread, STATUS_KILLED(SIGNAL_KILL));
    else if (!error)
        user_store_word(word, 0); /* there was none a moment ago, or the word is misaligned */
}

/* Linux tells whoever joins a thread by a word of its memory and a futex there, of which it wakes them even if the word cannot be
 * written. */
static void tell_end(struct thread *thread)
{
    if (thread->clear_child_tid == 0)
        return;
    clear_tid(thread, thread->clear_child_tid);
    futex_wake(thread, thread->clear_child_tid, 1);
}

bool thread_end(struct thread *thread)
{
    struct process *process = thread->process;
    struct family *family = process->family;
    struct lock_node node;
    tell_end(thread);
    sched_ended(thread);
    space_leave(); /* before anybody hears of the end: who forks and waits in a loop needs no more and no more */
    lock_acquire(&family->lock, &node);
    forget(process, thread);
    bool last = --process->nthreads == 0;
    thread_free(thread); /* while the process is there */
    lock_release(&family->lock, &node);
    if (last)
        process_ended(process);
    family_rests(family);
    return false;
}
