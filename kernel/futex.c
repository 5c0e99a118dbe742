/* See futex.h. */
#include "kernel/futex.h"
#include "arch/atomic.h"
#include "arch/uaccess.h"
#include "kernel/errno.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/syscall.h"
#include "mm/memory.h"

/* A few for each of 64 harts, so that words of different threads seldom meet. */
#define BUCKETS 256

struct futex_bucket {
    struct lock lock;
    struct thread *first, *last; /* who waits, in the order of their coming */
} CACHE_ALIGNED;

static struct futex_bucket buckets[BUCKETS];

void futex_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        lock_init(&buckets[i].lock, kernel_frames.lock_kind, "futex");
}

/* Multiplicative hashing, Knuth, "The Art of Computer Programming", volume 3, 6.4: 2^64 over the golden ratio. */
static struct futex_bucket *bucket_of(const struct space *space, uint64_t address)
{
    uint64_t hash = ((uintptr_t)space ^ address) * 0x9e3779b97f4a7c15ull;
    return &buckets[hash >> 56];
}

/* Under the lock. */
static void link(struct futex_bucket *bucket, struct thread *thread)
{
    thread->futex_next = NULL;
    thread->futex_prev = bucket->last;
    if (bucket->last)
        bucket->last->futex_next = thread;
    else
        bucket->first = thread;
    bucket->last = thread;
    thread->futex_bucket = bucket;
}

static void unlink(struct futex_bucket *bucket, struct thread *thread)
{
    if (thread->futex_next)
        thread->futex_next->futex_prev = thread->futex_prev;
    else
        bucket->last = thread->futex_prev;
    if (thread->futex_prev)
        thread->futex_prev->futex_next = thread->futex_next;
    else
        bucket->first = thread->futex_next;
    thread->futex_bucket = NULL;
}

/*
 * Whoever changes the word and then wakes finds the lock held until this thread is in the list, or has changed the word before
 * it is looked at here. To look at it may take a fault, which waits for nobody who waits for this lock with interrupts off.
 */
bool futex_park(struct thread *thread)
{
    struct futex_bucket *bucket = bucket_of(thread->process->space, thread->futex_address);
    struct lock_node node;
    uint32_t value = 0;
    if (!thread_parks(thread))
        return true;
    lock_acquire(&bucket->lock, &node);
    int error = user_load_word(thread->futex_address, &value);
    bool waits = !error && value == thread->futex_value;
    if (waits)
        link(bucket, thread);
    lock_release(&bucket->lock, &node);
    if (!waits) {
        syscall_answer(thread, error ? -EFAULT : -EAGAIN);
        return thread_stays(thread);
    }
    if (thread->has_deadline)
        sched_sleep(thread);
    return thread_block(thread);
}

unsigned futex_wake(struct thread *waker, uint64_t address, unsigned count)
{
    const struct space *space = waker->process->space;
    struct futex_bucket *bucket = bucket_of(space, address);
    struct thread *woken = NULL, **end = &woken, *next;
    struct lock_node node;
    unsigned n = 0;
    lock_acquire(&bucket->lock, &node);
    for (struct thread *thread = bucket->first; thread && n < count; thread = next) {
        next = thread->futex_next;
        /* One that somebody else wakes leaves the list by their hand. */
        if (thread->futex_address != address || thread->process->space != space || !thread_claim(thread))
            continue;
        unlink(bucket, thread);
        syscall_answer(thread, 0);
        thread->next_ready = NULL;
        *end = thread;
        end = &thread->next_ready;
        n++;
    }
    lock_release(&bucket->lock, &node);
    thread_wake_all(woken);
    return n;
}

void futex_cancel(struct thread *thread)
{
    struct futex_bucket *bucket = thread->futex_bucket; /* only who has the thread changes it */
    struct lock_node node;
    if (!bucket)
        return;
    lock_acquire(&bucket->lock, &node);
    unlink(bucket, thread);
    lock_release(&bucket->lock, &node);
}
