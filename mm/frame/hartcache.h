/*
 * What the files of the design "hartcache" share.
 *
 * The arena is cut into chunks of one huge frame, 512 frames, whose free frames are one cache line of bits. A
 * chunk is whole, and lies in the global pool or on a hart's stack of chunks; or in use as a huge block; or
 * open: its frames are given out one by one, and one hart owns it. The owner allocates and frees there with
 * one atomic operation each on a line that nobody else touches. Frames of other harts' chunks are gathered by
 * the hart that frees them and go back many at a time, sorted by chunk.
 *
 *   hartcache.c           the fast paths, the table of operations
 *   hartcache_chunk.c     opening, closing, owning and stealing of chunks; the pool
 *   hartcache_bits.c      frames and blocks out of the bits of a chunk
 *   hartcache_block.c     blocks of 2 frames to 4 MiB
 *   hartcache_gather.c    frees of what other harts own
 *   hartcache_exact.c     the last resort, which alone may say that there is nothing
 *   hartcache_validate.c  the accounts, and the names of the parts
 *
 * Ownership decides where a hart looks first and what it may do cheaply, not what is safe: any hart may take
 * or set any bit of an open chunk at any time, with an atomic operation.
 *
 * Locks, in this order (docs/locking.md): `search`, the harts' own in ascending order, `pool`. A hart's own
 * protects its list of chunks and everything of its that moves more than one frame: whoever holds the locks
 * of all harts sees every free frame, but for those in the hands of a fast path.
 */
#ifndef MM_FRAME_HARTCACHE_H
#define MM_FRAME_HARTCACHE_H

#include "lib/bits.h"
#include "mm/frame/bitmap_core.h"
#include "mm/frame/frame.h"
#include "mm/frame/frame_stack.h"

#define CHUNK_ORDER  FRAME_ORDER_HUGE
#define CHUNK_FRAMES (1u << CHUNK_ORDER)
#define CHUNK_WORDS  (CHUNK_FRAMES / 64)
#define CHUNK_NONE   UINT32_MAX
#define WORD_FULL    UINT64_MAX /* of the bits of a chunk: 64 frames free */

/*
 * Whether a chunk is open, and whose. The owner's fast path compares the whole with its own index, which also says
 * that every frame in use there is a block of its own. Eight chunks share a line, as every hart that frees reads
 * whose a frame is, and few chunks change hands.
 */
#define CHUNK_OWNER  0xffu
#define CHUNK_NOBODY 0xffu /* an owner: open, and anybody's to adopt */
#define CHUNK_MIXED                                                                                          \
    0x100u /* besides: blocks of several frames have been allocated in it since it was opened */
#define CHUNK_CLOSED 0x200u /* not open */

_Static_assert(HART_MAX <= CHUNK_NOBODY, "a hart's index fits");
_Static_assert(FRAME_ORDER_MAX == CHUNK_ORDER + 1, "a large block is two chunks");

/* What a chunk that is not open is. Open ones are CHUNK_WHOLE. */
enum chunk_use {
    CHUNK_WHOLE, /* all free: in the pool or on a stack of chunks */
    CHUNK_HUGE, /* in use, one block of CHUNK_ORDER */
    CHUNK_LARGE, /* in use, the first half of a block of FRAME_ORDER_MAX */
    CHUNK_LARGE_2, /* the second half of one */
};

struct chunk {
    _Atomic uint64_t block[CHUNK_WORDS] CACHE_ALIGNED; /* frames in use in blocks of 2 and more, order <= 8 */
    _Atomic uint64_t ends[CHUNK_WORDS] CACHE_ALIGNED; /* the first and the last frames of those blocks */
    struct {
        _Atomic uint64_t *free; /* its line of the arena's bits: while open one for each free frame, else 0 */
        _Atomic uint64_t *owner; /* its word among the chunks' */
        _Atomic uint64_t use; /* enum chunk_use */
        uint32_t next,
            previous; /* in the owner's ring of open chunks; CHUNK_NONE outside. The owner's lock */
    } CACHE_ALIGNED;
};

/* Freed frames of one chunk of another's, on their way back. */
struct gathered {
    _Atomic uint64_t bits[CHUNK_WORDS];
} CACHE_ALIGNED;

/* Frees between two looks for a chunk to close: the lock for it, about 40 cycles, is then below one a free; and a chunk
 * is 8 such times in size, so 16 chunks are looked at for each that can be closed. */
#define TIDY_FREES 64

/* Chunks that one hart gathers for at a time: 128 MiB to 512 MiB of memory that others own, for 16 KiB. */
#define GATHER_SLOTS_MAX 256

/* What belongs to one hart. The first line is what its fast paths touch. */
struct hart_cache {
    _Atomic(_Atomic uint64_t *) word; /* the word that it allocates from. Others only take it away */
    uint64_t
        bit; /* the bit there to try next: behind the one that was taken last, or the one that was set last */
    uint64_t frame; /* that bit's frame */
    uintptr_t free_origin; /* where the bits of frame number 0 would lie */
    uintptr_t owner_origin; /* where the owner of its chunk would */
    _Atomic uint64_t frees; /* frames made free so far; the hart's own to write. See hartcache_exact.c */
    _Atomic uint64_t no_word; /* always 0: `word` of a hart that has none */
    uint32_t gathered; /* the sum of the counts of its slots */
    _Atomic uint32_t gather_limit; /* at how many it flushes; others reset it when memory is short */

    struct frame_stack whole CACHE_ALIGNED; /* whole chunks, by their first frames */
    struct lock lock;

    struct {
        struct gathered *slot; /* slots are found by the chunk's number modulo how many there are */
        _Atomic uint64_t *key; /* of each slot: its chunk, by number from frame 0 */
        _Atomic uint32_t
            *count; /* of each slot: frames gathered since the hart flushed it last. Its own to write */
        uint64_t mask; /* slots less one; they are a power of two */
        uint64_t hand; /* the slot to flush next */
        uint32_t limit_max;
    } gather CACHE_ALIGNED;
    _Atomic uint64_t moves; /* odd while its lock is held: frames may be between two places */
    uint32_t ring; /* an open chunk that it owns, from which its search goes on; CHUNK_NONE. Its lock */
    _Atomic uint32_t nopen; /* chunks in its ring. Its lock to write */
    uint32_t refill; /* whole chunks to take from the pool next time. Its lock */

    uint8_t unused[2 * CACHE_LINE_BYTES + 40];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct hart_cache) == 512, "a hart's index becomes an address by a shift");

/* What all share, behind the caches; then come the chunks, and what the caches and the pool point to. */
struct hartcache {
    struct lock search; /* one hart at a time searches everywhere */
    struct lock pool_lock; /* protects pool, orphan_hand and norphans */
    struct bitmap_core pool; /* of chunks: taken are those that are not in the pool */
    uint32_t orphan_hand; /* the chunk from which the search for one of nobody's goes on */

    /* Read by every slow path, hardly ever written: not in the line of the pool. */
    _Atomic uint32_t norphans CACHE_ALIGNED; /* open chunks of nobody */
    uint32_t nchunks; /* the last may be shorter than the others, and is never whole then */
    uint32_t nwhole; /* chunks that can be whole */
    struct chunk *chunks;
} CACHE_ALIGNED;

static ALWAYS_INLINE struct hart_cache *hart_cache_of(const struct frame_allocator *fa, uint64_t hart)
{
    return (struct hart_cache *)fa->metadata + hart;
}

static ALWAYS_INLINE struct hart_cache *hart_cache_own(const struct frame_allocator *fa)
{
    return hart_cache_of(fa, hart_index());
}

static inline struct hartcache *hartcache_of(const struct frame_allocator *fa)
{
    return (struct hartcache *)hart_cache_of(fa, fa->nharts);
}

static inline struct chunk *chunk_of(const struct frame_allocator *fa, pfn_t frame)
{
    return &hartcache_of(fa)->chunks[(frame.value - fa->base.value) >> CHUNK_ORDER];
}

/* Relaxed: a hart sees what it has written itself, or `no_word`, which is always right. ld. */
static ALWAYS_INLINE _Atomic uint64_t *hart_word(const struct hart_cache *cache)
{
    return atomic_load_explicit(&cache->word, memory_order_relaxed);
}

/** hart_set_word - what it allocates from next; with `bit` and `frame`. The hart itself. */
static ALWAYS_INLINE void hart_set_word(struct hart_cache *cache, _Atomic uint64_t *word)
{
    /* Relaxed: for the hart itself; who takes it away does not look at it. sd. */
    store_relaxed(&cache->word, word);
}

/** hart_take_word - its next allocation of a single frame takes its lock. Any hart. */
static inline void hart_take_word(struct hart_cache *cache)
{
    /* Relaxed: who waits for it to be seen asks again. sd. */
    store_relaxed(&cache->word, &cache->no_word);
}

/* The word of bits that a frame is in. */
static ALWAYS_INLINE _Atomic uint64_t *free_word_of(const struct hart_cache *cache, pfn_t frame)
{
    return (_Atomic uint64_t *)(cache->free_origin + frame.value / 64 * sizeof(uint64_t));
}

/* Relaxed: what a holder of one of its frames needs to know of a chunk does not change while it holds it. ld. */
static ALWAYS_INLINE uint64_t owner_of(const struct hart_cache *cache, pfn_t frame)
{
    return atomic_load_explicit(
        (_Atomic uint64_t *)(cache->owner_origin + (frame.value >> CHUNK_ORDER) * sizeof(uint64_t)),
        memory_order_relaxed);
}

static inline uint64_t chunk_owner(const struct chunk *chunk)
{
    return atomic_load_explicit(chunk->owner, memory_order_relaxed);
}

/* The frame of a word's bit 0. */
static inline pfn_t word_frame(const struct hart_cache *cache, const _Atomic uint64_t *word)
{
    return PFN(((uintptr_t)word - cache->free_origin) / sizeof(uint64_t) * 64);
}

static inline uint32_t chunk_number(const struct frame_allocator *fa, const struct chunk *chunk)
{
    return (uint32_t)(chunk - hartcache_of(fa)->chunks);
}

static inline pfn_t chunk_frame(const struct frame_allocator *fa, const struct chunk *chunk)
{
    return pfn_add(fa->base, (size_t)chunk_number(fa, chunk) * CHUNK_FRAMES);
}

static ALWAYS_INLINE unsigned chunk_word_of(pfn_t frame)
{
    return frame.value / 64 % CHUNK_WORDS;
}

/* A word of its free frames. Relaxed: a hint, or checked by an atomic operation. ld. */
static inline uint64_t chunk_word(const struct chunk *chunk, unsigned w)
{
    return atomic_load_explicit(&chunk->free[w], memory_order_relaxed);
}

static ALWAYS_INLINE bool chunk_is_open(uint64_t owner)
{
    return owner < CHUNK_CLOSED;
}

/** hartcache_count_free - tell those who search that a frame of ours has become free; behind a branch that depends
 *  on the atomic operation that made it so, which keeps the store behind it (RVWMO, preserved program order,
 *  rule 11). Returns how many have by now. */
static ALWAYS_INLINE uint64_t hartcache_count_free(struct hart_cache *cache)
{
    /* Relaxed both: only this hart writes it; those who read it look for a change. ld; sd. */
    uint64_t frees = atomic_load_explicit(&cache->frees, memory_order_relaxed) + 1;
    store_relaxed(&cache->frees, frees);
    return frees;
}

/** hartcache_lock, hartcache_unlock - the lock of a hart's cache. */
static inline void hartcache_lock(struct hart_cache *cache, struct lock_node *node)
{
    lock_acquire(&cache->lock, node);
    /* Only the lock's holder writes it. The fence keeps in front of every move that it is odd, pairs with
     * fence_acquire() in hartcache_exact.c. ld; sd; fence w,w. */
    store_relaxed(&cache->moves, atomic_load_explicit(&cache->moves, memory_order_relaxed) + 1);
    fence_writes();
}

static inline void hartcache_unlock(struct hart_cache *cache, struct lock_node *node)
{
    /* Release: every move is in front of it. ld; fence rw,w; sd. */
    store_release(&cache->moves, atomic_load_explicit(&cache->moves, memory_order_relaxed) + 1);
    lock_release(&cache->lock, node);
}

/* hartcache_bits.c */

/** chunk_free_count - free frames of an open chunk, by one look at each word. */
unsigned chunk_free_count(const struct chunk *chunk);

/** chunk_take - find and take a free block of order 0 … 8; its first frame's number in the chunk, or CHUNK_NONE.
 *  Orders above 5: the owner's lock held. Does not mark a block as such. */
uint32_t chunk_take(struct chunk *chunk, unsigned order);

/** chunk_take_all - all frames of the chunk, if all are free. The owner's lock held. */
bool chunk_take_all(struct chunk *chunk);

/*
 * hartcache_chunk.c. "Locked": the caller holds the lock of the cache given, or of the chunk's owner.
 */

/** chunk_open - from whole to open, owned by the cache. Locked; it is in nobody's reach before. */
void chunk_open(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk);

/** chunk_close - from open to whole, if all its frames are free; it is in nobody's reach then. Locked. */
bool chunk_close(struct frame_allocator *fa, struct chunk *chunk);

/** chunk_keep - put a whole chunk that is in nobody's reach on the cache's stack, or, when that is full, into the
 *  pool with half of the stack. Locked. */
void chunk_keep(struct frame_allocator *fa, struct hart_cache *cache, struct chunk *chunk);

/** chunk_get - a whole chunk from the own stack or the pool, in nobody's reach; NULL. Own cache, locked. */
struct chunk *chunk_get(struct frame_allocator *fa, struct hart_cache *cache);

/** chunk_pool_give - into the pool. The lock of some hart held. */
void chunk_pool_give(struct frame_allocator *fa, struct chunk *chunk);

/** chunk_pool_take - 2^order whole chunks out of the pool, an aligned block; the first, or NULL. In nobody's reach
 *  then. The lock of some hart held. */
struct chunk *chunk_pool_take(struct frame_allocator *fa, unsigned order);

/** chunk_tidy - look at the next two of the own chunks and close those with all frames free. Called once in so many
 *  frees. No lock held. */
void chunk_tidy(struct frame_allocator *fa);

/** chunk_next_word - point the own cache's `word` at another word with free frames of the same chunk. No lock needed.
 *  Returns whether there was one. */
bool chunk_next_word(struct frame_allocator *fa, struct hart_cache *cache);

/** chunk_find_word - point the own cache's `word` at a word with free frames: of own chunks, or of one opened or
 *  adopted. Own cache, locked. Returns whether there was one. */
bool chunk_find_word(struct frame_allocator *fa, struct hart_cache *cache);

/** chunk_steal_whole - a whole chunk from another hart's stack, for this use, or, for CHUNK_WHOLE, opened and owned by
 *  the caller but in no ring yet; NULL. No lock held. */
struct chunk *chunk_steal_whole(struct frame_allocator *fa, enum chunk_use use_as);

/** chunk_steal_word - the same with what other harts own. No lock held. */
bool chunk_steal_word(struct frame_allocator *fa, struct hart_cache *cache);

/** chunk_disown_all - close what is wholly free, leave the rest to nobody. Locked. */
void chunk_disown_all(struct frame_allocator *fa, struct hart_cache *cache);

/* hartcache_block.c */

/** mark_pair - two whole chunks are in use as one block of FRAME_ORDER_MAX. */
void mark_pair(struct chunk *pair);

/** block_alloc, block_free - frame_allocator_ops for orders above 0. Called last, so that the return address is the caller's. */
pfn_t block_alloc(struct frame_allocator *fa, unsigned order);
void block_free(struct frame_allocator *fa, pfn_t pfn, unsigned order);

/** block_take_from - a block of order 0 … 8 of this open chunk, marked as in use; PFN_NONE. The lock of its owner
 *  held, or of any hart for a chunk of nobody. */
pfn_t block_take_from(struct frame_allocator *fa, struct chunk *chunk, unsigned order);

/** block_misuse - why no block of this order is in use at a place where one can be. */
enum frame_misuse_kind block_misuse(struct frame_allocator *fa, pfn_t pfn);

/* hartcache_gather.c */

/** gather_free - free a single frame of an open chunk that is not the caller's own. @cache: the caller's */
void gather_free(struct frame_allocator *fa, pfn_t pfn, struct hart_cache *cache);

/** gather_flush - give back all that a cache has gathered. Locked; any hart. */
void gather_flush(struct frame_allocator *fa, struct hart_cache *cache);

/** gather_refuse - report wrong frees that were found late, of frames of one word. @first: the frame of bit 0 */
void gather_refuse(struct frame_allocator *fa, pfn_t first, uint64_t bits);

/** gather_any - whether anything is gathered; false is certain of what was freed before. Any hart. */
bool gather_any(const struct hart_cache *cache);

/** gather_count - frames gathered; exact when the owner is quiet. */
size_t gather_count(const struct hart_cache *cache);

/* hartcache_exact.c */

/** hartcache_search - a block from wherever there is one. PFN_NONE is exact. No lock held. */
pfn_t hartcache_search(struct frame_allocator *fa, unsigned order);

/** hartcache_drain - frame_allocator_ops.drain. */
void hartcache_drain(struct frame_allocator *fa);

/* hartcache_validate.c */
int hartcache_validate(struct frame_allocator *fa);
void hartcache_describe(struct frame_allocator *fa, struct parts *parts);

#endif
