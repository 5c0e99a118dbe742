/* See guard.h. Blocks of the largest size have no room for a tail and go without. */
#include "mm/heap/guard.h"
#include "lib/string.h"
#include "mm/heap/heap_span.h"
#include "smp/hart.h"

#define CANARY 0xc5

struct tail {
    uint32_t asked; /* bytes */
    uint32_t seal; /* of the two others and the place */
    uint64_t caller; /* return address of the call that allocated */
};

_Static_assert(sizeof(struct tail) == 16, "what every block is larger by");

static uint32_t seal_of(const void *place, uint32_t asked, uint64_t caller)
{
    return (uint32_t)((uintptr_t)place >> 3) ^ asked ^ (uint32_t)(caller ^ caller >> 32) ^ 0x5ea1ed00u;
}

static bool has_tail(size_t usable)
{
    return usable < HEAP_BYTES_MAX;
}

static struct tail *tail_of(const void *pointer, size_t usable)
{
    return (struct tail *)((uintptr_t)pointer + usable) - 1;
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

/* Behind a live block: is all as it was left? Else *asked is the block's usable size, as the asked one is not known. */
static bool is_intact(const void *pointer, size_t usable, size_t *asked, uint64_t *caller)
{
    const struct tail *tail = tail_of(pointer, usable);
    *asked = usable;
    *caller = 0;
    if (!has_tail(usable))
        return true;
    if (tail->seal != seal_of(tail, tail->asked, tail->caller) || tail->asked > usable - sizeof(*tail))
        return false;
    *asked = tail->asked;
    *caller = tail->caller;
    return find_other((const uint8_t *)pointer + tail->asked, tail, CANARY) == NULL;
}

/* Returns the asked size of a live block, an overrun reported. */
static size_t inspect(struct heap *heap, const void *pointer, size_t usable, uint64_t by, bool *intact)
{
    size_t asked;
    uint64_t caller;
    *intact = is_intact(pointer, usable, &asked, &caller);
    if (unlikely(!*intact))
        heap_refuse(heap, &(struct heap_misuse){HEAP_MISUSE_OVERRUN, pointer, asked, by, caller});
    return asked;
}

/* Writes the tail and the canary. Returns the size that counts as asked. */
static size_t seal(void *pointer, size_t usable, size_t asked, uint64_t caller)
{
    if (!has_tail(usable))
        return usable;
    struct tail *tail = tail_of(pointer, usable);
    memset((uint8_t *)pointer + asked, CANARY, usable - sizeof(*tail) - asked);
    *tail = (struct tail){.asked = asked, .seal = seal_of(tail, asked, caller), .caller = caller};
    return asked;
}

static void *give_out(struct heap *heap, void *pointer, size_t asked, uint64_t caller)
{
    size_t usable = pointer ? heap->ops->usable_size(heap, pointer) : 0;
    if (usable == 0) /* if there is a pointer, the design is wrong, which is for validation to say */
        return pointer;
    size_t links = MIN(heap->ops->link_bytes, usable);
    if (unlikely(find_other((uint8_t *)pointer + links, (uint8_t *)pointer + usable, HEAP_POISON)))
        heap_refuse(heap, &(struct heap_misuse){HEAP_MISUSE_AFTER_FREE, pointer, usable, caller, 0});
    heap->harts[hart_index()].asked_bytes += seal(pointer, usable, asked, caller);
    return pointer;
}

static size_t with_tail(size_t bytes)
{
    return MIN(bytes + sizeof(struct tail), HEAP_BYTES_MAX);
}

static void *guard_alloc(struct heap *heap, size_t bytes)
{
    uint64_t caller = (uintptr_t)__builtin_return_address(0);
    return give_out(heap, heap->ops->alloc(heap, with_tail(bytes)), bytes, caller);
}

static void *guard_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    uint64_t caller = (uintptr_t)__builtin_return_address(0);
    return give_out(heap, heap_aligned(heap, with_tail(bytes), align), bytes, caller);
}

/* Of what is no live block the design says what is wrong. */
static void take_back(struct heap *heap, void *pointer, uint64_t by)
{
    size_t usable = heap->ops->usable_size(heap, pointer);
    struct heap_hart *self = &heap->harts[hart_index()];
    bool intact;
    if (usable != 0) {
        self->asked_bytes -= inspect(heap, pointer, usable, by, &intact);
        memset(pointer, HEAP_POISON, usable);
    }
    self->caller = by;
    heap->ops->free(heap, pointer);
    self->caller = 0;
}

static void guard_free(struct heap *heap, void *pointer)
{
    take_back(heap, pointer, (uintptr_t)__builtin_return_address(0));
}

/* In place where it fits and half of it would not do; a design's own realloc knows nothing of the tail, and is not used. */
static void *guard_realloc(struct heap *heap, void *pointer, size_t bytes)
{
    uint64_t caller = (uintptr_t)__builtin_return_address(0);
    size_t usable = heap->ops->usable_size(heap, pointer);
    bool intact;
    if (usable == 0) {
        take_back(heap, pointer, caller);
        return NULL;
    }
    size_t asked = inspect(heap, pointer, usable, caller, &intact);
    bool fits = has_tail(usable) ? bytes + sizeof(struct tail) <= usable : bytes <= usable;
    void *fresh = NULL;
    if (!fits || with_tail(bytes) < usable / 2)
        fresh = give_out(heap, heap->ops->alloc(heap, with_tail(bytes)), bytes, caller);
    if (!fresh) {
        if (!fits)
            return NULL;
        heap->harts[hart_index()].asked_bytes += seal(pointer, usable, bytes, caller) - asked;
        return pointer;
    }
    memcpy(fresh, pointer, MIN(asked, bytes));
    if (!intact) /* it has been reported */
        seal(pointer, usable, MIN(asked, usable - sizeof(struct tail)), caller);
    take_back(heap, pointer, caller);
    return fresh;
}

/* As asked: what is behind is the canary's. */
static size_t guard_usable_size(struct heap *heap, const void *pointer)
{
    size_t usable = heap->ops->usable_size(heap, pointer);
    size_t asked;
    uint64_t caller;
    if (usable != 0)
        is_intact(pointer, usable, &asked, &caller);
    return usable != 0 ? asked : 0;
}

bool heap_guard_check(struct heap *heap, const void *pointer)
{
    bool intact;
    inspect(heap, pointer, heap->ops->usable_size(heap, pointer), 0, &intact);
    return intact;
}

const struct heap_ops heap_guard = {
    .name = "guard",
    .alloc = guard_alloc,
    .alloc_aligned = guard_alloc_aligned,
    .realloc = guard_realloc,
    .free = guard_free,
    .usable_size = guard_usable_size,
};
