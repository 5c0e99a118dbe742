/*
 * The design "tracker": an array with a tracker for each frame, searched from its beginning for the first run of
 * free frames that fits, and searched again for the address that is freed, all under one lock. The allocator
 * that teaching kernels start with: it needs no idea but the array, keeps allocations low and together, finds
 * any block that there is, and takes time in proportion to what is in use, which is what it shows.
 */
#include "mm/frame/frame.h"
#include "lib/error.h"
#include "trace/inject.h"

/* No run of free frames that fits. */
#define NOT_FOUND UINT64_MAX

/*
 * What is known of a frame. A block in use has its reference count and its order at its first frame; the count
 * of the others is 0. It never exceeds 1, since the interface gives a block one owner.
 */
struct tracker {
    paddr_t address;
    uint32_t references;
    uint8_t order;
    bool in_use;
};

_Static_assert(sizeof(struct tracker) == 16, "four trackers a line");

struct tracker_table {
    struct lock lock; /* protects the trackers */
    struct tracker trackers[]; /* one for each frame, and one behind them that is never in use */
};

static size_t tracker_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct tracker_table) + (nframes + 1) * sizeof(struct tracker);
}

static int tracker_init(struct frame_allocator *fa)
{
    struct tracker_table *table = fa->metadata;
    lock_init(&table->lock, fa->lock_kind, "frame.tracker");
    for (size_t i = 0; i <= fa->nframes; i++)
        table->trackers[i] = (struct tracker){.address = pfn_to_paddr(pfn_add(fa->base, i))};
    return 0;
}

/* The first free frame from there on; nframes if there is none, because of the tracker behind the last. */
static uint64_t next_free(const struct tracker *trackers, uint64_t from)
{
    const struct tracker *tracker = &trackers[from];
    while (tracker->in_use)
        tracker++;
    return tracker - trackers;
}

/* The last frame in use of those from `first` up to `end`, or NOT_FOUND: what lies below it cannot be part of a
 * run either. */
static uint64_t last_in_use(const struct tracker *trackers, uint64_t first, uint64_t end)
{
    while (end > first)
        if (trackers[--end].in_use)
            return end;
    return NOT_FOUND;
}

static uint64_t first_fit(const struct tracker *trackers, uint64_t nframes, uint64_t count)
{
    uint64_t index = 0;
    for (;;) {
        index = ALIGN_UP(next_free(trackers, index), count);
        if (index + count > nframes)
            return NOT_FOUND;
        uint64_t obstacle = last_in_use(trackers, index, index + count);
        if (obstacle == NOT_FOUND)
            return index;
        index = obstacle + 1;
    }
}

static void mark(struct tracker *first, uint64_t count, bool in_use)
{
    for (uint64_t i = 0; i < count; i++)
        first[i].in_use = in_use;
}

static pfn_t tracker_alloc(struct frame_allocator *fa, unsigned order)
{
    struct tracker_table *table = fa->metadata;
    struct lock_node node;
    lock_acquire(&table->lock, &node);
    uint64_t index = first_fit(table->trackers, fa->nframes, 1ull << order);
    if (index != NOT_FOUND && !plant_due(PLANT_TRACKER_TWICE)) {
        table->trackers[index].references = 1;
        table->trackers[index].order = order;
        mark(&table->trackers[index], 1ull << order, true);
    }
    lock_release(&table->lock, &node);
    return index == NOT_FOUND ? PFN_NONE : pfn_add(fa->base, index);
}

/* An address of the arena always has a tracker, so the search has no end to look for. */
static struct tracker *find(struct tracker *trackers, paddr_t address)
{
    while (trackers->address.value != address.value)
        trackers++;
    return trackers;
}

static void tracker_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct tracker_table *table = fa->metadata;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    struct lock_node node;
    lock_acquire(&table->lock, &node);
    struct tracker *tracker = find(table->trackers, pfn_to_paddr(pfn));
    bool taken = tracker->in_use;
    bool right = tracker->references > 0 && tracker->order == order;
    if (right && !plant_due(PLANT_TRACKER_LOST) && --tracker->references == 0)
        mark(tracker, 1ull << order, false);
    lock_release(&table->lock, &node);
    if (unlikely(!right))
        frame_refuse(fa, taken ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE, pfn, order,
            __builtin_return_address(0));
}

static size_t tracker_free_count(struct frame_allocator *fa)
{
    struct tracker_table *table = fa->metadata;
    struct lock_node node;
    size_t count = 0;
    lock_acquire(&table->lock, &node);
    for (size_t i = 0; i < fa->nframes; i++)
        count += !table->trackers[i].in_use;
    lock_release(&table->lock, &node);
    return count;
}

/* A block in use from its first frame on. */
static int check_block(struct frame_allocator *fa, uint64_t index)
{
    const struct tracker_table *table = fa->metadata;
    const struct tracker *first = &table->trackers[index];
    if (first->references != 1)
        return frame_corrupt(fa, pfn_add(fa->base, index), "in use, but in no block");
    enum frame_misuse_kind kind;
    if (frame_misplaced(fa, pfn_add(fa->base, index), first->order, &kind))
        return frame_corrupt(fa, pfn_add(fa->base, index), frame_misuse_text(kind));
    for (uint64_t i = 1; i < 1ull << first->order; i++)
        if (!first[i].in_use || first[i].references != 0)
            return frame_corrupt(
                fa, pfn_add(fa->base, index + i), "inside a block, but free or the first frame of another");
    return 0;
}

static int tracker_validate(struct frame_allocator *fa)
{
    const struct tracker_table *table = fa->metadata;
    int error = 0;
    if (table->trackers[fa->nframes].in_use)
        return frame_corrupt(fa, pfn_add(fa->base, fa->nframes), "behind the last, but in use");
    for (uint64_t i = 0; !error && i < fa->nframes;) {
        const struct tracker *tracker = &table->trackers[i];
        if (tracker->address.value != pfn_to_paddr(pfn_add(fa->base, i)).value)
            return frame_corrupt(fa, pfn_add(fa->base, i), "its tracker has another address");
        if (!tracker->in_use && tracker->references != 0)
            return frame_corrupt(fa, pfn_add(fa->base, i), "free, but referred to");
        error = tracker->in_use ? check_block(fa, i) : 0;
        i += tracker->in_use ? 1ull << tracker->order : 1;
    }
    return error;
}

static void tracker_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct tracker_table *table = fa->metadata;
    lock_describe(&table->lock, parts);
    parts_add_array(parts, "tracker of frame", table->trackers, sizeof(struct tracker), fa->nframes,
        sizeof(struct tracker));
}

const struct frame_allocator_ops frame_tracker = {
    .name = "tracker",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = tracker_metadata_size,
    .init = tracker_init,
    .alloc = tracker_alloc,
    .free = tracker_free,
    .free_count = tracker_free_count,
    .validate = tracker_validate,
    .describe = tracker_describe,
};
