/* What the parts of the design "bestfit" share: bestfit.c has its operations, bestfit_validate.c its inspection. */
#ifndef MM_HEAP_BESTFIT_H
#define MM_HEAP_BESTFIT_H

#include "mm/heap/heap_span.h"

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

static inline struct block *block_at(const void *base, size_t offset)
{
    return (struct block *)((uintptr_t)base + offset);
}

static inline void *user_of(const struct block *block)
{
    return (void *)((uintptr_t)block + HEADER_BYTES);
}

static inline bool is_sealed(const struct block *block, uint64_t state)
{
    return block->seal == ((uintptr_t)block ^ state);
}

static inline void *end_of(heap_span_t span, void *base)
{
    return block_at(base, heap_span_bytes(span));
}

static inline bool is_whole_span(heap_span_t span, const void *base, const struct block *block)
{
    return block == base && block->bytes == heap_span_bytes(span);
}

/* Is this a header that fits into the span? */
static inline bool is_block(heap_span_t span, void *base, const struct block *block)
{
    return (is_sealed(block, SEAL_USED) || is_sealed(block, SEAL_FREE)) && block->bytes >= BLOCK_MIN &&
           IS_ALIGNED(block->bytes, HEAP_ALIGN) &&
           block->bytes <= (size_t)((uint8_t *)end_of(span, base) - (uint8_t *)block);
}

/** bestfit_validate, bestfit_walk - as heap_ops has them. */
int bestfit_validate(struct heap *heap);
void bestfit_walk(struct heap *heap, heap_visit *visit, void *argument);

#endif
