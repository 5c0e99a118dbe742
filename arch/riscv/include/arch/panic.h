/*
 * The end of a run that went wrong: the message, registers and a symbolised backtrace on the console, the
 * other harts stopped, and a failing exit status of the machine.
 */
#ifndef ARCH_PANIC_H
#define ARCH_PANIC_H

#include "lib/base.h"

/** panic - print the message and the caller's backtrace, then power off with failure. */
void panic(const char *format, ...) PRINTF_LIKE(1, 2) NORETURN;

/** panic_set_stop - how to stop the other harts, and wait for it with a bound; set once smp is up. Called with
 *  interrupts off. */
void panic_set_stop(void (*stop_others)(void));

/*
 * Three tiers of assertion. ASSERT is always compiled; DEBUG_ASSERT in check builds; EXPENSIVE_ASSERT, whose
 * condition may walk a whole structure, in check builds too, where the code is off the hot path.
 */
#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (unlikely(!(condition)))                                                                          \
            panic("assertion failed: %s, at %s:%d", #condition, __FILE__, __LINE__);                         \
    } while (0)

#if defined(HARTSCALE_CHECK) && HARTSCALE_CHECK
#define DEBUG_ASSERT(condition) ASSERT(condition)
#else
#define DEBUG_ASSERT(condition) ((void)sizeof(condition))
#endif
#define EXPENSIVE_ASSERT(condition) DEBUG_ASSERT(condition)

#endif
