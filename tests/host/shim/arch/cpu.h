/* The host's stand-in for arch/cpu.h. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <sched.h>
#include <stdbool.h>

/** cpu_relax - let another thread run: there may be more of them than processors. */
static inline void cpu_relax(void)
{
    sched_yield();
}

/* A thread is not interrupted: it polls, as a hart whose interrupts are off. */
static inline bool interrupts_enabled(void)
{
    return false;
}

static inline bool interrupts_disable(void)
{
    return false;
}

static inline void interrupts_restore(bool enabled)
{
    (void)enabled;
}

#endif
