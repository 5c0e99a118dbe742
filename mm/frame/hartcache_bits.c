/*
 * Blocks out of the free frames of an open chunk of "hartcache", which are eight words of bits. One atomic operation a
 * word: a block of several words is put back together when one of them is lost to somebody quicker.
 */
#include "mm/frame/hartcache.h"
#include "trace/inject.h"

unsigned chunk_free_count(const struct chunk *chunk)
{
    unsigned count = 0;
    for (unsigned w = 0; w < CHUNK_WORDS; w++)
        count += bits_count(chunk_word(chunk, w));
    return count;
}

/* A block of up to 32 frames out of one word; its first bit, or 64. */
static unsigned take_in_word(_Atomic uint64_t *word, unsigned order)
{
    uint64_t free = atomic_load_explicit(word, memory_order_relaxed);
    for (;;) {
        uint64_t positions = bits_aligned_runs(free, order);
        if (!positions)
            return 64;
        unsigned first = bits_lowest(positions);
        uint64_t mask = bits_mask(first, 1u << order);
        /* Acquire, pairs with the release of whoever set the bits. lr.d.aq; bne; sc.d; bnez. */
        if (!inject_due(INJECT_CAS) && atomic_compare_exchange_weak_explicit(word, &free, free & ~mask,
                                           memory_order_acquire, memory_order_acquire))
            return first;
        counter_add(COUNTER_CAS_RETRY, 1);
    }
}

/* Whole words: each is taken by itself, and if one is not free after all, those before it are put back. Whoever
 * searches everywhere does not see that, as it holds the owner's lock. */
static bool take_words(struct chunk *chunk, unsigned first, unsigned count)
{
    unsigned w = first;
    while (w < first + count && chunk_word(chunk, w) == WORD_FULL) {
        uint64_t full = WORD_FULL;
        /* As above. */
        if (!inject_due(INJECT_CAS) && atomic_compare_exchange_strong_explicit(&chunk->free[w], &full, 0,
                                           memory_order_acquire, memory_order_acquire))
            w++;
    }
    if (w == first + count)
        return true;
    while (w-- > first)
        /* Release: what the words' last users wrote goes on to the next. fence rw,w; sd. Nobody can have set a bit
         * meanwhile: no frame of these is in use. */
        store_release(&chunk->free[w], WORD_FULL);
    return false;
}

uint32_t chunk_take(struct chunk *chunk, unsigned order)
{
    if (order < 6) {
        for (unsigned w = 0; w < CHUNK_WORDS; w++) {
            unsigned first = chunk_word(chunk, w) ? take_in_word(&chunk->free[w], order) : 64;
            if (first < 64)
                return w * 64 + first;
        }
        return CHUNK_NONE;
    }
    unsigned count = 1u << (order - 6);
    for (unsigned w = 0; w < CHUNK_WORDS; w += count)
        if (take_words(chunk, w, count))
            return w * 64;
    return CHUNK_NONE;
}

bool chunk_take_all(struct chunk *chunk)
{
    /* Most are not, which a look finds without taking from anybody what it would have to put back. */
    for (unsigned w = 0; w < CHUNK_WORDS; w++)
        if (chunk_word(chunk, w) != WORD_FULL)
            return false;
    return take_words(chunk, 0, CHUNK_WORDS);
}
