/*
 * The one clock that measurements read. The kernel does not know what drives it beyond this function.
 *
 *   host    rdcycle, which under QEMU counts the host's time stamp counter or nanoseconds; its rate is
 *           measured against the timebase when the clock is chosen
 *   model   virtual time: a QEMU plugin (tools/model/) runs the harts in it, and answers hints
 */
#ifndef ARCH_CLOCK_H
#define ARCH_CLOCK_H

#include "lib/base.h"
#include "arch/csr.h"
#include "arch/model.h"

enum clock_kind { CLOCK_HOST, CLOCK_MODEL };

/** clock_now - the current time in clock cycles; comparable between harts. */
static inline uint64_t clock_now(void)
{
    return model_present ? model_now() : csr_read(cycle);
}

/**
 * clock_init - choose the clock and measure its rate; takes about 20 ms. Boot hart, once.
 * @timebase_hz: rate of the `time` register
 *
 * Returns 0, ERR_UNSUPPORTED where the cycle counter does not run, or what model_hello() returned.
 */
int clock_init(enum clock_kind kind, uint64_t timebase_hz);

enum clock_kind clock_kind(void);

/** clock_name - "host" or "model", as on the command line and in the results. */
const char *clock_name(enum clock_kind kind);

/** clock_unit - what a cycle of it is, for axes: "host cycles" or "cycles". */
const char *clock_unit(enum clock_kind kind);

/** clock_hz - cycles of clock_now() a second. */
uint64_t clock_hz(void);

/** clock_overhead - cycles between two readings that follow each other: to be subtracted from a latency. */
uint64_t clock_overhead(void);

/** time_now, time_hz - wall time: the timebase. Coarse (100 ns on QEMU), for time limits and dates. */
uint64_t time_now(void);
uint64_t time_hz(void);

/** time_sleep - sleep this many timebase ticks, or until an interrupt. Arms the hart's timer: never in a
 *  measured region. Interrupts on or off. */
void time_sleep(uint64_t ticks);

#endif
