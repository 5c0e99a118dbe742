/* The host's stand-in for arch/atomic.h: the C11 operations that it stands for, which the sanitizers know. */
#ifndef ARCH_ATOMIC_H
#define ARCH_ATOMIC_H

#include <stdatomic.h>

#include "lib/base.h"

/* The type of an atomic object's value: the comma drops the qualifier. */
#define ATOMIC_VALUE_TYPE(object) __typeof__((void)0, *(object))

#define store_relaxed(object, value) atomic_store_explicit(object, value, memory_order_relaxed)
#define store_release(object, value) atomic_store_explicit(object, value, memory_order_release)

#define add_release(object, n)    atomic_fetch_add_explicit(object, n, memory_order_release)
#define and_release(object, bits) atomic_fetch_and_explicit(object, bits, memory_order_release)
#define or_release(object, bits)  atomic_fetch_or_explicit(object, bits, memory_order_release)

/* Acquire: no sanitizer knows dependencies. */
#define load_dependent(object) atomic_load_explicit(object, memory_order_acquire)

/* For a host whose loads stay in order; ThreadSanitizer knows no fences, and misses none, as it sees an order only
 * where a value was passed. */
#define fence_acquire() __asm__ volatile("" ::: "memory")

#define fence_writes() __asm__ volatile("" ::: "memory")

/* A swap is a full fence on such a host, whichever its word. */
#define fence_full()                                                                                         \
    do {                                                                                                     \
        _Atomic int fence_word_ = 0;                                                                         \
        (void)atomic_exchange(&fence_word_, 1);                                                              \
    } while (0)

#define cas_relaxed(object, expected, desired)                                                               \
    ATOMIC_CAS(object, expected, desired, memory_order_relaxed, memory_order_relaxed)
#define cas_acquire(object, expected, desired)                                                               \
    ATOMIC_CAS(object, expected, desired, memory_order_acquire, memory_order_relaxed)
#define cas_release(object, expected, desired)                                                               \
    ATOMIC_CAS(object, expected, desired, memory_order_release, memory_order_relaxed)
#define cas_acq_rel(object, expected, desired)                                                               \
    ATOMIC_CAS(object, expected, desired, memory_order_acq_rel, memory_order_relaxed)

#define ATOMIC_CAS(object, expected, desired, success, failure)                                              \
    ({                                                                                                       \
        ATOMIC_VALUE_TYPE(object) cas_expected_ = (expected);                                                \
        atomic_compare_exchange_weak_explicit(object, &cas_expected_, desired, success, failure);            \
    })

#endif
