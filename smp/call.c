/*
 * Calls across harts. The caller publishes the function and who is to run it, interrupts those, and sleeps; the last hart to
 * finish wakes it. The interrupt only wakes: the function runs in the idle loop, with interrupts on, and one that comes for
 * nothing or twice does no harm.
 */
#include "smp/call.h"
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "smp/ipi.h"

static struct {
    void (*function)(void *argument);
    void *argument;
    unsigned caller; /* hart to wake at the end */
    _Atomic uint64_t to; /* harts that have yet to begin, but for the caller */
    _Atomic unsigned running; /* harts that have not finished */
    _Atomic uint32_t woken; /* the caller's interrupt has been raised, or is not needed */
} call;

static bool call_waiting(void)
{
    /* Acquire (ld; fence r,rw), pairs with publish(). */
    return atomic_load_explicit(&call.to, memory_order_acquire) >> hart_index() & 1;
}

/* What was written to the rest before is seen by who finds its bit. */
static void publish(hart_mask_t to)
{
    store_release(&call.to, to.bits); /* fence rw,w; sd */
    ipi_send(to, HART_REQUEST_CALL);
}

/* Sleeps until the condition holds. Interrupts are off between the look and the sleep, where wfi still
 * wakes for one that is pending, so no wake-up is lost. */
static void sleep_until(bool (*condition)(void))
{
    interrupts_disable();
    while (!condition()) {
        cpu_wait();
        interrupts_enable();
        interrupts_disable();
    }
    interrupts_enable();
}

static void run_share(void)
{
    unsigned caller = call.caller;
    call.function(call.argument);
    /* Release: what the function wrote is seen by the caller, who acquires in all_finished. */
    bool last = atomic_fetch_sub_explicit(&call.running, 1, memory_order_acq_rel) == 1;
    if (!last)
        return;
    if (caller != hart_index())
        ipi_send(hart_mask_one(caller), HART_REQUEST_CALL);
    /* Release (fence rw,w; sw), pairs with the loop in smp_call: the interrupt is raised. */
    store_release(&call.woken, 1);
}

static bool all_finished(void)
{
    return atomic_load_explicit(&call.running, memory_order_acquire) == 0;
}

void smp_call(hart_mask_t mask, void (*function)(void *argument), void *argument)
{
    unsigned self = hart_index();
    call.function = function;
    call.argument = argument;
    call.caller = self;
    /* Relaxed, both: published together with the rest. */
    atomic_store_explicit(&call.running, hart_mask_count(mask), memory_order_relaxed);
    store_relaxed(&call.woken, 0);
    publish(hart_mask_without(mask, self));
    if (hart_mask_test(mask, self))
        run_share();
    sleep_until(all_finished);
    /* A caller that was awake may see the end before the interrupt that tells of it. It waits for that too, or the
     * interrupt would come in the middle of whatever it does next. */
    while (!atomic_load_explicit(&call.woken, memory_order_acquire))
        cpu_relax();
}

void smp_hand_over(unsigned hart, void (*function)(void *unused))
{
    if (hart == hart_index())
        function(NULL);
    call.function = function;
    publish(hart_mask_one(hart));
    smp_idle();
}

void smp_idle(void)
{
    for (;;) {
        sleep_until(call_waiting);
        /* Relaxed: the bit is this hart's, until it has said that it has finished. amoand.d */
        atomic_fetch_and_explicit(&call.to, ~hart_mask_one(hart_index()).bits, memory_order_relaxed);
        run_share();
    }
}
