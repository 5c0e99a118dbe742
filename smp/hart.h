/*
 * The harts: each one's own area behind `tp`, padded so that no two share a cache line, and masks of them.
 * A hart is named by its dense index (0 … hart_count() − 1, ascending hart id) everywhere above this layer.
 */
#ifndef SMP_HART_H
#define SMP_HART_H

#include <stdatomic.h>

#include "arch/hart.h"
#include "lib/base.h"
#include "lib/bits.h"

/* What another hart can ask of this one by an interrupt: bits of hart.requests. */
enum hart_request {
    HART_REQUEST_STOP = 1 << 0, /* a hart panicked: halt */
    HART_REQUEST_CALL =
        1 << 1, /* a function to run, or to have been run: smp/call.h. The interrupt is all there is to it */
    HART_REQUEST_PING = 1 << 2, /* nothing but to say that it came */
    HART_REQUEST_SCHED = 1 << 4, /* look at what it runs: kernel/sched.h */
    HART_REQUEST_FLUSH = 1 << 3, /* translations to forget: smp/shootdown.h */
    HART_REQUEST_BROADCAST = 1 << 5, /* all translations to forget: shootdown_broadcast.c */
};

/* How many flushes of different places wait for a hart at most; beyond that they become one of everything. */
#define HART_POSTS 7

struct hart {
    struct arch_hart arch; /* first: tp points to it */
    _Atomic bool online; /* written by the hart itself once it takes interrupts */

    /* Written by other harts, so on a line of its own: one transfer takes all of what is asked for there, one brings it. */
    _Atomic uint32_t requests CACHE_ALIGNED;
    _Atomic uint32_t posted; /* flushes asked for so far */
    _Atomic uint64_t posts[HART_POSTS]; /* what is to be flushed, flush_word_t; 0: no post */

    /* Written by this hart and read by those who wait for it. */
    _Atomic uint32_t answered CACHE_ALIGNED; /* of `posted`: those acknowledged */
} CACHE_ALIGNED;

_Static_assert(
    offsetof(struct hart, answered) - offsetof(struct hart, requests) == CACHE_LINE_BYTES, "one line");

_Static_assert(sizeof(struct hart) % CACHE_LINE_BYTES == 0, "the areas of two harts share a line");
_Static_assert(offsetof(struct hart, arch) == 0, "tp points to both");

extern struct hart harts[HART_MAX];

/** hart_count - harts of this machine that run, 1 … HART_MAX; constant after boot. */
unsigned hart_count(void);

/** hart_set_count - boot code only. */
void hart_set_count(unsigned count);

static inline struct hart *hart_self(void)
{
    return (struct hart *)arch_hart_self();
}

/* A set of harts by index. */
typedef struct {
    uint64_t bits;
} hart_mask_t;

_Static_assert(HART_MAX <= 64, "a mask is one word");

static inline hart_mask_t hart_mask_none(void)
{
    return (hart_mask_t){0};
}

static inline hart_mask_t hart_mask_one(unsigned hart)
{
    return (hart_mask_t){1ull << hart};
}

/** hart_mask_first - the harts 0 … count − 1. */
static inline hart_mask_t hart_mask_first(unsigned count)
{
    return (hart_mask_t){bits_mask(0, count)};
}

static inline bool hart_mask_test(hart_mask_t mask, unsigned hart)
{
    return mask.bits >> hart & 1;
}

static inline hart_mask_t hart_mask_without(hart_mask_t mask, unsigned hart)
{
    return (hart_mask_t){mask.bits & ~(1ull << hart)};
}

static inline unsigned hart_mask_count(hart_mask_t mask)
{
    return bits_count(mask.bits);
}

#define HART_MASK_FOR_EACH(hart, mask)                                                                       \
    for (uint64_t left_ = (mask).bits, hart = left_ ? bits_lowest(left_) : 0; left_;                         \
         left_ &= left_ - 1, hart = left_ ? bits_lowest(left_) : 0)

#endif
