/*
 * The few macros and standard headers that every file may rely on. Freestanding: nothing here
 * needs a C library, so the same header serves the kernel and the host builds of lib/, smp/ and mm/.
 * <limits.h> is not among the headers, because the cross compiler's wants a C library's behind it.
 */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The coherence granule of every RISC-V part that the project models; what one hart writes and
 * another polls is padded to it. */
#define CACHE_LINE_BYTES 64

#define ARRAY_SIZE(array)   (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)           ((a) < (b) ? (a) : (b))
#define MAX(a, b)           ((a) > (b) ? (a) : (b))
#define CLAMP(x, low, high) MIN(MAX(x, low), high)

/* n and granule are unsigned; granule is a power of two for the ALIGN pair. */
#define DIV_CEIL(n, d)      (((n) + (d)-1) / (d))
#define ALIGN_DOWN(n, unit) ((n) & ~((unit)-1))
#define ALIGN_UP(n, unit)   ALIGN_DOWN((n) + ((unit)-1), unit)
#define IS_ALIGNED(n, unit) (((n) & ((unit)-1)) == 0)
#define IS_POWER_OF_TWO(n)  ((n) != 0 && ((n) & ((n)-1)) == 0)

#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ALIGNED(bytes)           __attribute__((aligned(bytes)))
#define CACHE_ALIGNED            ALIGNED(CACHE_LINE_BYTES)
#define NORETURN                 __attribute__((noreturn))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define ALWAYS_INLINE            inline __attribute__((always_inline))
#define NOINLINE                 __attribute__((noinline))
#define COLD                     __attribute__((cold, noinline))
#define UNUSED                   __attribute__((unused))

/* For fast paths that are leaves and call what is slow last: they get by without the frame that
 * -fno-omit-frame-pointer would cost each, 5 instructions. Backtraces from below skip them. */
#if defined(__has_attribute) && __has_attribute(optimize)
#define LEAF_PATH __attribute__((optimize("omit-frame-pointer", "optimize-sibling-calls")))
#else
#define LEAF_PATH
#endif

/*
 * Link sets: objects that register themselves by being linked in. LINK_SET_ADD(set, object) puts a
 * pointer to a static object into the section of that name; LINK_SET_FOR_EACH(set, type, pp) walks
 * the pointers. linker/kernel.ld lists the sets; on the host GNU ld finds the bounds by itself.
 */
#define LINK_SET_ADD(set, object)                                                                            \
    static __typeof__(&(object)) const link_##set##_##object __attribute__((used, section("hs_" #set))) =    \
        &(object)
#define LINK_SET_DECLARE(set, type)      extern type *const __start_hs_##set[], *const __stop_hs_##set[]
#define LINK_SET_FOR_EACH(set, type, pp) for (type *const *pp = __start_hs_##set; pp < __stop_hs_##set; pp++)

#endif
