/*
 * The design "buddy": a binary buddy system with a list of free blocks for each order and one lock around it all. What
 * kernels in the manner of rCore have, MankorOS and Chronos v0.2 among them.
 *
 * A byte for every grain says whether a block begins there, of which order, and whether it is free. So a free knows its block
 * without being told the size, finds the buddy's state by one look, and takes the buddy out of the middle of its
 * list: as many steps as there are orders, however many blocks are free. Where the list is searched for the buddy
 * instead, as in a crate that many kernels use, a free takes as many steps as the list is long.
 *
 * Blocks are merged up to their span: what is next to it may be another's, or a span of another time.
 *
 * Source: Knowlton, "A Fast Storage Allocator", 1965; Knuth, The Art of Computer Programming 1, 2.5, algorithms R and S.
 */
#include "lib/error.h"
#include "mm/heap/buddy_sizes.h"
#include "trace/inject.h"

/* What a grain's byte says. */
#define STATE_INSIDE 0x00u /* no block begins here */
#define STATE_FREE   0x40u /* on the list of its order */
#define STATE_USED   0x80u
#define STATE_ORDER  0x1fu

struct free_block {
    struct free_block *next, *previous;
};

_Static_assert(sizeof(struct free_block) <= GRAIN_BYTES, "links are in the blocks");

struct buddy {
    struct lock lock; /* protects states, lists and links */
    uint32_t filled; /* orders whose lists are not empty */
    struct free_block *list[BLOCK_ORDER + 1];
    uint8_t state[]; /* of every grain of the arena; of those in no span it says nothing */
};

static size_t buddy_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct buddy) + nframes * PAGE_GRAINS;
}

static int buddy_init(struct heap *heap)
{
    struct buddy *buddy = heap->metadata;
    memset(buddy, 0, sizeof(*buddy));
    lock_init(&buddy->lock, heap->lock_kind, "heap.buddy");
    return 0;
}

/* Grains are counted from where the arena begins, which is aligned to more than a span. */
static size_t grain_of(const struct heap *heap, const void *address)
{
    return ((uintptr_t)address - heap->base) >> GRAIN_SHIFT;
}

static void *grain_at(const struct heap *heap, size_t grain)
{
    return (void *)(heap->base + (grain << GRAIN_SHIFT));
}

static void push(struct heap *heap, struct buddy *buddy, size_t grain, unsigned order)
{
    struct free_block *block = grain_at(heap, grain), *next = buddy->list[order];
    buddy->state[grain] = STATE_FREE | order;
    block->next = next;
    block->previous = NULL;
    if (next)
        next->previous = block;
    buddy->list[order] = block;
    buddy->filled |= 1u << order;
}

static void take_out(struct buddy *buddy, struct free_block *block, unsigned order)
{
    if (block->next)
        block->next->previous = block->previous;
    if (block->previous)
        block->previous->next = block->next;
    else
        buddy->list[order] = block->next;
    if (!buddy->list[order])
        buddy->filled &= ~(1u << order);
}

/* The grain of a free block of this order or a larger one, which is in no list any more; *from is its order. False: there was
 * none and no span either. */
static bool find(struct heap *heap, struct buddy *buddy, unsigned order, size_t *grain, unsigned *from)
{
    uint32_t fitting = buddy->filled >> order;
    void *block;
    if (fitting) {
        *from = order + bits_lowest(fitting);
        block = buddy->list[*from];
        take_out(buddy, block, *from);
    } else {
        block = block_span_take(heap, order);
        if (!block)
            return false;
        heap_span_t span = heap_span_of(heap, block);
        *from = span_block_order(span);
        memset(&buddy->state[grain_of(heap, block)], STATE_INSIDE, (size_t)1 << *from);
    }
    *grain = grain_of(heap, block);
    return true;
}

static void *take(struct heap *heap, unsigned order)
{
    struct buddy *buddy = heap->metadata;
    struct lock_node node;
    size_t grain;
    unsigned from;
    lock_acquire(&buddy->lock, &node);
    bool found = find(heap, buddy, order, &grain, &from);
    if (found) {
        /* The lower half is split further, the upper ones stay free. */
        while (from > order) {
            from--;
            push(heap, buddy, grain + ((size_t)1 << from), from);
        }
        buddy->state[grain] = STATE_USED | order;
        if (plant_due(PLANT_BUDDY_TWICE))
            push(heap, buddy, grain, order);
    }
    lock_release(&buddy->lock, &node);
    return found ? grain_at(heap, grain) : NULL;
}

static void *buddy_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    size_t room = MAX(bytes, align); /* a block is aligned to its size */
    if (room > BLOCK_MAX)
        return heap_large_alloc(heap, bytes, align);
    return take(heap, order_for(room));
}

static void *buddy_alloc(struct heap *heap, size_t bytes)
{
    return buddy_alloc_aligned(heap, bytes, HEAP_ALIGN);
}

/* Free, merged with its buddies as far as they are free, and in a list, or given back with its span. */
static void put(struct heap *heap, struct buddy *buddy, heap_span_t span, size_t grain, unsigned order)
{
    unsigned top = span_block_order(span);
    while (order < top) {
        size_t half = (size_t)1 << order, upper = grain | half;
        if (buddy->state[grain ^ half] != (STATE_FREE | order))
            break;
        take_out(buddy, grain_at(heap, grain ^ half), order);
        buddy->state[upper] = STATE_INSIDE;
        heap_poison(heap, grain_at(heap, upper), sizeof(struct free_block));
        grain = upper - half;
        order++;
    }
    /* One whole span is kept, or the last block of all would go to the frame allocator and back each time. */
    if (order == top && (order < BLOCK_ORDER || buddy->list[BLOCK_ORDER]))
        heap_span_give(heap, grain_at(heap, grain));
    else
        push(heap, buddy, grain, order);
}

/* Where the block around a grain begins. */
static size_t first_grain_of_block(const struct buddy *buddy, size_t grain)
{
    unsigned order = 0;
    while (order < BLOCK_ORDER && buddy->state[ALIGN_DOWN(grain, (size_t)1 << order)] == STATE_INSIDE)
        order++;
    return ALIGN_DOWN(grain, (size_t)1 << order);
}

static size_t block_bytes(unsigned state)
{
    return GRAIN_BYTES << (state & STATE_ORDER);
}

/* The state of the block that begins at an address; STATE_INSIDE if none does. */
static unsigned state_at(const struct heap *heap, const struct buddy *buddy, const void *pointer)
{
    return IS_ALIGNED((uintptr_t)pointer, GRAIN_BYTES) ? buddy->state[grain_of(heap, pointer)] : STATE_INSIDE;
}

static void buddy_free(struct heap *heap, void *pointer)
{
    struct buddy *buddy = heap->metadata;
    enum heap_misuse_kind kind = HEAP_MISUSE_FOREIGN;
    struct lock_node node;
    unsigned state = STATE_INSIDE;
    lock_acquire(&buddy->lock, &node);
    heap_span_t span = heap_span_of(heap, pointer);
    bool large = heap_span_is_large(span), right = false;
    if (!heap_span_none(span) && !large) {
        state = state_at(heap, buddy, pointer);
        right = state & STATE_USED;
        if (unlikely(!right)) {
            state = buddy->state[first_grain_of_block(buddy, grain_of(heap, pointer))];
            kind = state & STATE_USED ? HEAP_MISUSE_INTERIOR : HEAP_MISUSE_DOUBLE_FREE;
        } else if (!plant_due(PLANT_BUDDY_LOST)) {
            put(heap, buddy, span, grain_of(heap, pointer), state & STATE_ORDER);
        }
    }
    lock_release(&buddy->lock, &node);
    if (large)
        heap_large_free(heap, span, pointer, __builtin_return_address(0));
    else if (unlikely(!right))
        heap_refuse_at(
            heap, kind, pointer, heap_span_none(span) ? 0 : block_bytes(state), __builtin_return_address(0));
}

/* Without the lock: a block's state stands as long as somebody has it. */
static size_t buddy_usable_size(struct heap *heap, const void *pointer)
{
    const struct buddy *buddy = heap->metadata;
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_none(span))
        return 0;
    if (heap_span_is_large(span))
        return heap_large_usable(span, pointer);
    unsigned state = state_at(heap, buddy, pointer);
    return state & STATE_USED ? block_bytes(state) : 0;
}

static void buddy_drain(struct heap *heap)
{
    struct buddy *buddy = heap->metadata;
    struct lock_node node;
    lock_acquire(&buddy->lock, &node);
    for (struct free_block *block; (block = buddy->list[BLOCK_ORDER]);) {
        take_out(buddy, block, BLOCK_ORDER);
        heap_span_give(heap, block);
    }
    lock_release(&buddy->lock, &node);
}

/* Every block of a span: its place, what is inside of it, and whether its buddy ought to be one with it. */
static int check_span(
    const struct heap *heap, heap_span_t span, const void *base, size_t nfree[static BLOCK_ORDER + 1])
{
    const struct buddy *buddy = heap->metadata;
    size_t first = grain_of(heap, base), end = first + ((size_t)1 << span_block_order(span));
    for (size_t grain = first; grain < end;) {
        unsigned state = buddy->state[grain], order = state & STATE_ORDER;
        if (state != (STATE_FREE | order) && state != (STATE_USED | order))
            return heap_corrupt(heap, grain_at(heap, grain), "no block where another ends");
        if (!IS_ALIGNED(grain, 1u << order) || order > span_block_order(span))
            return heap_corrupt(heap, grain_at(heap, grain), "a block where none of its order can be");
        for (size_t i = 1; i < (size_t)1 << order; i++)
            if (buddy->state[grain + i] != STATE_INSIDE)
                return heap_corrupt(heap, grain_at(heap, grain + i), "a block inside another");
        if (state & STATE_FREE) {
            if (order < span_block_order(span) && buddy->state[grain ^ 1u << order] == state)
                return heap_corrupt(heap, grain_at(heap, grain), "free as its buddy is, and not merged");
            nfree[order]++;
        }
        grain += (size_t)1 << order;
    }
    return 0;
}

/* The list has the free blocks of its order, each once: who is linked both ways is there once. */
static int check_list(const struct heap *heap, unsigned order, size_t nfree)
{
    const struct buddy *buddy = heap->metadata;
    const struct free_block *before = NULL;
    if ((buddy->filled >> order & 1) != (buddy->list[order] != NULL))
        return heap_corrupt(heap, &buddy->filled, "an empty list that is said to be filled, or the reverse");
    for (const struct free_block *block = buddy->list[order]; block; block = block->next) {
        if (heap_span_none(heap_span_of(heap, block)) || !IS_ALIGNED((uintptr_t)block, GRAIN_BYTES))
            return heap_corrupt(heap, block, "in a list, but not in the heap: written to after it was freed");
        if (buddy->state[grain_of(heap, block)] != (STATE_FREE | order) || block->previous != before)
            return heap_corrupt(heap, block, "in a list where it does not belong");
        nfree--;
        before = block;
    }
    return nfree == 0 ? 0 : heap_corrupt(heap, &buddy->list[order], "free blocks that are in no list");
}

static int buddy_validate(struct heap *heap)
{
    size_t nfree[BLOCK_ORDER + 1] = {0};
    int error = 0;
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (!error && !heap_span_is_large(span))
            error = check_span(heap, span, base, nfree);
    }
    for (unsigned order = 0; !error && order <= BLOCK_ORDER; order++)
        error = check_list(heap, order, nfree[order]);
    return error;
}

static void buddy_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    const struct buddy *buddy = heap->metadata;
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        size_t grain = grain_of(heap, base), end = grain + ((size_t)1 << span_block_order(span));
        while (grain < end) {
            unsigned state = buddy->state[grain];
            visit(argument,
                &(struct heap_block){
                    .base = grain_at(heap, grain), .bytes = block_bytes(state), .live = state & STATE_USED});
            grain += block_bytes(state) / GRAIN_BYTES;
        }
    }
}

static void buddy_describe(struct heap *heap, struct parts *parts)
{
    struct buddy *buddy = heap->metadata;
    lock_describe(&buddy->lock, parts);
    parts_add_array(parts, "head of list", buddy->list, sizeof(buddy->list[0]), ARRAY_SIZE(buddy->list),
        sizeof(buddy->list[0]));
    parts_add_array(parts, "states of frame", buddy->state, PAGE_GRAINS, heap->nframes, PAGE_GRAINS);
}

const struct heap_ops heap_buddy = {
    .name = "buddy",
    .link_bytes = sizeof(struct free_block),
    .metadata_size = buddy_metadata_size,
    .init = buddy_init,
    .alloc = buddy_alloc,
    .alloc_aligned = buddy_alloc_aligned,
    .free = buddy_free,
    .usable_size = buddy_usable_size,
    .drain = buddy_drain,
    .validate = buddy_validate,
    .walk = buddy_walk,
    .describe = buddy_describe,
};
