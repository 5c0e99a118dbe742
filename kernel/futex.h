/*
 * Futexes: threads that wait for a word of their memory to change. Those of one bucket, a hash of space and address, are in
 * one list under one lock. A word is known by its address in its space: no memory is shared between spaces yet.
 * Source: Franke, Russell and Kirkwood, "Fuss, Futexes and Furwocks: Fast Userlevel Locking in Linux", 2002.
 */
#ifndef KERNEL_FUTEX_H
#define KERNEL_FUTEX_H

#include "kernel/thread.h"

/** futex_init - boot hart, once. */
void futex_init(void);

/** futex_park - a park function: wait for thread->futex_address, if it is thread->futex_value. */
bool futex_park(struct thread *thread);

/** futex_wake - wake so many who wait at an address of a thread's space, first come, first served. Returns how many it were. */
unsigned futex_wake(struct thread *thread, uint64_t address, unsigned count);

/** futex_cancel - it does not wait for a word any more. */
void futex_cancel(struct thread *thread);

#endif
