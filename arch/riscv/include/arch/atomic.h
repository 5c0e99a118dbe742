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

/**
 * add_release, or_release - add to an object of 4 or 8 bytes, set bits of it, in release order; return what it was.
 * and_release - keep bits of one of 8. `amoadd.rl`, `amoor.rl`, `amoand.d.rl`, where GCC 12 puts a full fence in front
 * of an operation without order.
 */
#define add_release(object, n)    ATOMIC_AMO(add_release, object, n)
#define or_release(object, bits)  ATOMIC_AMO(or_release, object, bits)
#define and_release(object, bits) and_release_doubleword((volatile uint64_t *)(object), (bits))

#define ATOMIC_AMO(name, object, operand)                                                                    \
    ({                                                                                                       \
        _Static_assert(sizeof(*(object)) == 4 || sizeof(*(object)) == 8, "amo.w or amo.d");                  \
        (ATOMIC_VALUE_TYPE(object))(sizeof(*(object)) == 4                                                   \
                                        ? name##_word((volatile uint32_t *)(object), (operand))              \
                                        : name##_doubleword((volatile uint64_t *)(object), (operand)));      \
    })

#define ATOMIC_AMO_DEFINE(name, type, instruction)                                                           \
    static ALWAYS_INLINE type name(volatile type *object, type operand)                                      \
    {                                                                                                        \
        type before;                                                                                         \
        __asm__ volatile(instruction " %0, %z2, %1"                                                          \
                         : "=r"(before), "+A"(*object)                                                       \
                         : "rJ"(operand)                                                                     \
                         : "memory");                                                                        \
        return before;                                                                                       \
    }

ATOMIC_AMO_DEFINE(add_release_word, uint32_t, "amoadd.w.rl")
ATOMIC_AMO_DEFINE(add_release_doubleword, uint64_t, "amoadd.d.rl")
ATOMIC_AMO_DEFINE(and_release_doubleword, uint64_t, "amoand.d.rl")
ATOMIC_AMO_DEFINE(or_release_word, uint32_t, "amoor.w.rl")
ATOMIC_AMO_DEFINE(or_release_doubleword, uint64_t, "amoor.d.rl")

/** load_dependent - a load that what it leads to is behind, by the address: `ld` or `lw`, as RVWMO keeps address dependencies
 *  (rule 9 of its preserved program order), where C11's consume becomes a fence. */
#define load_dependent(object) atomic_load_explicit(object, memory_order_relaxed)

/** fence_acquire - what was read before it was read before anything behind it happens: `fence r,rw`. */
#define fence_acquire() __asm__ volatile("fence r, rw" ::: "memory")

/** fence_full - what stands before it is seen before anything behind it happens, reads behind writes, too: `fence rw,rw`. */
#define fence_full() __asm__ volatile("fence rw, rw" ::: "memory")

/** fence_writes - what was written before it is seen before anything written behind it: `fence w,w`. */
#define fence_writes() __asm__ volatile("fence w, w" ::: "memory")

/**
 * cas_relaxed, cas_acquire, cas_release, cas_acq_rel - if *object is @expected, make it @desired; that order
 * then, none otherwise. Return whether they did. Weak: may fail without reason, so they stand in a loop.
 * `lr; bne; sc; bnez`, of words or doublewords, the lr with .aq and the sc with .rl where the order asks for it.
 */
#define cas_relaxed(object, expected, desired) ATOMIC_CAS(relaxed, object, expected, desired)
#define cas_acquire(object, expected, desired) ATOMIC_CAS(acquire, object, expected, desired)
#define cas_release(object, expected, desired) ATOMIC_CAS(release, object, expected, desired)
#define cas_acq_rel(object, expected, desired) ATOMIC_CAS(acq_rel, object, expected, desired)

/* lr.w extends the sign of what it loads, so what it is compared with has it extended, too. */
#define ATOMIC_CAS(order, object, expected, desired)                                                         \
    ({                                                                                                       \
        _Static_assert(sizeof(*(object)) == 4 || sizeof(*(object)) == 8, "lr.w or lr.d");                    \
        ATOMIC_VALUE_TYPE(object) cas_expected_ = (expected), cas_desired_ = (desired);                      \
        sizeof(*(object)) == 4 ? cas_##order##_word((volatile uint32_t *)(object),                           \
                                     (int32_t)(uintptr_t)cas_expected_, (uint32_t)(uintptr_t)cas_desired_)   \
                               : cas_##order##_doubleword((volatile uint64_t *)(object),                     \
                                     (int64_t)(uintptr_t)cas_expected_, (uint64_t)(uintptr_t)cas_desired_);  \
    })

#define ATOMIC_CAS_DEFINE(name, type, lr, sc)                                                                \
    static ALWAYS_INLINE bool name(volatile type *object, int64_t expected, type desired)                    \
    {                                                                                                        \
        __asm__ goto(lr " t0, %0\n"                                                                          \
                        "bne  t0, %1, %l[lost]\n" sc " t0, %z2, %0\n"                                        \
                        "bnez t0, %l[lost]"                                                                  \
                     :                                                                                       \
                     : "A"(*object), "r"(expected), "rJ"(desired)                                            \
                     : "t0", "memory"                                                                        \
                     : lost);                                                                                \
        return true;                                                                                         \
    lost:                                                                                                    \
        return false;                                                                                        \
    }

ATOMIC_CAS_DEFINE(cas_relaxed_word, uint32_t, "lr.w", "sc.w")
ATOMIC_CAS_DEFINE(cas_acquire_word, uint32_t, "lr.w.aq", "sc.w")
ATOMIC_CAS_DEFINE(cas_release_word, uint32_t, "lr.w", "sc.w.rl")
ATOMIC_CAS_DEFINE(cas_acq_rel_word, uint32_t, "lr.w.aq", "sc.w.rl")
ATOMIC_CAS_DEFINE(cas_relaxed_doubleword, uint64_t, "lr.d", "sc.d")
ATOMIC_CAS_DEFINE(cas_acquire_doubleword, uint64_t, "lr.d.aq", "sc.d")
ATOMIC_CAS_DEFINE(cas_release_doubleword, uint64_t, "lr.d", "sc.d.rl")
ATOMIC_CAS_DEFINE(cas_acq_rel_doubleword, uint64_t, "lr.d.aq", "sc.d.rl")

#endif
