/*
 * The design "hartcache": each hart has a stack of single frames and one of huge blocks in front of a global
 * bitmap. A hart that finds what it wants on its own stack takes no lock and touches no line of another hart.
 *
 * Everything in bulk, between a stack and the bitmap or between two stacks, happens under one lock, while the
 * fast paths of all harts run beside it. So the holder of the lock finds each free frame in the bitmap or on
 * a stack, but for single frames that a fast path is moving at that moment, and can tell exactly when none is
 * left: see find_block(). No hart holds a lock of its own that it would have to drop before it steals.
 */
#include "mm/frame/hartcache.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/string.h"
#include "trace/inject.h"

/* Frames moved at a time: a word of the bitmap, so that the usual refill is one load and one store there and
 * takes 256 KiB of consecutive memory. */
#define BATCH 64

/* What may lie idle on the stacks of all harts together: a sixteenth of the arena as single frames and a
 * sixteenth as huge blocks, so one eighth. Small arenas with many harts go without. */
#define STRANDED_SHARE 16

/* Huge blocks a hart keeps at most: 8 MiB. One more costs as much memory as two full stacks of single frames,
 * and a trip to the bitmap is nothing beside the use that anybody makes of 2 MiB. */
#define HUGE_BLOCKS_MAX 4

/* The fast paths are leaves and call what is slow last, so they get by without the frame that
 * -fno-omit-frame-pointer would cost each: 5 instructions, of 17 and 27. Backtraces from below skip them. */
#if defined(__has_attribute) && __has_attribute(optimize)
#define LEAF_PATH __attribute__((optimize("omit-frame-pointer", "optimize-sibling-calls")))
#else
#define LEAF_PATH
#endif

static size_t state_bytes(size_t nframes)
{
    return ALIGN_UP(nframes * sizeof(uint32_t), sizeof(uint64_t));
}

static size_t hartcache_metadata_size(size_t nframes, unsigned nharts)
{
    return nharts * sizeof(struct hart_cache) + sizeof(struct hartcache) + bitmap_core_bytes(nframes) +
           state_bytes(nframes) + DIV_CEIL(nframes, 64) * sizeof(uint64_t);
}

static int hartcache_init(struct frame_allocator *fa)
{
    struct hartcache *shared = hartcache_shared(fa);
    uint8_t *core = (uint8_t *)(shared + 1);
    uint32_t *state = (uint32_t *)(core + bitmap_core_bytes(fa->nframes));

    lock_init(&shared->lock, fa->lock_kind, "frame.hartcache");
    bitmap_core_init(&shared->core, core, fa->nframes);
    shared->seen = (uint64_t *)((uint8_t *)state + state_bytes(fa->nframes));
    for (size_t i = 0; i < fa->nframes; i++)
        state[i] = STATE_NONE;

    size_t share = fa->nframes / STRANDED_SHARE / fa->nharts;
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct hart_cache *cache = hartcache_of(fa, hart);
        frame_stack_init(&cache->singles, MIN(share, STACK_FRAMES_MAX));
        frame_stack_init(&cache->huge, MIN(share >> FRAME_ORDER_HUGE, HUGE_BLOCKS_MAX));
        cache->state_origin = (uintptr_t)state - fa->base.value * sizeof(uint32_t);
    }
    return 0;
}

static ALWAYS_INLINE struct hart_cache *own_cache(struct frame_allocator *fa)
{
    DEBUG_ASSERT(hart_index() < fa->nharts);
    return hartcache_of(fa, hart_index());
}

/* The stack for blocks of an order; NULL for an order that is not cached. */
static inline struct frame_stack *stack_for(struct hart_cache *cache, unsigned order)
{
    if (order == 0)
        return &cache->singles;
    return order == FRAME_ORDER_HUGE ? &cache->huge : NULL;
}

/* Up to n <= BATCH blocks out of the bitmap, the lowest last, so that they leave a stack in ascending
 * order. */
static unsigned take_blocks(struct frame_allocator *fa, unsigned order, pfn_t *frames, unsigned n)
{
    struct bitmap_core *core = &hartcache_shared(fa)->core;
    uint32_t indices[BATCH];
    unsigned got = 0;
    if (order == 0)
        got = bitmap_core_take_singles(core, indices, n);
    else
        while (got < n && (indices[got] = bitmap_core_take(core, order)) != BITMAP_NONE)
            got++;
    for (unsigned i = 0; i < got; i++)
        frames[got - 1 - i] = pfn_add(fa->base, indices[i]);
    return got;
}

static void give_blocks(struct frame_allocator *fa, unsigned order, const pfn_t *frames, unsigned n)
{
    struct bitmap_core *core = &hartcache_shared(fa)->core;
    uint32_t indices[BATCH];
    for (unsigned i = 0; i < n; i++) {
        indices[i] = frames[i].value - fa->base.value;
        DEBUG_ASSERT(bitmap_core_holds(core, indices[i], order));
    }
    if (order == 0)
        bitmap_core_give_singles(core, indices, n);
    else
        for (unsigned i = 0; i < n; i++)
            bitmap_core_give(core, indices[i], order);
}

/* Everything from here to find_block() is called with the lock held. */

/* One block for the caller out of the bitmap, and more for its stack, which is empty: a batch, or half of a
 * smaller stack, so that the frees that follow find room as well. */
static pfn_t refill(struct frame_allocator *fa, struct frame_stack *own, unsigned order)
{
    if (inject_due(INJECT_REFILL))
        return PFN_NONE;
    pfn_t frames[BATCH];
    unsigned n = take_blocks(fa, order, frames, own ? 1 + MIN(own->capacity / 2, BATCH - 1) : 1);
    if (n == 0)
        return PFN_NONE;
    if (own) {
        frame_stack_fill(own, frames, n - 1);
        counter_add(COUNTER_FRAME_REFILL, 1);
    }
    return frames[n - 1];
}

/* The same out of the stack of another hart, which keeps half of what it has. */
static pfn_t steal(struct frame_allocator *fa, struct frame_stack *own, unsigned order)
{
    pfn_t frames[BATCH];
    for (unsigned i = 1; i < fa->nharts; i++) {
        unsigned victim = (hart_index() + i) % fa->nharts;
        struct frame_stack *stack = stack_for(hartcache_of(fa, victim), order);
        unsigned n = frame_stack_take(stack, frames, MIN(DIV_CEIL(frame_stack_count(stack), 2), BATCH));
        if (n == 0)
            continue;
        frame_stack_fill(own, frames, n - 1);
        counter_add(COUNTER_FRAME_STEAL, 1);
        return frames[n - 1];
    }
    return PFN_NONE;
}

/* Move frames from a stack to the bitmap until it has no more than `keep`. */
static void drain_stack(struct frame_allocator *fa, struct frame_stack *stack, unsigned order, unsigned keep,
    enum counter counter)
{
    pfn_t frames[BATCH];
    for (;;) {
        unsigned count = frame_stack_count(stack);
        unsigned n = frame_stack_take(stack, frames, MIN(count - MIN(count, keep), BATCH));
        if (n == 0)
            return;
        give_blocks(fa, order, frames, n);
        counter_add(counter, 1);
    }
}

/* Empty all stacks into the bitmap. Returns the sum of the stacks' words as they were found. */
static uint64_t drain_all(struct frame_allocator *fa)
{
    static const unsigned orders[] = {0, FRAME_ORDER_HUGE};
    uint64_t sum = 0;
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        for (unsigned i = 0; i < ARRAY_SIZE(orders); i++) {
            struct frame_stack *stack = stack_for(hartcache_of(fa, hart), orders[i]);
            sum += frame_stack_word(stack);
            drain_stack(
                fa, stack, orders[i], 0, hart == hart_index() ? COUNTER_FRAME_DRAIN : COUNTER_FRAME_STEAL);
        }
    }
    return sum;
}

/*
 * A block from wherever one is. PFN_NONE is exact: at some instant during the call none was free. Nobody else
 * changes the bitmap. When two scans in a row find the same words, no stack has changed between them, so the
 * first one found nothing to move; then, from its end to the beginning of the second, all stacks were empty
 * together, and the bitmap, tried in between, had no such block.
 */
static pfn_t find_block(struct frame_allocator *fa, unsigned order)
{
    struct frame_stack *own = stack_for(own_cache(fa), order);
    uint64_t words_before = 0;
    for (unsigned pass = 0;; pass++) {
        pfn_t frame = refill(fa, own, order);
        if (pfn_is_none(frame) && own)
            frame = steal(fa, own, order);
        if (!pfn_is_none(frame))
            return frame;
        uint64_t words = drain_all(fa);
        if (pass > 0 && words == words_before)
            return PFN_NONE;
        words_before = words;
    }
}

static NOINLINE pfn_t alloc_slow(struct frame_allocator *fa, unsigned order)
{
    struct hart_cache *cache = own_cache(fa);
    struct frame_stack *stack = stack_for(cache, order);
    pfn_t frame = stack ? frame_stack_pop(stack) : PFN_NONE;
    if (pfn_is_none(frame)) {
        struct hartcache *shared = hartcache_shared(fa);
        struct lock_node node;
        lock_acquire(&shared->lock, &node);
        frame = find_block(fa, order);
        lock_release(&shared->lock, &node);
        if (pfn_is_none(frame))
            return PFN_NONE;
    }
    /* Relaxed: the caller has the block to itself, and passes the state on with it. sw. */
    store_relaxed(hartcache_state(cache, frame), order == 0 ? STATE_SINGLE : STATE_OF(order));
    return frame;
}

static LEAF_PATH pfn_t hartcache_alloc(struct frame_allocator *fa, unsigned order)
{
    if (unlikely(order != 0))
        return alloc_slow(fa, order);
    struct hart_cache *cache = own_cache(fa);
    pfn_t frame = frame_stack_pop(&cache->singles);
    if (unlikely(stack_is_none(frame)))
        return alloc_slow(fa, 0);
    if (plant_due(PLANT_HARTCACHE_TWICE))
        frame_stack_push(&cache->singles, frame);
    /* As in alloc_slow(). sw. */
    store_relaxed(hartcache_state(cache, frame), STATE_SINGLE);
    return frame;
}

/* Give a block to the bitmap. The marks of a stack: it is full (high), and is drained until it is half empty
 * (low), so that as many frees as allocations can follow before the lock is needed again. */
static NOINLINE void give_back(struct frame_allocator *fa, pfn_t frame, unsigned order)
{
    struct hartcache *shared = hartcache_shared(fa);
    struct frame_stack *stack = stack_for(own_cache(fa), order);
    struct lock_node node;
    lock_acquire(&shared->lock, &node);
    give_blocks(fa, order, &frame, 1);
    if (stack)
        drain_stack(fa, stack, order, stack->capacity / 2, COUNTER_FRAME_DRAIN);
    lock_release(&shared->lock, &node);
}

/* The end of a free whose push lost a race with a thief, which has made room. */
static NOINLINE void push_again(struct frame_allocator *fa, pfn_t frame, unsigned order)
{
    enum stack_push push;
    do {
        counter_add(COUNTER_CAS_RETRY, 1);
        push = frame_stack_push(stack_for(own_cache(fa), order), frame);
    } while (push == STACK_LOST_RACE);
    if (push == STACK_FULL)
        give_back(fa, frame, order);
}

/*
 * The ways out of a free. They are called last, so that the compiler makes a jump of the call and the return
 * address is that of the call to frame_free(). Each is reached from one place of the fast path only: GCC
 * copies the arguments away, for the price of an instruction each, for the sake of a shared one.
 */

/* No block can be at that place. */
static COLD void refuse_place(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    enum frame_misuse_kind kind = FRAME_MISUSE_OUT_OF_RANGE;
    frame_misplaced(fa, pfn, order, &kind);
    frame_refuse(fa, kind, pfn, order, __builtin_return_address(0));
}

/* No block of this order is in use there; is one of another order, or one that the address lies inside of? */
static COLD void refuse_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct hartcache *shared = hartcache_shared(fa);
    struct lock_node node;
    bool in_use = false;
    lock_acquire(&shared->lock, &node);
    uint32_t head = bitmap_core_block_of(&shared->core, pfn.value - fa->base.value);
    if (head != BITMAP_NONE) {
        pfn_t frame = pfn_add(fa->base, head);
        /* Relaxed: it is for the report only. lw. */
        in_use =
            atomic_load_explicit(hartcache_state(own_cache(fa), frame), memory_order_relaxed) != STATE_NONE;
    }
    lock_release(&shared->lock, &node);
    frame_refuse(fa, in_use ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE, pfn, order,
        __builtin_return_address(0));
}

/* Frees of higher orders. */
static NOINLINE void free_slow(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    enum frame_misuse_kind kind;
    if (frame_misplaced(fa, pfn, order, &kind)) {
        refuse_place(fa, pfn, order);
        return;
    }
    struct hart_cache *cache = own_cache(fa);
    uint32_t in_use = STATE_OF(order);
    /* Relaxed: what the block's last user wrote travels with the push or the lock that follow.
     * lr.w; bne; sc.w; bnez. */
    if (!atomic_compare_exchange_strong_explicit(
            hartcache_state(cache, pfn), &in_use, STATE_NONE, memory_order_relaxed, memory_order_relaxed)) {
        refuse_free(fa, pfn, order);
        return;
    }
    struct frame_stack *stack = stack_for(cache, order);
    enum stack_push push = stack ? frame_stack_push(stack, pfn) : STACK_FULL;
    if (push == STACK_LOST_RACE)
        push_again(fa, pfn, order);
    else if (push == STACK_FULL)
        give_back(fa, pfn, order);
}

static LEAF_PATH void hartcache_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    if (unlikely(order != 0)) {
        free_slow(fa, pfn, order);
        return;
    }
    if (unlikely(pfn.value - fa->base.value >= fa->nframes)) {
        refuse_place(fa, pfn, order);
        return;
    }
    struct hart_cache *cache = own_cache(fa);
    /* Relaxed, as in free_slow(). amoor.w. */
    if (unlikely(atomic_fetch_or_explicit(hartcache_state(cache, pfn), STATE_NONE, memory_order_relaxed) !=
                 STATE_SINGLE)) {
        refuse_free(fa, pfn, order);
        return;
    }
    if (plant_due(PLANT_HARTCACHE_LOST))
        return;
    enum stack_push push = frame_stack_push(&cache->singles, pfn);
    if (unlikely(push == STACK_LOST_RACE))
        push_again(fa, pfn, 0);
    else if (unlikely(push == STACK_FULL))
        give_back(fa, pfn, 0);
}

static size_t hartcache_stranded_count(struct frame_allocator *fa)
{
    size_t count = 0;
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct hart_cache *cache = hartcache_of(fa, hart);
        count += frame_stack_count(&cache->singles);
        count += (size_t)frame_stack_count(&cache->huge) << FRAME_ORDER_HUGE;
    }
    return count;
}

static size_t hartcache_free_count(struct frame_allocator *fa)
{
    struct hartcache *shared = hartcache_shared(fa);
    struct lock_node node;
    lock_acquire(&shared->lock, &node);
    size_t count = shared->core.nfree + hartcache_stranded_count(fa);
    lock_release(&shared->lock, &node);
    return count;
}

static void hartcache_drain(struct frame_allocator *fa)
{
    struct hartcache *shared = hartcache_shared(fa);
    struct lock_node node;
    lock_acquire(&shared->lock, &node);
    drain_all(fa);
    lock_release(&shared->lock, &node);
}

const struct frame_allocator_ops frame_hartcache = {
    .name = "hartcache",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = hartcache_metadata_size,
    .init = hartcache_init,
    .alloc = hartcache_alloc,
    .free = hartcache_free,
    .free_count = hartcache_free_count,
    .stranded_count = hartcache_stranded_count,
    .drain = hartcache_drain,
    .validate = hartcache_validate,
    .describe = hartcache_describe,
};
