/*
 * The design "list": the free frames are linked through their own first words, under one lock. After kalloc.c of
 * xv6 (Cox, Kaashoek, Morris, MIT), whose allocator is just this. It has single frames only, and the link costs no
 * memory; but each operation touches the frame, and a user that writes to a frame that it has freed breaks the
 * list. To refuse wrong frees, which xv6 does not, there is a byte of state a frame.
 */
#include "mm/frame/frame.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/string.h"
#include "trace/inject.h"

#define STATE_FREE   0
#define STATE_IN_USE 1
#define STATE_SEEN   2 /* free, and found in the list by the validation that is going on */

struct list {
    struct lock lock; /* protects what follows, and the links */
    pfn_t head; /* PFN_NONE: no frame is free */
    uint8_t state[];
};

/* A free frame's first word: the next free frame, PFN_NONE in the last. */
static pfn_t *link_of(pfn_t frame)
{
    return pfn_to_direct(frame);
}

static uint64_t index_of(const struct frame_allocator *fa, pfn_t frame)
{
    return frame.value - fa->base.value;
}

static size_t list_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct list) + nframes * sizeof(uint8_t);
}

static void push(struct list *list, pfn_t frame)
{
    *link_of(frame) = list->head;
    list->head = frame;
}

/* The first frame to be given out is the lowest. */
static int list_init(struct frame_allocator *fa)
{
    struct list *list = fa->metadata;
    lock_init(&list->lock, fa->lock_kind, "frame.list");
    list->head = PFN_NONE;
    memset(list->state, STATE_FREE, fa->nframes);
    for (size_t i = fa->nframes; i-- > 0;)
        push(list, pfn_add(fa->base, i));
    return 0;
}

static pfn_t list_alloc(struct frame_allocator *fa, unsigned order)
{
    struct list *list = fa->metadata;
    struct lock_node node;
    if (unlikely(order != 0))
        return PFN_NONE;
    lock_acquire(&list->lock, &node);
    pfn_t frame = list->head;
    if (!pfn_is_none(frame)) {
        /* If not, somebody has written to a free frame: one that was freed too early, or given twice. */
        DEBUG_ASSERT(index_of(fa, frame) < fa->nframes);
        list->state[index_of(fa, frame)] = STATE_IN_USE;
        if (!plant_due(PLANT_LIST_TWICE))
            list->head = *link_of(frame);
    }
    lock_release(&list->lock, &node);
    return frame;
}

static void list_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct list *list = fa->metadata;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint8_t *state = &list->state[index_of(fa, pfn)];
    struct lock_node node;
    lock_acquire(&list->lock, &node);
    bool taken = *state == STATE_IN_USE;
    bool right = taken && order == 0;
    if (right) {
        *state = STATE_FREE;
        if (!plant_due(PLANT_LIST_LOST))
            push(list, pfn);
    }
    lock_release(&list->lock, &node);
    if (unlikely(!right))
        frame_refuse(fa, taken ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE, pfn, order,
            __builtin_return_address(0));
}

static size_t list_free_count(struct frame_allocator *fa)
{
    struct list *list = fa->metadata;
    struct lock_node node;
    size_t count = 0;
    lock_acquire(&list->lock, &node);
    for (size_t i = 0; i < fa->nframes; i++)
        count += list->state[i] == STATE_FREE;
    lock_release(&list->lock, &node);
    return count;
}

/* Marks what is in the list as seen. A frame is seen once, so a list that bites its tail has an end, too. */
static int check_list(struct frame_allocator *fa)
{
    struct list *list = fa->metadata;
    for (pfn_t frame = list->head; !pfn_is_none(frame); frame = *link_of(frame)) {
        uint64_t index = index_of(fa, frame);
        if (index >= fa->nframes)
            return frame_corrupt(fa, pfn_add(fa->base, index),
                "in the list, but not in the arena: a free frame was written to");
        if (list->state[index] == STATE_SEEN)
            return frame_corrupt(fa, pfn_add(fa->base, index), "twice in the list: to be given twice");
        if (list->state[index] != STATE_FREE)
            return frame_corrupt(fa, pfn_add(fa->base, index), "in use and in the list: given twice");
        list->state[index] = STATE_SEEN;
    }
    return 0;
}

static int list_validate(struct frame_allocator *fa)
{
    struct list *list = fa->metadata;
    int error = check_list(fa);
    for (size_t i = 0; !error && i < fa->nframes; i++)
        if (list->state[i] == STATE_FREE)
            error = frame_corrupt(fa, pfn_add(fa->base, i), "lost: free, but not in the list");
    for (size_t i = 0; i < fa->nframes; i++)
        if (list->state[i] == STATE_SEEN)
            list->state[i] = STATE_FREE;
    return error;
}

static void list_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct list *list = fa->metadata;
    lock_describe(&list->lock, parts);
    parts_add(parts, "head of the list", &list->head, sizeof(list->head));
    parts_add_array(parts, "state of frame", list->state, sizeof(uint8_t), fa->nframes, sizeof(uint8_t));
}

const struct frame_allocator_ops frame_list = {
    .name = "list",
    .order_max = 0,
    .finds_every_block = false,
    .metadata_size = list_metadata_size,
    .init = list_init,
    .alloc = list_alloc,
    .free = list_free,
    .free_count = list_free_count,
    .validate = list_validate,
    .describe = list_describe,
};
