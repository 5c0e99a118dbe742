/*
 * MCS queue lock: waiters form a list and each spins on a word of its own, so a handover moves one line to
 * one hart, however many wait. First come, first served.
 * Source: Mellor-Crummey and Scott, "Algorithms for Scalable Synchronization on Shared-Memory
 * Multiprocessors", ACM TOCS 1991.
 */
#include "smp/lock.h"
#include "arch/atomic.h"
#include "arch/cpu.h"

static NOINLINE void mcs_wait(struct lock_node *node, struct lock_node *previous)
{
    uint64_t since = lock_wait_begin();
    /* Relaxed: the store below publishes it. sw. */
    store_relaxed(&node->waiting, 1);
    /* Release, pairs with mcs_release(): the holder that finds us also finds `waiting` set. fence rw,w;
     * sd. */
    store_release(&previous->next, node);
    /* Acquire, pairs with mcs_release(). lw; fence r,rw. */
    while (atomic_load_explicit(&node->waiting, memory_order_acquire))
        cpu_relax();
    lock_wait_end(since);
}

static void mcs_acquire(struct lock *lock, struct lock_node *node)
{
    /* Relaxed: the exchange below publishes it. sd. */
    store_relaxed(&node->next, NULL);
    /* Acquire pairs with the release of the holder who left the queue empty. Release pairs with the exchange
     * of the successor, who links itself in after `next` was cleared. amoswap.d.aqrl. */
    struct lock_node *previous = atomic_exchange_explicit(&lock->tail, node, memory_order_acq_rel);
    if (unlikely(previous))
        mcs_wait(node, previous);
}

static bool mcs_try_acquire(struct lock *lock, struct lock_node *node)
{
    struct lock_node *empty = NULL;
    store_relaxed(&node->next, NULL);
    /* Both orders as in mcs_acquire(). Written as seq_cst because GCC 12 drops the release of an acq_rel
     * compare-exchange (arch/atomic.h). lr.d.aqrl; bne; sc.d.rl; bnez. */
    return atomic_compare_exchange_strong_explicit(
        &lock->tail, &empty, node, memory_order_seq_cst, memory_order_seq_cst);
}

static void mcs_release(struct lock *lock, struct lock_node *node)
{
    /* Relaxed: a link seen here is read again below. ld. */
    while (!atomic_load_explicit(&node->next, memory_order_relaxed)) {
        /* Nobody is linked in: leave the queue empty, unless somebody has drawn a place and is about to link.
         * Release, pairs with the acquire of the next exchange. lr.d; bne; sc.d.rl; bnez. */
        if (cas_release(&lock->tail, node, NULL))
            return;
        cpu_relax();
    }
    /* Acquire, pairs with the link in mcs_wait(): `waiting` was set before. ld; fence r,rw. */
    struct lock_node *next = atomic_load_explicit(&node->next, memory_order_acquire);
    /* Release, pairs with the wait loop of mcs_wait(). fence rw,w; sw. */
    store_release(&next->waiting, 0);
}

const struct lock_ops lock_mcs = {
    .name = "mcs",
    .acquire = mcs_acquire,
    .try_acquire = mcs_try_acquire,
    .release = mcs_release,
};
