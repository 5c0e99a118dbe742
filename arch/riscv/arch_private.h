/* What the files of arch/riscv share among themselves. */
#ifndef ARCH_RISCV_PRIVATE_H
#define ARCH_RISCV_PRIVATE_H

#include "arch/hart.h"
#include "arch/trap.h"

extern struct arch_hart arch_boot_hart;

/** trap_handle - from trap_entry.S, interrupts off. */
void trap_handle(struct trap_frame *frame);

/** panic_trap - the end of a run by an exception that nobody expects: registers and backtrace. */
void panic_trap(const struct trap_frame *frame) NORETURN;

/** panic_stack - the same for a hart whose stack pointer has left its stack; on the emergency stack. */
void panic_stack(const struct trap_frame *frame) NORETURN;

#endif
