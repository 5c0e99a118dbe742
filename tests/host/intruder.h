/*
 * Another hart that gets its turn at a failure point, in one thread: for programs to which the linker sends inject_due()
 * (host.mk), each of which defines __wrap_inject_due() and asks intruder_enters() in it.
 */
#ifndef TESTS_HOST_INTRUDER_H
#define TESTS_HOST_INTRUDER_H

#include "shim/host.h"
#include "trace/inject.h"

bool __wrap_inject_due(enum inject point);

/* It runs at the at-th passing of the point, once; 0 for never. */
static struct {
    enum inject point;
    unsigned at, passed;
    void (*function)(void);
} intruder;

static inline void set_intruder(enum inject point, unsigned at, void (*function)(void))
{
    intruder.point = point;
    intruder.at = at;
    intruder.passed = 0;
    intruder.function = function;
}

/** intruder_enters - lets it run if this is the passing that it waits for; the hart is then as before. */
static inline void intruder_enters(enum inject point)
{
    if (intruder.at == 0 || point != intruder.point || ++intruder.passed != intruder.at)
        return;
    unsigned interrupted = hart_index();
    intruder.at = 0;
    intruder.function();
    host_become_hart(interrupted);
}

#endif
