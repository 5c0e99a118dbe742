/*
 * A queue of pointers from one hart to another: one producer, one consumer, counters that only grow. What heap workloads
 * hand blocks over with. Neither side waits.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdatomic.h>

#include "arch/atomic.h"
#include "lib/base.h"
#include "lib/parts.h"

/* Room for whatever any workload has under way at once: of heap.larson, all arrays of 64 harts. */
#define RING_SLOTS 128

struct ring {
    _Atomic uint64_t produced CACHE_ALIGNED;
    _Atomic uint64_t consumed CACHE_ALIGNED;
    void *slots[RING_SLOTS] CACHE_ALIGNED;
};

/** ring_has_room - for the producer: whether fewer than that many pointers are under way. @most: up to RING_SLOTS */
static inline bool ring_has_room(const struct ring *ring, uint64_t most)
{
    /* Relaxed: only we write it. Acquire (ld; fence r,rw), pairs with the release in ring_take: it has read the slot. */
    return atomic_load_explicit(&ring->produced, memory_order_relaxed) -
               atomic_load_explicit(&ring->consumed, memory_order_acquire) <
           most;
}

/** ring_put - hand over a pointer, not NULL; there is room. */
static inline void ring_put(struct ring *ring, void *pointer)
{
    uint64_t produced = atomic_load_explicit(&ring->produced, memory_order_relaxed); /* only we write it */
    ring->slots[produced % RING_SLOTS] = pointer;
    /* Release (fence rw,w; sd), pairs with the acquire in ring_take: the slot and what it points to are written. */
    store_release(&ring->produced, produced + 1);
}

/** ring_take - the oldest pointer under way; NULL when there is none. */
static inline void *ring_take(struct ring *ring)
{
    uint64_t consumed = atomic_load_explicit(&ring->consumed, memory_order_relaxed); /* only we write it */
    /* Acquire (ld; fence r,rw), pairs with the release in ring_put. */
    if (atomic_load_explicit(&ring->produced, memory_order_acquire) == consumed)
        return NULL;
    void *pointer = ring->slots[consumed % RING_SLOTS];
    /* Release (fence rw,w; sd), pairs with the acquire in ring_has_room: the slot may be filled again. */
    store_release(&ring->consumed, consumed + 1);
    return pointer;
}

/** ring_look - the i-th oldest pointer under way, NULL behind the last. Both sides are quiet. */
static inline void *ring_look(const struct ring *ring, uint64_t i)
{
    uint64_t place = atomic_load_explicit(&ring->consumed, memory_order_relaxed) + i;
    bool is_there = place < atomic_load_explicit(&ring->produced, memory_order_relaxed);
    return is_there ? ring->slots[place % RING_SLOTS] : NULL;
}

/** rings_describe - name the parts of an array of rings. @stride: from one ring to the next, bytes */
static inline void rings_describe(struct parts *parts, const struct ring *rings, size_t count, size_t stride)
{
    parts_add_array(parts, "produced of ring", &rings->produced, sizeof(rings->produced), count, stride);
    parts_add_array(parts, "consumed of ring", &rings->consumed, sizeof(rings->consumed), count, stride);
    parts_add_array(parts, "slots of ring", rings->slots, sizeof(rings->slots), count, stride);
}

#endif
