/* What the files of arch/riscv share among themselves. */
#ifndef ARCH_RISCV_PRIVATE_H
#define ARCH_RISCV_PRIVATE_H

#include "arch/addr.h"
#include "arch/hart.h"
#include "arch/trap.h"

extern struct arch_hart arch_boot_hart;

/** trap_handle - from trap_entry.S, interrupts off. */
void trap_handle(struct trap_frame *frame);

/** uaccess_is_at - whether the instruction is an access to a program's memory. uaccess_fault_pc - where one that cannot be
 *  done goes on. */
bool uaccess_is_at(uint64_t pc);
uint64_t uaccess_fault_pc(void);

/** paging_satp_of - the value of satp for a root and an ASID. */
uint64_t paging_satp_of(pfn_t root, uint16_t asid);

/** paging_root_of - the root that a value of satp names. */
pfn_t paging_root_of(uint64_t satp);

/** imsic_claim - take note of an interrupt of imsic.h, before what it is about is looked at. */
void imsic_claim(void);

/** panic_trap - the end of a run by an exception that nobody expects: registers and backtrace. */
void panic_trap(const struct trap_frame *frame) NORETURN;

/** panic_stack - the same for a hart whose stack pointer has left its stack; on the emergency stack. */
void panic_stack(const struct trap_frame *frame) NORETURN;

#endif
