/* The host's stand-in for arch/hart.h: a hart is a thread, and `tp` a thread-local variable. */
#ifndef ARCH_HART_H
#define ARCH_HART_H

#include "lib/base.h"
#include "arch/layout.h"

typedef struct {
    uint64_t value;
} hart_id_t;

struct arch_hart {
    uint32_t index;
    hart_id_t id;
    uint64_t *counters;
};

extern _Thread_local struct arch_hart *host_hart;

static inline struct arch_hart *arch_hart_self(void)
{
    return host_hart;
}

static inline unsigned hart_index(void)
{
    return host_hart->index;
}

#endif
