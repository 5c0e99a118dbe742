/*
 * Blocks of more than one frame in "hartcache". Up to 1 MiB they lie inside an open chunk; 2 MiB is a whole chunk,
 * which a hart keeps a few of, 4 MiB are two neighbours out of the pool.
 *
 * A block inside a chunk has its frames marked in `block` and its first and last in `ends`, so that every wrong free
 * shows: 11, 1001, 10000001 and so on are no parts of one another at the places where blocks can be. The marks of a
 * block change only while nobody, or the one who frees it, holds it; those of its neighbours change at any
 * time, so a free looks at its own alone.
 */
#include "arch/panic.h"
#include "mm/frame/hartcache.h"
#include "trace/inject.h"

/* The part of a block inside a word that it reaches into. */
static uint64_t part_of(pfn_t pfn, unsigned order)
{
    return bits_mask(pfn.value % 64, MIN(1u << order, 64u));
}

static unsigned words_of(unsigned order)
{
    return order <= 6 ? 1 : 1u << (order - 6);
}

/* The marks in `ends` of the i-th word that a block reaches into. */
static uint64_t ends_of(pfn_t pfn, unsigned order, unsigned i)
{
    uint64_t first = i == 0 ? 1ull << pfn.value % 64 : 0;
    pfn_t last = pfn_add(pfn, (1u << order) - 1);
    return i == words_of(order) - 1 ? first | 1ull << last.value % 64 : first;
}

pfn_t block_take_from(struct frame_allocator *fa, struct chunk *chunk, unsigned order)
{
    uint32_t first = chunk_take(chunk, order);
    if (first == CHUNK_NONE)
        return PFN_NONE;
    pfn_t pfn = pfn_add(chunk_frame(fa, chunk), first);
    if (order == 0)
        return pfn;
    unsigned w = first / 64;
    if (!(chunk_owner(chunk) & CHUNK_MIXED)) /* a store would take the line from all who share it */
        store_relaxed(chunk->owner, chunk_owner(chunk) | CHUNK_MIXED);
    /* Relaxed: who the block is handed to passes the marks on with it. amoor.d. */
    for (unsigned i = 0; i < words_of(order); i++) {
        atomic_fetch_or_explicit(&chunk->block[w + i], part_of(pfn, order), memory_order_relaxed);
        if (ends_of(pfn, order, i))
            atomic_fetch_or_explicit(&chunk->ends[w + i], ends_of(pfn, order, i), memory_order_relaxed);
    }
    return pfn;
}

/* From the own chunks in the ring, from where the last search ended. */
static pfn_t take_from_ring(struct frame_allocator *fa, struct hart_cache *cache, unsigned order)
{
    struct chunk *chunks = hartcache_of(fa)->chunks;
    uint32_t start = cache->ring, at = start;
    if (start == CHUNK_NONE)
        return PFN_NONE;
    do {
        pfn_t pfn = block_take_from(fa, &chunks[at], order);
        if (!pfn_is_none(pfn))
            return pfn;
        at = chunks[at].next;
    } while (at != start);
    return PFN_NONE;
}

static pfn_t alloc_inside(struct frame_allocator *fa, unsigned order)
{
    struct hart_cache *cache = hart_cache_own(fa);
    struct lock_node node;
    hartcache_lock(cache, &node);
    pfn_t pfn = take_from_ring(fa, cache, order);
    struct chunk *chunk = pfn_is_none(pfn) ? chunk_get(fa, cache) : NULL;
    if (chunk) {
        chunk_open(fa, cache, chunk);
        pfn = block_take_from(fa, chunk, order);
    }
    hartcache_unlock(cache, &node);
    return pfn;
}

static pfn_t alloc_whole(struct frame_allocator *fa)
{
    struct hart_cache *cache = hart_cache_own(fa);
    pfn_t frame = frame_stack_pop(&cache->whole);
    struct chunk *chunk = stack_is_none(frame) ? NULL : chunk_of(fa, frame);
    if (!chunk) {
        struct lock_node node;
        hartcache_lock(cache, &node);
        chunk = chunk_get(fa, cache);
        hartcache_unlock(cache, &node);
    }
    if (!chunk)
        chunk = chunk_steal_whole(fa, CHUNK_HUGE);
    if (!chunk)
        return PFN_NONE;
    /* Relaxed: the holder passes it on with the block. sw. */
    store_relaxed(&chunk->use, CHUNK_HUGE);
    return chunk_frame(fa, chunk);
}

void mark_pair(struct chunk *pair)
{
    /* Relaxed: as in alloc_whole(). sw. */
    store_relaxed(&pair[1].use, CHUNK_LARGE_2);
    store_relaxed(&pair[0].use, CHUNK_LARGE);
}

static pfn_t alloc_pair(struct frame_allocator *fa)
{
    struct hart_cache *cache = hart_cache_own(fa);
    struct lock_node node;
    hartcache_lock(cache, &node);
    struct chunk *pair = chunk_pool_take(fa, 1);
    hartcache_unlock(cache, &node);
    if (!pair)
        return PFN_NONE;
    mark_pair(pair);
    return chunk_frame(fa, pair);
}

pfn_t block_alloc(struct frame_allocator *fa, unsigned order)
{
    pfn_t pfn;
    if (order < CHUNK_ORDER)
        pfn = alloc_inside(fa, order);
    else if (order == CHUNK_ORDER)
        pfn = alloc_whole(fa);
    else
        pfn = alloc_pair(fa);
    return pfn_is_none(pfn) ? hartcache_search(fa, order) : pfn;
}

enum frame_misuse_kind block_misuse(struct frame_allocator *fa, pfn_t pfn)
{
    struct chunk *chunk = chunk_of(fa, pfn);
    uint64_t whose = chunk_owner(chunk);
    uint64_t bit = 1ull << pfn.value % 64;
    bool free = atomic_load_explicit(&chunk->use, memory_order_relaxed) == CHUNK_WHOLE;
    /* Relaxed all: it is for the report. ld. */
    if (chunk_is_open(whose)) {
        free = atomic_load_explicit(&chunk->free[chunk_word_of(pfn)], memory_order_relaxed) & bit;
        for (unsigned hart = 0; hart < fa->nharts && !free; hart++) {
            struct hart_cache *cache = hart_cache_of(fa, hart);
            uint64_t key = pfn.value >> CHUNK_ORDER, i = key & cache->gather.mask;
            free =
                atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed) == key &&
                (atomic_load_explicit(&cache->gather.slot[i].bits[chunk_word_of(pfn)], memory_order_relaxed) &
                    bit);
        }
    }
    return free ? FRAME_MISUSE_DOUBLE_FREE : FRAME_MISUSE_WRONG_ORDER;
}

/* Whether a block of this order, neither more nor less, is in use there. Stable while its holder holds it. */
static bool is_block(const struct chunk *chunk, pfn_t pfn, unsigned order)
{
    unsigned w = chunk_word_of(pfn);
    uint64_t part = part_of(pfn, order);
    for (unsigned i = 0; i < words_of(order); i++) {
        uint64_t ends = atomic_load_explicit(&chunk->ends[w + i], memory_order_relaxed);
        if ((atomic_load_explicit(&chunk->block[w + i], memory_order_relaxed) & part) != part ||
            (ends & part) != ends_of(pfn, order, i))
            return false;
    }
    return true;
}

/* Returns whether it was right to. */
static bool free_inside(struct frame_allocator *fa, struct chunk *chunk, pfn_t pfn, unsigned order)
{
    struct hart_cache *cache = hart_cache_own(fa);
    uint64_t first = 1ull << pfn.value % 64, part = part_of(pfn, order);
    unsigned w = chunk_word_of(pfn);
    uint64_t whose = chunk_owner(chunk);
    /* The first frame's mark goes to one of two that race. Relaxed: its order is that of the bits below. amoand.d. */
    if (!chunk_is_open(whose) || !is_block(chunk, pfn, order) ||
        !(atomic_fetch_and_explicit(&chunk->ends[w], ~ends_of(pfn, order, 0), memory_order_relaxed) & first))
        return false;
    if (words_of(order) > 1)
        atomic_fetch_and_explicit(&chunk->ends[w + words_of(order) - 1],
            ~ends_of(pfn, order, words_of(order) - 1), memory_order_relaxed);
    for (unsigned i = 0; i < words_of(order); i++)
        atomic_fetch_and_explicit(&chunk->block[w + i], ~part, memory_order_relaxed);
    uint64_t before = 0;
    for (unsigned i = 0; i < words_of(order); i++)
        /* Release, pairs with the acquire of chunk_take() and of the single frames' path: the marks are gone, and
         * the holder's writes over. amoor.d.rl. */
        before = or_release(&chunk->free[w + i], part);
    if (before & part)
        return true; /* cannot be; but the branch keeps the store below behind the operation */
    if (hartcache_count_free(cache) % TIDY_FREES == 0)
        chunk_tidy(fa);
    return true;
}

/* A whole chunk, or two, come free: takes the state from one who frees, of two that race. */
static bool free_whole(struct frame_allocator *fa, struct chunk *chunk, unsigned order)
{
    struct hart_cache *cache = hart_cache_own(fa);
    uint64_t in_use = order == CHUNK_ORDER ? CHUNK_HUGE : CHUNK_LARGE;
    /* Relaxed: the block's writes go on with the stack or the pool. lr.d; bne; sc.d; bnez. */
    if (!atomic_compare_exchange_strong_explicit(
            &chunk->use, &in_use, CHUNK_WHOLE, memory_order_relaxed, memory_order_relaxed))
        return false;
    if (order == CHUNK_ORDER && frame_stack_push(&cache->whole, chunk_frame(fa, chunk)) == STACK_PUSHED) {
        hartcache_count_free(cache);
        return true;
    }
    struct lock_node node;
    hartcache_lock(cache, &node);
    if (order == CHUNK_ORDER) {
        chunk_keep(fa, cache, chunk);
    } else {
        store_relaxed(&chunk[1].use, CHUNK_WHOLE);
        chunk_pool_give(fa, &chunk[0]);
        chunk_pool_give(fa, &chunk[1]);
    }
    hartcache_unlock(cache, &node);
    hartcache_count_free(cache);
    return true;
}

void block_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    struct chunk *chunk = chunk_of(fa, pfn);
    bool right = order < CHUNK_ORDER ? free_inside(fa, chunk, pfn, order) : free_whole(fa, chunk, order);
    if (unlikely(!right))
        frame_refuse(fa, block_misuse(fa, pfn), pfn, order, __builtin_return_address(0));
}
