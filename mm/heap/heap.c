/*
 * What all heaps have in common: the registry, the instance, the calls that are made of others, and the report of
 * misuse. The designs are in files of their own; a new one is one file and one line in the registry.
 */
#include "mm/heap/heap.h"
#include "arch/console.h"
#include "arch/symbols.h"
#include "lib/error.h"
#include "mm/heap/guard.h"
#include "mm/heap/heap_span.h"
#include "mm/heap/record.h"
#include "smp/hart.h"
#include "trace/counter.h"

/* Misuses of one instance that are printed; the rest are only counted. */
#define REPORTS_MAX 8

/* A block that shrinks stays where it is unless that would waste more than this share of it, or it is so small that
 * nothing is gained. */
#define SHRINK_DIVISOR   2
#define SHRINK_BYTES_MIN 128

/* The registry: one line a design. */
#define DESIGN_LIST(X)                                                                                       \
    X(heap_bestfit)                                                                                          \
    X(heap_firstfit)                                                                                         \
    X(heap_buddy)                                                                                            \
    X(heap_treebuddy)                                                                                        \
    X(heap_hartbuddy)                                                                                        \
    X(heap_slab)                                                                                             \
    X(heap_nbbuddy)                                                                                          \
    X(heap_nbbuddy_locked)

#define DESIGN_DECLARE(ops) extern const struct heap_ops ops;
DESIGN_LIST(DESIGN_DECLARE)

static const struct heap_ops *const designs[] = {
#define DESIGN_ADDRESS(ops) &ops,
    DESIGN_LIST(DESIGN_ADDRESS)
#undef DESIGN_ADDRESS
};

const struct heap_ops *heap_design_at(size_t i)
{
    return i < ARRAY_SIZE(designs) ? designs[i] : NULL;
}

const char *heap_design_name_at(size_t i)
{
    return i < ARRAY_SIZE(designs) ? designs[i]->name : NULL;
}

const struct heap_ops *heap_design_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(designs); i++)
        if (strcmp(designs[i]->name, name) == 0)
            return designs[i];
    return NULL;
}

/* The metadata: the harts' counts, the words of the frames, what is the design's. */
static size_t harts_bytes(unsigned nharts)
{
    return nharts * sizeof(struct heap_hart);
}

static size_t spans_bytes(size_t nframes)
{
    return ALIGN_UP(nframes * sizeof(uint64_t), (size_t)CACHE_LINE_BYTES);
}

size_t heap_metadata_size(const struct heap_ops *ops, size_t nframes, unsigned nharts)
{
    return harts_bytes(nharts) + spans_bytes(nframes) + ops->metadata_size(nframes, nharts);
}

int heap_init(struct heap *heap, const struct heap_ops *ops, const struct lock_ops *lock_kind,
    const char *name, struct frame_allocator *frames, void *metadata, unsigned flags)
{
    if (!IS_ALIGNED((uintptr_t)metadata, CACHE_LINE_BYTES))
        return ERR_INVALID;
    memset(heap, 0, sizeof(*heap));
    heap->ops = ops;
    heap->guarded = flags & HEAP_GUARD;
    heap->keeps_peak = flags & HEAP_PEAK;
    heap->front = heap->guarded ? &heap_guard : ops;
    heap->frames = frames;
    heap->base = (uintptr_t)pfn_to_direct(frames->base);
    heap->nframes = frames->nframes;
    heap->nharts = frames->nharts;
    heap->lock_kind = lock_kind;
    heap->name = name;
    heap->harts = metadata;
    heap->spans = (void *)((uint8_t *)metadata + harts_bytes(heap->nharts));
    heap->metadata = (uint8_t *)heap->spans + spans_bytes(heap->nframes);
    memset(metadata, 0, harts_bytes(heap->nharts) + spans_bytes(heap->nframes));
    return ops->init(heap);
}

void heap_destroy(struct heap *heap)
{
    heap_span_t span;
    void *last = NULL; /* page of the span before */
    for (void *base; (base = heap_span_next(heap, last, &span));) {
        heap_span_give(heap, base);
        last = (uint8_t *)base + heap_span_bytes(span) - PAGE_BYTES;
    }
}

/* heap_alloc() in another's name: of 0 … HEAP_BYTES_MAX bytes. */
static void *alloc_for(struct heap *heap, size_t bytes, const void *caller)
{
    bytes = MAX(bytes, (size_t)1);
    void *pointer = heap->guarded ? heap_guard_alloc(heap, bytes, caller) : heap->ops->alloc(heap, bytes);
    if (unlikely(heap->recorder))
        heap_record_made(heap, pointer, bytes, 0);
    return pointer;
}

void *heap_zalloc(struct heap *heap, size_t bytes)
{
    if (bytes > HEAP_BYTES_MAX)
        return NULL;
    void *pointer = alloc_for(heap, bytes, __builtin_return_address(0));
    return pointer ? memset(pointer, 0, bytes) : NULL;
}

void *heap_aligned(struct heap *heap, size_t bytes, size_t align)
{
    return align <= PAGE_BYTES ? heap->ops->alloc_aligned(heap, bytes, align)
                               : heap_large_alloc(heap, bytes, align);
}

void *heap_alloc_for(struct heap *heap, size_t bytes, size_t align, const void *caller)
{
    if (!IS_POWER_OF_TWO(align) || align > HEAP_BYTES_MAX || bytes > HEAP_BYTES_MAX)
        return NULL;
    if (align <= HEAP_ALIGN)
        return alloc_for(heap, bytes, caller);
    bytes = MAX(bytes, (size_t)1);
    void *pointer = heap->guarded ? heap_guard_alloc_aligned(heap, bytes, align, caller)
                                  : heap_aligned(heap, bytes, align);
    if (unlikely(heap->recorder))
        heap_record_made(heap, pointer, bytes, align);
    return pointer;
}

void *heap_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    return heap_alloc_for(heap, bytes, align, __builtin_return_address(0));
}

void heap_free_for(struct heap *heap, void *pointer, const void *caller)
{
    struct heap_hart *self = &heap->harts[hart_index()];
    self->caller = (uintptr_t)caller;
    heap->ops->free(heap, pointer);
    self->caller = 0;
}

/* For designs without a way of their own: in place where it fits, else a new block. */
static void *realloc_by_copy(struct heap *heap, void *pointer, size_t usable, size_t bytes)
{
    bool fits = bytes <= usable;
    if (fits && (usable <= SHRINK_BYTES_MIN || bytes >= usable / SHRINK_DIVISOR))
        return pointer;
    void *fresh = heap->ops->alloc(heap, bytes);
    if (!fresh)
        return fits ? pointer : NULL;
    memcpy(fresh, pointer, MIN(usable, bytes));
    heap->ops->free(heap, pointer);
    return fresh;
}

void *heap_resize_for(struct heap *heap, void *pointer, size_t bytes, const void *caller)
{
    if (heap->guarded)
        return heap_guard_realloc(heap, pointer, bytes, caller);
    size_t usable = heap->ops->usable_size(heap, pointer);
    if (unlikely(usable == 0)) {
        heap_free_for(heap, pointer, caller); /* says why it is wrong */
        return NULL;
    }
    return heap->ops->realloc ? heap->ops->realloc(heap, pointer, bytes)
                              : realloc_by_copy(heap, pointer, usable, bytes);
}

void *heap_realloc(struct heap *heap, void *pointer, size_t bytes)
{
    const void *caller = __builtin_return_address(0);
    if (bytes > HEAP_BYTES_MAX)
        return NULL;
    bytes = MAX(bytes, (size_t)1);
    if (!pointer)
        return alloc_for(heap, bytes, caller);
    return unlikely(heap->recorder) ? heap_record_realloc(heap, pointer, bytes, caller)
                                    : heap_resize_for(heap, pointer, bytes, caller);
}

void heap_drain(struct heap *heap)
{
    heap->ops->drain(heap);
}

void heap_describe(struct heap *heap, struct parts *parts)
{
    size_t own = heap->ops->metadata_size(heap->nframes, heap->nharts);
    parts_add(parts, "heap", heap, sizeof(*heap));
    parts_add_array(parts, "heap's counts of hart", heap->harts, sizeof(struct heap_hart), heap->nharts,
        sizeof(struct heap_hart));
    parts_add_array(parts, "blocks in page", (const void *)heap->base, PAGE_BYTES, heap->nframes, PAGE_BYTES);
    parts_add_array(parts, "word of frame", heap->spans, sizeof(uint64_t), heap->nframes, sizeof(uint64_t));
    parts_add(parts, "metadata", heap->metadata, own);
    if (heap->ops->describe)
        heap->ops->describe(heap, parts);
}

void heap_say_site(uint64_t address)
{
    uint64_t offset = 0;
    const char *function = symbol_find(address, &offset);
    if (address != 0)
        console_format("0x%lx (%s+0x%lx)", (unsigned long)address, function ? function : "unknown",
            (unsigned long)offset);
    else
        console_format("unknown");
}

static void say_where(const char *before, uint64_t address)
{
    if (address == 0)
        return;
    console_format("%s", before);
    heap_say_site(address);
}

void heap_refuse(struct heap *heap, const struct heap_misuse *misuse)
{
    counter_add(COUNTER_HEAP_MISUSE, 1);
    /* Relaxed: a count orders nothing. amoadd.d. */
    uint64_t before = atomic_fetch_add_explicit(&heap->misuse_count, 1, memory_order_relaxed);

    /* The console's lock also keeps two harts from writing last_misuse at once. */
    console_lock();
    heap->last_misuse = *misuse;
    if (heap->harts[hart_index()].caller != 0)
        heap->last_misuse.caller = heap->harts[hart_index()].caller;
    if (before < REPORTS_MAX) {
        console_format("heap: %s (%s): %s: %p", heap->name, heap->ops->name, heap_misuse_text(misuse->kind),
            misuse->pointer);
        if (misuse->bytes != 0)
            console_format(", %zu bytes", misuse->bytes);
        say_where(", found for ", heap->last_misuse.caller);
        say_where(", allocated by ", misuse->allocated_by);
        console_format("\n");
    }
    console_unlock();
}

int heap_corrupt(const struct heap *heap, const void *address, const char *finding)
{
    console_format("heap: %s (%s): %p: %s\n", heap->name, heap->ops->name, address, finding);
    return ERR_CORRUPT;
}

const char *heap_misuse_text(enum heap_misuse_kind kind)
{
    switch (kind) {
    case HEAP_MISUSE_DOUBLE_FREE: return "double free";
    case HEAP_MISUSE_FOREIGN: return "free of what is not the heap's";
    case HEAP_MISUSE_INTERIOR: return "free of an address inside a block";
    case HEAP_MISUSE_OVERRUN: return "written behind its end";
    case HEAP_MISUSE_AFTER_FREE: return "written after it was freed";
    }
    return "unknown misuse";
}
