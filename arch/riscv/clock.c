/* The measurement clock: which counter it is, whether it runs, and at what rate. */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/sbi.h"
#include "lib/error.h"

/* Long enough for 0.01 % at a 10 MHz timebase (100 ns in 20 ms is 0.0005 %), short enough for a boot. */
#define CALIBRATION_MS 20

/* How many readings decide: one interrupted pair must not. */
#define PROBE_READINGS 64

static struct {
    enum clock_kind kind;
    uint64_t hz;
    uint64_t timebase_hz;
    uint64_t overhead;
} clock;

static const char *const names[] = {[CLOCK_HOST] = "host", [CLOCK_MODEL] = "model"};
static const char *const units[] = {[CLOCK_HOST] = "host cycles", [CLOCK_MODEL] = "cycles"};

uint64_t time_now(void)
{
    return csr_read(time);
}

uint64_t time_hz(void)
{
    return clock.timebase_hz;
}

void time_sleep(uint64_t ticks)
{
    /* Never taken, only waited for: taken before the wfi, which may come late on a loaded host, it would be gone
     * and the sleep without an end. */
    bool enabled = interrupts_disable();
    sbi_set_timer(time_now() + ticks);
    csr_set(sie, INTERRUPT_TIMER);
    cpu_wait();
    csr_clear(sie, INTERRUPT_TIMER);
    interrupts_restore(enabled);
}

static uint64_t rate(void)
{
    uint64_t ticks = clock.timebase_hz * CALIBRATION_MS / 1000;
    uint64_t t0 = time_now(), c0 = clock_now(), t1;
    do
        t1 = time_now();
    while (t1 - t0 < ticks);
    return (clock_now() - c0) * clock.timebase_hz / (t1 - t0);
}

static uint64_t least_gap(void)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < PROBE_READINGS; i++) {
        uint64_t first = clock_now();
        least = MIN(least, clock_now() - first);
    }
    return least;
}

int clock_init(enum clock_kind kind, uint64_t timebase_hz)
{
    clock.kind = kind;
    clock.timebase_hz = timebase_hz;
    if (kind == CLOCK_MODEL) {
        int error = model_hello();
        clock.hz = model_page.clock_hz;
        return error;
    }
    clock.hz = rate();
    clock.overhead = least_gap();
    return clock.hz ? 0 : ERR_UNSUPPORTED;
}

enum clock_kind clock_kind(void)
{
    return clock.kind;
}

const char *clock_name(enum clock_kind kind)
{
    return names[kind];
}

const char *clock_unit(enum clock_kind kind)
{
    return units[kind];
}

uint64_t clock_hz(void)
{
    return clock.hz;
}

uint64_t clock_overhead(void)
{
    return clock.overhead;
}
