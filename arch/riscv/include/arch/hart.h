/*
 * What the machine layer keeps for each hart. `tp` points to it whenever the hart runs in the kernel; smp/
 * embeds it as the first member of its own per-hart area. trap_entry.S knows the offsets.
 */
#ifndef ARCH_HART_H
#define ARCH_HART_H

#include "lib/base.h"
#include "arch/layout.h"

/* A hart's id as SBI and the device tree give it: sparse, any start. Not an index. */
typedef struct {
    uint64_t value;
} hart_id_t;

struct arch_hart {
    uint32_t index; /* dense, 0 … harts − 1, in ascending order of hart id */
    hart_id_t id;
    uint64_t *counters; /* this hart's block of trace/counter.h */
    void *stack_base; /* lowest byte of HART_STACK_BYTES */
};

/* tp is reserved by the kernel's ABI use: never saved across calls, so reading it costs nothing. */
register struct arch_hart *arch_hart_tp __asm__("tp");

static inline struct arch_hart *arch_hart_self(void)
{
    return arch_hart_tp;
}

/** hart_index - the dense index of the hart that runs this; stable as long as the caller does not migrate. */
static inline unsigned hart_index(void)
{
    return arch_hart_tp->index;
}

#endif
