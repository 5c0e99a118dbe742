/* The blocks of the buddy systems among the heaps: of what sizes they are, and in what spans they lie. */
#ifndef MM_HEAP_BUDDY_SIZES_H
#define MM_HEAP_BUDDY_SIZES_H

#include "lib/bits.h"
#include "mm/heap/heap_span.h"

/* A block of order k is 2^k grains and aligned to its size. A smaller grain would double what is known about each frame, for
 * blocks that the kernel hardly has. */
#define GRAIN_SHIFT 5
#define GRAIN_BYTES ((size_t)1 << GRAIN_SHIFT)
#define PAGE_GRAINS ((size_t)PAGE_BYTES >> GRAIN_SHIFT)

/* Spans are 64 KiB where such are to be had: sixteen pages for one trip to the frame allocator. Each doubling would be a
 * level more to split and to merge where little is live, 45 instructions of a pair in "buddy" and 65 in "treebuddy", and
 * twice the memory that one block keeps. */
#define GROW_ORDER 4

#define PAGE_ORDER (PAGE_SHIFT - GRAIN_SHIFT)
#define BLOCK_ORDER                                                                                          \
    (PAGE_ORDER + GROW_ORDER) /* of the largest block: a span. What is larger is a large span */
#define BLOCK_MAX (GRAIN_BYTES << BLOCK_ORDER)

/** order_for - the order of the smallest block of so many bytes, 1 … BLOCK_MAX. */
static inline unsigned order_for(size_t bytes)
{
    return bits_order(DIV_CEIL(bytes, GRAIN_BYTES));
}

/** span_block_order - the order of the block that is a whole span. */
static inline unsigned span_block_order(heap_span_t span)
{
    return PAGE_ORDER + heap_span_order(span);
}

/** block_span_take - a span with room for a block, of the usual size or, where there is none, of the smallest. */
static inline void *block_span_take(struct heap *heap, unsigned order)
{
    void *base = heap_span_take(heap, GROW_ORDER, 0);
    if (!base && order < BLOCK_ORDER)
        base = heap_span_take(heap, order > PAGE_ORDER ? order - PAGE_ORDER : 0, 0);
    return base;
}

#endif
