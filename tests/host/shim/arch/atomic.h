/* The host's stand-in for arch/atomic.h: the C11 operations that it stands for, which the sanitizers know. */
#ifndef ARCH_ATOMIC_H
#define ARCH_ATOMIC_H

#include <stdatomic.h>

#include "lib/base.h"

#define store_relaxed(object, value) atomic_store_explicit(object, value, memory_order_relaxed)
#define store_release(object, value) atomic_store_explicit(object, value, memory_order_release)

#define or_release(object, bits) atomic_fetch_or_explicit(object, bits, memory_order_release)

/* For a host whose loads stay in order; ThreadSanitizer knows no fences, and misses none, as it sees an order only
 * where a value was passed. */
#define fence_acquire() __asm__ volatile("" ::: "memory")

#define fence_writes() __asm__ volatile("" ::: "memory")

#define cas_release(object, expected, desired)                                                               \
    ({                                                                                                       \
        __typeof__((void)0, *(object)) cas_expected_ = (expected);                                           \
        atomic_compare_exchange_weak_explicit(                                                               \
            object, &cas_expected_, desired, memory_order_release, memory_order_relaxed);                    \
    })

#endif
