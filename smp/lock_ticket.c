/*
 * Ticket lock: draw a number, wait until it is served. First come, first served; but all wait on one word,
 * so each handover invalidates every waiter's copy and all of them fetch it again.
 * Source: Reed and Kanodia, "Synchronization with Eventcounts and Sequencers", 1979; Mellor-Crummey and
 * Scott, 1991.
 */
#include "smp/lock.h"
#include "arch/atomic.h"
#include "arch/cpu.h"

/* Acquire, pairs with ticket_release(): whoever sees its number also sees what the last holder wrote.
 * lw; fence r,rw. */
static inline uint32_t serving(struct lock *lock)
{
    return atomic_load_explicit(&lock->ticket.serving, memory_order_acquire);
}

static NOINLINE void ticket_wait(struct lock *lock, uint32_t mine)
{
    uint64_t since = lock_wait_begin();
    do
        cpu_relax();
    while (serving(lock) != mine);
    lock_wait_end(since);
}

static void ticket_acquire(struct lock *lock, struct lock_node *node)
{
    (void)node;
    /* Relaxed: the number orders nothing, serving() does. amoadd.w; wraps at 2^32 without harm. */
    uint32_t mine = atomic_fetch_add_explicit(&lock->ticket.next, 1, memory_order_relaxed);
    if (unlikely(serving(lock) != mine))
        ticket_wait(lock, mine);
}

static bool ticket_try_acquire(struct lock *lock, struct lock_node *node)
{
    (void)node;
    uint32_t mine = serving(lock);
    /* Draws a number only if it is the one being served. Relaxed for the reason above: if it succeeds, nobody
     * has held the lock since the release that serving() saw. lr.w; bne; sc.w; bnez. */
    return atomic_compare_exchange_strong_explicit(
        &lock->ticket.next, &mine, mine + 1, memory_order_relaxed, memory_order_relaxed);
}

static void ticket_release(struct lock *lock, struct lock_node *node)
{
    (void)node;
    /* Only the holder writes it, so it may read it relaxed. Release, pairs with serving().
     * lw; fence rw,w; sw. */
    uint32_t mine = atomic_load_explicit(&lock->ticket.serving, memory_order_relaxed);
    store_release(&lock->ticket.serving, mine + 1);
}

const struct lock_ops lock_ticket = {
    .name = "ticket",
    .acquire = ticket_acquire,
    .try_acquire = ticket_try_acquire,
    .release = ticket_release,
};
