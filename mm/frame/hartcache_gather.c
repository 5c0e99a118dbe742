/*
 * Frees of what other harts own, in "hartcache". The hart that frees sets a bit of its own, in a slot for the
 * frame's chunk; when enough are gathered, it sets the bits of each chunk at once, in ascending order. So a
 * chunk's line is fetched once for all frames of it that have come together, and the slots, which are found by
 * the chunk's number, need no sorting.
 *
 * A wrong free of such a frame is found out when its bit is set at last. One that is freed twice by the same hart is
 * found at once. What is not found is a second free of a frame that has been given out again by the time it goes
 * back: it takes the frame from its new holder, as if it had been called that late. To look at the frame's own bit in
 * each free would find it, and fetch the line that gathering is there to spare.
 *
 *     free      key[slot] is the chunk: amoor the bit into the slot       the owner of the cache, no lock
 *     claim     key[slot] is another: flush the slot, write the key       the owner of the cache, its lock
 *     flush     for each slot, take the bits, amoor them into the chunk   anyone, the cache's lock
 */
#include "mm/frame/hartcache.h"
#include "trace/inject.h"

/* Frees in a hurry come in bursts: a hart that fills its gathering may gather twice as many the next time. */
#define LIMIT_GROWTH 2

/* The part that goes back when a hart has gathered all that it may: enough to pay for taking its lock. */
#define FLUSH_SHARE 8

/* Relaxed: only the owner of the cache writes it, and for others see gather_free(). lw. */
static ALWAYS_INLINE uint32_t count_of(const struct hart_cache *cache, uint64_t i)
{
    return atomic_load_explicit(&cache->gather.count[i], memory_order_relaxed);
}

COLD void gather_refuse(struct frame_allocator *fa, pfn_t first, uint64_t bits)
{
    for (; bits; bits &= bits - 1) {
        pfn_t pfn = pfn_add(first, bits_lowest(bits));
        frame_refuse(fa, block_misuse(fa, pfn), pfn, 0, NULL);
    }
}

/* Makes these frames of a word of a chunk free, as far as they are single frames in use. */
static inline void give_word(
    struct frame_allocator *fa, struct chunk *chunk, uint64_t whose, unsigned w, uint64_t bits)
{
    uint64_t wrong = 0;
    if (unlikely(!chunk_is_open(whose)))
        wrong = bits;
    else if (whose & CHUNK_MIXED)
        wrong = bits & atomic_load_explicit(&chunk->block[w], memory_order_relaxed);
    bits &= ~wrong;
    if (likely(bits))
        /* Release: the frames' last users, whose writes came here with the bits, go before the next.
         * amoor.d.rl. */
        wrong |= bits & or_release(&chunk->free[w], bits);
    if (unlikely(wrong))
        gather_refuse(fa, pfn_add(chunk_frame(fa, chunk), w * 64), wrong);
}

static struct chunk *chunk_of_slot(struct frame_allocator *fa, struct hart_cache *cache, uint64_t i)
{
    /* Relaxed: as the bits were read with acquire order, or by the hart itself. ld. */
    uint64_t key = atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed);
    return chunk_of(fa, PFN(key << CHUNK_ORDER));
}

/* The hart's own slot: with the lock held nobody else takes bits, and nobody else ever sets them. */
static void flush_own_slot(struct frame_allocator *fa, struct hart_cache *cache, uint64_t i)
{
    struct gathered *slot = &cache->gather.slot[i];
    struct chunk *chunk = chunk_of_slot(fa, cache, i);
    uint64_t whose = chunk_owner(chunk);
    for (unsigned w = 0; w < CHUNK_WORDS; w++) {
        uint64_t bits = atomic_load_explicit(&slot->bits[w], memory_order_relaxed);
        if (bits == 0)
            continue;
        store_relaxed(&slot->bits[w], 0);
        give_word(fa, chunk, whose, w, bits);
    }
    cache->gathered -= count_of(cache, i);
    /* Release: what says that there is something goes after it is somewhere else. fence rw,w; sw. */
    store_release(&cache->gather.count[i], 0);
}

/* Another's, which goes on gathering meanwhile. */
static void flush_slot(struct frame_allocator *fa, struct hart_cache *cache, uint64_t i)
{
    struct gathered *slot = &cache->gather.slot[i];
    for (unsigned w = 0; w < CHUNK_WORDS; w++) {
        /* Relaxed: whether there is anything. ld. */
        if (atomic_load_explicit(&slot->bits[w], memory_order_relaxed) == 0)
            continue;
        /* Acquire, pairs with the release in gather_free(): the key is that of these bits, and the frames are as
         * they were left. amoswap.d.aq. */
        uint64_t bits = atomic_exchange_explicit(&slot->bits[w], 0, memory_order_acquire);
        struct chunk *chunk = chunk_of_slot(fa, cache, i);
        give_word(fa, chunk, chunk_owner(chunk), w, bits);
    }
}

/* Flushes touched slots, on from where the last flush ended, until no more than `keep` frames are gathered. */
static void flush_own(struct frame_allocator *fa, struct hart_cache *cache, uint32_t keep)
{
    uint64_t slots = cache->gather.mask + 1;
    uint32_t before = cache->gathered;
    for (uint64_t seen = 0; seen < slots && cache->gathered > keep;) {
        uint64_t i = cache->gather.hand;
        if (count_of(cache, i))
            flush_own_slot(fa, cache, i);
        seen++;
        cache->gather.hand = (i + 1) & cache->gather.mask;
    }
    counter_add(COUNTER_FRAME_REMOTE, before - cache->gathered);
}

void gather_flush(struct frame_allocator *fa, struct hart_cache *cache)
{
    if (cache == hart_cache_own(fa)) {
        flush_own(fa, cache, 0);
        return;
    }
    for (uint64_t i = 0; i <= cache->gather.mask; i++)
        if (count_of(cache, i))
            flush_slot(fa, cache, i);
}

/* The counts spare it most of the bits. They do not answer by themselves: those of what others have flushed stay. */
bool gather_any(const struct hart_cache *cache)
{
    for (uint64_t i = 0; i <= cache->gather.mask; i++)
        for (unsigned w = 0; count_of(cache, i) && w < CHUNK_WORDS; w++)
            /* Relaxed: what changes meanwhile shows in `moves` and `frees`. ld. */
            if (atomic_load_explicit(&cache->gather.slot[i].bits[w], memory_order_relaxed))
                return true;
    return false;
}

/* As much is gathered as may be. A part goes back, what was gathered first, and so all slots in turn: each has then had
 * time to gather many frames of its chunk, and harts that fill up at the same moment, as after a barrier, do not
 * meet at every chunk. */
static NOINLINE void flush_full(struct frame_allocator *fa, struct hart_cache *cache)
{
    uint32_t limit = atomic_load_explicit(&cache->gather_limit, memory_order_relaxed);
    struct lock_node node;
    hartcache_lock(cache, &node);
    flush_own(fa, cache, limit - DIV_CEIL(limit, FLUSH_SHARE));
    hartcache_unlock(cache, &node);
    store_relaxed(&cache->gather_limit, MIN(LIMIT_GROWTH * limit, cache->gather.limit_max));
    counter_add(COUNTER_FRAME_DRAIN, 1);
}

/* The slot is for another chunk: makes it this frame's chunk's. */
static NOINLINE void claim_and_free(struct frame_allocator *fa, pfn_t pfn, struct hart_cache *cache)
{
    uint64_t key = pfn.value >> CHUNK_ORDER, i = key & cache->gather.mask;
    struct lock_node node;
    hartcache_lock(cache, &node);
    if (count_of(cache, i)) {
        flush_own_slot(fa, cache, i);
        counter_add(COUNTER_FRAME_DRAIN, 1);
    }
    store_relaxed(&cache->gather.key[i], key);
    hartcache_unlock(cache, &node);
    gather_free(fa, pfn, cache);
}

/* The hart has freed it before; it is still gathered. */
static COLD void refuse(struct frame_allocator *fa, pfn_t pfn, struct hart_cache *cache)
{
    uint64_t i = pfn.value >> CHUNK_ORDER & cache->gather.mask;
    store_relaxed(&cache->gather.count[i], count_of(cache, i) - 1);
    frame_refuse(fa, FRAME_MISUSE_DOUBLE_FREE, pfn, 0, __builtin_return_address(0));
}

LEAF_PATH void gather_free(struct frame_allocator *fa, pfn_t pfn, struct hart_cache *cache)
{
    uint64_t key = pfn.value >> CHUNK_ORDER, i = key & cache->gather.mask;
    uint64_t bit = 1ull << pfn.value % 64;
    /* Relaxed: only this hart writes its keys. ld. */
    if (unlikely(atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed) != key)) {
        claim_and_free(fa, pfn, cache);
        return;
    }
    /* Before the bit: whoever finds no count finds nothing that was freed and counted in `frees` before it looked.
     * Relaxed: the release below orders it. lw; sw. */
    store_relaxed(&cache->gather.count[i], count_of(cache, i) + 1);
    /* Release, pairs with the acquire in flush_slot(). amoor.d.rl. */
    uint64_t before = or_release(&cache->gather.slot[i].bits[chunk_word_of(pfn)], bit);
    if (unlikely(before & bit)) {
        refuse(fa, pfn, cache);
        return;
    }
    hartcache_count_free(cache);
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
