/*
 * The design "bitmap": one global bitmap under one lock. The simplest allocator that does everything, and the
 * one that shows what the lock costs.
 */
#include "mm/frame/frame.h"
#include "mm/frame/bitmap_core.h"
#include "lib/error.h"
#include "trace/inject.h"

struct bitmap {
    struct lock lock; /* protects core and its words */
    struct bitmap_core core;
};

static size_t bitmap_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct bitmap) + bitmap_core_bytes(nframes);
}

static int bitmap_init(struct frame_allocator *fa)
{
    struct bitmap *bitmap = fa->metadata;
    lock_init(&bitmap->lock, fa->lock_kind, "frame.bitmap");
    bitmap_core_init(&bitmap->core, bitmap + 1, fa->nframes);
    return 0;
}

static pfn_t bitmap_alloc(struct frame_allocator *fa, unsigned order)
{
    struct bitmap *bitmap = fa->metadata;
    struct lock_node node;
    lock_acquire(&bitmap->lock, &node);
    uint32_t index = bitmap_core_take(&bitmap->core, order);
    if (index != BITMAP_NONE && plant_due(PLANT_BITMAP_TWICE))
        bitmap_core_give(&bitmap->core, index, order);
    lock_release(&bitmap->lock, &node);
    return index == BITMAP_NONE ? PFN_NONE : pfn_add(fa->base, index);
}

static void bitmap_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct bitmap *bitmap = fa->metadata;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint32_t index = pfn.value - fa->base.value;
    struct lock_node node;
    lock_acquire(&bitmap->lock, &node);
    bool right = bitmap_core_holds(&bitmap->core, index, order);
    bool taken = right || bitmap_core_block_of(&bitmap->core, index) != BITMAP_NONE;
    if (right && !plant_due(PLANT_BITMAP_LOST))
        bitmap_core_give(&bitmap->core, index, order);
    lock_release(&bitmap->lock, &node);
    if (unlikely(!right))
        frame_refuse(fa, taken ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE, pfn, order,
            __builtin_return_address(0));
}

static size_t bitmap_free_count(struct frame_allocator *fa)
{
    struct bitmap *bitmap = fa->metadata;
    struct lock_node node;
    lock_acquire(&bitmap->lock, &node);
    size_t count = bitmap->core.nfree;
    lock_release(&bitmap->lock, &node);
    return count;
}

static int bitmap_validate(struct frame_allocator *fa)
{
    struct bitmap *bitmap = fa->metadata;
    return bitmap_core_validate(&bitmap->core);
}

static void bitmap_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct bitmap *bitmap = fa->metadata;
    lock_describe(&bitmap->lock, parts);
    bitmap_core_describe(&bitmap->core, parts);
}

const struct frame_allocator_ops frame_bitmap = {
    .name = "bitmap",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = bitmap_metadata_size,
    .init = bitmap_init,
    .alloc = bitmap_alloc,
    .free = bitmap_free,
    .free_count = bitmap_free_count,
    .validate = bitmap_validate,
    .describe = bitmap_describe,
};
