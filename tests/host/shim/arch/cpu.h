/* The host's stand-in for arch/cpu.h. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <sched.h>

/** cpu_relax - let another thread run: there may be more of them than processors. */
static inline void cpu_relax(void)
{
    sched_yield();
}

#endif
