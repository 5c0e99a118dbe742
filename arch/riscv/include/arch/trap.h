/* Traps into S-mode: the saved registers, and who handles what. */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "lib/base.h"

/* Saved by trap_entry.S in this order. x[0] holds the pc, whose slot x0 does not need. */
struct trap_frame {
    uint64_t x[32];
    uint64_t sstatus;
    uint64_t scause;
    uint64_t stval;
    uint64_t unused; /* keeps the stack 16-byte aligned */
};

#define TRAP_FRAME_PC 0
#define TRAP_FRAME_RA 1
#define TRAP_FRAME_X2 2 /* sp */
#define TRAP_FRAME_FP 8

/** trap_set_ipi - what runs when a software interrupt arrives, with interrupts off. */
void trap_set_ipi(void (*handler)(void));

/** trap_expect_fault - for tests: the next exception on this hart skips the faulting instruction
 *  instead of panicking; where that cannot be fetched, it returns from the function that it would be the first of.
 *  trap_expected - its scause, or 0 if none came; clears it. */
void trap_expect_fault(void);
uint64_t trap_expected(void);

#endif
