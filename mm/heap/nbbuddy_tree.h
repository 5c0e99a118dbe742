/*
 * Blocks of one tree of "nbbuddy": taken, put back, and what follows from either in the words above. Included once
 * into each of the two designs.
 *
 * A block of less than a slot is taken in its lower bunch first and then, if that was not marked, the slot is
 * divided in the upper one. Between the two nobody else is given that block; but the slot may be, as a whole, or its
 * pages may go: then it cannot be divided, and the block is put back. Freeing is the same in the other order.
 *
 * The paper has one arena for ever. Here pages come and go, a span of them by one swap of the upper bunch, in which
 * nothing lies in them: from then on whoever is on his way up there finds them taken.
 */
#ifndef MM_HEAP_NBBUDDY_TREE_H
#define MM_HEAP_NBBUDDY_TREE_H

#include "mm/heap/nbbuddy_update.h"
#include "smp/hart.h"

/* Relaxed: a hint. lr.d; sc.d. */
static NOINLINE void raise_room(_Atomic uint64_t *rooms, unsigned i, unsigned room)
{
    UPDATE(cas_relaxed, rooms, room_raise, i, room);
}

static ALWAYS_INLINE bool has_room(struct nbbuddy *self, uint32_t tree, unsigned room)
{
    return room_of(LOAD(&self->rooms[tree / ROOMS]), tree % ROOMS) >= room;
}

/* Mostly it says so already. */
static ALWAYS_INLINE void say_room(struct nbbuddy *self, uint32_t tree, unsigned room)
{
    if (unlikely(!has_room(self, tree, room)))
        raise_room(&self->rooms[tree / ROOMS], tree % ROOMS, room);
}

/* Acquire pairs with upper_open()'s release, and with those of all who freed here: the frames go on to others.
 * lr.d.aq; sc.d. Nothing, if the span is not empty. */
static void give_span(struct heap *heap, struct nbbuddy *self, uint32_t tree, unsigned page)
{
    bool whole = false;
    if (!UPDATE(cas_acquire, &self->uppers[tree].bunch, upper_close, page, &whole))
        return;
    heap_span_give(heap,
        (uint8_t *)heap->base + ((size_t)tree << TREE_SHIFT) + (whole ? 0 : (size_t)page << PAGE_SHIFT));
}

static void give_tree(struct heap *heap, struct nbbuddy *self, uint32_t tree)
{
    for (unsigned page = 0; page < TREE_PAGES; page++)
        give_span(heap, self, tree, page);
}

static NOINLINE void make_spare(struct heap *heap, struct nbbuddy *self, size_t offset)
{
    struct nbbuddy_hart *hart = &self->harts[hart_index()];
    uint32_t tree = tree_of(offset), other = hart->spare;
    say_room(self, tree, ROOM_ALL);
    if (other == tree || !upper_is_idle(LOAD(upper_at(self, offset)), slot_of(offset) / PAGE_SLOTS))
        return;
    hart->spare = tree;
    give_tree(heap, self, other);
}

/* A slot has become free; its span may be. Each hart keeps the tree that it emptied last, or the last block of all
 * would go to the frame allocator and back each time. */
static ALWAYS_INLINE void keep_or_give(struct heap *heap, struct nbbuddy *self, size_t offset)
{
    uint32_t tree = tree_of(offset);
    if (unlikely(self->harts[hart_index()].spare != tree || !has_room(self, tree, ROOM_ALL)))
        make_spare(heap, self, offset);
}

/*
 * A slot is free again when nothing lies in it. Whoever made its lower bunch 0 says so in the upper one, unless
 * something has been put there meanwhile: then that hart's swap of the upper bunch comes after this one, and divides
 * the slot again, or came before, and changed the version. In full: let the slot be joined by a swap at t, whose
 * value of the upper bunch was loaded at t1, and the lower one seen to be 0 at t2, t1 < t2 < t. No slot was divided
 * from t1 to t. Say a block in the slot is somebody's at t, taken in the lower bunch at a < t. It is still there, so
 * a > t2. Then either its hart divided the slot afterwards, behind a and before t: it did not. Or it found the bunch
 * marked; by a hart that took its own block there after t2, since the bunch was 0 then, and divided the slot after
 * that: the same. So nothing there is anybody's at t but what its hart is yet to mark, and will put back if the slot
 * is not to be had then.
 *
 * Acquire: the bunch is looked at after the upper one, t1 < t2, and whoever divides (release) took his block before;
 * and what others freed in the slot is handed on, by the release, to who takes it whole. The swap is behind t2, as a
 * release. ld; fence r,rw. lr.d.aq; sc.d.rl.
 */
static ALWAYS_INLINE void join(struct heap *heap, struct nbbuddy *self, size_t offset)
{
    _Atomic uint64_t *upper = upper_at(self, offset);
    for (;;) {
        uint64_t old = LOAD_ACQUIRE(upper), new = old;
        if (!upper_join(&new, slot_of(offset)) || LOAD_ACQUIRE(lower_at(self, offset)) != 0)
            return;
        if (SWAP(cas_acq_rel, upper, old, new))
            break;
    }
    keep_or_give(heap, self, offset);
}

/* Release: what was done with the block is done, for who takes it next. Acquire: of several who free in a slot the
 * last one hands on what all of them did, by join(). lr.d.aq; sc.d.rl. False: no block begins there. */
static ALWAYS_INLINE bool put_leaves(struct nbbuddy *self, size_t offset, uint64_t *left)
{
    return UPDATE(cas_acq_rel, lower_at(self, offset), lower_give, leaf_of(offset), left);
}

/* Release as above. lr.d; sc.d.rl. */
static ALWAYS_INLINE bool put_slots(struct nbbuddy *self, size_t offset)
{
    return UPDATE(cas_release, upper_at(self, offset), upper_give, slot_of(offset));
}

/* A block of 2^order leaves of a slot. Returns the bit of the first, or 0. @before: what the bunch was; if that was
 * not marked the block is not ours before climb() says so. Acquire pairs with put_leaves() and with the mark.
 * lr.d.aq; sc.d. */
static ALWAYS_INLINE uint64_t take_leaves(_Atomic uint64_t *lower, unsigned order, uint64_t *before)
{
    uint64_t first = 0;
    return UPDATE(cas_acquire, lower, lower_take, order, &first, before) ? first : 0;
}

/* The same of whole slots. Acquire pairs with put_slots(), join() and upper_open(). lr.d.aq; sc.d. */
static ALWAYS_INLINE uint64_t take_slots(_Atomic uint64_t *upper, unsigned order)
{
    uint64_t first = 0;
    return UPDATE(cas_acquire, upper, upper_take, order, &first) ? first : 0;
}

/* The slot of a block taken there is not to be had. Others may count on the block's place being taken, and the last
 * one in a slot that is had after all, by another, joins it. */
static COLD void put_back(struct heap *heap, struct nbbuddy *self, size_t offset)
{
    uint64_t left;
    if (put_leaves(self, offset, &left) && left == 0)
        join(heap, self, offset);
}

/*
 * Up from a block taken in a bunch that was not marked; false: it is to be put back. Acquire pairs with put_slots()
 * and join(): the memory as it was left, and with upper_open(). Release: the block is in its bunch, for join().
 * lr.d.aq; sc.d.rl. The mark is release, so that who takes it as his (acquire) has what was acquired here. lr.d;
 * sc.d.rl. The first block in a slot sets none: where blocks come and go one at a time it would be a third swap for
 * nothing.
 */
static ALWAYS_INLINE bool climb(struct nbbuddy *self, size_t offset, uint64_t before)
{
    if (unlikely(!UPDATE(cas_acq_rel, upper_at(self, offset), upper_divide, slot_of(offset))))
        return false;
    if (before != 0)
        UPDATE(cas_release, lower_at(self, offset), lower_mark);
    return true;
}

#endif
