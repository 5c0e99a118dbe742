/*
 * Chunks of "hartcache": who owns them, how they are opened and closed, where a hart looks for the next one.
 * Called from slow paths only: once in 512 allocations, or when memory is short.
 */
#include "arch/panic.h"
#include "mm/frame/hartcache.h"
#include "trace/inject.h"

/* How many of its own chunks a hart looks at before it opens another: what it holds for long may be thousands, all
 * without a free frame. */
#define SEARCH_CHUNKS 4

/* Own chunks that are looked at for closing at a time. */
#define TIDY_CHUNKS 2

/* A chunk of another's is worth owning with this many free frames: a word full. With fewer it is used up in place. */
#define ADOPT_FRAMES 64

static void ring_insert(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk)
{
    struct chunk *chunks = hartcache_of(fa)->chunks;
    uint32_t number = chunk_number(fa, chunk);
    DEBUG_ASSERT(chunk->next == CHUNK_NONE);
    store_relaxed(&cache->nopen, atomic_load_explicit(&cache->nopen, memory_order_relaxed) + 1);
    if (cache->ring == CHUNK_NONE) {
        chunk->next = chunk->previous = number;
        cache->ring = number;
        return;
    }
    struct chunk *at = &chunks[cache->ring];
    chunk->next = at->next;
    chunk->previous = cache->ring;
    chunks[at->next].previous = number;
    at->next = number;
}

static void ring_remove(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk)
{
    struct chunk *chunks = hartcache_of(fa)->chunks;
    uint32_t number = chunk_number(fa, chunk);
    if (chunk->next == CHUNK_NONE)
        return; /* its new owner has not put it there yet */
    store_relaxed(&cache->nopen, atomic_load_explicit(&cache->nopen, memory_order_relaxed) - 1);
    chunks[chunk->next].previous = chunk->previous;
    chunks[chunk->previous].next = chunk->next;
    if (cache->ring == number)
        cache->ring = chunk->next == number ? CHUNK_NONE : chunk->next;
    chunk->next = chunk->previous = CHUNK_NONE;
}

/* Open, owned by a hart, in no ring yet. */
static void make_open(struct chunk *chunk, unsigned owner)
{
    /* Release, pairs with the acquire in adopt(): it is in no ring. fence rw,w; sd. */
    store_release(chunk->owner, owner);
    /* Release, pairs with the acquire of whoever takes a frame: it finds the chunk open when it frees that again,
     * and the frame as its last user left it. fence rw,w; sd. */
    for (unsigned w = 0; w < CHUNK_WORDS; w++)
        store_release(&chunk->free[w], WORD_FULL);
}

void chunk_open(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk)
{
    make_open(chunk, (unsigned)(cache - hart_cache_of(fa, 0)));
    ring_insert(fa, cache, chunk);
}

/* A second free that found the chunk open and the bit already taken by chunk_close() took its frame for one in use.
 * Closed chunks have no bits, so here it shows. What this misses is a second free that has looked at the owner before
 * chunk_close() wrote it and sets its bit after this: not to miss it would cost every free a second look. */
static void refuse_bits_set_meanwhile(struct frame_allocator *fa, struct chunk *chunk)
{
    for (unsigned w = 0; w < CHUNK_WORDS; w++)
        if (unlikely(chunk_word(chunk, w)))
            /* Relaxed: no frame changes hands. amoswap.d. */
            gather_refuse(fa, pfn_add(chunk_frame(fa, chunk), w * 64),
                atomic_exchange_explicit(&chunk->free[w], 0, memory_order_relaxed));
}

bool chunk_close(struct frame_allocator *fa, struct chunk *chunk)
{
    struct hartcache *all = hartcache_of(fa);
    uint64_t owner = chunk_owner(chunk) & CHUNK_OWNER;
    if (!chunk_take_all(chunk))
        return false;
    if (owner == CHUNK_NOBODY)
        store_relaxed(&all->norphans, atomic_load_explicit(&all->norphans, memory_order_relaxed) - 1);
    else
        ring_remove(fa, hart_cache_of(fa, owner), chunk);
    store_relaxed(chunk->owner, CHUNK_CLOSED);
    refuse_bits_set_meanwhile(fa, chunk);
    return true;
}

void chunk_pool_give(struct frame_allocator *fa, struct chunk *chunk)
{
    struct hartcache *all = hartcache_of(fa);
    struct lock_node node;
    lock_acquire(&all->pool_lock, &node);
    bitmap_core_give(&all->pool, chunk_number(fa, chunk), 0);
    lock_release(&all->pool_lock, &node);
}

struct chunk *chunk_pool_take(struct frame_allocator *fa, unsigned order)
{
    struct hartcache *all = hartcache_of(fa);
    struct lock_node node;
    lock_acquire(&all->pool_lock, &node);
    uint32_t first = bitmap_core_take(&all->pool, order);
    lock_release(&all->pool_lock, &node);
    return first == BITMAP_NONE ? NULL : &all->chunks[first];
}

void chunk_keep(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk)
{
    enum stack_push push;
    while ((push = frame_stack_push(&cache->whole, chunk_frame(fa, chunk))) == STACK_LOST_RACE)
        counter_add(COUNTER_CAS_RETRY, 1);
    if (push == STACK_PUSHED)
        return;
    pfn_t frames[STACK_FRAMES_MAX];
    unsigned n = frame_stack_take(&cache->whole, frames, cache->whole.capacity / 2);
    chunk_pool_give(fa, chunk);
    for (unsigned i = 0; i < n; i++)
        chunk_pool_give(fa, chunk_of(fa, frames[i]));
    cache->refill = 1;
    counter_add(COUNTER_FRAME_DRAIN, 1);
}

/* From the pool: one for the caller and, when it comes often, more for its stack, which is empty: twice as many as
 * the last time, until frees drain it. */
static struct chunk *refill(struct frame_allocator *fa, struct hart_cache *cache)
{
    struct hartcache *all = hartcache_of(fa);
    pfn_t frames[STACK_FRAMES_MAX + 1];
    unsigned n = 0, want = MIN(cache->refill, cache->whole.capacity + 1);
    struct lock_node node;
    uint32_t number;
    if (inject_due(INJECT_REFILL))
        return NULL;
    lock_acquire(&all->pool_lock, &node);
    while (n < want && (number = bitmap_core_take(&all->pool, 0)) != BITMAP_NONE)
        frames[n++] = chunk_frame(fa, &all->chunks[number]);
    lock_release(&all->pool_lock, &node);
    if (n == 0)
        return NULL;
    cache->refill = MIN(2 * want, STACK_FRAMES_MAX + 1);
    frame_stack_fill(&cache->whole, frames + 1, n - 1);
    counter_add(COUNTER_FRAME_REFILL, 1);
    return chunk_of(fa, frames[0]);
}

struct chunk *chunk_get(struct frame_allocator *fa, struct hart_cache *cache)
{
    pfn_t frame = frame_stack_pop(&cache->whole);
    return pfn_is_none(frame) ? refill(fa, cache) : chunk_of(fa, frame);
}

/* Whether the next allocation is from this chunk. */
static bool is_current(const struct hart_cache *cache, const struct chunk *chunk)
{
    return (uintptr_t)hart_word(cache) - (uintptr_t)chunk->free < CHUNK_WORDS * sizeof(uint64_t);
}

void chunk_tidy(struct frame_allocator *fa)
{
    struct hart_cache *cache = hart_cache_own(fa);
    struct chunk *chunks = hartcache_of(fa)->chunks;
    struct lock_node node;
    /* Relaxed: a hint. lw. */
    if (atomic_load_explicit(&cache->nopen, memory_order_relaxed) < 2)
        return;
    hartcache_lock(cache, &node);
    for (unsigned i = 0; i < TIDY_CHUNKS && cache->ring != CHUNK_NONE; i++) {
        struct chunk *chunk = &chunks[cache->ring];
        cache->ring = chunk->next;
        if (!is_current(cache, chunk) && chunk_close(fa, chunk))
            chunk_keep(fa, cache, chunk);
    }
    hartcache_unlock(cache, &node);
}

/* The lowest free frame of a word is next; of a word that a thief has emptied meanwhile, none. */
static bool point_at(struct hart_cache *cache, _Atomic uint64_t *word)
{
    uint64_t free = atomic_load_explicit(word, memory_order_relaxed);
    hart_set_word(cache, word);
    cache->bit = free & -free;
    cache->frame = free ? word_frame(cache, word).value + bits_lowest(free) : 0;
    return free != 0;
}

/* Points the cache's word at the first of the chunk that has a free frame, if one has. */
static bool use(struct hart_cache *cache, struct chunk *chunk)
{
    for (unsigned w = 0; w < CHUNK_WORDS; w++) {
        if (!chunk_word(chunk, w))
            continue;
        point_at(cache, &chunk->free[w]);
        return true;
    }
    return false;
}

/* Looks at up to `most` chunks of the ring, on from where it looked last, and uses the one with the fewest free frames of
 * the first few: the others may become whole. Behind those the first that has one will do, or each of the last frames
 * of a large arena would cost a look at all of it. */
static bool use_own(struct frame_allocator *fa, struct hart_cache *cache, unsigned most)
{
    struct chunk *chunks = hartcache_of(fa)->chunks, *best = NULL;
    uint32_t start = cache->ring;
    unsigned least = CHUNK_FRAMES + 1;
    if (start == CHUNK_NONE)
        return false;
    for (unsigned i = 0; i < most && (i < SEARCH_CHUNKS || !best); i++) {
        unsigned count = chunk_free_count(&chunks[cache->ring]);
        if (count > 0 && count < least) {
            best = &chunks[cache->ring];
            least = count;
        }
        cache->ring = chunks[cache->ring].next;
        if (cache->ring == start)
            break;
    }
    return best && use(cache, best);
}

/* So many chunks are looked at in one search for one of nobody's: owners of 8 lines. All of them may be without a free
 * frame, and there may be as many as the arena has chunks. */
#define ORPHAN_LOOK 64

/* Nobody's chunks come first: to use them up leaves others whole. */
static bool use_orphan(struct frame_allocator *fa, struct hart_cache *cache)
{
    struct hartcache *all = hartcache_of(fa);
    struct lock_node node;
    bool found = false;
    /* Relaxed: a hint. lw. */
    if (likely(atomic_load_explicit(&all->norphans, memory_order_relaxed) == 0))
        return false;
    lock_acquire(&all->pool_lock, &node);
    for (unsigned seen = 0; seen < MIN(all->nchunks, ORPHAN_LOOK) && !found; seen++) {
        struct chunk *chunk = &all->chunks[all->orphan_hand];
        all->orphan_hand = all->orphan_hand + 1 < all->nchunks ? all->orphan_hand + 1 : 0;
        uint64_t whose = chunk_owner(chunk);
        if (!chunk_is_open(whose) || (whose & CHUNK_OWNER) != CHUNK_NOBODY || !use(cache, chunk))
            continue;
        found = true;
        store_relaxed(chunk->owner, hart_index() | (whose & CHUNK_MIXED));
        ring_insert(fa, cache, chunk);
        store_relaxed(&all->norphans, atomic_load_explicit(&all->norphans, memory_order_relaxed) - 1);
    }
    lock_release(&all->pool_lock, &node);
    return found;
}

bool chunk_next_word(struct frame_allocator *fa, struct hart_cache *cache)
{
    _Atomic uint64_t *word = hart_word(cache);
    return word != &cache->no_word &&
           (point_at(cache, word) || use(cache, chunk_of(fa, word_frame(cache, word))));
}

bool chunk_find_word(struct frame_allocator *fa, struct hart_cache *cache)
{
    if (use_own(fa, cache, SEARCH_CHUNKS) || use_orphan(fa, cache))
        return true;
    struct chunk *chunk = chunk_get(fa, cache);
    if (!chunk)
        return use_own(fa, cache, UINT32_MAX);
    chunk_open(fa, cache, chunk);
    return use(cache, chunk);
}

/* Makes a chunk that this hart has made its own one of its ring, unless it has lost it again. */
static bool settle(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk)
{
    struct lock_node node;
    bool found = false;
    hartcache_lock(cache, &node);
    uint64_t whose = chunk_owner(chunk);
    if (chunk_is_open(whose) && (whose & CHUNK_OWNER) == hart_index() && chunk->next == CHUNK_NONE)
        ring_insert(fa, cache, chunk);
    found = use(cache, chunk);
    hartcache_unlock(cache, &node);
    return found;
}

struct chunk *chunk_steal_whole(struct frame_allocator *fa, enum chunk_use use_as)
{
    for (unsigned i = 1; i < fa->nharts; i++) {
        struct hart_cache *victim = hart_cache_of(fa, (hart_index() + i) % fa->nharts);
        struct lock_node node;
        pfn_t frame;
        if (frame_stack_count(&victim->whole) == 0)
            continue;
        hartcache_lock(victim, &node);
        unsigned n = frame_stack_take(&victim->whole, &frame, 1);
        if (n == 1 && use_as == CHUNK_WHOLE)
            make_open(chunk_of(fa, frame), hart_index());
        else if (n == 1)
            store_relaxed(&chunk_of(fa, frame)->use, use_as);
        hartcache_unlock(victim, &node);
        if (n == 1) {
            counter_add(COUNTER_FRAME_STEAL, 1);
            return chunk_of(fa, frame);
        }
    }
    return NULL;
}

/* Another's open chunk becomes this hart's. */
static bool adopt(struct frame_allocator *fa, struct chunk *chunk, unsigned owner)
{
    struct hart_cache *victim = hart_cache_of(fa, owner);
    struct lock_node node;
    bool adopted = false;
    hartcache_lock(victim, &node);
    /* Acquire, pairs with the release below: who has adopted it from another has taken it out of that one's ring
     * with that one's lock, and may not have come to take its own. ld; fence r,rw. */
    uint64_t whose = atomic_load_explicit(chunk->owner, memory_order_acquire);
    if (chunk_is_open(whose) && (whose & CHUNK_OWNER) == owner && chunk->next != CHUNK_NONE) {
        ring_remove(fa, victim, chunk);
        /* Release: as above. fence rw,w; sd. */
        store_release(chunk->owner, hart_index() | (whose & CHUNK_MIXED));
        adopted = true;
    }
    hartcache_unlock(victim, &node);
    return adopted;
}

/* Each hart begins its search elsewhere, or all would fight for the same chunk. */
bool chunk_steal_word(struct frame_allocator *fa, struct hart_cache *cache)
{
    struct hartcache *all = hartcache_of(fa);
    struct chunk *whole = chunk_steal_whole(fa, CHUNK_WHOLE);
    if (whole)
        return settle(fa, cache, whole);
    uint32_t at = (uint64_t)all->nchunks * hart_index() / fa->nharts;
    for (uint32_t seen = 0; seen < all->nchunks; seen++) {
        struct chunk *chunk = &all->chunks[at];
        at = at + 1 < all->nchunks ? at + 1 : 0;
        uint64_t whose = chunk_owner(chunk);
        unsigned owner = whose & CHUNK_OWNER;
        if (!chunk_is_open(whose) || !use(cache, chunk))
            continue;
        if (owner != hart_index() && owner != CHUNK_NOBODY && chunk_free_count(chunk) >= ADOPT_FRAMES &&
            adopt(fa, chunk, owner))
            settle(fa, cache, chunk);
        counter_add(COUNTER_FRAME_STEAL, 1);
        return true;
    }
    return false;
}

void chunk_disown_all(struct frame_allocator *fa, struct hart_cache *cache)
{
    struct hartcache *all = hartcache_of(fa);
    struct lock_node node;
    while (cache->ring != CHUNK_NONE) {
        struct chunk *chunk = &all->chunks[cache->ring];
        if (chunk_close(fa, chunk)) {
            chunk_pool_give(fa, chunk);
            continue;
        }
        lock_acquire(&all->pool_lock, &node);
        ring_remove(fa, cache, chunk);
        store_relaxed(chunk->owner, CHUNK_NOBODY | (chunk_owner(chunk) & CHUNK_MIXED));
        store_relaxed(&all->norphans, atomic_load_explicit(&all->norphans, memory_order_relaxed) + 1);
        lock_release(&all->pool_lock, &node);
    }
    hart_take_word(cache);
}
