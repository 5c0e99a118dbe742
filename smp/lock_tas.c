/*
 * Test-and-set: the simplest lock and the baseline. Every waiter swaps all the time, and each swap takes the
 * line away from the holder, so its cost grows with the number of waiters; nothing is fair.
 */
#include "smp/lock.h"
#include "arch/atomic.h"
#include "arch/cpu.h"

/* Acquire, pairs with tas_release(): the critical section sees the one before it. amoswap.w.aq. */
static inline bool take(struct lock *lock)
{
    return atomic_exchange_explicit(&lock->held, 1, memory_order_acquire) == 0;
}

static NOINLINE void tas_wait(struct lock *lock)
{
    uint64_t since = lock_wait_begin();
    do
        cpu_relax();
    while (!take(lock));
    lock_wait_end(since);
}

static void tas_acquire(struct lock *lock, struct lock_node *node)
{
    (void)node;
    if (unlikely(!take(lock)))
        tas_wait(lock);
}

static bool tas_try_acquire(struct lock *lock, struct lock_node *node)
{
    (void)node;
    return take(lock);
}

static void tas_release(struct lock *lock, struct lock_node *node)
{
    (void)node;
    /* Release, pairs with take(). fence rw,w; sw. */
    store_release(&lock->held, 0);
}

const struct lock_ops lock_tas = {
    .name = "tas",
    .acquire = tas_acquire,
    .try_acquire = tas_try_acquire,
    .release = tas_release,
};
