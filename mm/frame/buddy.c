/*
 * The design "buddy": the binary buddy system under one lock, which is a zone of Linux's page allocator without its
 * per-CPU lists. Every operation takes the lock; what it does under it is a few list operations.
 */
#include "mm/frame/buddy_core.h"
#include "lib/error.h"
#include "trace/inject.h"

struct buddy {
    struct lock lock; /* protects core and its table */
    struct buddy_core core;
};

static size_t buddy_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct buddy) + buddy_core_bytes(nframes);
}

static int buddy_init(struct frame_allocator *fa)
{
    struct buddy *buddy = fa->metadata;
    lock_init(&buddy->lock, fa->lock_kind, "frame.buddy");
    buddy_core_init(&buddy->core, buddy + 1, fa->nframes);
    return 0;
}

static pfn_t buddy_alloc(struct frame_allocator *fa, unsigned order)
{
    struct buddy *buddy = fa->metadata;
    struct lock_node node;
    lock_acquire(&buddy->lock, &node);
    uint32_t index = buddy_core_take(&buddy->core, order, BUDDY_USED);
    if (index != BUDDY_NONE && plant_due(PLANT_BUDDY_TWICE))
        buddy_core_give(&buddy->core, index, order);
    lock_release(&buddy->lock, &node);
    return index == BUDDY_NONE ? PFN_NONE : pfn_add(fa->base, index);
}

static void buddy_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct buddy *buddy = fa->metadata;
    enum frame_misuse_kind kind;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint32_t index = pfn.value - fa->base.value;
    struct lock_node node;
    lock_acquire(&buddy->lock, &node);
    bool right = buddy_state(&buddy->core, index) == (BUDDY_USED | order);
    if (unlikely(!right))
        kind = buddy_core_misuse(&buddy->core, index);
    else if (!plant_due(PLANT_BUDDY_LOST))
        buddy_core_give(&buddy->core, index, order);
    lock_release(&buddy->lock, &node);
    if (unlikely(!right))
        frame_refuse(fa, kind, pfn, order, __builtin_return_address(0));
}

static size_t buddy_free_count(struct frame_allocator *fa)
{
    struct buddy *buddy = fa->metadata;
    struct lock_node node;
    lock_acquire(&buddy->lock, &node);
    size_t count = buddy->core.nfree;
    lock_release(&buddy->lock, &node);
    return count;
}

static int buddy_validate(struct frame_allocator *fa)
{
    struct buddy *buddy = fa->metadata;
    buddy_check_begin(&buddy->core);
    int error = buddy_check_core(&buddy->core);
    return error ? error : buddy_check_table(&buddy->core);
}

static void buddy_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct buddy *buddy = fa->metadata;
    lock_describe(&buddy->lock, parts);
    buddy_core_describe(&buddy->core, parts);
}

const struct frame_allocator_ops frame_buddy = {
    .name = "buddy",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = buddy_metadata_size,
    .init = buddy_init,
    .alloc = buddy_alloc,
    .free = buddy_free,
    .free_count = buddy_free_count,
    .validate = buddy_validate,
    .describe = buddy_describe,
};
