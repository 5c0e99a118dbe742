/*
 * The design "caslist": the list of free frames without a lock, popped and pushed by compare-and-swap on its head.
 * After Treiber, "Systems Programming: Coping with Parallelism" (IBM RJ 5118, 1986), with the version in the head
 * that the free-pool list of IBM's System/370 has (Principles of Operation, appendix A). No hart ever waits for one
 * that was interrupted, and still it scales no better than a lock, which is why it is here: every operation of
 * every hart writes the one word.
 *
 * What makes it hard is that a head that reads the same need not be the same:
 *
 *     hart 0, popping A of A -> B -> C          hart 1
 *     head -> A, next of A -> B
 *                                               pop A, pop B, push A: the list is A -> C, and B is in use
 *     swap A for B: the head is A, but without a version this would put B, which is in use, on the list.
 *
 * So the head carries a version that every pop changes. For the head to show A again A must have been popped, so
 * a swap succeeds only if nobody popped since the head was read, and then the next of A is what it was. The
 * version comes round after 2^32 pops; a hart would have to sleep between its reading and its swap for just
 * so many.
 *
 * While hart 0 reads the next of A, another hart may have popped A and push it again, or its user write to it.
 * What was read is then thrown away with the swap that fails, but a link in the frame itself, as in "list",
 * would be read while the user's plain stores change it. By C11 that is a race, and a program without meaning;
 * ThreadSanitizer says so, and the only ways out that leave the link there are to make every store to every
 * frame atomic, or to tell the sanitizer to look away. So the links are atomics in an array of their own.
 */
#include "mm/frame/frame.h"
#include "arch/atomic.h"
#include "lib/error.h"
#include "trace/inject.h"

#define STATE_FREE   0u
#define STATE_IN_USE 1u
#define STATE_SEEN   2u /* free, and found in the list by the validation that is going on */

/* The end of the list. No frame has it as its index, see FRAME_COUNT_MAX. */
#define NONE UINT32_MAX

/* The head: the index of the first free frame in the low half, the version above it. */
#define VERSION (1ull << 32)

/* What there is of a frame, next to each other: who pops needs both. */
struct slot {
    _Atomic uint32_t next; /* the index of the next free frame, while this one is free */
    _Atomic uint32_t state;
};

struct caslist {
    _Atomic uint64_t head CACHE_ALIGNED;
    struct slot slots[] CACHE_ALIGNED;
};

static uint32_t first_of(uint64_t head)
{
    return (uint32_t)head;
}

/* The transitions of the head. */
static uint64_t popped(uint64_t head, uint32_t next)
{
    return (head & ~(VERSION - 1)) + VERSION + next;
}

static uint64_t pushed(uint64_t head, uint32_t index)
{
    return (head & ~(VERSION - 1)) + index;
}

static size_t caslist_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct caslist) + nframes * sizeof(struct slot);
}

/* The first frame to be given out is the lowest. */
static int caslist_init(struct frame_allocator *fa)
{
    struct caslist *list = fa->metadata;
    for (size_t i = 0; i < fa->nframes; i++) {
        store_relaxed(&list->slots[i].next, i + 1 < fa->nframes ? (uint32_t)i + 1 : NONE);
        store_relaxed(&list->slots[i].state, STATE_FREE);
    }
    store_relaxed(&list->head, 0);
    return 0;
}

static void push(struct caslist *list, uint32_t index)
{
    for (;;) {
        /* Relaxed: the swap below checks it. ld. */
        uint64_t head = atomic_load_explicit(&list->head, memory_order_relaxed);
        /* Relaxed: published by the swap; who reads it before has popped in vain. sw. */
        store_relaxed(&list->slots[index].next, first_of(head));
        /* Release, pairs with the acquire in pop(): the link, and the frame as it was freed. Whoever pops later
         * acquires it too, as all that writes the head is compare-and-swaps. lr.d; bne; sc.d.rl; bnez. */
        if (!inject_due(INJECT_CAS) && cas_release(&list->head, head, pushed(head, index)))
            return;
        counter_add(COUNTER_CAS_RETRY, 1);
    }
}

/* The first frame of the list; NONE when, at the instant of the last reading of the head, it was empty. */
static uint32_t pop(struct caslist *list)
{
    for (;;) {
        /* Acquire, pairs with the release in push(). ld; fence r,rw. */
        uint64_t head = atomic_load_explicit(&list->head, memory_order_acquire);
        uint32_t index = first_of(head);
        if (index == NONE)
            return NONE;
        /* Relaxed: that it is no older than the head is by the acquire above, and if it is newer somebody has
         * popped, so that the swap fails. lw. */
        uint32_t next = atomic_load_explicit(&list->slots[index].next, memory_order_relaxed);
        /* Relaxed: what the head says was acquired above, and a pop has nothing to show. lr.d; bne; sc.d;
         * bnez. */
        if (!inject_due(INJECT_CAS) && atomic_compare_exchange_weak_explicit(&list->head, &head,
                                           popped(head, next), memory_order_relaxed, memory_order_relaxed))
            return index;
        counter_add(COUNTER_CAS_RETRY, 1);
    }
}

static pfn_t caslist_alloc(struct frame_allocator *fa, unsigned order)
{
    struct caslist *list = fa->metadata;
    if (unlikely(order != 0))
        return PFN_NONE;
    uint32_t index = pop(list);
    if (index == NONE)
        return PFN_NONE;
    if (plant_due(PLANT_CASLIST_TWICE))
        push(list, index);
    /* Relaxed: the caller has the frame to itself, and passes the state on with it. sw. */
    store_relaxed(&list->slots[index].state, STATE_IN_USE);
    return pfn_add(fa->base, index);
}

static void caslist_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct caslist *list = fa->metadata;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint32_t index = pfn.value - fa->base.value;
    _Atomic uint32_t *state = &list->slots[index].state;
    /* Relaxed both: what the frame's last user wrote travels with the push. One exchange lets exactly one of two
     * frees that race win, and leaves a free frame what it is. lw; amoswap.w. */
    uint32_t before = order == 0 ? atomic_exchange_explicit(state, STATE_FREE, memory_order_relaxed)
                                 : atomic_load_explicit(state, memory_order_relaxed);
    if (unlikely(before != STATE_IN_USE || order != 0))
        frame_refuse(fa, before == STATE_IN_USE ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE, pfn,
            order, __builtin_return_address(0));
    else if (!plant_due(PLANT_CASLIST_LOST))
        push(list, index);
}

/* From here on relaxed: the harts are quiet, or the count is of some moment near. lw, ld. */

static uint32_t state_at(const struct caslist *list, size_t index)
{
    return atomic_load_explicit(&list->slots[index].state, memory_order_relaxed);
}

static size_t caslist_free_count(struct frame_allocator *fa)
{
    const struct caslist *list = fa->metadata;
    size_t count = 0;
    for (size_t i = 0; i < fa->nframes; i++)
        count += state_at(list, i) == STATE_FREE;
    return count;
}

/* Marks what is in the list as seen. A frame is seen once, so a list that bites its tail has an end, too. */
static int check_list(struct frame_allocator *fa)
{
    struct caslist *list = fa->metadata;
    uint32_t index = first_of(atomic_load_explicit(&list->head, memory_order_relaxed));
    while (index != NONE) {
        if (index >= fa->nframes)
            return frame_corrupt(fa, pfn_add(fa->base, index), "in the list, but not in the arena");
        if (state_at(list, index) == STATE_SEEN)
            return frame_corrupt(fa, pfn_add(fa->base, index), "twice in the list: to be given twice");
        if (state_at(list, index) != STATE_FREE)
            return frame_corrupt(fa, pfn_add(fa->base, index), "in use and in the list: given twice");
        store_relaxed(&list->slots[index].state, STATE_SEEN);
        index = atomic_load_explicit(&list->slots[index].next, memory_order_relaxed);
    }
    return 0;
}

static int caslist_validate(struct frame_allocator *fa)
{
    struct caslist *list = fa->metadata;
    int error = check_list(fa);
    for (size_t i = 0; !error && i < fa->nframes; i++)
        if (state_at(list, i) == STATE_FREE)
            error = frame_corrupt(fa, pfn_add(fa->base, i), "lost: free, but not in the list");
    for (size_t i = 0; i < fa->nframes; i++)
        if (state_at(list, i) == STATE_SEEN)
            store_relaxed(&list->slots[i].state, STATE_FREE);
    return error;
}

static void caslist_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct caslist *list = fa->metadata;
    parts_add(parts, "head of the list", &list->head, sizeof(list->head));
    parts_add_array(
        parts, "link and state of frame", list->slots, sizeof(struct slot), fa->nframes, sizeof(struct slot));
}

const struct frame_allocator_ops frame_caslist = {
    .name = "caslist",
    .order_max = 0,
    .finds_every_block = false,
    .lockless = true,
    .metadata_size = caslist_metadata_size,
    .init = caslist_init,
    .alloc = caslist_alloc,
    .free = caslist_free,
    .free_count = caslist_free_count,
    .validate = caslist_validate,
    .describe = caslist_describe,
};
