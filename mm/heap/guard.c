/* See guard.h. Blocks that fill the largest size have no room for a tail and go without. */
#include "mm/heap/guard.h"
#include "arch/atomic.h"
#include "lib/string.h"
#include "mm/heap/heap_span.h"
#include "smp/hart.h"

#define CANARY 0xc5

struct tail {
    uint32_t asked; /* bytes */
    uint32_t seal; /* of the others and the place */
    uint64_t caller; /* return address of the call that allocated */
    uint64_t generation; /* of the heap when it did: mm/heap/checkpoint.h */
};

_Static_assert(sizeof(struct tail) == 24, "what every block is larger by");

static uint32_t seal_of(const struct tail *tail)
{
    uint64_t mixed = (uintptr_t)tail >> 3 ^ tail->caller ^ tail->generation << 7;
    return (uint32_t)(mixed ^ mixed >> 32) ^ tail->asked ^ 0x5ea1ed00u;
}

static struct tail *tail_of(const void *pointer, size_t usable)
{
    return (struct tail *)((uintptr_t)pointer + usable) - 1;
}

static bool is_sealed(const struct tail *tail, size_t usable)
{
    return tail->seal == seal_of(tail) && tail->asked <= usable - sizeof(*tail);
}

/* Of a block of the largest size only the seal can tell; a damaged one is taken for what the user has there. */
static bool has_tail(const void *pointer, size_t usable)
{
    return usable < HEAP_BYTES_MAX || is_sealed(tail_of(pointer, usable), usable);
}

/* The first byte that is another, or NULL. A word at a time: blocks may be megabytes. */
static const uint8_t *find_other(const void *from, const void *to, uint8_t value)
{
    const uint8_t *byte = from, *end = to;
    for (; byte < end && !IS_ALIGNED((uintptr_t)byte, sizeof(uint64_t)); byte++)
        if (*byte != value)
            return byte;
    for (; end - byte >= 8 && *(const uint64_t *)byte == value * 0x0101010101010101ull;)
        byte += 8;
    for (; byte < end; byte++)
        if (*byte != value)
            return byte;
    return NULL;
}

/* Behind a live block: is all as it was left? Else *note says nothing but the usable size, as the asked one is not known. */
static bool is_intact(const void *pointer, size_t usable, struct heap_note *note)
{
    const struct tail *tail = tail_of(pointer, usable);
    *note = (struct heap_note){.asked = usable};
    if (!has_tail(pointer, usable))
        return true;
    if (!is_sealed(tail, usable))
        return false;
    *note = (struct heap_note){tail->asked, tail->caller, tail->generation};
    return find_other((const uint8_t *)pointer + tail->asked, tail, CANARY) == NULL;
}

/* What is noted of a live block, an overrun reported. */
static bool inspect(
    struct heap *heap, const void *pointer, size_t usable, const void *by, struct heap_note *note)
{
    bool intact = is_intact(pointer, usable, note);
    if (unlikely(!intact))
        heap_refuse(heap,
            &(struct heap_misuse){HEAP_MISUSE_OVERRUN, pointer, note->asked, (uintptr_t)by, note->caller});
    return intact;
}

/* All relaxed: counts order nothing. One line for all harts: what is guarded is not measured. amoadd.d; lr.d, sc.d. */
static void count(struct heap *heap, int64_t blocks, int64_t asked)
{
    atomic_fetch_add_explicit(&heap->noted_blocks, blocks, memory_order_relaxed);
    int64_t now = atomic_fetch_add_explicit(&heap->noted_bytes, asked, memory_order_relaxed) + asked, most;
    do
        most = atomic_load_explicit(&heap->noted_bytes_peak, memory_order_relaxed);
    while (now > most && !cas_relaxed(&heap->noted_bytes_peak, most, now));
}

/* Writes the tail and the canary. Returns the size that counts as asked. */
static size_t seal(void *pointer, size_t usable, const struct heap_note *note)
{
    struct tail *tail = tail_of(pointer, usable);
    if (note->asked > usable - sizeof(*tail))
        return usable;
    memset((uint8_t *)pointer + note->asked, CANARY, usable - sizeof(*tail) - note->asked);
    *tail = (struct tail){.asked = note->asked, .caller = note->caller, .generation = note->generation};
    tail->seal = seal_of(tail);
    return note->asked;
}

static void *give_out(struct heap *heap, void *pointer, const struct heap_note *note)
{
    size_t usable = pointer ? heap->ops->usable_size(heap, pointer) : 0;
    if (usable == 0) /* if there is a pointer, the design is wrong, which is for validation to say */
        return pointer;
    size_t links = MIN(heap->ops->link_bytes, usable);
    if (unlikely(find_other((uint8_t *)pointer + links, (uint8_t *)pointer + usable, HEAP_POISON)))
        heap_refuse(heap, &(struct heap_misuse){HEAP_MISUSE_AFTER_FREE, pointer, usable, note->caller, 0});
    count(heap, 1, seal(pointer, usable, note));
    return pointer;
}

static size_t with_tail(size_t bytes)
{
    return MIN(bytes + sizeof(struct tail), HEAP_BYTES_MAX);
}

static struct heap_note note_of(const struct heap *heap, size_t asked, const void *caller)
{
    /* Relaxed: whoever sets a mark does so while nobody allocates. ld. */
    uint64_t generation = atomic_load_explicit(&heap->generation, memory_order_relaxed);
    return (struct heap_note){asked, (uintptr_t)caller, generation};
}

void *heap_guard_alloc(struct heap *heap, size_t bytes, const void *caller)
{
    struct heap_note note = note_of(heap, bytes, caller);
    return give_out(heap, heap->ops->alloc(heap, with_tail(bytes)), &note);
}

void *heap_guard_alloc_aligned(struct heap *heap, size_t bytes, size_t align, const void *caller)
{
    struct heap_note note = note_of(heap, bytes, caller);
    return give_out(heap, heap_aligned(heap, with_tail(bytes), align), &note);
}

static void *guard_alloc(struct heap *heap, size_t bytes)
{
    return heap_guard_alloc(heap, bytes, __builtin_return_address(0));
}

/* Of what is no live block the design says what is wrong. */
void heap_guard_free(struct heap *heap, void *pointer, const void *by)
{
    size_t usable = heap->ops->usable_size(heap, pointer);
    struct heap_note note;
    if (usable != 0) {
        inspect(heap, pointer, usable, by, &note);
        count(heap, -1, -(int64_t)note.asked);
        memset(pointer, HEAP_POISON, usable);
    }
    heap_free_for(heap, pointer, by);
}

static void guard_free(struct heap *heap, void *pointer)
{
    heap_guard_free(heap, pointer, __builtin_return_address(0));
}

/* In place where it fits and half of it would not do; a design's own realloc knows nothing of the tail, and is not used.
 * The block stays one of the generation that it is of. */
void *heap_guard_realloc(struct heap *heap, void *pointer, size_t bytes, const void *caller)
{
    size_t usable = heap->ops->usable_size(heap, pointer);
    struct heap_note was, note = note_of(heap, bytes, caller);
    if (usable == 0) {
        heap_guard_free(heap, pointer, caller);
        return NULL;
    }
    bool intact = inspect(heap, pointer, usable, caller, &was);
    bool fits = has_tail(pointer, usable) ? bytes + sizeof(struct tail) <= usable : bytes <= usable;
    void *fresh = NULL;
    note.generation = was.generation;
    if (!fits || with_tail(bytes) < usable / 2)
        fresh = give_out(heap, heap->ops->alloc(heap, with_tail(bytes)), &note);
    if (!fresh) {
        if (fits)
            count(heap, 0, seal(pointer, usable, &note) - was.asked);
        return fits ? pointer : NULL;
    }
    memcpy(fresh, pointer, MIN(was.asked, bytes));
    if (!intact) { /* it has been reported */
        was.asked = MIN(was.asked, usable - sizeof(struct tail));
        seal(pointer, usable, &was);
    }
    heap_guard_free(heap, pointer, caller);
    return fresh;
}

/* As asked: what is behind is the canary's. */
static size_t guard_usable_size(struct heap *heap, const void *pointer)
{
    size_t usable = heap->ops->usable_size(heap, pointer);
    struct heap_note note;
    if (usable != 0)
        is_intact(pointer, usable, &note);
    return usable != 0 ? note.asked : 0;
}

bool heap_guard_check(struct heap *heap, const void *pointer)
{
    struct heap_note note;
    return inspect(heap, pointer, heap->ops->usable_size(heap, pointer), NULL, &note);
}

bool heap_guard_read(struct heap *heap, const void *pointer, struct heap_note *note)
{
    is_intact(pointer, heap->ops->usable_size(heap, pointer), note);
    return note->caller != 0;
}

const struct heap_ops heap_guard = {
    .name = "guard",
    .alloc = guard_alloc,
    .free = guard_free,
    .usable_size = guard_usable_size,
};
