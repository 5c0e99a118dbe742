/*
 * How the states of llfree.h change. The one source of "llfree" and "llfree_locked" asks for transitions and knows
 * no more. In the one they are compare-and-swaps, or a single AMO where nothing can refuse them; in the other each
 * is made with the instance's lock held, so that what the two measure apart is the locks and nothing else.
 *
 * A lock for each tree would be nearer to what one would build, but a transition of a hart's own entry or of two
 * children belongs to no tree or is not local to one, and the question is what becomes of this very structure when
 * the hardware's atomics are taken from it.
 */
#ifndef MM_FRAME_LLFREE_UPDATE_H
#define MM_FRAME_LLFREE_UPDATE_H

#include <stdatomic.h>

#include "arch/atomic.h"
#include "mm/frame/llfree.h"
#include "trace/inject.h"

/** LOAD - relaxed, since whatever is made of the value is checked by the transition that follows: ld.
 *  LOAD_ACQUIRE - where nothing follows: ld; fence r,rw. */
#define LOAD(object)         atomic_load_explicit(object, memory_order_relaxed)
#define LOAD_ACQUIRE(object) atomic_load_explicit(object, memory_order_acquire)

/**
 * UPDATE - change an object by transition(&value, ...). Returns whether the transition allowed it.
 * @swap: cas_relaxed, cas_acquire, cas_release or cas_acq_rel, for the order that the change needs
 *
 * GIVE - what cannot be refused: add, and release what the caller did before. amoadd.rl.
 * TAKE - subtract, relaxed. amoadd.
 * CLEAR - clear bits, and release; returns the value before. amoand.rl.
 */
#if !LLFREE_LOCKED

#define PLANT_LOST  PLANT_LLFREE_LOST
#define PLANT_TWICE PLANT_LLFREE_TWICE

#define UPDATE(self, swap, object, transition, ...)                                                          \
    ({                                                                                                       \
        bool allowed_;                                                                                       \
        (void)(self);                                                                                        \
        for (;;) {                                                                                           \
            ATOMIC_VALUE_TYPE(object) old_ = LOAD(object), new_ = old_;                                      \
            allowed_ = transition(&new_, ##__VA_ARGS__);                                                     \
            if (!allowed_ || likely(!inject_due(INJECT_CAS) && swap(object, old_, new_)))                    \
                break;                                                                                       \
            counter_add(COUNTER_CAS_RETRY, 1);                                                               \
        }                                                                                                    \
        allowed_;                                                                                            \
    })

#define GIVE(self, object, n)     ((void)(self), (void)add_release(object, n))
#define TAKE(self, object, n)     ((void)(self), (void)atomic_fetch_sub_explicit(object, n, memory_order_relaxed))
#define CLEAR(self, object, mask) ((void)(self), and_release(object, ~(mask)))

#else

#define PLANT_LOST  PLANT_LLFREE_LOCKED_LOST
#define PLANT_TWICE PLANT_LLFREE_LOCKED_TWICE

/* The lock orders those who hold it. Release (fence rw,w; sw or sd) is for those who look without it and draw
 * conclusions, in find_anywhere(): there a compare-and-swap would have continued the release of another hart. */
#define UPDATE(self, swap, object, transition, ...)                                                          \
    ({                                                                                                       \
        struct lock_node node_;                                                                              \
        lock_acquire(&(self)->lock, &node_);                                                                 \
        ATOMIC_VALUE_TYPE(object) new_ = LOAD(object);                                                       \
        bool allowed_ = transition(&new_, ##__VA_ARGS__);                                                    \
        if (allowed_)                                                                                        \
            store_release(object, new_);                                                                     \
        lock_release(&(self)->lock, &node_);                                                                 \
        allowed_;                                                                                            \
    })

#define CHANGE(self, object, operator, operand)                                                              \
    ({                                                                                                       \
        struct lock_node node_;                                                                              \
        lock_acquire(&(self)->lock, &node_);                                                                 \
        ATOMIC_VALUE_TYPE(object) old_ = LOAD(object);                                                       \
        store_release(object, old_ operator(operand));                                                       \
        lock_release(&(self)->lock, &node_);                                                                 \
        old_;                                                                                                \
    })

#define GIVE(self, object, n)     ((void)CHANGE(self, object, +, n))
#define TAKE(self, object, n)     ((void)CHANGE(self, object, -, n))
#define CLEAR(self, object, mask) CHANGE(self, object, &, ~(mask))

#endif

#endif
