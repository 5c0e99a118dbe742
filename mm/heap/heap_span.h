/*
 * Spans: how a heap has pages. A span is one block of its frame allocator, 2^order frames in a row, aligned to its size. A
 * word for every frame says which span of the heap it is in, so the owner of any address is found by one load, and
 * an address that is not the heap's at once. For designs; callers see heap.h.
 *
 * Large spans are blocks given out as they are: what does not fit a design's own blocks, or must be aligned to more
 * than a page. Their handling is the same for all designs.
 */
#ifndef MM_HEAP_HEAP_SPAN_H
#define MM_HEAP_HEAP_SPAN_H

#include "lib/string.h"
#include "mm/heap/heap.h"

/* A frame's word: bits 15…0 its place in the span, 23…16 the span's order, 30 a large one, 31 there is one, 63…32 the tag
 * that the design gave it. 0: the frame is not the heap's. */
typedef struct {
    uint64_t bits;
} heap_span_t;

#define HEAP_SPAN_LARGE   (1ull << 30)
#define HEAP_SPAN_PRESENT (1ull << 31)

/* What freed memory is filled with where there is a guard: no pointer, no small number, odd. */
#define HEAP_POISON 0xdb

/** heap_span_of - the span that an address is in. Any hart; what it was is exact for who holds a block there. */
static inline heap_span_t heap_span_of(const struct heap *heap, const void *address)
{
    uintptr_t frame = ((uintptr_t)address - heap->base) >> PAGE_SHIFT;
    if (unlikely(frame >= heap->nframes))
        return (heap_span_t){0};
    /* Relaxed: whoever was handed a block has the word as it was before that. A wrong pointer may see any. ld. */
    return (heap_span_t){atomic_load_explicit(&heap->spans[frame], memory_order_relaxed)};
}

static inline bool heap_span_none(heap_span_t span)
{
    return span.bits == 0;
}

static inline bool heap_span_is_large(heap_span_t span)
{
    return span.bits & HEAP_SPAN_LARGE;
}

static inline unsigned heap_span_order(heap_span_t span)
{
    return span.bits >> 16 & 0xff;
}

static inline size_t heap_span_bytes(heap_span_t span)
{
    return (size_t)PAGE_BYTES << heap_span_order(span);
}

static inline uint32_t heap_span_tag(heap_span_t span)
{
    return span.bits >> 32;
}

/** heap_span_base - where the span begins. @address: of which it is the span */
static inline void *heap_span_base(heap_span_t span, const void *address)
{
    return (
        void *)(ALIGN_DOWN((uintptr_t)address, (uintptr_t)PAGE_BYTES) - ((span.bits & 0xffff) << PAGE_SHIFT));
}

/** heap_order_for - the order of the smallest span of so many bytes; bytes > 0. */
unsigned heap_order_for(size_t bytes);

/**
 * heap_span_take - a span of the heap's own, to be divided into blocks.
 * @tag: for the design to find again
 *
 * Returns its base, or NULL: there is none, or the failure point INJECT_GROW struck. Contents are undefined, poison
 * where there is a guard. Any hart; locks of the frame allocator are taken below those of the heap.
 */
void *heap_span_take(struct heap *heap, unsigned order, uint32_t tag);

/** heap_span_give - give a span back. @base: as taken */
void heap_span_give(struct heap *heap, void *base);

/** heap_span_retag - give a span another tag. Nobody else may be looking for it. */
void heap_span_retag(struct heap *heap, void *base, uint32_t tag);

/** heap_span_next - the next span in order of addresses, large ones included; NULL behind the last. The harts are quiet.
 *  @after: base of a span, or a page of none; NULL for the first span of all */
void *heap_span_next(const struct heap *heap, const void *after, heap_span_t *span);

#define HEAP_SPAN_FOR_EACH(heap, base, span)                                                                 \
    for (void *base = heap_span_next(heap, NULL, &(span)); base; base = heap_span_next(heap, base, &(span)))

/** heap_large_alloc - a block that is a span. @align: power of two, or 1. NULL: there is none. */
void *heap_large_alloc(struct heap *heap, size_t bytes, size_t align);

/** heap_large_free - free it, or refuse. @span: of which heap_span_is_large(). Of several harts that free it one wins. */
void heap_large_free(struct heap *heap, heap_span_t span, void *pointer, const void *caller);

/** heap_large_usable - its size; 0 for a pointer that is not its beginning. */
static inline size_t heap_large_usable(heap_span_t span, const void *pointer)
{
    return heap_span_base(span, pointer) == pointer ? heap_span_bytes(span) : 0;
}

/** heap_poison - where there is a guard, make memory of a free block look like one that nobody wrote to. */
static inline void heap_poison(const struct heap *heap, void *memory, size_t bytes)
{
    if (unlikely(heap->guarded))
        memset(memory, HEAP_POISON, bytes);
}

/** heap_note_peak - look at what is reserved, and keep it if that is the most so far. */
void heap_note_peak(struct heap *heap);

/** heap_refuse_at - heap_refuse() for what a design knows. */
void heap_refuse_at(struct heap *heap, enum heap_misuse_kind kind, const void *pointer, size_t bytes,
    const void *caller) COLD;

#endif
