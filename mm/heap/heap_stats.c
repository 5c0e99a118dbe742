/* Looking at a heap that is quiet: every block of it, what they add up to, and whether that can be. */
#include "arch/atomic.h"
#include "arch/console.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/heap/guard.h"
#include "mm/heap/heap_span.h"

void heap_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            visit(argument, &(struct heap_block){.base = base, .bytes = heap_span_bytes(span), .live = true});
    }
    heap->ops->walk(heap, visit, argument);
}

size_t heap_reserved_bytes(const struct heap *heap)
{
    int64_t frames = 0;
    for (unsigned i = 0; i < heap->nharts; i++)
        frames += atomic_load_explicit(&heap->harts[i].frames, memory_order_relaxed); /* a look. ld */
    return (size_t)frames * PAGE_BYTES;
}

/* Relaxed all: it is a look, as heap_reserved_bytes() is. ld; lr.d, sc.d. */
void heap_note_peak(struct heap *heap)
{
    size_t now = heap_reserved_bytes(heap), most;
    do
        most = atomic_load_explicit(&heap->reserved_bytes_peak, memory_order_relaxed);
    while (now > most && !cas_relaxed(&heap->reserved_bytes_peak, most, now));
}

static unsigned class_of(size_t bytes)
{
    return MIN(bits_order(DIV_CEIL(bytes, HEAP_ALIGN)), HEAP_CLASSES - 1u);
}

static void add_block(void *argument, const struct heap_block *block)
{
    struct heap_stats *stats = argument;
    struct heap_class_stats *class = &stats->class[class_of(block->bytes)];
    struct heap_hart_stats *hart = &stats->hart[block->hart];
    if (block->live) {
        stats->live_blocks++;
        stats->live_bytes += block->bytes;
        class->live_blocks++;
        class->live_bytes += block->bytes;
        hart->live_bytes += block->bytes;
    } else {
        stats->free_bytes += block->bytes;
        stats->largest_free = MAX(stats->largest_free, block->bytes);
        class->free_bytes += block->bytes;
        hart->free_bytes += block->bytes;
    }
}

void heap_stats(struct heap *heap, struct heap_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    heap_walk(heap, add_block, stats);
    stats->asked_bytes = (size_t)atomic_load_explicit(&heap->noted_bytes, memory_order_relaxed);
    stats->asked_bytes_peak = (size_t)atomic_load_explicit(&heap->noted_bytes_peak, memory_order_relaxed);
    stats->reserved_bytes = heap_reserved_bytes(heap);
    heap->live_bytes_peak = MAX(heap->live_bytes_peak, stats->live_bytes);
    heap_note_peak(heap);
    stats->live_bytes_peak = heap->live_bytes_peak;
    stats->reserved_bytes_peak = atomic_load_explicit(&heap->reserved_bytes_peak, memory_order_relaxed);
}

struct inspection {
    struct heap *heap;
    size_t live_blocks, bytes;
    int error;
};

static void inspect_block(void *argument, const struct heap_block *block)
{
    struct inspection *inspection = argument;
    struct heap *heap = inspection->heap;
    heap_span_t span = heap_span_of(heap, block->base);
    inspection->bytes += block->bytes;
    inspection->live_blocks += block->live;
    if (heap_span_none(span) || (uintptr_t)block->base + block->bytes >
                                    (uintptr_t)heap_span_base(span, block->base) + heap_span_bytes(span))
        inspection->error = heap_corrupt(heap, block->base, "a block that reaches out of its span");
    else if (block->hart >= heap->nharts)
        inspection->error = heap_corrupt(heap, block->base, "a block of a hart that is none");
    else if (block->live && heap->guarded && !heap_guard_check(heap, block->base))
        inspection->error = ERR_CORRUPT;
}

static int check_reserved(const struct heap *heap, size_t in_blocks)
{
    size_t in_spans = 0, counted = heap_reserved_bytes(heap);
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    in_spans += heap_span_bytes(span);
    if (in_spans == counted && in_blocks <= in_spans)
        return 0;
    console_format("heap: %s (%s): %zu bytes in blocks, %zu in spans, %zu by the count\n", heap->name,
        heap->ops->name, in_blocks, in_spans, counted);
    return ERR_CORRUPT;
}

int heap_validate(struct heap *heap, size_t held)
{
    int error = heap->ops->validate(heap);
    if (error)
        return error;
    struct inspection inspection = {.heap = heap};
    heap_walk(heap, inspect_block, &inspection);
    error = inspection.error ? inspection.error : check_reserved(heap, inspection.bytes);
    if (held == HEAP_HELD_UNKNOWN)
        held = heap->guarded ? (size_t)atomic_load_explicit(&heap->noted_blocks, memory_order_relaxed)
                             : inspection.live_blocks;
    if (error || inspection.live_blocks == held)
        return error;
    bool lost = inspection.live_blocks > held;
    console_format("heap: %s (%s): %zu blocks %s: %zu are in use and %zu held\n", heap->name, heap->ops->name,
        lost ? inspection.live_blocks - held : held - inspection.live_blocks,
        lost ? "are lost" : "were given twice", inspection.live_blocks, held);
    return ERR_CORRUPT;
}
