/*
 * The design "bestfit": blocks with boundary tags, merged with their neighbours as soon as they are free; the smallest free
 * block that fits is taken and what is left of it split off; one lock around it all. What many teaching kernels
 * have. The tags are Knuth's (The Art of Computer Programming 1, 2.5), with that of the end kept in the header
 * behind; the lists by powers of two of size after Wilson, Johnstone, Neely and Boles (1995).
 *
 * A block is a header and what its user has; blocks fill a span without gaps. What a search costs grows with the free
 * blocks of about the size: that is the design. A free looks at its two neighbours, however many blocks there are.
 */
#include "mm/heap/bestfit.h"
#include "lib/bits.h"
#include "trace/inject.h"

static size_t bestfit_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nframes;
    (void)nharts;
    return sizeof(struct bestfit);
}

static int bestfit_init(struct heap *heap)
{
    struct bestfit *bestfit = heap->metadata;
    memset(bestfit, 0, sizeof(*bestfit));
    lock_init(&bestfit->lock, heap->lock_kind, "heap.bestfit");
    return 0;
}

static void set_state(struct block *block, uint64_t state)
{
    block->seal = (uintptr_t)block ^ state;
}

static void insert(struct bestfit *bestfit, struct block *block)
{
    unsigned list = bits_highest(block->bytes);
    block->next = bestfit->list[list];
    block->previous = NULL;
    if (block->next)
        block->next->previous = block;
    bestfit->list[list] = block;
    bestfit->filled |= 1u << list;
}

static void take_out(struct bestfit *bestfit, struct block *block)
{
    unsigned list = bits_highest(block->bytes);
    if (block->next)
        block->next->previous = block->previous;
    if (block->previous)
        block->previous->next = block->next;
    else
        bestfit->list[list] = block->next;
    if (!bestfit->list[list])
        bestfit->filled &= ~(1u << list);
}

/* The smallest of a list that is large enough; NULL: there is none. */
static struct block *smallest(struct block *list, size_t bytes)
{
    struct block *best = NULL;
    for (struct block *block = list; block; block = block->next) {
        if (block->bytes < bytes || (best && block->bytes >= best->bytes))
            continue;
        best = block;
        if (block->bytes == bytes)
            break;
    }
    return best;
}

static struct block *find(struct bestfit *bestfit, size_t bytes)
{
    unsigned list = bits_highest(bytes);
    struct block *block = smallest(bestfit->list[list], bytes);
    uint32_t larger = bestfit->filled & ~(uint32_t)bits_mask(0, list + 1);
    return block || !larger ? block : smallest(bestfit->list[bits_lowest(larger)], bytes);
}

/* A span that is one free block, in no list. Of the usual size if that is to be had, else of what it takes. */
static struct block *grow(struct heap *heap, size_t bytes)
{
    unsigned order = heap_order_for(bytes);
    struct block *block = heap_span_take(heap, MAX(order, (unsigned)GROW_ORDER), 0);
    if (!block && order < GROW_ORDER)
        block = heap_span_take(heap, order, 0);
    if (!block)
        return NULL;
    block->bytes = heap_span_bytes(heap_span_of(heap, block));
    block->before = 0;
    set_state(block, SEAL_FREE);
    return block;
}

/* Cut a block of the first `bytes` off; the rest is the result. */
static struct block *split(heap_span_t span, void *base, struct block *block, size_t bytes)
{
    struct block *rest = block_at(block, bytes);
    rest->bytes = block->bytes - bytes;
    rest->before = bytes;
    set_state(rest, SEAL_FREE);
    block->bytes = bytes;
    struct block *behind = block_at(rest, rest->bytes);
    if ((void *)behind < end_of(span, base))
        behind->before = rest->bytes;
    return rest;
}

/* A free block becomes one of `bytes` in use whose user's part is aligned. It is large enough for that. */
static struct block *carve(
    struct heap *heap, struct bestfit *bestfit, struct block *block, size_t bytes, size_t align)
{
    heap_span_t span = heap_span_of(heap, block);
    void *base = heap_span_base(span, block);
    if (is_whole_span(span, base, block) && heap_span_order(span) == GROW_ORDER)
        bestfit->idle--;
    if (!IS_ALIGNED((uintptr_t)user_of(block), align)) {
        uintptr_t user = ALIGN_UP((uintptr_t)user_of(block) + BLOCK_MIN, align);
        struct block *rest = split(span, base, block, user - (uintptr_t)user_of(block));
        insert(bestfit, block);
        block = rest;
    }
    if (block->bytes - bytes >= BLOCK_MIN)
        insert(bestfit, split(span, base, block, bytes));
    set_state(block, SEAL_USED);
    return block;
}

static void *take(struct heap *heap, size_t user_bytes, size_t align)
{
    struct bestfit *bestfit = heap->metadata;
    struct lock_node node;
    size_t bytes = MAX(ALIGN_UP(user_bytes + HEADER_BYTES, HEAP_ALIGN), BLOCK_MIN);
    size_t room = align > HEAP_ALIGN ? bytes + align + BLOCK_MIN : bytes;
    if (room > HEAP_BYTES_MAX)
        return heap_large_alloc(heap, user_bytes, align);
    lock_acquire(&bestfit->lock, &node);
    struct block *block = find(bestfit, room);
    if (block) {
        take_out(bestfit, block);
    } else {
        block = grow(heap, room);
        if (block && block->bytes == (size_t)PAGE_BYTES << GROW_ORDER)
            bestfit->idle++;
    }
    if (block) {
        block = carve(heap, bestfit, block, bytes, align);
        if (plant_due(PLANT_BESTFIT_TWICE)) {
            set_state(block, SEAL_FREE);
            insert(bestfit, block);
        }
    }
    lock_release(&bestfit->lock, &node);
    return block ? user_of(block) : NULL;
}

static void *bestfit_alloc(struct heap *heap, size_t bytes)
{
    return take(heap, bytes, HEAP_ALIGN);
}

static void *bestfit_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    return take(heap, bytes, align);
}

/* The block that an address is in, found from the span's beginning; NULL: a header on the way has been written over. */
static struct block *block_around(heap_span_t span, void *base, const void *address)
{
    for (struct block *block = base; is_block(span, base, block); block = block_at(block, block->bytes))
        if ((uintptr_t)address < (uintptr_t)block + block->bytes)
            return block;
    return NULL;
}

/* The kind of a wrong free, and the size of the block that it is about. */
static enum heap_misuse_kind classify(heap_span_t span, void *base, const void *pointer, size_t *bytes)
{
    const struct block *block = block_around(span, base, pointer);
    *bytes = block ? block->bytes - HEADER_BYTES : 0;
    if (!block || (user_of(block) == pointer && is_sealed(block, SEAL_USED)))
        return HEAP_MISUSE_OVERRUN;
    return is_sealed(block, SEAL_USED) ? HEAP_MISUSE_INTERIOR : HEAP_MISUSE_DOUBLE_FREE;
}

/* Two free neighbours become one. What was the second's header is no block in use, whoever asks. */
static void merge(struct heap *heap, struct block *first, struct block *second)
{
    first->bytes += second->bytes;
    heap_poison(heap, second, BLOCK_MIN);
}

/* Free, merged with its free neighbours, and in a list, or given back with its span. */
static void put(struct heap *heap, struct bestfit *bestfit, heap_span_t span, void *base, struct block *block)
{
    struct block *behind = block_at(block, block->bytes), *front = block_at(block, -(size_t)block->before);
    set_state(block, SEAL_FREE);
    if ((void *)behind < end_of(span, base) && is_sealed(behind, SEAL_FREE)) {
        take_out(bestfit, behind);
        merge(heap, block, behind);
    }
    if (front != block && is_sealed(front, SEAL_FREE)) {
        take_out(bestfit, front);
        merge(heap, front, block);
        block = front;
    }
    behind = block_at(block, block->bytes);
    if ((void *)behind < end_of(span, base)) {
        behind->before = block->bytes;
    } else if (block == base) {
        /* One such span is kept, or the last block of all would go to the frame allocator and back each time. */
        if (heap_span_order(span) != GROW_ORDER || bestfit->idle > 0) {
            heap_span_give(heap, base);
            return;
        }
        bestfit->idle++;
    }
    insert(bestfit, block);
}

/* The block of a user's pointer, if it is in use. */
static struct block *used_block(const void *base, const void *pointer)
{
    struct block *block = block_at(pointer, -HEADER_BYTES);
    if (!IS_ALIGNED((uintptr_t)pointer, HEAP_ALIGN) || (void *)block < base || !is_sealed(block, SEAL_USED))
        return NULL;
    return block;
}

/* Is its size right, and is a header where it ends? */
static bool is_sound(heap_span_t span, void *base, const struct block *block)
{
    struct block *behind = block_at(block, block->bytes);
    return is_block(span, base, block) &&
           ((void *)behind == end_of(span, base) || is_block(span, base, behind));
}

static void bestfit_free(struct heap *heap, void *pointer)
{
    struct bestfit *bestfit = heap->metadata;
    enum heap_misuse_kind kind = HEAP_MISUSE_FOREIGN;
    struct lock_node node;
    size_t bytes = 0;
    lock_acquire(&bestfit->lock, &node);
    heap_span_t span = heap_span_of(heap, pointer);
    bool large = heap_span_is_large(span), right = false;
    if (!heap_span_none(span) && !large) {
        void *base = heap_span_base(span, pointer);
        struct block *block = used_block(base, pointer);
        right = block && is_sound(span, base, block);
        if (unlikely(!right))
            kind = classify(span, base, pointer, &bytes);
        else if (!plant_due(PLANT_BESTFIT_LOST))
            put(heap, bestfit, span, base, block);
    }
    lock_release(&bestfit->lock, &node);
    if (large)
        heap_large_free(heap, span, pointer, __builtin_return_address(0));
    else if (unlikely(!right))
        heap_refuse_at(heap, kind, pointer, bytes, __builtin_return_address(0));
}

/* Without the lock: a block's size stands as long as somebody has it. */
static size_t bestfit_usable_size(struct heap *heap, const void *pointer)
{
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_none(span))
        return 0;
    if (heap_span_is_large(span))
        return heap_large_usable(span, pointer);
    const struct block *block = used_block(heap_span_base(span, pointer), pointer);
    return block ? block->bytes - HEADER_BYTES : 0;
}

static void bestfit_drain(struct heap *heap)
{
    struct bestfit *bestfit = heap->metadata;
    struct lock_node node;
    lock_acquire(&bestfit->lock, &node);
    for (unsigned list = 0; list < LISTS; list++) {
        for (struct block *block = bestfit->list[list], *next; block; block = next) {
            next = block->next;
            heap_span_t span = heap_span_of(heap, block);
            if (!is_whole_span(span, heap_span_base(span, block), block))
                continue;
            take_out(bestfit, block);
            heap_span_give(heap, block);
        }
    }
    bestfit->idle = 0;
    lock_release(&bestfit->lock, &node);
}

static void bestfit_describe(struct heap *heap, struct parts *parts)
{
    struct bestfit *bestfit = heap->metadata;
    lock_describe(&bestfit->lock, parts);
    parts_add_array(
        parts, "head of list", bestfit->list, sizeof(bestfit->list[0]), LISTS, sizeof(bestfit->list[0]));
}

const struct heap_ops heap_bestfit = {
    .name = "bestfit",
    .link_bytes = BLOCK_MIN - HEADER_BYTES,
    .metadata_size = bestfit_metadata_size,
    .init = bestfit_init,
    .alloc = bestfit_alloc,
    .alloc_aligned = bestfit_alloc_aligned,
    .free = bestfit_free,
    .usable_size = bestfit_usable_size,
    .drain = bestfit_drain,
    .validate = bestfit_validate,
    .walk = bestfit_walk,
    .describe = bestfit_describe,
};
