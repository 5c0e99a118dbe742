/*
 * The last resort of "hartcache": a search that finds a block wherever there is one, and alone may answer that
 * there is none. It first looks without a lock, because when there is nothing many ask in vain, and each would keep
 * all others from what they do; then, if there may be something, with the locks of all harts held.
 *
 * Either way nothing that moves more than one frame, or a frame from one place to another, goes on meanwhile: no
 * flush, no chunk being opened, closed, stolen or adopted, no block of several words. Such moves happen with a
 * hart's lock held, and the hart's `moves` are odd then; who looks without locks sees that they were even
 * before and the same after. What goes on are the fast paths: allocations, which only take, and frees, each of
 * which makes one thing free, by one atomic operation, and then counts it in its hart's `frees`.
 *
 * The searcher sums the counts, looks at every place, and sums them again. Say that the sums are equal and it found
 * nothing. A block that is free when it ends was not when it looked there, so somebody freed a part of it
 * after; had that one counted it before the second sum, the sums would differ, as counts only grow. So that
 * call of free has not returned yet, and nobody has had the frame since: it may as well be said to take place
 * after our end. With all such calls put there, no such block is free at our end, and PFN_NONE is true.
 *
 *     searcher (hart 0)                     hart 1                          hart 2
 *     sum: 7
 *     looks at A: not free
 *                                           free(A): sets the bit
 *                                                                           alloc: takes B
 *     looks at B: not free
 *     sum: 7, nothing found                 counts it: 8; returns
 *
 * At every instant A or B was free. But hart 1 had not returned when the searcher ended, so the order "hart 2 takes
 * B, the searcher finds nothing, hart 1 frees A" is one that all three could have seen. Had hart 1 counted
 * earlier, the sum had been 8, and the searcher would look again.
 *
 * A hart that allocates and frees the same frame for ever would have it look again for ever. So before the second look
 * each hart's `word` is taken away: its next allocation waits for its lock, and who allocates no more has only so
 * many frames to free. (A hart that is just freeing, or turning to another word, misses that; the next look takes it
 * away again.)
 */
#include "arch/panic.h"
#include "mm/frame/hartcache.h"
#include "trace/inject.h"

/* Those of one search, which is one at a time. */
struct nodes {
    struct lock_node search, hart[HART_MAX];
};

static void lock_everything(struct frame_allocator *fa, struct nodes *nodes)
{
    lock_acquire(&hartcache_of(fa)->search, &nodes->search);
    for (unsigned hart = 0; hart < fa->nharts; hart++)
        hartcache_lock(hart_cache_of(fa, hart), &nodes->hart[hart]);
}

static void unlock_everything(struct frame_allocator *fa, struct nodes *nodes)
{
    for (unsigned hart = fa->nharts; hart-- > 0;)
        hartcache_unlock(hart_cache_of(fa, hart), &nodes->hart[hart]);
    lock_release(&hartcache_of(fa)->search, &nodes->search);
}

/* What has been freed and moved so far. *moving: whether a hart is in the middle of a move. */
static uint64_t sum_of_changes(struct frame_allocator *fa, bool *moving)
{
    uint64_t sum = 0;
    *moving = false;
    /* The fence keeps in front what was looked at before, acquire keeps behind what will be. fence r,rw; ld. */
    fence_acquire();
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct hart_cache *cache = hart_cache_of(fa, hart);
        uint64_t moves = atomic_load_explicit(&cache->moves, memory_order_acquire);
        *moving |= moves & 1;
        sum += moves + atomic_load_explicit(&cache->frees, memory_order_acquire);
    }
    return sum;
}

/* Whether a chunk is whole, or as good as: open with all frames free. */
static bool looks_whole(const struct chunk *chunk)
{
    uint64_t all = ~0ull;
    if (!chunk_is_open(chunk_owner(chunk)))
        return atomic_load_explicit(&chunk->use, memory_order_relaxed) == CHUNK_WHOLE;
    for (unsigned w = 0; w < CHUNK_WORDS; w++)
        all &= atomic_load_explicit(&chunk->free[w], memory_order_relaxed);
    return all == ~0ull;
}

/* Whether a chunk seems to have a block of this order, up to that of half a chunk. */
static bool looks_fit(const struct chunk *chunk, unsigned order)
{
    unsigned words = order <= 6 ? 1 : 1u << (order - 6), run = 0;
    for (unsigned w = 0; w < CHUNK_WORDS; w++) {
        uint64_t free = atomic_load_explicit(&chunk->free[w], memory_order_relaxed);
        run = free != ~0ull || w % words == 0 ? 0 : run;
        run += free == ~0ull;
        if (order < 6 ? bits_aligned_runs(free, order) != 0 : run == words)
            return true;
    }
    return false;
}

/* Without a lock. Where frames have been gathered there may be anything. */
static bool may_exist(struct frame_allocator *fa, unsigned order)
{
    struct hartcache *all = hartcache_of(fa);
    for (unsigned hart = 0; hart < fa->nharts; hart++)
        if (gather_any(hart_cache_of(fa, hart)))
            return true;
    for (uint32_t i = 0; i < all->nchunks; i++) {
        const struct chunk *chunk = &all->chunks[i];
        (void)inject_due(INJECT_LOOK);
        bool whole = looks_whole(chunk);
        if (order > CHUNK_ORDER ? whole && (i ^ 1) < all->nwhole && looks_whole(&all->chunks[i ^ 1])
                                : whole || (order < CHUNK_ORDER && looks_fit(chunk, order)))
            return true;
    }
    return false;
}

/* Whether there is certainly no block of this order, by a look without a lock that nothing came between. */
static bool proves_none(struct frame_allocator *fa, unsigned order)
{
    bool moving_before, moving_after;
    uint64_t before = sum_of_changes(fa, &moving_before);
    return !moving_before && !may_exist(fa, order) && sum_of_changes(fa, &moving_after) == before;
}

/* What was gathered is free, and nobody can have it from where it is. Whose is taken gathers fewer from now on. */
static void flush_all(struct frame_allocator *fa)
{
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct hart_cache *cache = hart_cache_of(fa, hart);
        gather_flush(fa, cache);
        /* Relaxed: a matter of speed only. sw. */
        store_relaxed(&cache->gather_limit, 1);
    }
}

static pfn_t from_open_chunks(struct frame_allocator *fa, unsigned order)
{
    struct hartcache *all = hartcache_of(fa);
    for (uint32_t i = 0; i < all->nchunks; i++) {
        struct chunk *chunk = &all->chunks[i];
        (void)inject_due(INJECT_LOOK);
        pfn_t pfn = chunk_is_open(chunk_owner(chunk)) ? block_take_from(fa, chunk, order) : PFN_NONE;
        if (!pfn_is_none(pfn))
            return pfn;
    }
    return PFN_NONE;
}

/* Every whole chunk into the pool: those on stacks, and those that are open with all frames free. */
static void gather_whole(struct frame_allocator *fa)
{
    struct hartcache *all = hartcache_of(fa);
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        pfn_t frames[STACK_FRAMES_MAX];
        unsigned n = frame_stack_take(&hart_cache_of(fa, hart)->whole, frames, STACK_FRAMES_MAX);
        for (unsigned i = 0; i < n; i++)
            chunk_pool_give(fa, chunk_of(fa, frames[i]));
    }
    for (uint32_t i = 0; i < all->nchunks; i++) {
        struct chunk *chunk = &all->chunks[i];
        if (chunk_is_open(chunk_owner(chunk)) && chunk_close(fa, chunk))
            chunk_pool_give(fa, chunk);
    }
}

static pfn_t from_whole_chunks(struct frame_allocator *fa, unsigned order)
{
    struct hart_cache *cache = hart_cache_own(fa);
    gather_whole(fa);
    struct chunk *chunk = chunk_pool_take(fa, order > CHUNK_ORDER ? 1 : 0);
    if (!chunk)
        return PFN_NONE;
    if (order >= CHUNK_ORDER) {
        if (order > CHUNK_ORDER)
            mark_pair(chunk);
        else
            store_relaxed(&chunk->use, CHUNK_HUGE);
        return chunk_frame(fa, chunk);
    }
    chunk_open(fa, cache, chunk);
    return block_take_from(fa, chunk, order);
}

static void stop_fast_paths(struct frame_allocator *fa)
{
    for (unsigned hart = 0; hart < fa->nharts; hart++)
        hart_take_word(hart_cache_of(fa, hart));
}

pfn_t hartcache_search(struct frame_allocator *fa, unsigned order)
{
    struct nodes nodes;
    pfn_t pfn = PFN_NONE;
    bool moving; /* all harts are, by our own hand */
    if (proves_none(fa, order))
        return PFN_NONE;
    lock_everything(fa, &nodes);
    for (;;) {
        uint64_t before = sum_of_changes(fa, &moving);
        flush_all(fa);
        if (order < CHUNK_ORDER)
            pfn = from_open_chunks(fa, order);
        if (pfn_is_none(pfn))
            pfn = from_whole_chunks(fa, order);
        if (!pfn_is_none(pfn) || sum_of_changes(fa, &moving) == before)
            break;
        stop_fast_paths(fa);
    }
    unlock_everything(fa, &nodes);
    return pfn;
}

void hartcache_drain(struct frame_allocator *fa)
{
    struct nodes nodes;
    lock_everything(fa, &nodes);
    flush_all(fa);
    gather_whole(fa);
    for (unsigned hart = 0; hart < fa->nharts; hart++)
        chunk_disown_all(fa, hart_cache_of(fa, hart));
    unlock_everything(fa, &nodes);
}
