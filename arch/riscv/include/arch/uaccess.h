/*
 * The one way by which the kernel reads and writes a program's memory: sstatus.SUM is set in here and nowhere else. Addresses
 * may be anything: what is not in the low half is refused, and a fault is offered to the handler (trap_set_user_fault()),
 * which may mend it; else the access ends with ERR_RANGE.
 *
 * Of the space that the hart is in. Interrupts on; locks that the handler takes must not be held.
 */
#ifndef ARCH_UACCESS_H
#define ARCH_UACCESS_H

#include "lib/base.h"

/** copy_from_user, copy_to_user - 0, or ERR_RANGE; the bytes before the fault may have been copied. */
int copy_from_user(void *to, uint64_t from, size_t bytes);
int copy_to_user(uint64_t to, const void *from, size_t bytes);

/** user_load_word, user_store_word - a word at a multiple of 4, in one access; ERR_RANGE also if it is none. */
int user_load_word(uint64_t from, uint32_t *word);
int user_store_word(uint64_t to, uint32_t word);

/** user_range_valid - whether all of it is in the low half. */
bool user_range_valid(uint64_t address, size_t bytes);

#endif
