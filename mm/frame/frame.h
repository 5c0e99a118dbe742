/*
 * Physical frame allocators: the interface that every design stands behind, and the one way to call them.
 * The caller supplies all memory, so an allocator is an instance over an arena: the kernel runs on one, and
 * any number of others can be measured in the same boot.
 *
 * To add a design: one file with a `struct frame_allocator_ops`, one line in frame.c.
 * docs/adding-a-variant.md.
 */
#ifndef MM_FRAME_FRAME_H
#define MM_FRAME_FRAME_H

#include <stdatomic.h>

#include "arch/addr.h"
#include "lib/base.h"
#include "lib/parts.h"
#include "smp/lock.h"

/* Blocks are 2^order frames, naturally aligned. 10 is 4 MiB, as in Linux; 9 is Sv39's 2 MiB leaf. */
#define FRAME_ORDER_MAX  10
#define FRAME_ORDER_HUGE 9

/* Frame numbers of arenas fit 31 bits (8 TiB), so that designs can keep them in 32 with room for a mark. */
#define FRAME_COUNT_MAX (1ull << 31)

/* Flags of frame_alloc(). */
#define FRAME_ZERO 1u /* fill the block with zeros */

struct frame_allocator;

struct frame_allocator_ops {
    const char *name; /* as on the command line */

    /* The largest order it gives out, FRAME_ORDER_MAX for most: alloc answers a larger one with PFN_NONE. */
    unsigned order_max;

    /* Whether PFN_NONE of orders above 0 means that no such block is free anywhere. Not so for designs that
     * never put larger blocks together again; single frames are found by all. */
    bool finds_every_block;

    /* It has no locks, so one measurement stands for all kinds of lock; fa->lock_kind may be NULL. */
    bool lockless;

    /* Bytes of metadata for an arena of this size; 64-byte aligned memory of that size goes to init. */
    size_t (*metadata_size)(size_t nframes, unsigned nharts);

    /* All frames free. 0, or a negative error. fa's fields are set, metadata is not zeroed. */
    int (*init)(struct frame_allocator *fa);

    /* A free block, or PFN_NONE: at some instant during the call there was none. order <= FRAME_ORDER_MAX. */
    pfn_t (*alloc)(struct frame_allocator *fa, unsigned order);

    /* Give a block back. A wrong free is handed to frame_refuse() and changes nothing; a design that gathers
     * frees for later may come to it later, drain() at the latest, and takes it for right if the frame is in
     * use again by then. */
    void (*free)(struct frame_allocator *fa, pfn_t pfn, unsigned order);

    /* Frames free anywhere, caches included: exact when the harts are quiet. */
    size_t (*free_count)(struct frame_allocator *fa);

    /* Frames free but held in caches of single harts. NULL: none ever. */
    size_t (*stranded_count)(struct frame_allocator *fa);

    /* Return every hart's cached frames to the global pool. NULL: no caches. */
    void (*drain)(struct frame_allocator *fa);

    /* Recount everything from ground truth; the harts must be quiet. 0, or ERR_CORRUPT with the finding on
     * the console. */
    int (*validate)(struct frame_allocator *fa);

    /* Name the parts of the metadata, for reports of contended cache lines. NULL: it is all called "metadata". */
    void (*describe)(struct frame_allocator *fa, struct parts *parts);
};

/* Why a free was refused. */
enum frame_misuse_kind {
    FRAME_MISUSE_DOUBLE_FREE, /* nothing is allocated there */
    FRAME_MISUSE_OUT_OF_RANGE, /* not a frame of the arena, or the block reaches out of it */
    FRAME_MISUSE_WRONG_ORDER, /* allocated with another order, or the address is inside a block */
    FRAME_MISUSE_MISALIGNED, /* the address is not a multiple of the block's size */
};

struct frame_misuse {
    enum frame_misuse_kind kind;
    pfn_t pfn; /* what was freed */
    unsigned order; /* as freed */
    uint64_t caller; /* return address of the call to frame_free */
};

struct frame_allocator {
    /* What every call reads is one line. */
    pfn_t (*alloc)(struct frame_allocator *fa, unsigned order); /* ops->alloc, a load nearer */
    void (*free)(struct frame_allocator *fa, pfn_t pfn, unsigned order); /* ops->free */
    pfn_t base; /* aligned to FRAME_ORDER_MAX */
    size_t nframes;
    void *metadata; /* metadata_size() bytes, 64-byte aligned */
    const struct frame_allocator_ops *ops;
    const struct lock_ops *lock_kind; /* for every lock of this instance */
    unsigned nharts; /* harts 0 … nharts − 1 may call */

    const char *name CACHE_ALIGNED; /* of the instance: "kernel", "arena" */
    _Atomic uint64_t misuse_count;
    struct frame_misuse last_misuse; /* of the hart that counted last; read when quiet */
} CACHE_ALIGNED;

/** frame_allocator_at - the i-th design; NULL behind the last. frame_allocator_name_at - its name. */
const struct frame_allocator_ops *frame_allocator_at(size_t i);
const char *frame_allocator_name_at(size_t i);

/** frame_allocator_find - a design by its exact name; NULL if there is none. */
const struct frame_allocator_ops *frame_allocator_find(const char *name);

/**
 * frame_allocator_init - make an instance with all its frames free.
 * @name: of the instance; must outlive it
 * @metadata: ops->metadata_size(nframes, nharts) bytes, aligned to CACHE_LINE_BYTES
 * @base: aligned to 2^FRAME_ORDER_MAX frames
 * @nframes: 1 … FRAME_COUNT_MAX; base + nframes <= FRAME_COUNT_MAX
 *
 * Returns 0, ERR_INVALID for a misaligned base or metadata, ERR_RANGE for a bad size or number of harts.
 */
int frame_allocator_init(struct frame_allocator *fa, const struct frame_allocator_ops *ops,
    const struct lock_ops *lock_kind, const char *name, void *metadata, pfn_t base, size_t nframes,
    unsigned nharts);

/**
 * frame_alloc - a block of 2^order frames.
 * @order: 0 … FRAME_ORDER_MAX
 * @flags: 0 or FRAME_ZERO
 *
 * Returns its first frame, naturally aligned, or PFN_NONE when no such block is free anywhere. The caller
 * must not migrate to another hart during the call, nor be an interrupt handler.
 */
static inline pfn_t frame_alloc(struct frame_allocator *fa, unsigned order, unsigned flags);

/**
 * frame_free - give back a block with the order it was allocated with, from any hart.
 * A wrong free is counted, reported with the block's address and, where it is found at once, the caller's, and
 * changes nothing.
 */
static inline void frame_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    fa->free(fa, pfn, order);
}

/** frame_free_count - frames free, in caches too. frame_stranded_count - of those, in caches of harts. */
size_t frame_free_count(struct frame_allocator *fa);
size_t frame_stranded_count(struct frame_allocator *fa);

/** frame_drain - return every hart's cached frames to the global pool. The harts must be quiet. */
void frame_drain(struct frame_allocator *fa);

/**
 * frame_validate - prove the allocator's state against itself and against its callers.
 * @held: the number of frames that callers hold, by their own count
 *
 * The harts must be quiet. Returns 0, or ERR_CORRUPT with what is wrong on the console: a frame that is
 * neither free nor held is lost, one that is both was given twice.
 */
int frame_validate(struct frame_allocator *fa, size_t held);

/** frame_describe - name what belongs to the instance: its parts, its metadata, its frames. */
void frame_describe(struct frame_allocator *fa, struct parts *parts);

/** frame_misplaced - for allocators: whether no block of this order can begin there, and why. */
bool frame_misplaced(
    const struct frame_allocator *fa, pfn_t pfn, unsigned order, enum frame_misuse_kind *kind);

/** frame_refuse - for allocators: count and report a wrong free. @caller: __builtin_return_address(0). */
void frame_refuse(struct frame_allocator *fa, enum frame_misuse_kind kind, pfn_t pfn, unsigned order,
    const void *caller) COLD;

/** frame_corrupt - for allocators: say on the console what validation found at a frame. Returns ERR_CORRUPT. */
int frame_corrupt(const struct frame_allocator *fa, pfn_t pfn, const char *finding) COLD;

/** frame_refuse_misplaced - for allocators: whether no block of this order can begin there; it is refused then.
 *  @caller: __builtin_return_address(0) */
static ALWAYS_INLINE bool frame_refuse_misplaced(
    struct frame_allocator *fa, pfn_t pfn, unsigned order, const void *caller)
{
    enum frame_misuse_kind kind;
    if (likely(!frame_misplaced(fa, pfn, order, &kind)))
        return false;
    frame_refuse(fa, kind, pfn, order, caller);
    return true;
}

/** frame_misuse_text - the kind in words: "double free". */
const char *frame_misuse_text(enum frame_misuse_kind kind);

/** frame_zero - fill a block with zeros through the direct map. */
void frame_zero(pfn_t pfn, unsigned order);

static inline pfn_t frame_alloc(struct frame_allocator *fa, unsigned order, unsigned flags)
{
    pfn_t pfn = fa->alloc(fa, order);
    if ((flags & FRAME_ZERO) && !pfn_is_none(pfn))
        frame_zero(pfn, order);
    return pfn;
}

#endif
