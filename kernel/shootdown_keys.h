/* The keys of interrupts between harts, and of what scheme `ipi` of TLB shootdown leaves out. */
#ifndef KERNEL_SHOOTDOWN_KEYS_H
#define KERNEL_SHOOTDOWN_KEYS_H

#include "lib/machine.h"
#include "lib/writer.h"

/** ipi_settle - use the means that `ipi=` names; boot code, before a hart takes interrupts. Returns 0, or ERR_UNSUPPORTED
 *  with the reason in @why. */
int ipi_settle(const struct machine *machine, struct writer *why);

#endif
