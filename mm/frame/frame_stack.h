/*
 * A bounded stack of free blocks, by their first frames, that belongs to one hart and that other harts may steal
 * from. The owner pushes with one compare-and-swap and pops with one atomic add, neither with a lock; a thief
 * holds the owner's lock, so there is at most one at a time. It fits one cache line.
 *
 * The whole state is one word: a version in the high bits, and below it the room that is left, in bytes of
 * slots. Slots fill from the top of the array down, so `room` is the offset of the frame pushed last:
 *
 *     slots    [   .   |   .   |  33   |  22   |  11   | NONE  ]      capacity 5, 3 frames on it
 *                              ^ room = 8              ^ the sentinel, slots[capacity]
 *
 *     push     slots[room - 4] = frame;  word -= 4           full: room is 0
 *     pop      word -= 2048 - 4;  frame = slots[old room]    empty: that slot is the sentinel
 *     steal n  read n slots from room up;  word -= 2048 - 4n
 *
 * Every transition makes the word smaller, so no value comes back (2^53 pops away). So a thief never takes a
 * slot that was rewritten. A slot that a thief has read can only be written again once it was popped, and the pop
 * has changed the word for good, so that the thief's compare-and-swap fails:
 *
 *     owner (hart 0)                            thief (hart 1)
 *                                               word -> version 7, room 8
 *                                               slots[2..3] -> 33, 22
 *     pop: 33, word = version 6, room 12
 *     push 44 over it: word = version 6, room 8
 *                                               swap (version 7, room 8) for (version 6, room 16): fails.
 *                                               Without the version it would take 33, which is in use, and
 *                                               lose 44.
 *
 * The pop does not look before it takes. On an empty stack it reads the sentinel and puts the room back; in
 * between the room is one slot larger than the stack, which everybody else takes for empty. Since the owner
 * is the only one who pushes, the slot that the add made its own cannot change before it has read it.
 *
 * The owner's accesses to its slots are ordered by its program; what must be ordered between harts is said at
 * each access.
 */
#ifndef MM_FRAME_FRAME_STACK_H
#define MM_FRAME_FRAME_STACK_H

#include <stdatomic.h>

#include "arch/addr.h"
#include "arch/atomic.h"
#include "lib/base.h"
#include "trace/inject.h"

/* A slot keeps a frame number of 31 bits (FRAME_COUNT_MAX), or the sentinel: PFN_NONE cut to 32 bits, which
 * the load extends to all of it again, and whose sign tells it apart without a constant to compare with. */
typedef int32_t stack_slot_t;
#define STACK_SENTINEL (-1)

/* What fits one cache line beside the word and the sentinel. */
#define STACK_FRAMES_MAX 12

#define STACK_SLOT_BYTES sizeof(stack_slot_t)
#define STACK_VERSION    2048ull

struct frame_stack {
    _Atomic uint64_t word;
    uint32_t capacity; /* frames; 0 for a stack that is always both empty and full */
    _Atomic stack_slot_t slots[STACK_FRAMES_MAX + 1];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct frame_stack) == CACHE_LINE_BYTES, "as said above");
/* The room of an empty stack in the middle of a pop fits below the version; and stealing everything still
 * makes the word smaller. */
_Static_assert((STACK_FRAMES_MAX + 1) * STACK_SLOT_BYTES < STACK_VERSION, "room runs into the version");

/** frame_stack_init - an empty stack. @capacity: frames, 0 … STACK_FRAMES_MAX */
void frame_stack_init(struct frame_stack *stack, unsigned capacity);

/** frame_stack_count - frames on it, by one reading of the word. Any hart. */
unsigned frame_stack_count(const struct frame_stack *stack);

/** frame_stack_word - the word, for checks. Any hart. */
uint64_t frame_stack_word(const struct frame_stack *stack);

/** frame_stack_fill - push n frames that fit. The owner, holding the lock that thieves need. */
void frame_stack_fill(struct frame_stack *stack, const pfn_t *frames, unsigned n);

/** frame_stack_take - remove the up to n frames pushed last; returns how many. Any hart that holds the
 * lock. */
unsigned frame_stack_take(struct frame_stack *stack, pfn_t *frames, unsigned n);

/** frame_stack_at - the i-th frame from the top, i < count, for checks. The harts must be quiet. */
pfn_t frame_stack_at(const struct frame_stack *stack, unsigned i);

static ALWAYS_INLINE size_t stack_room_bytes(uint64_t word)
{
    return word & (STACK_VERSION - 1);
}

/* The slot at an offset in bytes: the room is kept as one to spare the fast paths a shift. */
static ALWAYS_INLINE _Atomic stack_slot_t *stack_slot(struct frame_stack *stack, size_t room_bytes)
{
    return (_Atomic stack_slot_t *)((char *)stack->slots + room_bytes);
}

/* Relaxed, for the reasons given by the callers. lw. */
static ALWAYS_INLINE pfn_t stack_load(const struct frame_stack *stack, size_t room_bytes)
{
    const _Atomic stack_slot_t *slot =
        (const _Atomic stack_slot_t *)((const char *)stack->slots + room_bytes);
    return PFN((int64_t)atomic_load_explicit(slot, memory_order_relaxed));
}

/** stack_is_none - pfn_is_none() for what comes off a stack, an instruction shorter. */
static ALWAYS_INLINE bool stack_is_none(pfn_t frame)
{
    return (int64_t)frame.value < 0;
}

/** frame_stack_pop - the frame pushed last, or PFN_NONE. The owner. Never fails while a frame is on it. */
static ALWAYS_INLINE pfn_t frame_stack_pop(struct frame_stack *stack)
{
    /* Relaxed: every frame on the stack was pushed by this hart, and the slot is the hart's own once the room
     * is taken. As a read-modify-write it does not end the release sequence that a thief acquires.
     * amoadd.d. */
    uint64_t word =
        atomic_fetch_sub_explicit(&stack->word, STACK_VERSION - STACK_SLOT_BYTES, memory_order_relaxed);
    /* Only this hart writes slots. */
    pfn_t frame = stack_load(stack, stack_room_bytes(word));
    if (unlikely(stack_is_none(frame)))
        /* Relaxed: puts the room back; no frame has moved. amoadd.d. */
        atomic_fetch_sub_explicit(&stack->word, STACK_SLOT_BYTES, memory_order_relaxed);
    return frame;
}

enum stack_push { STACK_PUSHED, STACK_FULL, STACK_LOST_RACE };

/** frame_stack_push - put a frame on top. The owner. STACK_LOST_RACE: a thief was there, try again. */
static ALWAYS_INLINE enum stack_push frame_stack_push(struct frame_stack *stack, pfn_t frame)
{
    /* Relaxed: the swap below checks it. That a thief has read the slot before this hart writes it is ordered
     * by the thief's release and by the address of the store below, which depends on this word (RVWMO,
     * preserved program order, rule 9). ld. */
    uint64_t word = atomic_load_explicit(&stack->word, memory_order_relaxed);
    size_t room_bytes = stack_room_bytes(word);
    if (unlikely(room_bytes == 0))
        return STACK_FULL;
    /* Relaxed: a thief that reads this slot too early has read an older word, and its swap fails. sw. */
    store_relaxed(stack_slot(stack, room_bytes - STACK_SLOT_BYTES), frame.value);
    /* Release, pairs with the acquire in frame_stack_take(): the thief sees the slot, and the frame as
     * whoever freed it left it. lr.d; bne; sc.d.rl; bnez. */
    if (unlikely(inject_due(INJECT_CAS) || !cas_release(&stack->word, word, word - STACK_SLOT_BYTES)))
        return STACK_LOST_RACE;
    return STACK_PUSHED;
}

#endif
