/*
 * Interrupts between harts by the machine itself: a hart writes an identity into a page of another's interrupt file, and
 * that one is interrupted, in S-mode, without any firmware. Source: The RISC-V Advanced Interrupt Architecture 1.0, chapter 3.
 */
#ifndef ARCH_IMSIC_H
#define ARCH_IMSIC_H

#include "arch/addr.h"
#include "lib/base.h"

/** imsic_set_page - where a hart's interrupt file of S-mode is; within MMIO_MAP_BYTES, and mapped before imsic_send(). */
void imsic_set_page(unsigned hart, paddr_t page);

/** imsic_init_hart - this hart takes interrupts of the one identity that is used. Its interrupts are off. */
void imsic_init_hart(void);

/** imsic_send - interrupt a hart. Its handler sees what the caller wrote before its last imsic_fence(). */
void imsic_fence(void);
void imsic_send(unsigned hart);

#endif
