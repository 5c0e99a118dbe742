/*
 * The design "firstfit": one list of all free blocks in the order of their addresses; the first that is large enough is
 * taken and what is left of it stays in its place; one lock around it all. What a first kernel has (ChronOS v0.1;
 * Knuth, The Art of Computer Programming 1, 2.5, algorithms A and B). A free has to find its place in the list, so
 * it costs as many steps as there are free blocks in front of it, and that is the point of having it here.
 */
#include "lib/error.h"
#include "mm/heap/heap_span.h"
#include "trace/inject.h"

/* Spans are 64 KiB where that is enough: sixteen pages for one trip to the frame allocator. */
#define GROW_ORDER 4

#define SEAL_USED 0xf125f17edull

struct block {
    size_t bytes; /* of this one, the header too */
    union {
        struct block *next; /* free: the next free one, of a higher address */
        uint64_t seal; /* in use: the address, sealed. No pointer and no copy of a header looks like it */
    };
};

_Static_assert(sizeof(struct block) == HEAP_ALIGN, "what users have is aligned");

#define BLOCK_MIN (2 * sizeof(struct block))

struct firstfit {
    struct lock lock; /* protects all headers, and what follows */
    struct block *first;
    size_t idle; /* spans of GROW_ORDER without a block in use */
};

static size_t firstfit_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nframes;
    (void)nharts;
    return sizeof(struct firstfit);
}

static int firstfit_init(struct heap *heap)
{
    struct firstfit *firstfit = heap->metadata;
    memset(firstfit, 0, sizeof(*firstfit));
    lock_init(&firstfit->lock, heap->lock_kind, "heap.firstfit");
    return 0;
}

static struct block *block_at(const void *base, size_t offset)
{
    return (struct block *)((uintptr_t)base + offset);
}

static void *user_of(const struct block *block)
{
    return (void *)(block + 1);
}

static void *end_of(heap_span_t span, void *base)
{
    return block_at(base, heap_span_bytes(span));
}

static bool is_used(const struct block *block)
{
    return block->seal == ((uintptr_t)block ^ SEAL_USED);
}

static bool is_idle(heap_span_t span, const void *base, const struct block *block)
{
    return block == base && block->bytes == heap_span_bytes(span) && heap_span_order(span) == GROW_ORDER;
}

/* The link that points to the first free block from an address on. */
static struct block **place_of(struct firstfit *firstfit, const void *address, struct block **before)
{
    struct block **link = &firstfit->first;
    *before = NULL;
    while (*link && (void *)*link < address) {
        *before = *link;
        link = &(*link)->next;
    }
    return link;
}

static bool grow(struct heap *heap, struct firstfit *firstfit, size_t bytes)
{
    struct block *before;
    unsigned order = heap_order_for(bytes);
    struct block *block = heap_span_take(heap, MAX(order, (unsigned)GROW_ORDER), 0);
    if (!block && order < GROW_ORDER)
        block = heap_span_take(heap, order, 0);
    if (!block)
        return false;
    struct block **link = place_of(firstfit, block, &before);
    block->bytes = heap_span_bytes(heap_span_of(heap, block));
    block->next = *link;
    *link = block;
    firstfit->idle += is_idle(heap_span_of(heap, block), block, block);
    return true;
}

/* Where in a free block one of that size and alignment can begin; NULL: it does not fit. What is in front of it must be
 * large enough to be a block of its own. */
static struct block *fit(struct block *block, size_t bytes, size_t align)
{
    uintptr_t user = (uintptr_t)user_of(block), end = (uintptr_t)block + block->bytes;
    if (!IS_ALIGNED(user, align))
        user = ALIGN_UP(user + BLOCK_MIN, align);
    uintptr_t start = user - sizeof(*block);
    return start + bytes <= end ? (struct block *)start : NULL;
}

/* A part of the block that the link points to comes into use. What is in front of it and behind it stays in the list. */
static struct block *carve(
    struct heap *heap, struct firstfit *firstfit, struct block **link, struct block *start, size_t bytes)
{
    struct block *block = *link, *next = block->next;
    size_t whole = block->bytes, front = (uintptr_t)start - (uintptr_t)block;
    size_t rest = whole - front - bytes;
    heap_span_t span = heap_span_of(heap, block);
    if (is_idle(span, heap_span_base(span, block), block))
        firstfit->idle--;
    if (rest >= BLOCK_MIN) {
        struct block *behind = block_at(start, bytes);
        behind->bytes = rest;
        behind->next = next;
        next = behind;
    } else {
        bytes += rest;
    }
    if (front > 0) {
        block->bytes = front;
        block->next = next;
    } else {
        *link = next;
    }
    start->bytes = bytes;
    start->seal = (uintptr_t)start ^ SEAL_USED;
    return start;
}

static struct block *take_first(struct heap *heap, struct firstfit *firstfit, size_t bytes, size_t align)
{
    for (struct block **link = &firstfit->first; *link; link = &(*link)->next) {
        struct block *start = fit(*link, bytes, align);
        if (!start)
            continue;
        if (plant_due(PLANT_FIRSTFIT_TWICE) && start == *link)
            return start;
        return carve(heap, firstfit, link, start, bytes);
    }
    return NULL;
}

static void *take(struct heap *heap, size_t user_bytes, size_t align)
{
    struct firstfit *firstfit = heap->metadata;
    struct lock_node node;
    size_t bytes = MAX(ALIGN_UP(user_bytes + sizeof(struct block), HEAP_ALIGN), BLOCK_MIN);
    size_t room = align > HEAP_ALIGN ? bytes + align + BLOCK_MIN : bytes;
    if (room > HEAP_BYTES_MAX)
        return heap_large_alloc(heap, user_bytes, align);
    lock_acquire(&firstfit->lock, &node);
    struct block *block = take_first(heap, firstfit, bytes, align);
    if (!block && grow(heap, firstfit, room))
        block = take_first(heap, firstfit, bytes, align);
    lock_release(&firstfit->lock, &node);
    return block ? user_of(block) : NULL;
}

static void *firstfit_alloc(struct heap *heap, size_t bytes)
{
    return take(heap, bytes, HEAP_ALIGN);
}

static void *firstfit_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    return take(heap, bytes, align);
}

/* Does a block of a size that can be begin there? */
static bool is_block(heap_span_t span, void *base, const struct block *block)
{
    size_t left = (uintptr_t)end_of(span, base) - (uintptr_t)block;
    return block->bytes >= BLOCK_MIN && block->bytes <= left && IS_ALIGNED(block->bytes, HEAP_ALIGN);
}

/* The kind of a wrong free, and the size of the block that it is about, found from the span's beginning. */
static enum heap_misuse_kind classify(heap_span_t span, void *base, const void *pointer, size_t *bytes)
{
    const struct block *block = base;
    *bytes = 0;
    while (is_block(span, base, block) && (uintptr_t)pointer >= (uintptr_t)block + block->bytes)
        block = block_at(block, block->bytes);
    if (!is_block(span, base, block))
        return HEAP_MISUSE_OVERRUN; /* of the block in front of this header */
    *bytes = block->bytes - sizeof(*block);
    return is_used(block) ? HEAP_MISUSE_INTERIOR : HEAP_MISUSE_DOUBLE_FREE;
}

/* If the second follows the first in their span they become one. */
static bool merge(struct heap *heap, struct block *first, struct block *second, const void *end)
{
    if ((void *)second >= end || block_at(first, first->bytes) != second)
        return false;
    first->bytes += second->bytes;
    first->next = second->next;
    heap_poison(heap, second, sizeof(*second));
    return true;
}

/* Into the list at its place, merged with its neighbours, or given back with its span. */
static void put(
    struct heap *heap, struct firstfit *firstfit, heap_span_t span, void *base, struct block *block)
{
    struct block *before;
    struct block **link = place_of(firstfit, block, &before);
    void *end = end_of(span, base);
    block->next = *link;
    *link = block;
    if (block->next)
        merge(heap, block, block->next, end);
    if (before && (void *)before >= base && merge(heap, before, block, end))
        block = before;
    if (block != base || block->bytes != heap_span_bytes(span))
        return;
    /* One such span is kept, or the last block of all would go to the frame allocator and back each time. */
    if (heap_span_order(span) == GROW_ORDER && firstfit->idle == 0) {
        firstfit->idle++;
        return;
    }
    link = place_of(firstfit, block, &before);
    *link = block->next;
    heap_span_give(heap, base);
}

static struct block *used_block(heap_span_t span, void *base, const void *pointer)
{
    struct block *block = block_at(pointer, -sizeof(struct block));
    if (!IS_ALIGNED((uintptr_t)pointer, HEAP_ALIGN) || (void *)block < base || !is_used(block))
        return NULL;
    return is_block(span, base, block) ? block : NULL;
}

static void firstfit_free(struct heap *heap, void *pointer)
{
    struct firstfit *firstfit = heap->metadata;
    enum heap_misuse_kind kind = HEAP_MISUSE_FOREIGN;
    struct lock_node node;
    size_t bytes = 0;
    lock_acquire(&firstfit->lock, &node);
    heap_span_t span = heap_span_of(heap, pointer);
    bool large = heap_span_is_large(span);
    struct block *block = NULL;
    if (!heap_span_none(span) && !large) {
        void *base = heap_span_base(span, pointer);
        block = used_block(span, base, pointer);
        if (unlikely(!block))
            kind = classify(span, base, pointer, &bytes);
        else if (!plant_due(PLANT_FIRSTFIT_LOST))
            put(heap, firstfit, span, base, block);
        else
            block->next = NULL; /* neither in use nor in the list */
    }
    lock_release(&firstfit->lock, &node);
    if (large)
        heap_large_free(heap, span, pointer, __builtin_return_address(0));
    else if (unlikely(!block))
        heap_refuse_at(heap, kind, pointer, bytes, __builtin_return_address(0));
}

/* Without the lock: a block's header stands as long as somebody has it. */
static size_t firstfit_usable_size(struct heap *heap, const void *pointer)
{
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_none(span))
        return 0;
    if (heap_span_is_large(span))
        return heap_large_usable(span, pointer);
    const struct block *block = used_block(span, heap_span_base(span, pointer), pointer);
    return block ? block->bytes - sizeof(*block) : 0;
}

static void firstfit_drain(struct heap *heap)
{
    struct firstfit *firstfit = heap->metadata;
    struct lock_node node;
    lock_acquire(&firstfit->lock, &node);
    for (struct block **link = &firstfit->first; *link;) {
        struct block *block = *link;
        heap_span_t span = heap_span_of(heap, block);
        if (block == heap_span_base(span, block) && block->bytes == heap_span_bytes(span)) {
            *link = block->next;
            heap_span_give(heap, block);
        } else {
            link = &block->next;
        }
    }
    firstfit->idle = 0;
    lock_release(&firstfit->lock, &node);
}

/* The blocks of a span against the list, which `next` follows: both are in the order of addresses. */
static int check_span(const struct heap *heap, heap_span_t span, void *base, const struct block **next)
{
    bool free_before = false;
    for (const struct block *block = base; (void *)block != end_of(span, base);
         block = block_at(block, block->bytes)) {
        if (!is_block(span, base, block))
            return heap_corrupt(heap, block, "no header where a block ends");
        if (block == *next) {
            if (is_used(block))
                return heap_corrupt(heap, block, "in use and in the list: given twice");
            if (free_before)
                return heap_corrupt(heap, block, "two free blocks side by side");
            *next = block->next;
            free_before = true;
        } else if (is_used(block)) {
            free_before = false;
        } else {
            return heap_corrupt(heap, block, "lost: not in use, and not in the list");
        }
    }
    return 0;
}

static int firstfit_validate(struct heap *heap)
{
    const struct firstfit *firstfit = heap->metadata;
    const struct block *next = firstfit->first;
    size_t idle = 0;
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        int error = check_span(heap, span, base, &next);
        if (error)
            return error;
        idle += is_idle(span, base, base) && !is_used(base);
    }
    if (next)
        return heap_corrupt(heap, next, "in the list, but no free block of the heap");
    return idle == firstfit->idle
               ? 0
               : heap_corrupt(heap, &firstfit->idle, "spans without a block in use are miscounted");
}

static void firstfit_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        for (struct block *block = base; (void *)block != end_of(span, base);
             block = block_at(block, block->bytes))
            visit(argument,
                &(struct heap_block){
                    .base = user_of(block), .bytes = block->bytes - sizeof(*block), .live = is_used(block)});
    }
}

static void firstfit_describe(struct heap *heap, struct parts *parts)
{
    struct firstfit *firstfit = heap->metadata;
    lock_describe(&firstfit->lock, parts);
    parts_add(parts, "head of the list", &firstfit->first, sizeof(firstfit->first));
}

const struct heap_ops heap_firstfit = {
    .name = "firstfit",
    .link_bytes = 0,
    .metadata_size = firstfit_metadata_size,
    .init = firstfit_init,
    .alloc = firstfit_alloc,
    .alloc_aligned = firstfit_alloc_aligned,
    .free = firstfit_free,
    .usable_size = firstfit_usable_size,
    .drain = firstfit_drain,
    .validate = firstfit_validate,
    .walk = firstfit_walk,
    .describe = firstfit_describe,
};
