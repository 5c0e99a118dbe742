/*
 * The few atomic operations that C11 has but that GCC 12, Debian 12's compiler, makes badly for RISC-V:
 *
 *   - a store becomes an `amoswap`, a relaxed one too, which a hot path and a measured lock would pay for;
 *   - a compare-exchange that asks for release on success and relaxed on failure takes its barriers from the
 *     failure order alone, so the release is lost: a wrong program on any machine weaker than x86.
 *
 * Here they are the sequences of the RISC-V ELF psABI (appendix "Linux Memory Model Mapping", table A.6 of
 * the unprivileged specification), whichever compiler builds. Everything else uses <stdatomic.h>. Objects are
 * pointers to _Atomic types of 4 or 8 bytes; arguments are evaluated once.
 */
#ifndef ARCH_ATOMIC_H
#define ARCH_ATOMIC_H

#include <stdatomic.h>

#include "lib/base.h"

/* The type of an atomic object's value: the comma drops the qualifier. */
#define ATOMIC_VALUE_TYPE(object) __typeof__((void)0, *(object))

/** store_relaxed - a plain store that other harts may read at any time: `sw` or `sd`. Written out because
 *  GCC 12 extends the sign of what it stores to a volatile word. */
#define store_relaxed(object, value)                                                                         \
    do {                                                                                                     \
        _Static_assert(sizeof(*(object)) == 4 || sizeof(*(object)) == 8, "sw or sd");                        \
        if (sizeof(*(object)) == 4)                                                                          \
            ATOMIC_STORE("sw", object, value);                                                               \
        else                                                                                                 \
            ATOMIC_STORE("sd", object, (uint64_t)(value));                                                   \
    } while (0)

/* The value as it is: `sw` does not look at the upper half of the register, and to extend it costs two instructions. */
#define ATOMIC_STORE(instruction, object, value)                                                             \
    __asm__ volatile(instruction " %z1, %0"                                                                  \
                     : "=m"(*(volatile ATOMIC_VALUE_TYPE(object) *)(object))                                 \
                     : "rJ"(value))

/** store_release - everything before it happens before the store is seen: `fence rw,w; sw` or `sd`. */
#define store_release(object, value)                                                                         \
    do {                                                                                                     \
        __asm__ volatile("fence rw, w" ::: "memory");                                                        \
        store_relaxed(object, value);                                                                        \
    } while (0)

/** or_release - set bits of an 8-byte object in release order; returns what it was. `amoor.d.rl`, where GCC 12 puts a
 *  full fence in front of an operation without order. */
#define or_release(object, bits) or_release_doubleword((volatile uint64_t *)(object), (bits))

static ALWAYS_INLINE uint64_t or_release_doubleword(volatile uint64_t *object, uint64_t bits)
{
    uint64_t before;
    __asm__ volatile("amoor.d.rl %0, %2, %1" : "=r"(before), "+A"(*object) : "r"(bits) : "memory");
    return before;
}

/** fence_acquire - what was read before it was read before anything behind it happens: `fence r,rw`. */
#define fence_acquire() __asm__ volatile("fence r, rw" ::: "memory")

/** fence_writes - what was written before it is seen before anything written behind it: `fence w,w`. */
#define fence_writes() __asm__ volatile("fence w, w" ::: "memory")

/**
 * cas_release - if *object is @expected, make it @desired; release order then, none otherwise. 8-byte
 * objects. Returns whether it did. Weak: may fail without reason, so it stands in a loop. `lr.d; bne;
 * sc.d.rl; bnez`.
 */
#define cas_release(object, expected, desired)                                                               \
    ({                                                                                                       \
        _Static_assert(sizeof(*(object)) == 8, "lr.d and sc.d");                                             \
        ATOMIC_VALUE_TYPE(object) cas_expected_ = (expected), cas_desired_ = (desired);                      \
        cas_release_doubleword(                                                                              \
            (volatile uint64_t *)(object), (uint64_t)cas_expected_, (uint64_t)cas_desired_);                 \
    })

static ALWAYS_INLINE bool cas_release_doubleword(
    volatile uint64_t *object, uint64_t expected, uint64_t desired)
{
    __asm__ goto("lr.d    t0, %0\n"
                 "bne     t0, %1, %l[lost]\n"
                 "sc.d.rl t0, %z2, %0\n"
                 "bnez    t0, %l[lost]"
                 :
                 : "A"(*object), "r"(expected), "rJ"(desired)
                 : "t0", "memory"
                 : lost);
    return true;
lost:
    return false;
}

#endif
