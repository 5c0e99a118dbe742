/* See heap_span.h: pages of heaps, and blocks that are whole spans. */
#include "mm/heap/heap_span.h"
#include "arch/atomic.h"
#include "arch/panic.h"
#include "lib/bits.h"
#include "smp/hart.h"
#include "trace/inject.h"

unsigned heap_order_for(size_t bytes)
{
    return bits_order(DIV_CEIL(bytes, (size_t)PAGE_BYTES));
}

static size_t frame_of(const struct heap *heap, const void *base)
{
    return ((uintptr_t)base - heap->base) >> PAGE_SHIFT;
}

/* Relaxed: the holder alone writes them, and who is handed a block by it has all that came before. sd. */
static void write_words(struct heap *heap, size_t frame, size_t count, uint64_t first)
{
    for (size_t i = 0; i < count; i++)
        store_relaxed(&heap->spans[frame + i], first ? first + i : 0);
}

/* Relaxed both: only we write it, others look at any time. ld; sd. */
static void count_frames(struct heap *heap, int64_t more)
{
    _Atomic int64_t *frames = &heap->harts[hart_index()].frames;
    store_relaxed(frames, atomic_load_explicit(frames, memory_order_relaxed) + more);
}

static void *take(struct heap *heap, unsigned order, uint64_t bits)
{
    pfn_t pfn = inject_due(INJECT_GROW) ? PFN_NONE : frame_alloc(heap->frames, order, 0);
    if (pfn_is_none(pfn))
        return NULL;
    void *base = pfn_to_direct(pfn);
    heap_poison(heap, base, (size_t)PAGE_BYTES << order);
    write_words(heap, frame_of(heap, base), (size_t)1 << order, bits | HEAP_SPAN_PRESENT | order << 16);
    count_frames(heap, 1ll << order);
    if (unlikely(heap->keeps_peak))
        heap_note_peak(heap);
    return base;
}

void *heap_span_take(struct heap *heap, unsigned order, uint32_t tag)
{
    return take(heap, order, (uint64_t)tag << 32);
}

/* The words are gone before the frames are: their next holder may be this heap again. */
static void give(struct heap *heap, void *base, unsigned order)
{
    write_words(heap, frame_of(heap, base), (size_t)1 << order, 0);
    count_frames(heap, -(1ll << order));
    frame_free(heap->frames, paddr_to_pfn_floor(direct_to_paddr(base)), order);
}

void heap_span_give(struct heap *heap, void *base)
{
    heap_span_t span = heap_span_of(heap, base);
    DEBUG_ASSERT(!heap_span_none(span) && heap_span_base(span, base) == base);
    give(heap, base, heap_span_order(span));
}

void heap_span_retag(struct heap *heap, void *base, uint32_t tag)
{
    heap_span_t span = heap_span_of(heap, base);
    uint64_t bits = (uint32_t)span.bits | (uint64_t)tag << 32;
    write_words(heap, frame_of(heap, base), (size_t)1 << heap_span_order(span), bits);
}

void *heap_span_next(const struct heap *heap, const void *after, heap_span_t *span)
{
    size_t frame = 0;
    if (after)
        frame = frame_of(heap, after) + ((size_t)1 << heap_span_order(heap_span_of(heap, after)));
    for (; frame < heap->nframes; frame++) {
        void *base = (void *)(heap->base + (frame << PAGE_SHIFT));
        *span = heap_span_of(heap, base);
        if (!heap_span_none(*span))
            return base;
    }
    return NULL;
}

void *heap_large_alloc(struct heap *heap, size_t bytes, size_t align)
{
    return take(heap, heap_order_for(MAX(bytes, align)), HEAP_SPAN_LARGE);
}

void heap_large_free(struct heap *heap, heap_span_t span, void *pointer, const void *caller)
{
    if (heap_span_base(span, pointer) != pointer) {
        heap_refuse_at(heap, HEAP_MISUSE_INTERIOR, pointer, heap_span_bytes(span), caller);
        return;
    }
    /* Who empties the word is the one who frees. Release: what was done with the block is done before. lr.d; sc.d.rl. */
    _Atomic uint64_t *word = &heap->spans[frame_of(heap, pointer)];
    bool won = false;
    while (!won && atomic_load_explicit(word, memory_order_relaxed) == span.bits)
        won = !inject_due(INJECT_CAS) && cas_release(word, span.bits, 0);
    if (!won) {
        heap_refuse_at(heap, HEAP_MISUSE_DOUBLE_FREE, pointer, heap_span_bytes(span), caller);
        return;
    }
    give(heap, pointer, heap_span_order(span));
}

void heap_refuse_at(
    struct heap *heap, enum heap_misuse_kind kind, const void *pointer, size_t bytes, const void *caller)
{
    heap_refuse(heap,
        &(struct heap_misuse){.kind = kind, .pointer = pointer, .bytes = bytes, .caller = (uintptr_t)caller});
}
