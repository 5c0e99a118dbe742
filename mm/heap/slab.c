/* See slab.h: an allocation and a free that a hart's own magazines can serve, and what is around them. */
#include "mm/heap/slab.h"
#include "arch/panic.h"
#include "lib/bits.h"
#include "trace/inject.h"

/* Powers of two, what divides a page into 5 to 28 with little over, and steps of an eighth to a quarter: at
 * most so much of a block is wasted. Blocks of up to 2 KiB are in slabs of a single frame, as those may be all there
 * is. Those of larger ones have 4 to 8 blocks, as Linux has them, or the one or two that fewer frames have. */
const struct slab_shape slab_shapes[SLAB_SHAPES] = {
    {0, 0, 0},
    {16, 0, 0},
    {32, 0, 1},
    {48, 0, 2},
    {64, 0, 3},
    {80, 0, 4},
    {96, 0, 5},
    {112, 0, 6},
    {128, 0, 7},
    {160, 0, 8},
    {192, 0, 9},
    {224, 0, 10},
    {256, 0, 11},
    {288, 0, 12},
    {336, 0, 13},
    {400, 0, 14},
    {448, 0, 15},
    {512, 0, 16},
    {576, 0, 17},
    {672, 0, 18},
    {816, 0, 19},
    {1024, 0, 20},
    {1344, 0, 21},
    {2048, 0, 22},
    {2720, 2, 23},
    {4096, 3, 24},
    {8192, 3, 25},
    {2720, 2, 23},
    {2720, 0, 23},
    {4096, 0, 24},
    {8192, 1, 25},
};

/* A magazine has what two slabs have, in which blocks of 64 bytes are 128. Solaris begins with 15 and, where the depot's lock
 * is contended, goes up to 143; here the two of a hart are what heap.threadtest needs to stay away from the depot. No
 * less than what a slab has: harts that load at the same time do so from different slabs, and share no line of states. */
#define MAGAZINE_SLABS 2
#define ROUNDS_MIN     16
#define ROUNDS_MAX     256

_Static_assert(ROUNDS_MAX >= PAGE_BYTES / HEAP_ALIGN, "a slab's blocks");

/* Parts of the metadata, one behind the other, each a multiple of a line. */
struct layout {
    size_t heap, state, slabs, depots, depot_bytes, magazines, end;
    uint32_t ndepot;
};

static unsigned capacity_of(unsigned class)
{
    unsigned rounds = MAGAZINE_SLABS * slab_count(&slab_shapes[class + 1]);
    return CLAMP(rounds, (unsigned)ROUNDS_MIN, (unsigned)ROUNDS_MAX);
}

static size_t magazine_bytes(unsigned class)
{
    size_t rounds = capacity_of(class);
    return ALIGN_UP(sizeof(struct magazine) + rounds * sizeof(uintptr_t), (size_t)CACHE_LINE_BYTES);
}

static struct layout layout_of(size_t nframes, unsigned nharts)
{
    struct layout at = {.heap = nharts * sizeof(struct slab_hart), .ndepot = SLAB_DEPOT_MAGAZINES * nharts};
    at.depot_bytes = sizeof(struct slab_depot) + at.ndepot * sizeof(uint16_t);
    at.depot_bytes = ALIGN_UP(at.depot_bytes, (size_t)CACHE_LINE_BYTES);
    at.state = at.heap + sizeof(struct slab_heap);
    at.slabs = at.state + nframes * CACHE_LINE_BYTES;
    at.depots = ALIGN_UP(at.slabs + nframes * sizeof(struct slab), (size_t)CACHE_LINE_BYTES);
    at.magazines = at.end = at.depots + SLAB_CLASSES * at.depot_bytes;
    for (unsigned i = 0; i < SLAB_CLASSES; i++)
        at.end += (at.ndepot + 2 * nharts) * magazine_bytes(i);
    return at;
}

static size_t slab_metadata_size(size_t nframes, unsigned nharts)
{
    return layout_of(nframes, nharts).end;
}

static void init_hart(struct heap *heap, unsigned hart, uintptr_t state)
{
    struct slab_hart *self = slab_hart_of(heap, hart);
    memset(self, 0, sizeof(*self));
    self->heap = heap;
    self->base = heap->base;
    self->bytes = heap->nframes << PAGE_SHIFT;
    self->state = state;
    for (unsigned i = 0, shape = 1; i < SLAB_SIZES; i++) {
        shape += slab_shapes[shape].bytes < (i + 1) * HEAP_ALIGN;
        self->shape_for[i] = shape;
    }
}

/* The hart's two magazines of a class are the last but two of its numbers. */
static void init_cache(struct heap *heap, unsigned hart, const struct slab_class *class, unsigned shape)
{
    struct slab_cache *cache = &slab_hart_of(heap, hart)->cache[shape];
    cache->loaded = slab_magazine(class, class->ndepot + 2 * hart);
    cache->previous = slab_magazine(class, class->ndepot + 2 * hart + 1);
    cache->capacity = class->capacity;
    cache->top = cache->loaded->round;
    cache->end = cache->top + cache->capacity;
}

static void init_class(struct heap *heap, unsigned number, uint8_t *magazines, const struct layout *at)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    lock_init(&class->depot_lock, heap->lock_kind, "heap.slab.depot");
    lock_init(&class->lock, heap->lock_kind, "heap.slab.slabs");
    class->ring[SLAB_SOME] = class->ring[SLAB_NONE_HOME] = RING_EMPTY;
    class->nidle = 0;
    class->depot = (struct slab_depot *)((uint8_t *)heap->metadata + at->depots + number * at->depot_bytes);
    class->ndepot = at->ndepot;
    class->capacity = capacity_of(number);
    class->magazines = magazines;
    class->magazine_bytes = magazine_bytes(number);
    class->depot->nfull = 0;
    for (unsigned i = 0; i < class->ndepot; i++)
        class->depot->slot[i] = i;
    for (unsigned i = 0; i < class->ndepot + 2 * heap->nharts; i++) {
        struct magazine *magazine = slab_magazine(class, i);
        store_relaxed(&magazine->never, 0);
        magazine->number = i;
        magazine->bottom = ((uintptr_t)&magazine->never - slab_hart_of(heap, 0)->state) /
                           sizeof(struct slab_part) * PART_BYTES;
    }
    for (unsigned hart = 0; hart < heap->nharts; hart++)
        init_cache(heap, hart, class, number + 1);
}

static int slab_init(struct heap *heap)
{
    struct layout at = layout_of(heap->nframes, heap->nharts);
    struct slab_heap *all = slab_heap_of(heap);
    uint8_t *metadata = heap->metadata, *magazines = metadata + at.magazines;
    store_relaxed(&all->reclaimed, 0);
    all->unsafe = false;
    all->state = (struct slab_part *)(metadata + at.state);
    all->slabs = (struct slab *)(metadata + at.slabs);
    memset(all->state, 0, heap->nframes * CACHE_LINE_BYTES);
    memset(all->slabs, 0, heap->nframes * sizeof(struct slab));
    for (unsigned hart = 0; hart < heap->nharts; hart++)
        init_hart(heap, hart, (uintptr_t)all->state - heap->base / PART_BYTES * sizeof(struct slab_part));
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        init_class(heap, i, magazines, &at);
        magazines += (at.ndepot + 2 * heap->nharts) * magazine_bytes(i);
    }
    return 0;
}

static ALWAYS_INLINE struct slab_hart *own(const struct heap *heap)
{
    DEBUG_ASSERT(hart_index() < heap->nharts);
    return slab_hart_of(heap, hart_index());
}

/* Whether the change was made: only where the frame is still of that shape. */
static bool change_bit(struct slab_part *part, uint64_t place, uint64_t bit, bool set)
{
    for (;;) {
        uint64_t word = slab_word(part);
        if (word >> SLAB_PLACE_SHIFT != place)
            return false;
        /* Relaxed: it is as it would be if nothing had been done. lr.d; sc.d. */
        if (!inject_due(INJECT_CAS) && cas_relaxed(&part->word, word, set ? word | bit : word & ~bit))
            return true;
    }
}

/*
 * What is to be done with a claim in a frame that was of another shape than the round's, as a page that was reclaimed may
 * have become anything. Where there is a block of some other class we have it, as if we had allocated it. Where
 * none begins we have cleared a bit that has to be 1; if the page has become something else meanwhile, all bits have
 * been made what they have to be. In a frame of no slab, somebody is about to find out that his free was wrong, or of
 * a large block, and all bits have to be 0 anyway. Whether we have a block of the class.
 *
 * Between a claim of what is no block and its undoing a wrong free of that very address is taken for a right one: the one
 * hole in the refusals, which takes a reclaim, a round from before it and a bug in the user at the same instant.
 */
static bool settle(struct heap *heap, unsigned class, uintptr_t address, uint64_t place)
{
    struct slab_part *part = slab_part_of(own(heap), address);
    const struct slab_shape *shape = &slab_shapes[place / sizeof(struct slab_cache)];
    inject_due(INJECT_UNDO);
    if (place == 0)
        return false;
    if (!slab_is_block(heap, shape, address))
        change_bit(part, place, slab_bit_of(address), true);
    else if (shape->class == class)
        return true;
    else
        heap->ops->free(heap, (void *)address);
    return false;
}

/* A block that has been claimed, and its round taken out. */
static ALWAYS_INLINE void *give_out(struct slab_cache *cache, struct slab_part *part, uintptr_t block)
{
    if (plant_due(PLANT_SLAB_TWICE)) {
        or_release(&part->word, slab_bit_of(block));
        *cache->top++ = block;
    }
    return (void *)block;
}

static void *take_loaded(struct slab_hart *self, uint64_t place)
{
    struct slab_cache *cache = slab_cache_of(self, place);
    unsigned class = place / sizeof(struct slab_cache) - 1;
    for (;;) {
        if (cache->top == cache->loaded->round && !slab_load(self->heap, class, cache))
            return NULL;
        uintptr_t block = *--cache->top;
        struct slab_part *part = slab_part_of(self, block);
        uint64_t bit = slab_bit_of(block), before = slab_claim(part, bit);
        if ((before & bit) && (likely(before >> SLAB_PLACE_SHIFT == place) ||
                                  settle(self->heap, class, block, before >> SLAB_PLACE_SHIFT)))
            return give_out(cache, part, block);
    }
}

/* The ways out of an allocation have its hart's area in the place of the heap: so the compiler need not keep that, and what
 * is returned is from the first where it has to be. */

/* The magazine is empty, or its last round is of a block that is not free. */
static NOINLINE void *alloc_slow(struct slab_hart *self, uint64_t place)
{
    struct slab_cache *cache = slab_cache_of(self, place);
    cache->top -= cache->top != cache->loaded->round;
    return take_loaded(self, place);
}

/* The last round's bit is ours, but it is of another shape. */
static NOINLINE void *alloc_other(struct slab_hart *self, uint64_t place, uint64_t its_place)
{
    uintptr_t block = *--slab_cache_of(self, place)->top;
    unsigned class = place / sizeof(struct slab_cache) - 1;
    return settle(self->heap, class, block, its_place) ? (void *)block : take_loaded(self, place);
}

static NOINLINE void *alloc_large(struct heap *heap, size_t bytes)
{
    void *pointer = heap_large_alloc(heap, bytes, 1);
    return pointer || !slab_reclaim_pages(heap) ? pointer : heap_large_alloc(heap, bytes, 1);
}

static ALWAYS_INLINE void *alloc_shape(struct slab_hart *self, unsigned shape)
{
    uint64_t place = SLAB_PLACE(shape);
    struct slab_cache *cache = slab_cache_of(self, place);
    uintptr_t *top = cache->top, block = top[-1];
    struct slab_part *part = slab_part_of(self, block);
    inject_due(INJECT_LOOK);
    uint64_t bit = slab_bit_of(block), before = slab_claim(part, bit);
    if (unlikely(!(before & bit)))
        return alloc_slow(self, place);
    if (unlikely(before >> SLAB_PLACE_SHIFT != place))
        return alloc_other(self, place, before >> SLAB_PLACE_SHIFT);
    cache->top = top - 1;
    return give_out(cache, part, block);
}

static LEAF_PATH void *slab_alloc(struct heap *heap, size_t bytes)
{
    struct slab_hart *self = own(heap);
    size_t size = (bytes - 1) / HEAP_ALIGN;
    if (unlikely(size >= SLAB_SIZES))
        return alloc_large(heap, bytes);
    return alloc_shape(self, self->shape_for[size]);
}

/* Slabs end at a page, so blocks whose size is a multiple of the alignment are aligned. */
static void *slab_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    struct slab_hart *self = own(heap);
    if (bytes > SLAB_BYTES_MAX)
        return alloc_large(heap, bytes);
    unsigned shape = self->shape_for[(bytes - 1) / HEAP_ALIGN];
    while (slab_shapes[shape].bytes % align != 0)
        shape++; /* the last is a multiple of all */
    return alloc_shape(self, shape);
}

/* Says what is wrong with it, but of a large one only if heap_large_free() finds so: those have no state here. */
static ALWAYS_INLINE void refuse(struct heap *heap, heap_span_t span, void *pointer, const void *caller)
{
    uintptr_t address = (uintptr_t)pointer;
    if (heap_span_is_large(span)) {
        heap_large_free(heap, span, pointer, caller);
        return;
    }
    if (heap_span_none(span)) {
        heap_refuse_at(heap, HEAP_MISUSE_FOREIGN, pointer, 0, caller);
        return;
    }
    const struct slab_shape *shape = &slab_shapes[heap_span_tag(span)];
    uintptr_t first = slab_block(heap, slab_frame_of(heap, shape, address), shape, 0);
    uintptr_t block = address - (address - first) % shape->bytes;
    enum heap_misuse_kind kind = HEAP_MISUSE_DOUBLE_FREE;
    if (address < first)
        kind = HEAP_MISUSE_FOREIGN; /* in front of the first block there is what no block has */
    else if (block != address && !slab_is_free(heap, block))
        kind = HEAP_MISUSE_INTERIOR;
    heap_refuse_at(heap, kind, pointer, shape->bytes, caller);
}

/* The ways out of a free: called last, so that the compiler makes a jump of the call and the return address is that of the
 * call to heap_free(). Each is reached from one place only: for the sake of a shared one GCC copies the arguments away. */

static COLD void refuse_place(struct heap *heap, void *pointer)
{
    refuse(heap, heap_span_of(heap, pointer), pointer, __builtin_return_address(0));
}

static COLD void refuse_misaligned(struct heap *heap, void *pointer)
{
    refuse(heap, heap_span_of(heap, pointer), pointer, __builtin_return_address(0));
}

static NOINLINE void refuse_free(struct heap *heap, void *pointer)
{
    refuse(heap, heap_span_of(heap, pointer), pointer, __builtin_return_address(0));
}

/* Its bit is set; its magazine is full, or of another shape than its class's first, or there is none: then it is a large
 * block, or wrong, and the bit has to be 0 again. */
static NOINLINE void free_slow(struct heap *heap, void *pointer, uint64_t place)
{
    if (place == 0) {
        uintptr_t address = (uintptr_t)pointer;
        heap_span_t span = heap_span_of(heap, pointer);
        change_bit(slab_part_of(own(heap), address), 0, slab_bit_of(address), false);
        refuse(heap, span, pointer, __builtin_return_address(0));
        return;
    }
    unsigned class = slab_shapes[place / sizeof(struct slab_cache)].class;
    struct slab_cache *cache = &own(heap)->cache[class + 1];
    if (cache->top == cache->end)
        slab_unload(heap, class, cache);
    *cache->top++ = (uintptr_t)pointer;
}

static LEAF_PATH void slab_free(struct heap *heap, void *pointer)
{
    struct slab_hart *self = own(heap);
    uintptr_t block = (uintptr_t)pointer;
    if (unlikely(block - self->base >= self->bytes)) {
        refuse_place(heap, pointer);
        return;
    }
    if (unlikely(!IS_ALIGNED(block, HEAP_ALIGN))) {
        refuse_misaligned(heap, pointer);
        return;
    }
    struct slab_part *part = slab_part_of(self, block);
    uint64_t bit = slab_bit_of(block);
    if (plant_due(PLANT_SLAB_LOST))
        return;
    /* Release, pairs with the acquire of whoever claims it: our use of it is over. amoor.d.rl. */
    uint64_t before = or_release(&part->word, bit);
    if (unlikely(before & bit)) {
        refuse_free(heap, pointer);
        return;
    }
    /* Its shape as it was while it was ours: by now its page may be anything. */
    uint64_t place = before >> SLAB_PLACE_SHIFT;
    inject_due(INJECT_LOOK);
    struct slab_cache *cache = slab_cache_of(self, place);
    uintptr_t *top = cache->top;
    if (unlikely(top == cache->end)) {
        free_slow(heap, pointer, place);
        return;
    }
    *top = block;
    cache->top = top + 1;
}

static size_t slab_usable_size(struct heap *heap, const void *pointer)
{
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_none(span))
        return 0;
    if (heap_span_is_large(span))
        return heap_large_usable(span, pointer);
    bool free = !IS_ALIGNED((uintptr_t)pointer, HEAP_ALIGN) || slab_is_free(heap, (uintptr_t)pointer);
    return free ? 0 : slab_shapes[heap_span_tag(span)].bytes;
}

const struct heap_ops heap_slab = {
    .name = "slab",
    .link_bytes = sizeof(uint64_t), /* marks of slab_validate() */
    .metadata_size = slab_metadata_size,
    .init = slab_init,
    .alloc = slab_alloc,
    .alloc_aligned = slab_alloc_aligned,
    .free = slab_free,
    .usable_size = slab_usable_size,
    .drain = slab_drain,
    .validate = slab_validate,
    .walk = slab_walk,
    .describe = slab_describe,
};
