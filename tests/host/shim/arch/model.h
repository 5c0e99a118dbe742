/* The host's stand-in for arch/model.h: no model listens. */
#ifndef ARCH_MODEL_H
#define ARCH_MODEL_H

#include "arch/model_page.h"
#include "lib/base.h"

static inline void model_flushing(const void *shootdown)
{
    (void)shootdown;
}

static inline void model_flushed(const void *shootdown, uint64_t asid, size_t first, size_t end)
{
    (void)shootdown, (void)asid, (void)first, (void)end;
}

#endif
