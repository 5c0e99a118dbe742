/*
 * See record.h. All events have one order, by a counter: that of a free is taken before the memory goes back, and that of an
 * allocation after the memory was had. So when a block is given out again, whoever freed it has the lower number: the counter is one
 * word, and the free and the allocation are ordered by the heap itself.
 */
#include "mm/heap/record.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "mm/heap/guard.h"
#include "smp/hart.h"

static struct heap_event *event_at(const struct heap_recorder *recorder, uint64_t i)
{
    return &recorder->chunks[i / HEAP_RECORD_CHUNK_EVENTS][i % HEAP_RECORD_CHUNK_EVENTS];
}

static void note(struct heap_recorder *recorder, const struct heap_event *event)
{
    /* Relaxed: whether two events are in order is for the heap to say, and who reads them waits for the harts. amoadd.d. */
    uint64_t i = atomic_fetch_add_explicit(&recorder->count, 1, memory_order_relaxed);
    if (i >= recorder->capacity)
        return;
    *event_at(recorder, i) = *event;
    event_at(recorder, i)->hart = (uint16_t)hart_index();
}

void heap_record_made(struct heap *heap, const void *pointer, size_t bytes, size_t align)
{
    struct heap_event event = {
        .pointer = (uintptr_t)pointer, .bytes = (uint32_t)bytes, .kind = HEAP_EVENT_MADE};
    if (align > HEAP_ALIGN)
        event.align_shift = (uint8_t)bits_highest(align);
    if (pointer)
        note(heap->recorder, &event);
}

void *heap_record_realloc(struct heap *heap, void *pointer, size_t bytes, const void *caller)
{
    note(heap->recorder, &(struct heap_event){.pointer = (uintptr_t)pointer, .kind = HEAP_EVENT_MOVES});
    void *moved = heap_resize_for(heap, pointer, bytes, caller);
    struct heap_event event = {
        .pointer = (uintptr_t)moved, .bytes = (uint32_t)bytes, .kind = HEAP_EVENT_MOVED};
    note(heap->recorder, &event);
    return moved;
}

static void *recorded_alloc(struct heap *heap, size_t bytes)
{
    return heap_alloc_for(heap, bytes, 1, __builtin_return_address(0));
}

static void recorded_free(struct heap *heap, void *pointer)
{
    const void *caller = __builtin_return_address(0);
    note(heap->recorder, &(struct heap_event){.pointer = (uintptr_t)pointer, .kind = HEAP_EVENT_ENDS});
    if (heap->guarded)
        heap_guard_free(heap, pointer, caller);
    else
        heap_free_for(heap, pointer, caller);
}

static const struct heap_ops *below(const struct heap *heap)
{
    return heap->guarded ? &heap_guard : heap->ops;
}

static size_t recorded_usable_size(struct heap *heap, const void *pointer)
{
    return below(heap)->usable_size(heap, pointer);
}

static const struct heap_ops recorded = {
    .name = "recorder",
    .alloc = recorded_alloc,
    .free = recorded_free,
    .usable_size = recorded_usable_size,
};

void heap_record_start(struct heap *heap, struct heap_recorder *recorder)
{
    atomic_store_explicit(&recorder->count, 0, memory_order_relaxed); /* the harts are quiet */
    heap->recorder = recorder;
    heap->front = &recorded;
}

void heap_record_follow(struct heap *heap, const struct heap *before)
{
    if (!before->recorder)
        return;
    heap->recorder = before->recorder;
    heap->front = &recorded;
}

void heap_record_stop(struct heap *heap)
{
    heap->recorder = NULL;
    heap->front = below(heap);
}

uint64_t heap_record_lost(const struct heap_recorder *recorder)
{
    uint64_t count = atomic_load_explicit(&recorder->count, memory_order_relaxed); /* the harts are quiet */
    return count - MIN(count, (uint64_t)recorder->capacity);
}

/* Live objects by their address: lists of the events that made them. */
static uint32_t *slot_of(const struct heap_recorder *recorder, uint64_t pointer)
{
    return &recorder->slots[(pointer / HEAP_ALIGN * 0x9e3779b97f4a7c15ull) >> 48];
}

_Static_assert(HEAP_RECORD_SLOTS == 1u << 16, "the slot is the top 16 bits");

static void insert(struct heap_recorder *recorder, uint64_t i)
{
    struct heap_event *event = event_at(recorder, i);
    uint32_t *slot = slot_of(recorder, event->pointer);
    event->next = *slot;
    *slot = (uint32_t)(i + 1);
}

/* Returns one more than the event that made what is live at an address, which is so no longer; 0: nothing is. */
static uint32_t take_out(struct heap_recorder *recorder, uint64_t pointer)
{
    for (uint32_t *link = slot_of(recorder, pointer); *link; link = &event_at(recorder, *link - 1)->next) {
        uint32_t found = *link;
        if (event_at(recorder, found - 1)->pointer == pointer) {
            *link = event_at(recorder, found - 1)->next;
            return found;
        }
    }
    return 0;
}

/* An event that makes an object, at its place in the order. */
static void write_made(
    struct heap_recorder *recorder, struct heap_trace_writer *writer, uint64_t i, uint32_t old)
{
    struct heap_event *event = event_at(recorder, i);
    struct heap_call call = {.kind = HEAP_CALL_ALLOC, .thread = event->hart, .bytes = event->bytes};
    if (event->align_shift) {
        call.kind = HEAP_CALL_ALIGNED;
        call.align = 1u << event->align_shift;
    }
    if (old) {
        call.kind = HEAP_CALL_REALLOC;
        call.old = event_at(recorder, old - 1)->object;
    }
    recorder->twice += take_out(recorder, event->pointer) != 0;
    event->object = writer->objects;
    heap_trace_write(writer, &call);
    insert(recorder, i);
}

static void write_event(struct heap_recorder *recorder, struct heap_trace_writer *writer, uint64_t i)
{
    const struct heap_event *event = event_at(recorder, i);
    uint32_t *moving = &recorder->moving[event->hart], old;
    switch ((enum heap_event_kind)event->kind) {
    case HEAP_EVENT_MADE: write_made(recorder, writer, i, 0); break;
    case HEAP_EVENT_MOVES: *moving = take_out(recorder, event->pointer); break;
    case HEAP_EVENT_MOVED:
        old = *moving;
        *moving = 0;
        if (event->pointer)
            write_made(recorder, writer, i, old);
        else if (old)
            insert(recorder, old - 1);
        break;
    case HEAP_EVENT_ENDS:
        old = take_out(recorder, event->pointer);
        if (old)
            heap_trace_write(writer, &(struct heap_call){.kind = HEAP_CALL_FREE,
                                         .thread = event->hart,
                                         .old = event_at(recorder, old - 1)->object});
        break;
    }
}

static void drop(struct writer *writer, const char *bytes, size_t count)
{
    (void)writer;
    (void)bytes;
    (void)count;
}

uint32_t heap_record_write(struct heap_recorder *recorder, const char *name, struct writer *out,
    uint8_t header[HEAP_TRACE_HEADER_BYTES])
{
    uint64_t count = atomic_load_explicit(&recorder->count, memory_order_relaxed); /* the harts are quiet */
    struct heap_trace_writer writer;
    struct writer nowhere = {drop};
    count = MIN(count, (uint64_t)recorder->capacity);
    for (unsigned time = 0; time < 2; time++) {
        recorder->twice = 0;
        memset(recorder->slots, 0, HEAP_RECORD_SLOTS_BYTES);
        memset(recorder->moving, 0, sizeof(recorder->moving));
        heap_trace_write_start(&writer, time ? out : &nowhere, time ? header : NULL);
        for (uint64_t i = 0; i < count; i++)
            write_event(recorder, &writer, i);
        heap_trace_header(&writer, name, header);
    }
    return writer.calls;
}
