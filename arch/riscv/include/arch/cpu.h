/* The processor's small operations: waiting, interrupts on and off. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "lib/base.h"
#include "arch/csr.h"

/** cpu_relax - tell the hart that it spins: Zihintpause's `pause`, a no-op where it is unknown. */
static inline void cpu_relax(void)
{
    __asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory");
}

/** cpu_wait - sleep until an interrupt is pending, whether or not it would be taken. May wake early. */
static inline void cpu_wait(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

/** interrupts_enable, interrupts_disable - this hart's sstatus.SIE; disable returns whether it was set. */
static inline void interrupts_enable(void)
{
    csr_set(sstatus, SSTATUS_SIE);
}

static inline bool interrupts_disable(void)
{
    return csr_read_clear(sstatus, SSTATUS_SIE) & SSTATUS_SIE;
}

static inline bool interrupts_enabled(void)
{
    return csr_read(sstatus) & SSTATUS_SIE;
}

static inline void interrupts_restore(bool enabled)
{
    if (enabled)
        interrupts_enable();
}

#endif
