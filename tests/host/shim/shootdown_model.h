/*
 * A machine for TLB shootdown: harts are threads that poll for interrupts, a page table is an array of words, and each hart has
 * a TLB that only its own flushes empty. Each hart uses pages through its TLB and changes those that are its own. A frame that
 * was taken away is written to once the shootdown has returned: ThreadSanitizer sees whoever is not ordered before that, and
 * whoever uses it afterwards finds that it is not the page's.
 */
#ifndef TESTS_HOST_SHIM_SHOOTDOWN_MODEL_H
#define TESTS_HOST_SHIM_SHOOTDOWN_MODEL_H

#include "smp/shootdown.h"

struct shootdown_storm {
    const struct shootdown_ops *ops;
    unsigned harts;
    unsigned rounds; /* of each hart */
};

/** shootdown_storm - run it; returns how often a page was used that was another's by then. */
unsigned shootdown_storm(const struct shootdown_storm *storm);

#endif
