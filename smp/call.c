/*
 * Calls across harts. The caller publishes the function, interrupts the others, and sleeps; the last hart to
 * finish wakes it. The interrupt only wakes: the function runs in the idle loop, with interrupts on.
 */
#include "smp/call.h"
#include "arch/cpu.h"
#include "smp/ipi.h"

static struct {
    void (*function)(void *argument);
    void *argument;
    unsigned caller; /* hart to wake at the end */
    _Atomic unsigned running; /* harts that have not finished */
} call;

/* Each hart's own: a call has come and waits to be run. Set by its interrupt, so never by another hart. */
static struct {
    _Atomic bool waiting;
} CACHE_ALIGNED inbox[HART_MAX];

void smp_call_arrived(void)
{
    /* Relaxed: handler and loop are on one hart; ipi_poll's acquire made the call's fields visible. */
    atomic_store_explicit(&inbox[hart_index()].waiting, true, memory_order_relaxed);
}

static bool call_waiting(void)
{
    return atomic_load_explicit(&inbox[hart_index()].waiting, memory_order_relaxed);
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
    if (last && caller != hart_index())
        ipi_send(hart_mask_one(caller), HART_REQUEST_CALL);
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
    /* Relaxed: ipi_send's release publishes it together with the rest. */
    atomic_store_explicit(&call.running, hart_mask_count(mask), memory_order_relaxed);
    ipi_send(hart_mask_without(mask, self), HART_REQUEST_CALL);
    if (hart_mask_test(mask, self))
        run_share();
    sleep_until(all_finished);
}

void smp_idle(void)
{
    for (;;) {
        sleep_until(call_waiting);
        atomic_store_explicit(&inbox[hart_index()].waiting, false, memory_order_relaxed);
        run_share();
    }
}
