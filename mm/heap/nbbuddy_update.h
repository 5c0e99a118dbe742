/*
 * How the words of nbbuddy.h change. The one source of "nbbuddy" and "nbbuddy_locked" asks for transitions and knows
 * no more. In the one they are compare-and-swaps; in the other, as in the authors' own, a lock is held around an
 * operation and they are stores, so that what the two measure apart is how the harts keep out of each other's way.
 */
#ifndef MM_HEAP_NBBUDDY_UPDATE_H
#define MM_HEAP_NBBUDDY_UPDATE_H

#include <stdatomic.h>

#include "arch/atomic.h"
#include "mm/heap/nbbuddy.h"
#include "trace/counter.h"
#include "trace/inject.h"

/** LOAD - relaxed, since whatever is made of the value is checked by the transition that follows: ld.
 *  LOAD_ACQUIRE - ld; fence r,rw. */
#define LOAD(object)         atomic_load_explicit(object, memory_order_relaxed)
#define LOAD_ACQUIRE(object) atomic_load_explicit(object, memory_order_acquire)

/**
 * SWAP - put a value into the place of the one that was loaded. Returns whether it did; else that one may be gone.
 * @swap: cas_relaxed, cas_acquire, cas_release or cas_acq_rel, for the order that the change needs
 *
 * ENTER, LEAVE - around an operation; @node: a struct lock_node of it
 */
#if !NBBUDDY_LOCKED

#define PLANT_LOST  PLANT_NBBUDDY_LOST
#define PLANT_TWICE PLANT_NBBUDDY_TWICE

#define SWAP(swap, object, old, new)                                                                         \
    ({                                                                                                       \
        bool swapped_ = likely(!inject_due(INJECT_CAS) && swap(object, old, new));                           \
        if (!swapped_)                                                                                       \
            counter_add(COUNTER_CAS_RETRY, 1);                                                               \
        swapped_;                                                                                            \
    })

#define ENTER(self, node) ((void)(self), (void)(node))
#define LEAVE(self, node) ((void)(self), (void)(node))

#else

#define PLANT_LOST  PLANT_NBBUDDY_LOCKED_LOST
#define PLANT_TWICE PLANT_NBBUDDY_LOCKED_TWICE

/* Relaxed: the lock orders those who change things; nbbuddy_usable_size() looks without it, at its caller's block.
 * sd. */
#define SWAP(swap, object, old, new)                                                                         \
    ({                                                                                                       \
        (void)(old);                                                                                         \
        store_relaxed(object, new);                                                                          \
        true;                                                                                                \
    })

#define ENTER(self, node) lock_acquire(&(self)->lock, node)
#define LEAVE(self, node) lock_release(&(self)->lock, node)

#endif

/** UPDATE - change an object by transition(&value, ...). Returns whether the transition allowed it. */
#define UPDATE(swap, object, transition, ...)                                                                \
    ({                                                                                                       \
        bool allowed_;                                                                                       \
        for (;;) {                                                                                           \
            ATOMIC_VALUE_TYPE(object) old_ = LOAD(object), new_ = old_;                                      \
            allowed_ = transition(&new_, ##__VA_ARGS__);                                                     \
            if (!allowed_ || SWAP(swap, object, old_, new_))                                                 \
                break;                                                                                       \
        }                                                                                                    \
        allowed_;                                                                                            \
    })

#endif
