/*
 * A quarantine of freed frames, which finds whoever goes on using a frame that was given back: above all a hart by a
 * translation that it should have forgotten. It stands between an instance of any allocator and its callers. A single frame
 * that is freed is filled with a pattern that says which frame it is, and waits in a queue of the hart that freed it. When its turn
 * comes each word is looked at before the allocator has it back: one that is not as it was left has been written to. Who reads
 * the pattern where something else should be has found the same; frame_is_poison().
 *
 * With frame_quarantine_watch() harts look on purpose: each again and again reads what it had mapped (a round), and a frame has served
 * its time when every hart has begun and ended a round since it was freed.
 *
 *   hart 0                                  hart 1                                    number
 *   frees a frame: it waits for 8           in a round that it began at 7             8
 *                                           ends that: it has seen 7
 *                                           begins one at 8, reads poison if it can
 *                                           ends it: it has seen 8
 *   the frame may leave
 *
 * Nobody ever waits for a round. A queue that is full lets its oldest frame go early, which is checked like any, and when an
 * allocation finds no memory all frames go: so it changes no answer. Blocks of several frames pass through.
 *
 * An instance without one pays nothing: it is attached by exchanging the instance's functions.
 */
#ifndef MM_FRAME_FRAME_QUARANTINE_H
#define MM_FRAME_FRAME_QUARANTINE_H

#include <stdatomic.h>

#include "mm/frame/frame.h"

/* What was found. */
struct frame_damage {
    pfn_t pfn;
    unsigned hart; /* that freed it */
    uint64_t vaddr; /* where it was shown, if whoever freed it has said so; 0 */
    size_t offset; /* of the first word that is not as it was left */
    uint64_t found, expected;
};

struct quarantine_hart;

struct frame_quarantine {
    struct frame_allocator_ops ops; /* the instance's while it is attached */
    const struct frame_allocator_ops *behind;
    struct frame_allocator *fa;
    struct quarantine_hart *harts; /* fa's nharts */
    size_t room; /* frames that wait on a hart at most */
    bool watched;
    void (*damaged)(const struct frame_damage *damage); /* on the hart that lets the frame go; may return */
    _Atomic uint64_t number CACHE_ALIGNED; /* frames that have been freed */
};

/** frame_quarantine_bytes - memory for the queues. */
size_t frame_quarantine_bytes(unsigned nharts, size_t room);

/**
 * frame_quarantine_attach - frames of an instance go through a quarantine from now on.
 * @memory: frame_quarantine_bytes(fa->nharts, room) bytes, aligned to CACHE_LINE_BYTES
 * @room: frames of a hart, > 0
 *
 * The harts are quiet, as for frame_quarantine_detach(), which gives all frames back and leaves the instance as it was.
 * frame_drain() gives them back as well; frame_free_count() counts them as free.
 */
void frame_quarantine_attach(struct frame_quarantine *quarantine, struct frame_allocator *fa, void *memory,
    size_t room, void (*damaged)(const struct frame_damage *damage));
void frame_quarantine_detach(struct frame_quarantine *quarantine);

/** frame_quarantine_watch - harts look from now on, each of fa's. Quiet harts. */
void frame_quarantine_watch(struct frame_quarantine *quarantine);

/**
 * frame_quarantine_begin - this hart begins to read everything that it had mapped, from the first to the last of it.
 * frame_quarantine_end - it has. @number: what begin returned
 */
uint64_t frame_quarantine_begin(struct frame_quarantine *quarantine);
void frame_quarantine_end(struct frame_quarantine *quarantine, uint64_t number);

/** frame_quarantine_is_short - whether half of this hart's room is taken by frames that some hart has yet to look for. */
bool frame_quarantine_is_short(struct frame_quarantine *quarantine);

/** frame_quarantine_held - frames that wait. Exact when the harts are quiet. */
size_t frame_quarantine_held(struct frame_quarantine *quarantine);

/* Above 23 bits of the frame's number, enough for 32 GiB, and bit 0, which is 0: as entries of a page table nothing is valid. */
#define FRAME_POISON      0xa5000000u
#define FRAME_POISON_MASK 0xff000001u

/** frame_poison - what each 4 bytes of a frame in quarantine have. frame_is_poison - whether it can be that of any frame, and
 *  frame_of_poison - of which. */
static inline uint32_t frame_poison(pfn_t pfn)
{
    return FRAME_POISON | ((uint32_t)pfn.value << 1 & ~FRAME_POISON_MASK);
}

static inline bool frame_is_poison(uint32_t word)
{
    return (word & FRAME_POISON_MASK) == FRAME_POISON;
}

static inline pfn_t frame_of_poison(uint32_t word)
{
    return PFN((word & ~FRAME_POISON_MASK) >> 1);
}

/** frame_quarantine_note - the frame that this hart frees next, if it does, was shown there. For reports; check builds only. */
#if defined(HARTSCALE_CHECK) && HARTSCALE_CHECK
void frame_quarantine_note(uint64_t vaddr);
#else
static inline void frame_quarantine_note(uint64_t vaddr)
{
    (void)vaddr;
}
#endif

#endif
