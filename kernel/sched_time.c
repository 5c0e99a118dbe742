/* Threads that sleep: each hart's own, by rising deadline. See sched.h. */
#include "arch/atomic.h"
#include "arch/clock.h"
#include "arch/sbi.h"
#include "kernel/errno.h"
#include "kernel/sched_private.h"
#include "kernel/syscall.h"

/* Under the queue's lock. */
static void note_deadline(struct sched_hart *queue)
{
    store_relaxed(&queue->next_deadline, queue->sleepers ? queue->sleepers->deadline : UINT64_MAX);
}

void sched_sleep(struct thread *thread)
{
    struct sched_hart *queue = sched_queue();
    struct lock_node node;
    lock_acquire(&queue->lock, &node);
    struct thread **place = &queue->sleepers;
    while (*place && (*place)->deadline <= thread->deadline)
        place = &(*place)->sleep_next;
    thread->sleep_next = *place;
    *place = thread;
    thread->sleep_hart = hart_index();
    thread->asleep = true;
    note_deadline(queue);
    lock_release(&queue->lock, &node);
}

/* Under the queue's lock. */
static void unlink_sleeper(struct sched_hart *queue, struct thread *thread)
{
    struct thread **place = &queue->sleepers;
    while (*place != thread)
        place = &(*place)->sleep_next;
    *place = thread->sleep_next;
    thread->asleep = false;
    note_deadline(queue);
}

void sched_sleep_cancel(struct thread *thread)
{
    struct sched_hart *queue = &sched_queues[thread->sleep_hart];
    struct lock_node node;
    if (!thread->asleep) /* only whoever has the thread changes that, or a waker who loses it to us then */
        return;
    lock_acquire(&queue->lock, &node);
    if (thread->asleep)
        unlink_sleeper(queue, thread);
    lock_release(&queue->lock, &node);
}

/* The first sleeper whose time has come, claimed. One that somebody else wakes leaves the list by their hand: as long as it
 * is in there, it is not gone. */
static struct thread *take_sleeper(struct sched_hart *queue)
{
    struct lock_node node;
    if (likely(atomic_load_explicit(&queue->next_deadline, memory_order_relaxed) == UINT64_MAX) ||
        atomic_load_explicit(&queue->next_deadline, memory_order_relaxed) > time_now())
        return NULL;
    lock_acquire(&queue->lock, &node);
    uint64_t now = time_now();
    struct thread *thread = queue->sleepers;
    while (thread && thread->deadline <= now && !thread_claim(thread))
        thread = thread->sleep_next;
    if (thread && thread->deadline > now)
        thread = NULL;
    if (thread)
        unlink_sleeper(queue, thread);
    lock_release(&queue->lock, &node);
    return thread;
}

void sched_wake_sleepers(void)
{
    struct thread *thread;
    while ((thread = take_sleeper(sched_queue())) != NULL) {
        syscall_answer(thread, thread->futex_bucket ? -ETIMEDOUT : 0);
        thread_wake(thread);
    }
}

void sched_set_timer(uint64_t when)
{
    sbi_set_timer(when);
    csr_set(sie, INTERRUPT_TIMER);
}
