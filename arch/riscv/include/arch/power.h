/*
 * The end of a run as its caller sees it: QEMU's exit status. SBI's system reset carries a reason, but OpenSBI's
 * driver for QEMU's machine drops it, so a failure is first told to the machine's test finisher itself.
 */
#ifndef ARCH_POWER_H
#define ARCH_POWER_H

#include "arch/addr.h"

/** power_init - where the test finisher's register is; its first 1 GiB of physical addresses only. */
void power_init(paddr_t exit_device);

/** power_off - end the run: QEMU exits with 0, or with 1 if it failed and there is a finisher. Any hart. */
void power_off(bool failed) NORETURN;

#endif
