/* What the files of the design "hartcache" share: its metadata, and where a frame's state is. */
#ifndef MM_FRAME_HARTCACHE_H
#define MM_FRAME_HARTCACHE_H

#include "mm/frame/bitmap_core.h"
#include "mm/frame/frame.h"
#include "mm/frame/frame_stack.h"

/*
 * A frame's state says whether a block that was given out begins there, and its order. Bit 0 is clear only
 * for a single frame that is in use: setting it frees such a frame and changes no other state, so one atomic
 * `or` frees a frame, tells whether it was right to, and lets exactly one of two that race win.
 */
#define STATE_SINGLE    0u /* a block of order 0 is in use */
#define STATE_NONE      1u /* no block in use begins here */
#define STATE_OF(order) ((order) << 1 | 1u) /* a block of this order, 1 and more, is in use */

/* What belongs to one hart. Others come here only to steal. */
struct hart_cache {
    struct frame_stack singles; /* blocks of order 0 */
    struct frame_stack huge; /* blocks of FRAME_ORDER_HUGE */
    struct {
        uintptr_t state_origin; /* where the state of frame number 0 would lie; the same for all harts */
        uint8_t unused[2 * CACHE_LINE_BYTES - sizeof(uintptr_t)];
    } CACHE_ALIGNED;
};

_Static_assert(sizeof(struct hart_cache) == 2048, "a hart's index becomes an address by a shift");

/* The rest of the metadata, behind one hart_cache for each hart. */
struct hartcache {
    struct lock lock; /* protects core, and every movement of more than one frame */
    struct bitmap_core core;
    uint64_t *seen; /* a bit a frame, for validation */
};

static inline struct hart_cache *hartcache_of(struct frame_allocator *fa, unsigned hart)
{
    return (struct hart_cache *)fa->metadata + hart;
}

static inline struct hartcache *hartcache_shared(struct frame_allocator *fa)
{
    return (struct hartcache *)hartcache_of(fa, fa->nharts);
}

static ALWAYS_INLINE _Atomic uint32_t *hartcache_state(const struct hart_cache *cache, pfn_t frame)
{
    return (_Atomic uint32_t *)(cache->state_origin + frame.value * sizeof(uint32_t));
}

/** hartcache_validate - frame_allocator_ops.validate. */
int hartcache_validate(struct frame_allocator *fa);

/** hartcache_describe - frame_allocator_ops.describe. */
void hartcache_describe(struct frame_allocator *fa, struct parts *parts);

#endif
