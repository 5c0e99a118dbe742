/*
 * The accounts of "hartcache", from ground truth: each chunk lies in exactly one place, an open one has no frame
 * that is both free and in use or gathered, every ring is whole, and what the harts have points to where it says. Called
 * while the harts are quiet. And the names of its parts, for reports.
 */
#include "mm/frame/hartcache.h"

static uint64_t word_at(const _Atomic uint64_t *words, unsigned w)
{
    /* Relaxed: the harts are quiet. ld. */
    return atomic_load_explicit(&words[w], memory_order_relaxed);
}

/* On how many stacks a chunk lies, or how often on one. */
static unsigned stacks_with(struct frame_allocator *fa, pfn_t first)
{
    unsigned count = 0;
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        const struct frame_stack *stack = &hart_cache_of(fa, hart)->whole;
        for (unsigned i = 0; i < frame_stack_count(stack); i++)
            count += pfn_equal(frame_stack_at(stack, i), first);
    }
    return count;
}

/* In how many places a chunk lies that are for whole ones. */
static unsigned places_of(struct frame_allocator *fa, const struct chunk *chunk)
{
    struct hartcache *all = hartcache_of(fa);
    uint32_t number = chunk_number(fa, chunk);
    bool pooled = number < all->nwhole && bitmap_core_block_of(&all->pool, number) == BITMAP_NONE;
    return stacks_with(fa, chunk_frame(fa, chunk)) + pooled;
}

static uint64_t use_of(const struct chunk *chunk)
{
    /* Relaxed: the harts are quiet. ld. */
    return atomic_load_explicit(&chunk->use, memory_order_relaxed);
}

/* The frames of a word that harts have gathered; *twice when two have the same. */
static uint64_t gathered_in(struct frame_allocator *fa, uint32_t number, unsigned w, uint64_t *twice)
{
    uint64_t all = 0;
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct hart_cache *cache = hart_cache_of(fa, hart);
        uint64_t key = (fa->base.value >> CHUNK_ORDER) + number, i = key & cache->gather.mask;
        if (atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed) != key)
            continue;
        uint64_t bits = word_at(cache->gather.slot[i].bits, w);
        *twice |= all & bits;
        all |= bits;
    }
    return all;
}

static int check_open_word(struct frame_allocator *fa, const struct chunk *chunk, unsigned w)
{
    pfn_t first = pfn_add(chunk_frame(fa, chunk), w * 64);
    uint64_t free = word_at(chunk->free, w), block = word_at(chunk->block, w), ends = word_at(chunk->ends, w);
    uint64_t twice = 0, gathered = gathered_in(fa, chunk_number(fa, chunk), w, &twice);
    uint64_t end = fa->base.value + fa->nframes;
    uint64_t beyond = first.value >= end ? ~0ull : end - first.value < 64 ? ~0ull << (end - first.value) : 0;
    const struct {
        uint64_t wrong;
        const char *finding;
    } checks[] = {
        {free & block, "free, and in a block that is in use: given twice"},
        {free & gathered, "free, and freed once more by another hart"},
        {block & gathered, "inside a block, and freed by itself"},
        {ends & ~block, "the end of a block that is not there"},
        {block & ~(block << 1) & ~ends & ~(w ? word_at(chunk->block, w - 1) >> 63 : 0),
            "in a block without a beginning"},
        {block & ~(block >> 1) & ~ends & ~(w < CHUNK_WORDS - 1 ? word_at(chunk->block, w + 1) << 63 : 0),
            "in a block without an end"},
        {twice, "freed by two harts"},
        {(free | block | gathered) & beyond, "beyond the arena"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(checks); i++)
        if (checks[i].wrong)
            return frame_corrupt(fa, pfn_add(first, bits_lowest(checks[i].wrong)), checks[i].finding);
    return 0;
}

static int check_ring(struct frame_allocator *fa, const struct chunk *chunk, unsigned owner)
{
    struct hartcache *all = hartcache_of(fa);
    uint32_t number = chunk_number(fa, chunk),
             at = owner < fa->nharts ? hart_cache_of(fa, owner)->ring : CHUNK_NONE;
    for (uint32_t seen = 0; at != CHUNK_NONE && seen < all->nchunks; seen++, at = all->chunks[at].next)
        if (at == number)
            return all->chunks[chunk->next].previous == number && all->chunks[chunk->previous].next == number
                       ? 0
                       : frame_corrupt(fa, chunk_frame(fa, chunk), "its chunk's ring is broken");
    return frame_corrupt(fa, chunk_frame(fa, chunk), "its chunk is lost: not in its owner's ring");
}

static int check_open(struct frame_allocator *fa, const struct chunk *chunk, uint64_t whose)
{
    unsigned owner = whose & CHUNK_OWNER;
    int error = 0;
    if (owner != CHUNK_NOBODY)
        error = check_ring(fa, chunk, owner);
    else if (chunk->next != CHUNK_NONE)
        error = frame_corrupt(fa, chunk_frame(fa, chunk), "its chunk is nobody's, but in a ring");
    if (!error && use_of(chunk) != CHUNK_WHOLE)
        error = frame_corrupt(fa, chunk_frame(fa, chunk), "its chunk is open, and in use as a whole");
    if (!error && places_of(fa, chunk))
        error =
            frame_corrupt(fa, chunk_frame(fa, chunk), "its chunk is open, and free as a whole: given twice");
    for (unsigned w = 0; !error && w < CHUNK_WORDS; w++)
        error = check_open_word(fa, chunk, w);
    return error;
}

/* Whole: no bits anywhere, and a block in use or in exactly one place. */
static int check_closed(struct frame_allocator *fa, const struct chunk *chunk, uint64_t whose)
{
    uint32_t number = chunk_number(fa, chunk);
    pfn_t first = chunk_frame(fa, chunk);
    uint64_t twice = 0;
    for (unsigned w = 0; w < CHUNK_WORDS; w++)
        if (word_at(chunk->free, w) | word_at(chunk->block, w) | word_at(chunk->ends, w) |
            gathered_in(fa, number, w, &twice))
            return frame_corrupt(fa, pfn_add(first, w * 64), "in a chunk that is not open, but has marks");
    unsigned places = places_of(fa, chunk);
    if (whose != CHUNK_CLOSED)
        return frame_corrupt(fa, first, "its chunk has an owner that means nothing");
    if (chunk->next != CHUNK_NONE)
        return frame_corrupt(fa, first, "its chunk is not open, but in a ring");
    switch (use_of(chunk)) {
    case CHUNK_WHOLE:
        if (places != 1)
            return frame_corrupt(fa, first, places ? "free in two places" : "lost: free, but in no place");
        return 0;
    case CHUNK_LARGE:
        if (number + 1 >= hartcache_of(fa)->nwhole || use_of(&chunk[1]) != CHUNK_LARGE_2)
            return frame_corrupt(fa, first, "the first half of a block without a second");
        break;
    case CHUNK_LARGE_2:
        if (number % 2 == 0 || use_of(&chunk[-1]) != CHUNK_LARGE)
            return frame_corrupt(fa, first, "the second half of a block without a first");
        break;
    case CHUNK_HUGE: break;
    default: return frame_corrupt(fa, first, "its chunk is in a use that means nothing");
    }
    return places ? frame_corrupt(fa, first, "in use and free: given twice") : 0;
}

/* What was gathered is of chunks of the arena, and counted: a search looks no further where nothing is. */
static int check_gathered(struct frame_allocator *fa, const struct hart_cache *cache)
{
    uint64_t base = fa->base.value >> CHUNK_ORDER, sum = 0;
    for (uint64_t i = 0; i <= cache->gather.mask; i++) {
        uint32_t count = atomic_load_explicit(&cache->gather.count[i], memory_order_relaxed);
        uint64_t key = atomic_load_explicit(&cache->gather.key[i], memory_order_relaxed), bits = 0;
        for (unsigned w = 0; w < CHUNK_WORDS; w++)
            bits |= word_at(cache->gather.slot[i].bits, w);
        sum += count;
        if (bits && (key - base >= hartcache_of(fa)->nchunks || (key & cache->gather.mask) != i))
            return frame_corrupt(fa, fa->base, "gathered for a chunk that is not there");
        if (bits && count == 0)
            return frame_corrupt(fa, PFN(key << CHUNK_ORDER), "gathered from its chunk, but not counted");
    }
    return sum == cache->gathered
               ? 0
               : frame_corrupt(fa, fa->base, "the sum of what a hart has gathered is wrong");
}

/* The word is one of the arena's, and the bit to try next there is that of the frame. */
static bool word_is_right(struct frame_allocator *fa, const struct hart_cache *cache)
{
    const _Atomic uint64_t *word = hart_word(cache);
    if (word == &cache->no_word)
        return true;
    pfn_t first = word_frame(cache, word);
    return first.value - fa->base.value < ALIGN_UP(fa->nframes, 64) && word == free_word_of(cache, first) &&
           (cache->bit == 0 || cache->bit == 1ull << (cache->frame - first.value));
}

static int check_cache(struct frame_allocator *fa, const struct hart_cache *cache)
{
    if (word_at(&cache->no_word, 0))
        return frame_corrupt(fa, fa->base, "free in a word that has no frames");
    if (!word_is_right(fa, cache))
        return frame_corrupt(fa, fa->base, "a hart allocates from a word that is not its frame's");
    if (atomic_load_explicit(&cache->moves, memory_order_relaxed) % 2)
        return frame_corrupt(fa, fa->base, "a move that has not ended");
    for (unsigned i = 0; i < frame_stack_count(&cache->whole); i++) {
        uint64_t index = frame_stack_at(&cache->whole, i).value - fa->base.value;
        if (index % CHUNK_FRAMES || index / CHUNK_FRAMES >= hartcache_of(fa)->nwhole)
            return frame_corrupt(fa, fa->base, "on a stack lies what is no chunk");
    }
    return check_gathered(fa, cache);
}

int hartcache_validate(struct frame_allocator *fa)
{
    struct hartcache *all = hartcache_of(fa);
    int error = bitmap_core_validate(&all->pool);
    uint32_t orphans = 0;
    for (unsigned hart = 0; !error && hart < fa->nharts; hart++)
        error = check_cache(fa, hart_cache_of(fa, hart));
    for (uint32_t i = 0; !error && i < all->nchunks; i++) {
        uint64_t whose = chunk_owner(&all->chunks[i]);
        orphans += chunk_is_open(whose) && (whose & CHUNK_OWNER) == CHUNK_NOBODY;
        error = chunk_is_open(whose) ? check_open(fa, &all->chunks[i], whose)
                                     : check_closed(fa, &all->chunks[i], whose);
    }
    if (!error && orphans != atomic_load_explicit(&all->norphans, memory_order_relaxed))
        error = frame_corrupt(fa, fa->base, "the count of open chunks without an owner is wrong");
    return error;
}

void hartcache_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct hartcache *all = hartcache_of(fa);
    struct hart_cache *caches = hart_cache_of(fa, 0);
    lock_describe(&all->search, parts);
    lock_describe(&all->pool_lock, parts);
    bitmap_core_describe(&all->pool, parts);
    parts_add(parts, "count of open chunks without an owner", &all->norphans, sizeof(all->norphans));
#define ADD(name, member)                                                                                    \
    parts_add_array(parts, name, &caches->member, sizeof(caches->member), fa->nharts, sizeof(*caches))
    ADD("word of hart", word);
    ADD("count of frees of hart", frees);
    ADD("stack of hart", whole);
    ADD("lock of hart", lock);
    ADD("gathering of hart", gather);
#undef ADD
#define ADD(name, member)                                                                                    \
    parts_add_array(                                                                                         \
        parts, name, &all->chunks->member, sizeof(all->chunks->member), all->nchunks, sizeof(struct chunk))
    ADD("block marks of chunk", block);
    ADD("block ends of chunk", ends);
    ADD("use of chunk", use);
#undef ADD
    size_t line = CHUNK_WORDS * sizeof(uint64_t);
    parts_add_array(parts, "free frames of chunk", all->chunks->free, line, all->nchunks, line);
    parts_add_array(
        parts, "owner of chunk", all->chunks->owner, sizeof(uint64_t), all->nchunks, sizeof(uint64_t));
    parts_add_array(parts, "gathered frames", caches->gather.slot, sizeof(struct gathered),
        (size_t)fa->nharts * (caches->gather.mask + 1), sizeof(struct gathered));
}
