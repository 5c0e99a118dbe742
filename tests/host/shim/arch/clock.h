/* In the machine's place: a clock for what counts its waiting. */
#ifndef SHIM_ARCH_CLOCK_H
#define SHIM_ARCH_CLOCK_H

#include <time.h>

#include "lib/base.h"

/** clock_now - monotonic nanoseconds. */
static inline uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
