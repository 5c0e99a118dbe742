/*
 * The design "bestfit": blocks with boundary tags, merged with their neighbours as soon as they are free; the smallest free
 * block that fits is taken and what is left of it split off; one lock around it all. What many teaching kernels
 * have. The tags are Knuth's (The Art of Computer Programming 1, 2.5), with that of the end kept in the header
 * behind; the lists by powers of two of size after Wilson, Johnstone, Neely and Boles (1995).
 *
 * A block is a header and what its user has; blocks fill a span without gaps. What a search costs grows with the free
 * blocks of about the size: that is the design. A free looks at its two neighbours, however many blocks there are.
 */
#include "arch/panic.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/heap/heap_span.h"
#include "trace/inject.h"

/* Spans are 64 KiB where that is enough: sixteen pages for one trip to the frame allocator. */
#define GROW_ORDER 4

#define SEAL_USED 0xb10c05edull
#define SEAL_FREE 0xb10cf4eeull

struct block {
    uint32_t bytes; /* of this one, the header too */
    uint32_t before; /* of the one in front of it in the span; 0 for the first */
    uint64_t
        seal; /* address and state: no other memory looks like a header by chance or by being a copy of one */

    /* In free blocks only. */
    struct block *next, *previous;
};

#define HEADER_BYTES offsetof(struct block, next)
#define BLOCK_MIN    sizeof(struct block)

_Static_assert(HEADER_BYTES == HEAP_ALIGN && BLOCK_MIN % HEAP_ALIGN == 0, "what users have is aligned");

#define LISTS 32

struct bestfit {
    struct lock lock; /* protects all headers, and what follows */
    uint32_t filled; /* lists that are not empty */
    uint32_t idle; /* spans of GROW_ORDER without a block in use */
    struct block *list[LISTS]; /* free blocks; the i-th has those from 2^i bytes on */
};

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

static struct block *block_at(const void *base, size_t offset)
{
    return (struct block *)((uintptr_t)base + offset);
}

static void *user_of(const struct block *block)
{
    return (void *)((uintptr_t)block + HEADER_BYTES);
}

static bool is_sealed(const struct block *block, uint64_t state)
{
    return block->seal == ((uintptr_t)block ^ state);
}

static void set_state(struct block *block, uint64_t state)
{
    block->seal = (uintptr_t)block ^ state;
}

static void *end_of(heap_span_t span, void *base)
{
    return block_at(base, heap_span_bytes(span));
}

static bool is_whole_span(heap_span_t span, const void *base, const struct block *block)
{
    return block == base && block->bytes == heap_span_bytes(span);
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

/* Is this a header that fits into the span? */
static bool is_block(heap_span_t span, void *base, const struct block *block)
{
    return (is_sealed(block, SEAL_USED) || is_sealed(block, SEAL_FREE)) && block->bytes >= BLOCK_MIN &&
           IS_ALIGNED(block->bytes, HEAP_ALIGN) &&
           block->bytes <= (size_t)((uint8_t *)end_of(span, base) - (uint8_t *)block);
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

/* Two neighbours become one. The second's header is unmade: nobody shall take it for one. */
static void merge(struct heap *heap, struct block *first, struct block *second)
{
    first->bytes += second->bytes;
    second->seal = 0;
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

/* Every block of a span, and how it lies between its neighbours. */
static int check_span(const struct heap *heap, heap_span_t span, void *base, size_t *nfree)
{
    const struct block *before = NULL;
    for (struct block *block = base; (void *)block != end_of(span, base);
         block = block_at(block, block->bytes)) {
        if (!is_block(span, base, block))
            return heap_corrupt(heap, block, "no header where a block ends");
        if (block->before != (before ? before->bytes : 0))
            return heap_corrupt(heap, block, "the size of the block in front of it is wrong");
        bool is_free = is_sealed(block, SEAL_FREE);
        if (is_free && before && is_sealed(before, SEAL_FREE))
            return heap_corrupt(heap, block, "two free blocks side by side");
        *nfree += is_free;
        before = block;
    }
    return 0;
}

/* The lists have the free blocks, each once: who is linked both ways is in one list only. */
static int check_list(const struct heap *heap, const struct bestfit *bestfit, unsigned list, size_t *listed)
{
    const struct block *before = NULL;
    for (const struct block *block = bestfit->list[list]; block; block = block->next) {
        if (heap_span_none(heap_span_of(heap, block)) || !IS_ALIGNED((uintptr_t)block, HEAP_ALIGN))
            return heap_corrupt(heap, block, "in a list, but not in the heap: written to after it was freed");
        if (!is_sealed(block, SEAL_FREE) || bits_highest(block->bytes) != list || block->previous != before)
            return heap_corrupt(heap, block, "in a list where it does not belong");
        ++*listed;
        before = block;
    }
    return 0;
}

static int bestfit_validate(struct heap *heap)
{
    const struct bestfit *bestfit = heap->metadata;
    size_t nfree = 0, listed = 0, idle = 0;
    int error = 0;
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        error = check_span(heap, span, base, &nfree);
        if (error)
            return error;
        idle += heap_span_order(span) == GROW_ORDER && is_whole_span(span, base, base) &&
                is_sealed(base, SEAL_FREE);
    }
    for (unsigned list = 0; !error && list < LISTS; list++) {
        if ((bestfit->filled >> list & 1) != (bestfit->list[list] != NULL))
            return heap_corrupt(
                heap, &bestfit->filled, "an empty list that is said to be filled, or the reverse");
        error = check_list(heap, bestfit, list, &listed);
    }
    if (!error && nfree != listed)
        error = heap_corrupt(heap, bestfit, "free blocks that are in no list");
    if (!error && idle != bestfit->idle)
        error = heap_corrupt(heap, &bestfit->idle, "spans without a block in use are miscounted");
    return error;
}

static void bestfit_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        for (struct block *block = base; (void *)block != end_of(span, base);
             block = block_at(block, block->bytes))
            visit(argument, &(struct heap_block){.base = user_of(block),
                                .bytes = block->bytes - HEADER_BYTES,
                                .live = is_sealed(block, SEAL_USED)});
    }
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
