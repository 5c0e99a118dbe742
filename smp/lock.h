/*
 * Spin locks of several kinds behind one interface, chosen by name when a lock is initialised, so that every
 * subject under test can be measured over every kind. One file a kind: lock_tas.c, lock_ttas.c, lock_ticket.c,
 * lock_mcs.c; the table of them is in lock.c.
 *
 * The kind's pointer and the lock word lie on different cache lines: a hart that arrives reads the pointer,
 * and on the word's line that read would cost a transfer that no real lock has.
 */
#ifndef SMP_LOCK_H
#define SMP_LOCK_H

#include <stdatomic.h>

#include "arch/clock.h"
#include "lib/base.h"
#include "lib/parts.h"
#include "trace/counter.h"

struct lock;

/*
 * A hart's place in a queue lock, supplied by whoever acquires, usually on its stack, and needed until the
 * release. Locks that do not queue ignore it.
 */
struct lock_node {
    _Atomic(struct lock_node *) next;
    _Atomic uint32_t waiting;
};

struct lock_ops {
    const char *name;
    void (*acquire)(struct lock *, struct lock_node *);
    bool (*try_acquire)(struct lock *, struct lock_node *);
    void (*release)(struct lock *, struct lock_node *);
};

struct lock {
    const struct lock_ops *ops;
    const char *name; /* what it protects, for reports */

    union {
        _Atomic uint32_t held; /* tas, ttas: 1 while taken */
        struct {
            _Atomic uint32_t next; /* the ticket that the next comer draws */
            _Atomic uint32_t serving; /* the ticket that may enter */
        } ticket;
        _Atomic(struct lock_node *) tail; /* mcs: last of the queue, NULL when free */
    } CACHE_ALIGNED;
} CACHE_ALIGNED;

extern const struct lock_ops lock_tas;
extern const struct lock_ops lock_ttas;
extern const struct lock_ops lock_ticket;
extern const struct lock_ops lock_mcs;

/** lock_kind_at - the i-th kind; NULL behind the last. */
const struct lock_ops *lock_kind_at(size_t i);

/** lock_kind_name_at - its name, for select_check(). */
const char *lock_kind_name_at(size_t i);

/** lock_kind_find - a kind by its exact name; NULL if there is none. */
const struct lock_ops *lock_kind_find(const char *name);

/** lock_init - a free lock. @name must outlive it. */
void lock_init(struct lock *lock, const struct lock_ops *kind, const char *name);

/** lock_describe - name its two lines. */
void lock_describe(const struct lock *lock, struct parts *parts);

/**
 * lock_acquire - take the lock, spinning until it is free.
 * @node: this acquisition's place in the queue; stays in use until lock_release() with the same node
 *
 * Acquire order. Not recursive. Interrupts may be on or off; a handler must not take a lock that the code
 * which it interrupts may hold. Lock order: docs/locking.md.
 */
static inline void lock_acquire(struct lock *lock, struct lock_node *node)
{
    counter_add(COUNTER_LOCK_ACQUIRE, 1);
    lock->ops->acquire(lock, node);
}

/** lock_try_acquire - take it if that needs no waiting. Returns whether it was taken. */
static inline bool lock_try_acquire(struct lock *lock, struct lock_node *node)
{
    if (!lock->ops->try_acquire(lock, node))
        return false;
    counter_add(COUNTER_LOCK_ACQUIRE, 1);
    return true;
}

/** lock_wait_begin, lock_wait_end - for kinds of lock: count one contention, and the cycles that it cost. */
static inline uint64_t lock_wait_begin(void)
{
    counter_add(COUNTER_LOCK_CONTEND, 1);
    return clock_now();
}

static inline void lock_wait_end(uint64_t since)
{
    counter_add(COUNTER_LOCK_WAIT, clock_now() - since);
}

/** lock_release - give it back. Release order. By the hart and with the node that acquired it. */
static inline void lock_release(struct lock *lock, struct lock_node *node)
{
    lock->ops->release(lock, node);
}

#endif
