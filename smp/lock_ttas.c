/*
 * Test-and-test-and-set with bounded exponential backoff: waiters read their own cached copy until the lock
 * looks free and stay away for longer each time that they lose the race for it. Not fair.
 * Source: Anderson, "The Performance of Spin Lock Alternatives for Shared-Memory Multiprocessors", 1990.
 */
#include "smp/lock.h"
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/hart.h"

/* The first wait, in turns of the wait loop: about one handover of the line, so that the winner is inside
 * before the loser looks again. The last is the first for each of HART_MAX harts in a row: all that can
 * wait then spread over the time in which each of them could be served once. */
#define BACKOFF_TURNS_MIN 4
#define BACKOFF_TURNS_MAX (BACKOFF_TURNS_MIN * HART_MAX)

/* Acquire, pairs with ttas_release(). amoswap.w.aq. */
static inline bool take(struct lock *lock)
{
    return atomic_exchange_explicit(&lock->held, 1, memory_order_acquire) == 0;
}

/* Relaxed: only a hint whether to try; take() orders. lw. */
static inline bool looks_held(struct lock *lock)
{
    return atomic_load_explicit(&lock->held, memory_order_relaxed) != 0;
}

static NOINLINE void ttas_wait(struct lock *lock)
{
    uint64_t since = lock_wait_begin();
    unsigned turns = BACKOFF_TURNS_MIN;
    for (;;) {
        while (looks_held(lock))
            cpu_relax();
        if (take(lock)) {
            lock_wait_end(since);
            return;
        }
        /* The index parts harts that lost together, which equal waits would bring back together. */
        unsigned wait = turns + hart_index() % turns;
        while (wait--)
            cpu_relax();
        turns = MIN(2 * turns, BACKOFF_TURNS_MAX);
    }
}

static void ttas_acquire(struct lock *lock, struct lock_node *node)
{
    (void)node;
    if (unlikely(!take(lock)))
        ttas_wait(lock);
}

static bool ttas_try_acquire(struct lock *lock, struct lock_node *node)
{
    (void)node;
    return !looks_held(lock) && take(lock);
}

static void ttas_release(struct lock *lock, struct lock_node *node)
{
    (void)node;
    /* Release, pairs with take(). fence rw,w; sw. */
    store_release(&lock->held, 0);
}

const struct lock_ops lock_ttas = {
    .name = "ttas",
    .acquire = ttas_acquire,
    .try_acquire = ttas_try_acquire,
    .release = ttas_release,
};
