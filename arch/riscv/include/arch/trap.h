/* Traps into S-mode: the saved registers, and who handles what. */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "arch/csr.h"
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

/* What an access that faulted wanted. */
enum trap_access { TRAP_READ, TRAP_WRITE, TRAP_EXECUTE };

/** trap_access - what a page fault's scause says. */
static inline enum trap_access trap_access(uint64_t cause)
{
    return cause == SCAUSE_STORE_PAGE_FAULT   ? TRAP_WRITE
           : cause == SCAUSE_FETCH_PAGE_FAULT ? TRAP_EXECUTE
                                              : TRAP_READ;
}

/** trap_is_page_fault - whether a scause is one. */
static inline bool trap_is_page_fault(uint64_t cause)
{
    return cause == SCAUSE_FETCH_PAGE_FAULT || cause == SCAUSE_LOAD_PAGE_FAULT ||
           cause == SCAUSE_STORE_PAGE_FAULT;
}

/** trap_address - what the last exception was about: stval. With interrupts off since. */
static inline uint64_t trap_address(void)
{
    return csr_read(stval);
}

/** trap_set_user_fault - who may mend a page fault at a program's address, so that the access succeeds when it is tried again:
 *  0, or an error. Called with interrupts on, in the middle of arch/uaccess.h's functions. */
void trap_set_user_fault(int (*handler)(uint64_t address, enum trap_access access));

/** trap_set_timer - what runs when the hart's timer interrupt arrives, with interrupts off; it sets the timer anew or
 *  clears its bit in sie. */
void trap_set_timer(void (*handler)(void));

/** trap_interrupt - for traps from U-mode: handle an interrupt. Returns whether the cause is one that is known. */
bool trap_interrupt(uint64_t cause);

/** trap_cause_text - an exception in words. */
const char *trap_cause_text(uint64_t cause);

/** trap_set_ipi - what runs when a software interrupt arrives, with interrupts off. */
void trap_set_ipi(void (*handler)(void));

/** trap_expect_fault - for tests: the next exception on this hart skips the faulting instruction
 *  instead of panicking; where that cannot be fetched, it returns from the function that it would be the first of.
 *  trap_expected - its scause, or 0 if none came; clears it. */
void trap_expect_fault(void);
uint64_t trap_expected(void);

#endif
