/*
 * A sense-reversing barrier over a fixed number of harts (Mellor-Crummey and Scott, TOCS 1991): one counter
 * to arrive at and one flag to wait on, on lines of their own, usable again at once.
 */
#ifndef SMP_BARRIER_H
#define SMP_BARRIER_H

#include <stdatomic.h>

#include "lib/base.h"

struct barrier {
    unsigned members;
    _Atomic unsigned missing CACHE_ALIGNED; /* members still to arrive in this round */
    _Atomic unsigned round CACHE_ALIGNED; /* the flag: changes when the last one has arrived */
} CACHE_ALIGNED;

/** barrier_init - for @members > 0 harts; none may be waiting. */
void barrier_init(struct barrier *barrier, unsigned members);

/**
 * barrier_wait - return when all members have called it. What each did before is visible to all after.
 * Returns true on exactly one of them, the last to arrive. Interrupts should be on: the wait is unbounded.
 */
bool barrier_wait(struct barrier *barrier);

#endif
