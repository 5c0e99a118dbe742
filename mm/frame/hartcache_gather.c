/*
 * Frees of what other harts own, in "hartcache". The hart that frees sets a bit of its own, in a slot for the
 * frame's chunk; when enough are gathered, it sets the bits of each chunk at once, in ascending order. So a
 * chunk's line is fetched once for all frames of it that have come together, and the slots, which are found by
 * the chunk's number, need no sorting.
 *
 * A wrong free of such a frame is found out when its bit is set at last, and until then holds back nothing but
 * itself. One that is freed twice by the same hart is found at once.
 *
 *     free      key[slot] is the chunk: amoor the bit into the slot       the owner of the cache, no lock
 *     claim     key[slot] is another: flush the slot, write the key       the owner of the cache, its lock
 *     flush     for each slot, take the bits, amoor them into the chunk   anyone, the cache's lock
 */
#include "mm/frame/hartcache.h"
#include "trace/inject.h"

/* Frees in a hurry come in bursts: a hart that fills its gathering may gather twice as many the next time. */
#define LIMIT_GROWTH 2

static COLD void refuse_bits(struct frame_allocator *fa, pfn_t first, uint64_t bits)
{
    for (; bits; bits &= bits - 1) {
        pfn_t pfn = pfn_add(first, bits_lowest(bits));
        frame_refuse(fa, block_misuse(fa, pfn), pfn, 0, NULL);
    }
}

/* Makes these frames of a word of a chunk free, as far as they are single frames in use. */
static inline void give_word(
    struct frame_allocator *fa, struct chunk *chunk, uint64_t state, unsigned w, uint64_t bits)
{
    uint64_t wrong = 0;
    if (unlikely(!chunk_is_open(state)))
        wrong = bits;
    else if (state & CHUNK_MIXED)
        wrong = bits & atomic_load_explicit(&chunk->block[w], memory_order_relaxed);
    bits &= ~wrong;
    if (likely(bits))
        /* Release: the frames' last users, whose writes came here with the bits, go before the next.
         * amoor.d.rl. */
        wrong |= bits & or_release(&chunk->free[w], bits);
    if (unlikely(wrong))
        refuse_bits(fa, pfn_add(chunk_frame(fa, chunk), w * 64), wrong);
}

static struct chunk *chunk_of_slot(struct hart_cache *cache, uint32_t i)
{
    /* Relaxed: as the bits were read with acquire order, or by the hart itself. ld. */
    uint64_t key = atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed);
    return chunk_of(cache, PFN(key << CHUNK_ORDER));
}

/* The hart's own slot: with the lock held nobody else takes bits, and nobody else ever sets them. */
static void flush_own_slot(struct frame_allocator *fa, struct hart_cache *cache, uint32_t i)
{
    struct gathered *slot = &cache->gather.slot[i];
    struct chunk *chunk = chunk_of_slot(cache, i);
    uint64_t state = chunk_state(chunk);
    for (unsigned w = 0; w < CHUNK_WORDS; w++) {
        uint64_t bits = atomic_load_explicit(&slot->bits[w], memory_order_relaxed);
        if (bits == 0)
            continue;
        store_relaxed(&slot->bits[w], 0);
        give_word(fa, chunk, state, w, bits);
    }
    cache->gather.touched[i] = 0;
}

/* Another's, which goes on gathering meanwhile. */
static void flush_slot(struct frame_allocator *fa, struct hart_cache *cache, uint32_t i)
{
    struct gathered *slot = &cache->gather.slot[i];
    for (unsigned w = 0; w < CHUNK_WORDS; w++) {
        /* Relaxed: whether there is anything. ld. */
        if (atomic_load_explicit(&slot->bits[w], memory_order_relaxed) == 0)
            continue;
        /* Acquire, pairs with the release in gather_free(): the key is that of these bits, and the frames are as
         * they were left. amoswap.d.aq. */
        uint64_t bits = atomic_exchange_explicit(&slot->bits[w], 0, memory_order_acquire);
        struct chunk *chunk = chunk_of_slot(cache, i);
        give_word(fa, chunk, chunk_state(chunk), w, bits);
    }
}

void gather_flush(struct frame_allocator *fa, struct hart_cache *cache)
{
    bool own = cache == hart_cache_own(fa);
    for (uint32_t i = 0; i <= cache->gather.mask; i++) {
        if (!own)
            flush_slot(fa, cache, i);
        else if (cache->gather.touched[i])
            flush_own_slot(fa, cache, i);
    }
    if (own) {
        counter_add(COUNTER_FRAME_REMOTE, cache->gathered);
        cache->gathered = 0;
    }
}

static NOINLINE void flush_full(struct frame_allocator *fa, struct hart_cache *cache)
{
    uint32_t limit = atomic_load_explicit(&cache->gather_limit, memory_order_relaxed);
    struct lock_node node;
    hartcache_lock(cache, &node);
    gather_flush(fa, cache);
    hartcache_unlock(cache, &node);
    store_relaxed(&cache->gather_limit, MIN(LIMIT_GROWTH * limit, cache->gather.limit_max));
    counter_add(COUNTER_FRAME_DRAIN, 1);
}

/* The slot is for another chunk, or for none: makes it this frame's chunk's. */
static NOINLINE void claim_and_free(struct frame_allocator *fa, struct hart_cache *cache, pfn_t pfn)
{
    uint64_t key = pfn.value >> CHUNK_ORDER, i = key & cache->gather.mask;
    struct lock_node node;
    hartcache_lock(cache, &node);
    if (cache->gather.touched[i]) {
        flush_own_slot(fa, cache, i);
        counter_add(COUNTER_FRAME_DRAIN, 1);
    }
    store_relaxed(&cache->gather.key[i], key);
    hartcache_unlock(cache, &node);
    gather_free(fa, cache, pfn);
}

static COLD void refuse(struct frame_allocator *fa, pfn_t pfn)
{
    frame_refuse(fa, FRAME_MISUSE_DOUBLE_FREE, pfn, 0, __builtin_return_address(0));
}

LEAF_PATH void gather_free(struct frame_allocator *fa, struct hart_cache *cache, pfn_t pfn)
{
    uint64_t key = pfn.value >> CHUNK_ORDER, i = key & cache->gather.mask;
    uint64_t bit = 1ull << pfn.value % 64;
    /* Relaxed: only this hart writes its keys. ld. */
    if (unlikely(atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed) != key)) {
        claim_and_free(fa, cache, pfn);
        return;
    }
    /* Release, pairs with the acquire in flush_slot(). amoor.d.rl. */
    uint64_t before = or_release(&cache->gather.slot[i].bits[chunk_word_of(pfn)], bit);
    if (unlikely(before & bit)) {
        refuse(fa, pfn);
        return;
    }
    hartcache_count_free(cache);
    cache->gather.touched[i] = 1;
    if (unlikely(++cache->gathered >= atomic_load_explicit(&cache->gather_limit, memory_order_relaxed)))
        flush_full(fa, cache);
}

size_t gather_count(const struct hart_cache *cache)
{
    size_t count = 0;
    for (uint32_t i = 0; i <= cache->gather.mask; i++)
        for (unsigned w = 0; w < CHUNK_WORDS; w++)
            count += bits_count(atomic_load_explicit(&cache->gather.slot[i].bits[w], memory_order_relaxed));
    return count;
}
