/*
 * Frames with several owners: a count of references a frame, beside an instance of any allocator. Whoever
 * allocated a block holds one reference to it; frame_get() makes another, frame_put() gives one up, and the
 * last one frees. Copy-on-write stands on this: fork() gets every page once more, and a write fault asks
 * frame_is_exclusive() whether it may write in place.
 *
 * Kept is the number of *extra* references, so that a frame with one owner, nearly every frame, has 0 whether
 * it is in use or free: an allocation does not touch its count, and a put that finds 0 frees without an
 * atomic operation. The line that the count lies on (with 15 others) is then only ever read, and every hart keeps
 * a copy of it. Both ideas are those of libc++'s shared_ptr (LLVM, __shared_weak_count; review D22470, 2016).
 * Instances without references have no counts and pay nothing.
 *
 * Why the last put, and only the last, frees. Call the references held R; the count is R - 1, and every change
 * of it is one atomic operation on one word, so all of them have one order.
 *
 *   - A put that loads 0 is the only holder and frees. What it loads is not too old: its reference was handed to
 *     it with order, as everything that harts hand on, so it sees the get that made it and those that were made
 *     from it. From there on the word has 0 only when all others have subtracted, and then nobody else is left
 *     who may add: R grows through frame_get() alone, which only holders call.
 *   - A put that loads more subtracts. Puts only take away and the gets of holders only add, so in the order of
 *     the word exactly one subtraction finds 0: that of the last holder, and no put loads 0 beside it, since
 *     that needs R = 1 and the same holder. All others find more and leave.
 *   - A get cannot meet the last put: its caller holds a reference during the call, so that put is not the last.
 *
 *     hart 0 (holds one)          hart 1 (holds one)          count
 *     put: load 1                 put: load 1                 1       neither may free yet
 *     subtract, finds 1                                       0       not the last: leaves
 *                                 subtract, finds 0           -1      the last
 *                                 store 0                     0       as for every exclusive or free frame
 *                                 frame_free()
 *
 * What all owners did to the frame happens before it is free: each subtraction releases, the one that finds 0
 * and the load that finds 0 acquire, and what lies between them is read-modify-writes only, which continue
 * the releases. From there on the allocator's own order takes it to the next owner.
 *
 * Four bytes a frame: a thousandth of the memory.
 */
#ifndef MM_FRAME_FRAME_REFS_H
#define MM_FRAME_FRAME_REFS_H

#include <stdatomic.h>

#include "arch/panic.h"
#include "lib/base.h"
#include "lib/error.h"
#include "lib/parts.h"
#include "mm/frame/frame.h"

/* Extra references of a block. Half of what the word holds: gets that are refused are in it for a moment, one a
 * hart, and so is the last put's -1, which must look like too many. */
#define FRAME_EXTRA_MAX ((1u << 31) - 1)

struct frame_refs {
    struct frame_allocator *fa;
    uint64_t base; /* fa's, a load nearer */
    size_t nframes;
    _Atomic uint32_t *extra; /* references beyond the first; of a block, that of its first frame */
};

/** frame_refs_bytes - memory for the counts of an arena of that many frames. */
size_t frame_refs_bytes(size_t nframes);

/**
 * frame_refs_init - every block of an allocator has one owner, or none.
 * @counts: frame_refs_bytes(fa->nframes) bytes, aligned to CACHE_LINE_BYTES
 */
void frame_refs_init(struct frame_refs *refs, struct frame_allocator *fa, void *counts);

/**
 * frame_get - one more reference to a block. The caller holds one, and keeps it during the call.
 * @pfn: the block's first frame
 *
 * Returns 0; ERR_RANGE outside of the arena; ERR_STATE when FRAME_EXTRA_MAX would be exceeded, and nothing has
 * changed. That the caller holds none is not noticed here: the block will not be freed by the next put, and
 * frame_refs_validate() finds it.
 */
static inline int frame_get(struct frame_refs *refs, pfn_t pfn);

/**
 * frame_put - give up a reference that the caller holds; the last one frees the block.
 * @order: as allocated. It is looked at when the block is freed, by the allocator.
 *
 * Returns whether it was the last. The allocator has the block back then, or has refused it: a block that is
 * free already (a double free), out of the arena, or of another order. One put too many of a shared
 * block frees it under its other owners, the last of whom is refused.
 */
static inline bool frame_put(struct frame_refs *refs, pfn_t pfn, unsigned order);

/**
 * frame_is_exclusive - whether the caller's reference is the only one, so that it may write to the block.
 *
 * The caller holds a reference to a block of the arena. True stays true until it makes another reference itself,
 * and what all former owners did to the block has happened. False may be history when it is returned.
 */
static inline bool frame_is_exclusive(const struct frame_refs *refs, pfn_t pfn);

/**
 * frame_refs_validate - recount.
 * @extra: references beyond one a block that callers hold, by their own count
 *
 * The harts must be quiet. Returns 0, or ERR_CORRUPT with the finding on the console. Whether the blocks
 * themselves are right is for frame_validate(), with each block counted once.
 */
int frame_refs_validate(struct frame_refs *refs, uint64_t extra);

/** frame_refs_describe - name the counts. */
void frame_refs_describe(const struct frame_refs *refs, struct parts *parts);

/** frame_get_refused, frame_put_shared - the rare ends of the two below. */
int frame_get_refused(_Atomic uint32_t *extra) COLD;
bool frame_put_shared(_Atomic uint32_t *extra) NOINLINE;

static inline int frame_get(struct frame_refs *refs, pfn_t pfn)
{
    uint64_t index = pfn.value - refs->base;
    if (unlikely(index >= refs->nframes))
        return ERR_RANGE;
    /* Relaxed: whoever gets the reference gets it from the caller, in an order of their own; and as a
     * read-modify-write it does not end the releases of earlier puts. amoadd.w. */
    uint32_t before = atomic_fetch_add_explicit(&refs->extra[index], 1, memory_order_relaxed);
    if (unlikely(before >= FRAME_EXTRA_MAX))
        return frame_get_refused(&refs->extra[index]);
    return 0;
}

static inline bool frame_put(struct frame_refs *refs, pfn_t pfn, unsigned order)
{
    uint64_t index = pfn.value - refs->base;
    /* Acquire (lw; fence r,rw), pairs with the release in frame_put_shared(): what former owners read and wrote
     * has happened when the block is free. Outside of the arena there is no count: the allocator refuses. */
    if (likely(index < refs->nframes) &&
        unlikely(atomic_load_explicit(&refs->extra[index], memory_order_acquire) != 0) &&
        !frame_put_shared(&refs->extra[index]))
        return false;
    frame_free(refs->fa, pfn, order);
    return true;
}

static inline bool frame_is_exclusive(const struct frame_refs *refs, pfn_t pfn)
{
    uint64_t index = pfn.value - refs->base;
    DEBUG_ASSERT(index < refs->nframes);
    /* Acquire (lw; fence r,rw), pairs with the release in frame_put_shared(): former owners have read what the
     * caller is about to overwrite. */
    return atomic_load_explicit(&refs->extra[index], memory_order_acquire) == 0;
}

#endif
