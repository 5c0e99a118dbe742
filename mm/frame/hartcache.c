/*
 * The design "hartcache": a cache of free frames for each hart, refilled from a global bitmap of chunks. Its
 * fast paths are here: one atomic operation for an allocation, one for a free, on lines that only this hart
 * touches. hartcache.h has the whole.
 */
#include "mm/frame/hartcache.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/string.h"
#include "trace/inject.h"

/* Whole chunks on one hart's stack: at most its share of half of the arena, at least one. More than a few would
 * only cost: a trip to the pool is nothing beside the use that anybody makes of 2 MiB. */
#define WHOLE_SHARE 2

/* What a hart may have gathered: its share of an eighth of the arena, within what pays. */
#define GATHER_SHARE 8
#define GATHER_MAX   1024
#define GATHER_MIN   16

/* Parts of the metadata, one behind the other, each a multiple of a line. */
struct layout {
    uint32_t nchunks, nwhole, slots;
    size_t chunks, owners, bits, gather, counts, pool, end;
};

static struct layout layout_of(size_t nframes, unsigned nharts)
{
    struct layout at = {.nchunks = DIV_CEIL(nframes, CHUNK_FRAMES), .nwhole = nframes / CHUNK_FRAMES};
    at.slots = MIN(1u << bits_order(at.nchunks), GATHER_SLOTS_MAX);
    at.chunks = nharts * sizeof(struct hart_cache) + sizeof(struct hartcache);
    at.bits = at.chunks + at.nchunks * sizeof(struct chunk);
    at.owners = at.bits + at.nchunks * CHUNK_WORDS * sizeof(uint64_t);
    at.gather = ALIGN_UP(at.owners + at.nchunks * sizeof(uint64_t), (size_t)CACHE_LINE_BYTES);
    at.counts = at.gather + (size_t)nharts * at.slots * sizeof(struct gathered);
    size_t hart_counts = ALIGN_UP(at.slots * (sizeof(uint64_t) + sizeof(uint32_t)), (size_t)CACHE_LINE_BYTES);
    at.pool = at.counts + nharts * hart_counts;
    at.end = at.pool + bitmap_core_bytes(MAX(at.nwhole, 1));
    return at;
}

static size_t hartcache_metadata_size(size_t nframes, unsigned nharts)
{
    return layout_of(nframes, nharts).end;
}

static void init_cache(struct frame_allocator *fa, const struct layout *at, unsigned hart)
{
    struct hart_cache *cache = hart_cache_of(fa, hart);
    uint8_t *metadata = fa->metadata;
    size_t hart_counts = (at->pool - at->counts) / fa->nharts;
    memset(cache, 0, sizeof(*cache));
    hart_take_word(cache);
    cache->free_origin = (uintptr_t)(metadata + at->bits) - fa->base.value / 64 * sizeof(uint64_t);
    cache->owner_origin =
        (uintptr_t)(metadata + at->owners) - (fa->base.value >> CHUNK_ORDER) * sizeof(uint64_t);
    cache->ring = CHUNK_NONE;
    cache->refill = 1;
    frame_stack_init(&cache->whole, CLAMP(at->nwhole / WHOLE_SHARE / fa->nharts, 1u, STACK_FRAMES_MAX));
    lock_init(&cache->lock, fa->lock_kind, "frame.hartcache");
    cache->gather.mask = at->slots - 1;
    cache->gather.slot = (struct gathered *)(metadata + at->gather) + (size_t)hart * at->slots;
    cache->gather.key = (_Atomic uint64_t *)(metadata + at->counts + hart * hart_counts);
    cache->gather.count = (_Atomic uint32_t *)(cache->gather.key + at->slots);
    cache->gather.hand = (uint64_t)at->slots * hart / fa->nharts;
    cache->gather.limit_max = CLAMP(fa->nframes / GATHER_SHARE / fa->nharts, GATHER_MIN, GATHER_MAX);
    store_relaxed(&cache->gather_limit, GATHER_MIN);
    memset(cache->gather.slot, 0, at->slots * sizeof(struct gathered));
    /* Slots begin with the first chunks, which are all of them in an arena of up to 512 MiB. */
    for (uint64_t i = 0; i < at->slots; i++) {
        uint64_t key = (fa->base.value >> CHUNK_ORDER) + i;
        store_relaxed(&cache->gather.key[key & cache->gather.mask], key);
        store_relaxed(&cache->gather.count[i], 0);
    }
}

static int hartcache_init(struct frame_allocator *fa)
{
    struct layout at = layout_of(fa->nframes, fa->nharts);
    struct hartcache *all = hartcache_of(fa);
    uint8_t *metadata = fa->metadata;
    memset(all, 0, sizeof(*all));
    lock_init(&all->search, fa->lock_kind, "frame.hartcache.search");
    lock_init(&all->pool_lock, fa->lock_kind, "frame.hartcache.pool");
    all->nchunks = at.nchunks;
    all->nwhole = at.nwhole;
    all->chunks = (struct chunk *)(metadata + at.chunks);
    bitmap_core_init(&all->pool, metadata + at.pool, MAX(at.nwhole, 1));
    if (at.nwhole == 0)
        bitmap_core_take(&all->pool, 0); /* the bitmap cannot be empty; this chunk is nobody's */

    memset(all->chunks, 0, at.gather - at.chunks);
    for (uint32_t i = 0; i < at.nchunks; i++) {
        struct chunk *chunk = &all->chunks[i];
        chunk->free = (_Atomic uint64_t *)(metadata + at.bits) + (size_t)i * CHUNK_WORDS;
        chunk->owner = (_Atomic uint64_t *)(metadata + at.owners) + i;
        store_relaxed(chunk->owner, CHUNK_CLOSED);
        chunk->next = chunk->previous = CHUNK_NONE;
    }
    for (unsigned hart = 0; hart < fa->nharts; hart++)
        init_cache(fa, &at, hart);

    /* The frames behind the last whole chunk. */
    if (at.nwhole < at.nchunks) {
        struct chunk *last = &all->chunks[at.nwhole];
        unsigned left = fa->nframes % CHUNK_FRAMES;
        for (unsigned w = 0; w * 64 < left; w++)
            store_relaxed(&last->free[w], bits_mask(0, MIN(left - w * 64, 64u)));
        store_relaxed(last->owner, CHUNK_NOBODY);
        store_relaxed(&all->norphans, 1);
    }
    return 0;
}

/* Takes the frame to try next, if it is free; then the one behind it is next. A word that was taken in full leaves no
 * bit. */
static ALWAYS_INLINE bool take_next(struct hart_cache *cache, pfn_t *frame)
{
    _Atomic uint64_t *word = hart_word(cache);
    uint64_t bit = cache->bit;
    if (inject_due(INJECT_CAS))
        return false;
    /* Acquire, pairs with the release of whoever set the bit: what was written to the frame is over.
     * amoand.d.aq. */
    if (unlikely(!(atomic_fetch_and_explicit(word, ~bit, memory_order_acquire) & bit)))
        return false;
    if (plant_due(PLANT_HARTCACHE_TWICE))
        or_release(word, bit);
    *frame = PFN(cache->frame);
    cache->bit = bit << 1;
    cache->frame = frame->value + 1;
    return true;
}

static bool find_word(struct frame_allocator *fa, struct hart_cache *cache)
{
    struct lock_node node;
    hartcache_lock(cache, &node);
    bool found = chunk_find_word(fa, cache);
    hartcache_unlock(cache, &node);
    return found;
}

static NOINLINE pfn_t alloc_slow(struct frame_allocator *fa, unsigned order)
{
    if (order != 0)
        return block_alloc(fa, order);
    struct hart_cache *cache = hart_cache_own(fa);
    for (;;) {
        if (!chunk_next_word(fa, cache) && !find_word(fa, cache) && !chunk_steal_word(fa, cache))
            return hartcache_search(fa, 0);
        pfn_t frame;
        if (likely(take_next(cache, &frame)))
            return frame;
        counter_add(COUNTER_CAS_RETRY, 1);
    }
}

static LEAF_PATH pfn_t hartcache_alloc(struct frame_allocator *fa, unsigned order)
{
    if (unlikely(order != 0))
        return alloc_slow(fa, order);
    DEBUG_ASSERT(hart_index() < fa->nharts);
    pfn_t frame;
    if (unlikely(!take_next(hart_cache_own(fa), &frame)))
        return alloc_slow(fa, 0);
    return frame;
}

/* The ways out of a free: called last, so that the compiler makes a jump of the call and the return address is
 * that of the call to frame_free(). Each is reached from one place of the fast path only: for the sake of a shared
 * one GCC copies the arguments away, for the price of an instruction each. */

static COLD void refuse(struct frame_allocator *fa, pfn_t pfn)
{
    frame_refuse(fa, FRAME_MISUSE_DOUBLE_FREE, pfn, 0, __builtin_return_address(0));
}

/* A single frame of an open chunk of the hart's own, which no block has. */
static ALWAYS_INLINE void free_own(struct frame_allocator *fa, pfn_t pfn, struct hart_cache *cache)
{
    _Atomic uint64_t *word = free_word_of(cache, pfn);
    uint64_t bit = 1ull << pfn.value % 64;
    /* Release, pairs with the acquire of whoever takes the frame next. amoor.d.rl. */
    uint64_t before = or_release(word, bit);
    if (unlikely(before & bit)) {
        refuse(fa, pfn);
        return;
    }
    /* Still in the hart's data cache, perhaps: next to be given out. */
    hart_set_word(cache, word);
    cache->bit = bit;
    cache->frame = pfn.value;
    if (unlikely(hartcache_count_free(cache) % TIDY_FREES == 0))
        chunk_tidy(fa);
}

/* A single frame of a chunk of the hart's own that is or was a chunk of blocks, too; or that is not open. */
static LEAF_PATH NOINLINE void free_checked(struct frame_allocator *fa, pfn_t pfn)
{
    struct chunk *chunk = chunk_of(fa, pfn);
    /* Relaxed: nobody changes the mark of a frame that the caller holds. ld. */
    uint64_t block = atomic_load_explicit(&chunk->block[chunk_word_of(pfn)], memory_order_relaxed);
    if (!chunk_is_open(chunk_owner(chunk)) || (block & 1ull << pfn.value % 64))
        frame_refuse(fa, block_misuse(fa, pfn), pfn, 0, __builtin_return_address(0));
    else
        free_own(fa, pfn, hart_cache_own(fa));
}

/* No block can be at that place. */
static COLD void refuse_place(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0));
}

/* Not of a chunk that is plainly the hart's own. */
static LEAF_PATH NOINLINE void free_elsewhere(
    struct frame_allocator *fa, pfn_t pfn, struct hart_cache *cache, uint64_t owner)
{
    if (likely(chunk_is_open(owner) && (owner & CHUNK_OWNER) != hart_index()))
        gather_free(fa, pfn, cache);
    else
        free_checked(fa, pfn);
}

static LEAF_PATH void hartcache_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    if (unlikely(order != 0)) {
        block_free(fa, pfn, order);
        return;
    }
    if (unlikely(pfn.value - fa->base.value >= fa->nframes)) {
        refuse_place(fa, pfn, order);
        return;
    }
    uint64_t self = hart_index();
    struct hart_cache *cache = hart_cache_of(fa, self);
    uint64_t owner = owner_of(cache, pfn);
    if (unlikely(owner != self)) {
        free_elsewhere(fa, pfn, cache, owner);
        return;
    }
    if (plant_due(PLANT_HARTCACHE_LOST))
        return;
    free_own(fa, pfn, cache);
}

/* Free frames of the open chunks that harts own. */
static size_t owned_count(struct frame_allocator *fa, bool nobodys)
{
    struct hartcache *all = hartcache_of(fa);
    size_t count = 0;
    for (uint32_t i = 0; i < all->nchunks; i++) {
        uint64_t whose = chunk_owner(&all->chunks[i]);
        if (chunk_is_open(whose) && ((whose & CHUNK_OWNER) == CHUNK_NOBODY) == nobodys)
            count += chunk_free_count(&all->chunks[i]);
    }
    return count;
}

static size_t hartcache_stranded_count(struct frame_allocator *fa)
{
    size_t count = owned_count(fa, false);
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct hart_cache *cache = hart_cache_of(fa, hart);
        count += (size_t)frame_stack_count(&cache->whole) * CHUNK_FRAMES + gather_count(cache);
    }
    return count;
}

static size_t hartcache_free_count(struct frame_allocator *fa)
{
    return (size_t)hartcache_of(fa)->pool.nfree * CHUNK_FRAMES + owned_count(fa, true) +
           hartcache_stranded_count(fa);
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
