/*
 * Harts come up one after the other, in ascending order of hart id, whichever of them booted. Firmware may
 * still be parking a hart when it is asked to start it, so a refusal is looked at and tried again, with a bound.
 */
#include "smp/boot.h"
#include "arch/clock.h"
#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/image.h"
#include "arch/panic.h"
#include "arch/sbi.h"
#include "lib/error.h"
#include "smp/call.h"
#include "smp/hart.h"
#include "smp/ipi.h"
#include "trace/counter.h"

/* A hart needs milliseconds when it has a host core; with 64 harts on two cores, under load, seconds were seen. */
#define START_SECONDS_MAX 60

/* A hart stops when the host runs it next, and while it runs it may write to the console that the panic is about to
 * take over. One that has gone wrong with its interrupts off never stops. */
#define STOP_SECONDS_MAX 1

extern void hart_entry(void); /* entry.S */
extern void hart_main(void); /* called by it */

/* The first thing that a started hart does in C. */
void hart_main(void)
{
    ipi_init();
    interrupts_enable();
    /* Release, pairs with the acquire in await_online: the hart's state is set up. */
    atomic_store_explicit(&hart_self()->online, true, memory_order_release);
    smp_idle();
}

static void stop_others(void)
{
    hart_mask_t others = hart_mask_none();
    for (unsigned i = 0; i < hart_count(); i++) {
        if (i != hart_index() && atomic_load_explicit(&harts[i].online, memory_order_relaxed))
            others.bits |= hart_mask_one(i).bits;
    }
    ipi_send(others, HART_REQUEST_STOP);
    uint64_t since = time_now();
    while (ipi_halted() < hart_mask_count(others) && time_now() - since < STOP_SECONDS_MAX * time_hz())
        cpu_relax();
}

int smp_adopt_boot_hart(const uint64_t *ids, unsigned count, hart_id_t self)
{
    struct hart *own = NULL;
    for (unsigned i = 0; i < count; i++) {
        harts[i].arch.index = i;
        harts[i].arch.id.value = ids[i];
        harts[i].arch.counters = counter_block_of(i)->value;
        if (ids[i] == self.value)
            own = &harts[i];
    }
    if (!own)
        return ERR_NOT_FOUND;
    own->arch.stack_base = arch_hart_self()->stack_base;
    own->arch.emergency_top = arch_hart_self()->emergency_top;
    arch_hart_tp = &own->arch;
    hart_set_count(count);
    ipi_init();
    interrupts_enable();
    atomic_store_explicit(&own->online, true, memory_order_relaxed); /* nobody else runs yet */
    panic_set_stop(stop_others);
    return 0;
}

static bool expired(uint64_t since)
{
    return time_now() - since > START_SECONDS_MAX * time_hz();
}

/* Asks until the firmware accepts. ALREADY_AVAILABLE is its answer while the hart is on its way to the parking
 * loop, and also when somebody else has started it: the state tells which. */
static int request_start(struct hart *hart)
{
    uint64_t since = time_now();
    paddr_t entry = image_to_paddr((const void *)hart_entry);
    for (;;) {
        struct sbi_result status = sbi_hart_status(hart->arch.id);
        if (status.error == SBI_ERR_INVALID_PARAM)
            return ERR_UNSUPPORTED;
        if (status.error == SBI_SUCCESS && status.value == SBI_HART_STOPPED) {
            struct sbi_result start = sbi_hart_start(hart->arch.id, entry, (uint64_t)&hart->arch);
            if (start.error == SBI_SUCCESS)
                return 0;
        }
        if (expired(since))
            return ERR_TIMEOUT;
        cpu_relax();
    }
}

static int await_online(struct hart *hart)
{
    uint64_t since = time_now();
    while (!atomic_load_explicit(&hart->online, memory_order_acquire)) {
        if (expired(since))
            return ERR_TIMEOUT;
        cpu_relax();
    }
    return 0;
}

int smp_start_others(void)
{
    for (unsigned i = 0; i < hart_count(); i++) {
        struct hart *hart = &harts[i];
        if (hart == hart_self())
            continue;
        hart_set_stacks(&hart->arch);
        int error = request_start(hart);
        if (!error)
            error = await_online(hart);
        if (error) {
            console_format("error: hart %u (id %lu) did not come up: %s; the firmware calls its state %ld\n",
                i, hart->arch.id.value, error_text(error), sbi_hart_status(hart->arch.id).value);
            return error;
        }
    }
    return 0;
}
