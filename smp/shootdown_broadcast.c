/*
 * The scheme `broadcast`, what the others are compared with: under one lock every hart is interrupted, whatever it may have
 * remembered, forgets everything, and counts itself off on one word. The lock is held until all have, so nothing overlaps
 * and one shootdown at a time is under way.
 */
#include "arch/atomic.h"
#include "smp/lock.h"
#include "smp/shootdown_private.h"
#include "trace/inject.h"

static struct lock lock = {.ops = &lock_ttas, .name = "shootdown.broadcast"};

static struct {
    _Atomic uint32_t missing; /* harts that have not flushed */
} CACHE_ALIGNED under_way;

static void dispatch(struct shootdown *ticket, hart_mask_t to, const struct flush *flush)
{
    struct lock_node node;
    bool polls = !interrupts_enabled();
    (void)ticket;
    (void)flush;
    to.bits |= hart_mask_without(shootdown_everybody(), hart_index()).bits;
    while (!lock_try_acquire(&lock, &node)) /* its holder may wait for this hart */
        shootdown_relax(polls);
    /* Relaxed: ipi_send's release publishes it, as it does the page table. */
    store_relaxed(&under_way.missing, hart_mask_count(to));
    ipi_send(to, HART_REQUEST_BROADCAST);
    flush_self(flush_everything_word(false));
    /* Acquire (lw; fence r,rw), pairs with the subtraction below. */
    while (atomic_load_explicit(&under_way.missing, memory_order_acquire) != 0)
        shootdown_relax(polls);
    lock_release(&lock, &node);
}

static void wait(struct shootdown *ticket)
{
    (void)ticket;
}

void shootdown_serve_broadcast(void)
{
    if (!plant_due(PLANT_BROADCAST_NOFLUSH))
        flush_self(flush_everything_word(false));
    /* Release (amoadd.w.rl): what this hart did by old translations is done. */
    atomic_fetch_sub_explicit(&under_way.missing, 1, memory_order_release);
}

const struct shootdown_ops shootdown_broadcast = {.name = "broadcast", .dispatch = dispatch, .wait = wait};
