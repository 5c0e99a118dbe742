/*
 * A barrier whose flag is a round number: it changes when the last member has arrived, and as nobody waits
 * for a certain value of it, only for another one, nothing has to be reset between two uses.
 */
#include "smp/barrier.h"
#include "arch/atomic.h"
#include "arch/cpu.h"

void barrier_init(struct barrier *barrier, unsigned members)
{
    barrier->members = members;
    store_relaxed(&barrier->missing, members);
    store_relaxed(&barrier->round, 0);
}

bool barrier_wait(struct barrier *barrier)
{
    /* Relaxed: it cannot change before this hart has arrived, and the release below keeps it in front. lw. */
    unsigned round = atomic_load_explicit(&barrier->round, memory_order_relaxed);

    /* Release hands what this hart did to the last one, whose acquire takes it from all. amoadd.w.aqrl. */
    if (atomic_fetch_sub_explicit(&barrier->missing, 1, memory_order_acq_rel) == 1) {
        /* Relaxed: nobody touches it before the new round, which the next line publishes. sw. */
        store_relaxed(&barrier->missing, barrier->members);
        /* Release, pairs with the loop below. fence rw,w; sw. */
        store_release(&barrier->round, round + 1);
        return true;
    }
    /* Acquire, pairs with the store above. lw; fence r,rw. */
    while (atomic_load_explicit(&barrier->round, memory_order_acquire) == round)
        cpu_relax();
    return false;
}
