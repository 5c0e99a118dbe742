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
    uint32_t attention; /* user_enter() is to return: arch/user.h */
    hart_id_t id;
    uint64_t *counters; /* this hart's block of trace/counter.h */
    void *stack_base; /* lowest byte of HART_STACK_BYTES */
    void *emergency_top; /* behind the highest byte of HART_EMERGENCY_BYTES */
    void *user_slot; /* NULL while U-mode runs on the kernel's satp: arch/split.h */
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

/** hart_stack_base, hart_emergency_base - where a hart's stacks are once the kernel's own tables are in use. */
static inline void *hart_stack_base(unsigned index)
{
    return (void *)(HART_SLOTS_BASE + (uintptr_t)index * HART_SLOT_BYTES + HART_STACK_OFFSET);
}

static inline void *hart_emergency_base(unsigned index)
{
    return (void *)(HART_SLOTS_BASE + (uintptr_t)index * HART_SLOT_BYTES + HART_EMERGENCY_OFFSET);
}

/** hart_set_stacks - say where a hart that does not run yet will have its stacks. */
static inline void hart_set_stacks(struct arch_hart *hart)
{
    hart->stack_base = hart_stack_base(hart->index);
    hart->emergency_top = (uint8_t *)hart_emergency_base(hart->index) + HART_EMERGENCY_BYTES;
}

/** hart_move_to_stacks - leave the boot stack for this hart's own, and go on there. What is on the old one is lost. */
void hart_move_to_stacks(void (*next)(void)) NORETURN;

#endif
