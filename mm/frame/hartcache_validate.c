/*
 * The accounts of "hartcache", from ground truth: every block that the bitmap has given out is either in use,
 * by its state, or lies on exactly one stack. Called while the harts are quiet. And the names of its parts, for
 * reports.
 */
#include "mm/frame/hartcache.h"
#include "arch/console.h"
#include "lib/error.h"
#include "lib/string.h"

static int report(struct frame_allocator *fa, uint32_t index, const char *finding)
{
    console_format("frame: %s (hartcache): frame 0x%llx: %s\n", fa->name,
        (unsigned long long)pfn_to_paddr(pfn_add(fa->base, index)).value, finding);
    return ERR_CORRUPT;
}

static uint32_t state_at(struct frame_allocator *fa, uint32_t index)
{
    /* Relaxed: the harts are quiet. lw. */
    return atomic_load_explicit(
        hartcache_state(hartcache_of(fa, 0), pfn_add(fa->base, index)), memory_order_relaxed);
}

/* Marks a block as accounted for. Whether it was already. */
static bool seen_before(struct hartcache *shared, uint32_t index)
{
    uint64_t bit = 1ull << index % 64;
    bool before = shared->seen[index / 64] & bit;
    shared->seen[index / 64] |= bit;
    return before;
}

static int check_stack(struct frame_allocator *fa, const struct frame_stack *stack, unsigned order)
{
    struct hartcache *shared = hartcache_shared(fa);
    for (unsigned i = 0; i < frame_stack_count(stack); i++) {
        uint64_t index = frame_stack_at(stack, i).value - fa->base.value;
        enum frame_misuse_kind kind;
        if (frame_misplaced(fa, frame_stack_at(stack, i), order, &kind)) {
            console_format("frame: %s (hartcache): a stack holds frame number 0x%llx: %s\n", fa->name,
                (unsigned long long)(index + fa->base.value), frame_misuse_text(kind));
            return ERR_CORRUPT;
        }
        if (!bitmap_core_holds(&shared->core, index, order))
            return report(fa, index, "on a stack, but not taken from the bitmap");
        if (state_at(fa, index) != STATE_NONE)
            return report(fa, index, "in use and on a stack: given twice");
        if (seen_before(shared, index))
            return report(fa, index, "on two stacks, or twice on one");
    }
    return 0;
}

static int check_in_use(struct frame_allocator *fa, uint32_t index)
{
    struct hartcache *shared = hartcache_shared(fa);
    uint32_t state = state_at(fa, index);
    if (state == STATE_NONE)
        return 0;
    unsigned order = state == STATE_SINGLE ? 0 : state >> 1;
    if (order > FRAME_ORDER_MAX || (order == 0 && state != STATE_SINGLE))
        return report(fa, index, "has a state that means nothing");
    if (fa->nframes - index < 1u << order || !IS_ALIGNED(index, 1u << order) ||
        !bitmap_core_holds(&shared->core, index, order))
        return report(fa, index, "in use, but not taken from the bitmap");
    seen_before(shared, index);
    return 0;
}

static int check_taken(struct frame_allocator *fa, uint32_t index)
{
    struct hartcache *shared = hartcache_shared(fa);
    uint64_t bit = 1ull << index % 64;
    if ((shared->core.head[index / 64] & bit) && !(shared->seen[index / 64] & bit))
        return report(fa, index, "lost: taken from the bitmap, but neither in use nor on a stack");
    return 0;
}

int hartcache_validate(struct frame_allocator *fa)
{
    struct hartcache *shared = hartcache_shared(fa);
    int error = bitmap_core_validate(&shared->core);
    memset(shared->seen, 0, DIV_CEIL(fa->nframes, 64) * sizeof(uint64_t));
    for (unsigned hart = 0; !error && hart < fa->nharts; hart++) {
        error = check_stack(fa, &hartcache_of(fa, hart)->singles, 0);
        if (!error)
            error = check_stack(fa, &hartcache_of(fa, hart)->huge, FRAME_ORDER_HUGE);
    }
    for (uint32_t index = 0; !error && index < fa->nframes; index++)
        error = check_in_use(fa, index);
    for (uint32_t index = 0; !error && index < fa->nframes; index++)
        error = check_taken(fa, index);
    return error;
}

void hartcache_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct hart_cache *caches = hartcache_of(fa, 0);
    struct hartcache *shared = hartcache_shared(fa);
    parts_add_array(
        parts, "stack of hart", &caches->singles, sizeof(caches->singles), fa->nharts, sizeof(*caches));
    parts_add_array(
        parts, "huge stack of hart", &caches->huge, sizeof(caches->huge), fa->nharts, sizeof(*caches));
    parts_add_array(parts, "state origin of hart", &caches->state_origin, sizeof(caches->state_origin),
        fa->nharts, sizeof(*caches));
    parts_add_array(parts, "state of frame", hartcache_state(caches, fa->base), sizeof(uint32_t), fa->nframes,
        sizeof(uint32_t));
    lock_describe(&shared->lock, parts);
    bitmap_core_describe(&shared->core, parts);
}
