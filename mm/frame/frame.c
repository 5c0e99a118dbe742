/*
 * What all frame allocators have in common: the registry, the checks of an instance, and the report of a
 * wrong free. The designs are in files of their own; a new one is one file and one line in the registry.
 */
#include "mm/frame/frame.h"
#include "arch/console.h"
#include "arch/symbols.h"
#include "lib/error.h"
#include "lib/string.h"

/* Wrong frees of one instance that are printed; the rest are only counted, or a test that makes a million
 * of them would print for an hour. */
#define REPORTS_MAX 8

/* The registry: one line a design. */
#define DESIGN_LIST(X)                                                                                       \
    X(frame_bitmap)                                                                                          \
    X(frame_hartcache)                                                                                       \
    X(frame_cascade)                                                                                         \
    X(frame_buddy)                                                                                           \
    X(frame_buddy_pcp)                                                                                       \
    X(frame_tracker)                                                                                         \
    X(frame_stack)                                                                                           \
    X(frame_list)                                                                                            \
    X(frame_caslist)                                                                                         \
    X(frame_llfree)                                                                                          \
    X(frame_llfree_locked)

#define DESIGN_DECLARE(ops) extern const struct frame_allocator_ops ops;
DESIGN_LIST(DESIGN_DECLARE)

static const struct frame_allocator_ops *const designs[] = {
#define DESIGN_ADDRESS(ops) &ops,
    DESIGN_LIST(DESIGN_ADDRESS)
#undef DESIGN_ADDRESS
};

const struct frame_allocator_ops *frame_allocator_at(size_t i)
{
    return i < ARRAY_SIZE(designs) ? designs[i] : NULL;
}

const char *frame_allocator_name_at(size_t i)
{
    return i < ARRAY_SIZE(designs) ? designs[i]->name : NULL;
}

const struct frame_allocator_ops *frame_allocator_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(designs); i++)
        if (strcmp(designs[i]->name, name) == 0)
            return designs[i];
    return NULL;
}

int frame_allocator_init(struct frame_allocator *fa, const struct frame_allocator_ops *ops,
    const struct lock_ops *lock_kind, const char *name, void *metadata, pfn_t base, size_t nframes,
    unsigned nharts)
{
    if (!IS_ALIGNED(base.value, 1ull << FRAME_ORDER_MAX) ||
        !IS_ALIGNED((uintptr_t)metadata, CACHE_LINE_BYTES))
        return ERR_INVALID;
    if (nframes == 0 || nframes > FRAME_COUNT_MAX || base.value > FRAME_COUNT_MAX - nframes || nharts == 0 ||
        nharts > HART_MAX)
        return ERR_RANGE;
    memset(fa, 0, sizeof(*fa));
    fa->ops = ops;
    fa->alloc = ops->alloc;
    fa->free = ops->free;
    fa->lock_kind = lock_kind;
    fa->name = name;
    fa->base = base;
    fa->nframes = nframes;
    fa->nharts = nharts;
    fa->metadata = metadata;
    return ops->init(fa);
}

size_t frame_free_count(struct frame_allocator *fa)
{
    return fa->ops->free_count(fa);
}

size_t frame_stranded_count(struct frame_allocator *fa)
{
    return fa->ops->stranded_count ? fa->ops->stranded_count(fa) : 0;
}

void frame_drain(struct frame_allocator *fa)
{
    if (fa->ops->drain)
        fa->ops->drain(fa);
}

int frame_validate(struct frame_allocator *fa, size_t held)
{
    int error = fa->ops->validate(fa);
    if (error)
        return error;
    size_t free = frame_free_count(fa);
    if (free + held == fa->nframes)
        return 0;
    bool lost = free + held < fa->nframes;
    console_format("frame: %s (%s): %zu of %zu frames %s: %zu are free and %zu held\n", fa->name,
        fa->ops->name, lost ? fa->nframes - free - held : free + held - fa->nframes, fa->nframes,
        lost ? "are lost" : "were given twice", free, held);
    return ERR_CORRUPT;
}

void frame_describe(struct frame_allocator *fa, struct parts *parts)
{
    parts_add(parts, "instance", fa, sizeof(*fa));
    parts_add(parts, "metadata", fa->metadata, fa->ops->metadata_size(fa->nframes, fa->nharts));
    parts_add_array(parts, "frame", pfn_to_direct(fa->base), PAGE_BYTES, fa->nframes, PAGE_BYTES);
    if (fa->ops->describe)
        fa->ops->describe(fa, parts);
}

bool frame_misplaced(
    const struct frame_allocator *fa, pfn_t pfn, unsigned order, enum frame_misuse_kind *kind)
{
    uint64_t index = pfn.value - fa->base.value;
    if (order > FRAME_ORDER_MAX)
        *kind = FRAME_MISUSE_WRONG_ORDER;
    else if (index >= fa->nframes || fa->nframes - index < 1ull << order)
        *kind = FRAME_MISUSE_OUT_OF_RANGE;
    else if (!IS_ALIGNED(index, 1ull << order))
        *kind = FRAME_MISUSE_MISALIGNED;
    else
        return false;
    return true;
}

void frame_refuse(
    struct frame_allocator *fa, enum frame_misuse_kind kind, pfn_t pfn, unsigned order, const void *caller)
{
    counter_add(COUNTER_FRAME_BAD_FREE, 1);
    /* Relaxed: a count orders nothing. amoadd.d. */
    uint64_t before = atomic_fetch_add_explicit(&fa->misuse_count, 1, memory_order_relaxed);
    uint64_t offset = 0;
    const char *function = symbol_find((uintptr_t)caller, &offset);

    /* The console's lock also keeps two harts from writing last_misuse at once. */
    console_lock();
    fa->last_misuse =
        (struct frame_misuse){.kind = kind, .pfn = pfn, .order = order, .caller = (uintptr_t)caller};
    if (before < REPORTS_MAX)
        console_format("frame: %s (%s): refused to free 0x%llx, order %u, for %p (%s+0x%llx): %s\n", fa->name,
            fa->ops->name, (unsigned long long)pfn_to_paddr(pfn).value, order, caller,
            function ? function : "unknown", (unsigned long long)offset, frame_misuse_text(kind));
    console_unlock();
}

int frame_corrupt(const struct frame_allocator *fa, pfn_t pfn, const char *finding)
{
    console_format("frame: %s (%s): frame 0x%llx: %s\n", fa->name, fa->ops->name,
        (unsigned long long)pfn_to_paddr(pfn).value, finding);
    return ERR_CORRUPT;
}

const char *frame_misuse_text(enum frame_misuse_kind kind)
{
    switch (kind) {
    case FRAME_MISUSE_DOUBLE_FREE: return "double free";
    case FRAME_MISUSE_OUT_OF_RANGE: return "not in the arena";
    case FRAME_MISUSE_WRONG_ORDER: return "wrong order, or inside a block";
    case FRAME_MISUSE_MISALIGNED: return "not aligned to its size";
    }
    return "unknown misuse";
}

void frame_zero(pfn_t pfn, unsigned order)
{
    memset(pfn_to_direct(pfn), 0, (size_t)PAGE_BYTES << order);
}
