/* Bringing up the harts by SBI's hart state management. */
#ifndef SMP_BOOT_H
#define SMP_BOOT_H

#include "arch/hart.h"

/**
 * smp_adopt_boot_hart - give the hart that booted its place and area.
 * @ids: the machine's hart ids, ascending; @count of them
 *
 * Returns 0, or ERR_NOT_FOUND when @self is not among them.
 */
int smp_adopt_boot_hart(const uint64_t *ids, unsigned count, hart_id_t self);

/**
 * smp_start_others - start all the other harts, in order of their index, and wait until each is online. The kernel's own
 * page table is in use, with stacks for all of them.
 *
 * Returns 0, or ERR_TIMEOUT, ERR_UNSUPPORTED with the failing hart named on the console.
 */
int smp_start_others(void);

#endif
