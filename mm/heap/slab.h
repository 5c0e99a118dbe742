/*
 * What the files of the design "slab" share: slabs of blocks of one size (Bonwick, "The Slab Allocator: An Object-Caching
 * Kernel Memory Allocator", USENIX Summer 1994), and in front of them magazines of each hart and a depot of magazines a
 * size (Bonwick and Adams, "Magazines and Vmem", USENIX 2001). What Solaris and illumos have; Linux has had slabs since
 * 2.2, and since 6.18 magazines with a depot, as "sheaves" and "barn".
 *
 *   slab.c           the fast paths, the table of operations
 *   slab_magazine.c  the magazine layer: a hart's two magazines of a size, the depot
 *   slab_layer.c     the slab layer: slabs, what is at home in them, pages taken and given back
 *   slab_reclaim.c   the last resort, and draining
 *   slab_validate.c  the accounts, the walk, the names of the parts
 *
 * The truth about a block is one bit: does nobody hold it? Who frees sets it, who allocates clears it, both by one atomic
 * operation that says what it was before. So of two frees that race one wins; and the papers' magazines need
 * no lock: a round in a magazine is no more than a hint at a block that is likely to be free, and who finds that it is
 * not drops it. A hart's magazines are touched by nobody else, ever, and yet whoever needs a block badly can have one
 * that lies there, and its page, by the bits.
 *
 * What the bits cost: 24 cycles of the 99 of an allocation and a free on the p550 model. The papers' designs, which see
 * a double free in debugging kernels only, take a lock of the hart's own for each of the two, which is 21 each at least. And a
 * transfer where blocks of one slab are with several harts, as all bits of a frame are one line: in heap.larson
 * at 8 harts 1.1 an operation, 83 of its 284 cycles; in heap.remote 0.02, as blocks that lie together wander
 * together. Where each hart loads from a slab of its own, there is none.
 *
 * Each free block is hinted at at least once: in a magazine, or by being at home in its slab. After a reclaim it may be
 * twice, and a round may be about a page that has long been something else, so a claim counts only if the page
 * is still of that shape.
 *
 * Locks (docs/locking.md): `slabs` and `depot`, one of each a class; nobody has two of them.
 */
#ifndef MM_HEAP_SLAB_H
#define MM_HEAP_SLAB_H

#include "arch/atomic.h"
#include "mm/heap/heap_span.h"
#include "smp/hart.h"

/* Sizes are called classes; a class and an order of its spans are a shape. The first shape is none, then come those of
 * each class, then the smaller ones of the classes that have one to fall back on.
 *
 * The fast paths take a round of the class for a block if its frame is of the class's first shape. That is so where in a smaller
 * slab blocks begin only where they do in the first shape, too: not in those of 2720 bytes. Once there has been a smaller
 * one of these, what would be of the first shape is the "looked at" one, which is the same, but no class's first:
 * settle() looks at all rounds about it. */
#define SLAB_CLASSES        26
#define SLAB_SHAPES         31
#define SLAB_UNSAFE         24 /* 2720 bytes */
#define SLAB_UNSAFE_LOOKED  27
#define SLAB_UNSAFE_SMALLER 28

/* Of a depot, for each hart: one full and one empty. A hart has two besides. */
#define SLAB_DEPOT_MAGAZINES 2

struct slab_shape {
    uint16_t bytes; /* of a block */
    uint8_t order; /* of a slab */
    uint8_t class; /* 0 … SLAB_CLASSES − 1 */
};

extern const struct slab_shape slab_shapes[SLAB_SHAPES];

/* The largest block of a slab; behind it blocks are spans. */
#define SLAB_BYTES_MAX ((size_t)8192)

/* The state of an eighth of a frame, which is of 32 places where a block could begin: a bit for each, 0 if somebody holds
 * a block that begins there, and in the upper half the place of the shape. In one word, so that the operation on
 * the bit says what slab it was in, and a line that comes from another hart comes once. Of frames of no slab it is 0. */
#define PART_BYTES (HEAP_ALIGN * 32)
#define PARTS      (PAGE_BYTES / PART_BYTES)

struct slab_part {
    _Atomic uint64_t word; /* the place is written under the lock of its class */
};

/* As what makes its magazines out of a hart's area. Shape 0 is none. */
#define SLAB_PLACE(shape) ((uint64_t)(shape) * sizeof(struct slab_cache))
#define SLAB_PLACE_SHIFT  32
#define SLAB_FREE         ((uint64_t)UINT32_MAX) /* all bits */

_Static_assert(PARTS * sizeof(struct slab_part) == CACHE_LINE_BYTES, "a frame has a line");

/* Of each frame, for the slab layer; all under the lock of the class. */
struct slab {
    uint32_t home[PARTS]; /* blocks at home: free, and in no magazine. As in slab_part */

    /* In the first frame of a slab only. */
    uint32_t next, previous; /* in one of its class's rings: frame numbers */
    uint32_t nhome; /* blocks at home */
    uint32_t unused;
};

/* Its memory is from the metadata, so that it can be read at any time. */
struct magazine {
    _Atomic uint64_t never; /* 0, as a slab_part has it for what is not free */
    uint64_t number; /* in its class */
    uintptr_t bottom; /* no block, but an address whose state would lie in `never`: what is not free */
    uintptr_t round[]; /* addresses of blocks */
};

/* A hart's magazines of a class. Of shapes that are no class's first: always full. */
struct slab_cache {
    uintptr_t *top; /* behind the last round of the loaded magazine */
    uintptr_t *end; /* where that is full */
    struct magazine *loaded, *previous;
    uint32_t previous_rounds;
    uint32_t capacity; /* of a magazine, rounds */
} CACHE_ALIGNED;

#define SLAB_SIZES (SLAB_BYTES_MAX / HEAP_ALIGN)

/* What belongs to a hart. Its fast paths add a place to the address of this and are at the cache of the shape, so the
 * caches come first; shape 0 has none, and in its place is what they need besides. */
struct slab_hart {
    union {
        struct slab_cache cache[SLAB_SHAPES];
        struct {
            uintptr_t *top, *end; /* of shape 0: always full */
            uintptr_t base; /* of the arena */
            size_t bytes;
            uintptr_t state; /* where the state of address 0 would be */
            struct heap *heap;
        };
    };
    uint8_t shape_for[SLAB_SIZES]; /* by (bytes − 1) / HEAP_ALIGN. Each hart's own, next to the rest */
    uint8_t unused[PAGE_BYTES - SLAB_SIZES - SLAB_SHAPES * sizeof(struct slab_cache)];
};

_Static_assert(sizeof(struct slab_hart) == PAGE_BYTES, "a hart's index becomes an address by a shift");
_Static_assert(
    offsetof(struct slab_hart, state) < sizeof(struct slab_cache), "it is all in the place of shape 0");
_Static_assert(offsetof(struct slab_hart, shape_for) < 2048, "within the reach of an instruction's constant");

/* Of a class. An exchange is one for one, so the number of magazines in it stays the same. */
struct slab_depot {
    uint32_t nfull;
    uint16_t slot[]; /* numbers of magazines; from nfull on empty ones */
};

enum slab_ring {
    SLAB_SOME, /* slabs with blocks at home; those with all of them last */
    SLAB_NONE_HOME, /* slabs with none */
    SLAB_RINGS
};

#define RING_EMPTY UINT32_MAX

struct slab_class {
    struct lock depot_lock; /* protects *depot */
    struct lock lock; /* of the slab layer: protects what follows up to the next line */
    uint32_t ring[SLAB_RINGS]; /* first frame of the first slab */
    uint32_t nidle; /* slabs with all blocks at home */

    struct {
        struct slab_depot *depot;
        uint32_t ndepot; /* its slots */
        uint32_t capacity; /* of a magazine, rounds */
        uint8_t *magazines;
        size_t magazine_bytes;
    } CACHE_ALIGNED; /* never written again */
} CACHE_ALIGNED;

/* Behind the harts' areas. */
struct slab_heap {
    _Atomic uint32_t reclaimed; /* since the last drain: rounds may be wrong, and blocks hinted at twice */
    bool unsafe; /* there has been a slab of SLAB_UNSAFE_SMALLER; under the lock of its class */
    struct slab_part *state; /* PARTS a frame */
    struct slab *slabs; /* one a frame */
    struct slab_class class[SLAB_CLASSES] CACHE_ALIGNED;
} CACHE_ALIGNED;

static ALWAYS_INLINE struct slab_hart *slab_hart_of(const struct heap *heap, uint64_t hart)
{
    return (struct slab_hart *)heap->metadata + hart;
}

static inline struct slab_heap *slab_heap_of(const struct heap *heap)
{
    return (struct slab_heap *)slab_hart_of(heap, heap->nharts);
}

/** slab_part_of - the state around an address in the arena. */
static ALWAYS_INLINE struct slab_part *slab_part_of(const struct slab_hart *self, uintptr_t address)
{
    return (struct slab_part *)(self->state + address / PART_BYTES * sizeof(struct slab_part));
}

static ALWAYS_INLINE uint64_t slab_bit_of(uintptr_t address)
{
    return 1ull << address / HEAP_ALIGN % 32;
}

/** slab_claim - take a block if it is free. What the state of the part was. */
static ALWAYS_INLINE uint64_t slab_claim(struct slab_part *part, uint64_t bit)
{
    /* Acquire, pairs with the release of whoever set the bit: its use of the block, or the slab's making, is over.
     * amoand.d.aq. */
    return atomic_fetch_and_explicit(&part->word, ~bit, memory_order_acquire);
}

/* Relaxed: who holds a block of the slab knows it, or the lock is held; or the harts are quiet. ld. */
static ALWAYS_INLINE uint64_t slab_word(const struct slab_part *part)
{
    return atomic_load_explicit(&part->word, memory_order_relaxed);
}

static inline unsigned slab_shape_of(const struct slab_part *part)
{
    return (slab_word(part) >> SLAB_PLACE_SHIFT) / sizeof(struct slab_cache);
}

static ALWAYS_INLINE struct slab_cache *slab_cache_of(struct slab_hart *self, uint64_t place)
{
    return (struct slab_cache *)((uintptr_t)self + place);
}

/** slab_is_free - a hint, unless the harts are quiet. */
static inline bool slab_is_free(const struct heap *heap, uintptr_t address)
{
    return slab_word(slab_part_of(slab_hart_of(heap, 0), address)) & slab_bit_of(address);
}

static inline struct slab *slab_of(const struct heap *heap, uint32_t frame)
{
    return &slab_heap_of(heap)->slabs[frame];
}

static inline unsigned slab_count(const struct slab_shape *shape)
{
    return ((size_t)PAGE_BYTES << shape->order) / shape->bytes;
}

static inline uintptr_t slab_base(const struct heap *heap, uint32_t frame)
{
    return heap->base + ((uintptr_t)frame << PAGE_SHIFT);
}

static inline const struct slab_shape *slab_shape_at(const struct heap *heap, uint32_t frame)
{
    return &slab_shapes[slab_shape_of(&slab_heap_of(heap)->state[frame * PARTS])];
}

/** slab_block - the i-th block of a slab. They end where the slab does: what is over is in front of the first. */
static inline uintptr_t slab_block(
    const struct heap *heap, uint32_t frame, const struct slab_shape *shape, unsigned i)
{
    size_t whole = (size_t)PAGE_BYTES << shape->order;
    return slab_base(heap, frame) + whole % shape->bytes + (size_t)i * shape->bytes;
}

/** slab_frame_of - the first frame of the slab that an address is in: slabs are aligned to their size. */
static inline uint32_t slab_frame_of(
    const struct heap *heap, const struct slab_shape *shape, uintptr_t address)
{
    return ALIGN_DOWN((uint32_t)((address - heap->base) >> PAGE_SHIFT), 1u << shape->order);
}

/** slab_is_block - whether a block of that shape begins there. */
static inline bool slab_is_block(const struct heap *heap, const struct slab_shape *shape, uintptr_t address)
{
    uintptr_t first = slab_block(heap, slab_frame_of(heap, shape, address), shape, 0);
    return address >= first && (address - first) % shape->bytes == 0;
}

#define SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)                                                       \
    for (uintptr_t block = slab_block(heap, frame, shape, 0), left_ = slab_count(shape); left_ > 0;          \
         left_--, block += (shape)->bytes)

static inline struct magazine *slab_magazine(const struct slab_class *class, unsigned number)
{
    return (struct magazine *)(class->magazines + number * class->magazine_bytes);
}

/* slab_magazine.c: the caller is the hart itself, and holds no lock. */

/** slab_load - the loaded magazine is empty: have rounds in it. Whether there were any to be had. */
bool slab_load(struct heap *heap, unsigned class, struct slab_cache *cache);

/** slab_unload - the loaded magazine is full: have room in it. */
void slab_unload(struct heap *heap, unsigned class, struct slab_cache *cache);

/* slab_layer.c */

/** slab_take - rounds for blocks that are at home. Returns how many; 0: none is. No lock held. */
unsigned slab_take(struct heap *heap, unsigned class, uintptr_t *rounds, unsigned wanted);

/** slab_grow - a new slab, and rounds for its blocks; the rest is at home. 0: there are no pages. No lock held. */
unsigned slab_grow(struct heap *heap, unsigned class, uintptr_t *rounds, unsigned wanted);

/** slab_put - blocks come home; rounds that are wrong are dropped. No lock held. */
void slab_put(struct heap *heap, unsigned class, const uintptr_t *rounds, unsigned count);

/** slab_release - give the pages of a slab back, if all its blocks are free and can be claimed; those that can are at
 *  home then. Whether it went. The lock of its class held. */
bool slab_release(struct heap *heap, struct slab_class *class, uint32_t frame);

/** slab_send_home - all blocks of a slab that are free are at home, wherever else they are hinted at. The lock of its
 *  class held, or quiet. */
void slab_send_home(struct heap *heap, struct slab_class *class, uint32_t frame);

/* slab_reclaim.c */

/** slab_reclaim - rounds for blocks of a class that are free, in whose magazines ever they are. 0: there are none. */
unsigned slab_reclaim(struct heap *heap, unsigned class, uintptr_t *rounds, unsigned wanted);

/** slab_reclaim_pages - give back the pages of all slabs whose blocks are free, wherever they are. Whether any went. */
bool slab_reclaim_pages(struct heap *heap);

/** slab_drain - as heap_ops has it. */
void slab_drain(struct heap *heap);

/* slab_validate.c: as heap_ops has them. */
int slab_validate(struct heap *heap);
void slab_walk(struct heap *heap, heap_visit *visit, void *argument);
void slab_describe(struct heap *heap, struct parts *parts);

#endif
