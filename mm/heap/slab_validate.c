/* Inspection of the design "slab": slabs against spans and rings, rounds against blocks; and the names of the parts. */
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/heap/slab.h"

#define MAGAZINES_MAX ((SLAB_DEPOT_MAGAZINES + 2) * HART_MAX)

/* The state and what is at home in a frame of a slab, or of none: of each part what can begin there, and nothing else. */
static int check_frame(
    const struct heap *heap, uint32_t frame, const uint32_t *starts, unsigned shape, unsigned *nhome)
{
    const struct slab_heap *all = slab_heap_of(heap);
    for (unsigned i = 0; i < PARTS; i++) {
        const struct slab_part *part = &all->state[frame * PARTS + i];
        uint32_t free = slab_word(part) & SLAB_FREE;
        uint32_t home = all->slabs[frame].home[i];
        if (slab_shape_of(part) != shape)
            return heap_corrupt(heap, part, "a frame that is of another shape than its slab");
        if ((free | starts[i]) != (shape ? UINT32_MAX : 0))
            return heap_corrupt(heap, part, "a state of what is no block");
        if (home & ~starts[i])
            return heap_corrupt(heap, part, "at home where no block begins");
        if (!all->reclaimed && (home & ~free))
            return heap_corrupt(heap, part, "in use and at home: given twice");
        *nhome += bits_count(home);
    }
    return 0;
}

/* A slab, and marks of its free blocks: not hinted at so far. */
static int check_slab(const struct heap *heap, uint32_t frame, unsigned shape_number, enum slab_ring ring)
{
    const struct slab_shape *shape = &slab_shapes[shape_number];
    const struct slab *slab = slab_of(heap, frame);
    unsigned nhome = 0;
    int error = 0;
    for (unsigned i = 0; !error && i < 1u << shape->order; i++) {
        uint32_t starts[PARTS] = {0};
        SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)
        {
            if ((block - slab_base(heap, frame)) / PAGE_BYTES == i)
                starts[block / PART_BYTES % PARTS] |= slab_bit_of(block);
        }
        error = check_frame(heap, frame + i, starts, shape_number, &nhome);
    }
    if (!error && nhome != slab->nhome)
        return heap_corrupt(heap, slab, "blocks at home are miscounted");
    if (!error && (nhome > 0) != (ring == SLAB_SOME))
        return heap_corrupt(heap, slab, "a slab in the wrong ring");
    SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)
    {
        if (slab_is_free(heap, block))
            *(uint64_t *)block = 0;
    }
    return error;
}

static int check_class(const struct heap *heap, unsigned number, size_t *nslabs)
{
    const struct slab_class *class = &slab_heap_of(heap)->class[number];
    unsigned nidle = 0;
    for (enum slab_ring ring = 0; ring < SLAB_RINGS; ring++) {
        uint32_t first = class->ring[ring], frame = first;
        if (first == RING_EMPTY)
            continue;
        do {
            if (frame >= heap->nframes || ++*nslabs > heap->nframes)
                return heap_corrupt(heap, &class->ring[ring], "a ring of slabs that does not close");
            const struct slab *slab = slab_of(heap, frame);
            void *base = (void *)slab_base(heap, frame);
            heap_span_t span = heap_span_of(heap, base);
            unsigned shape = heap_span_tag(span);
            if (heap_span_none(span) || heap_span_is_large(span) || shape == 0 || shape >= SLAB_SHAPES ||
                slab_shapes[shape].class != number || slab_shapes[shape].order != heap_span_order(span) ||
                heap_span_base(span, base) != base)
                return heap_corrupt(heap, slab, "in a ring, but no slab of the class");
            if (slab->next >= heap->nframes || slab_of(heap, slab->next)->previous != frame)
                return heap_corrupt(heap, slab, "a broken link of a ring");
            int error = check_slab(heap, frame, shape, ring);
            if (error)
                return error;
            nidle += slab->nhome == slab_count(&slab_shapes[shape]);
            frame = slab->next;
        } while (frame != first);
    }
    return nidle == class->nidle
               ? 0
               : heap_corrupt(heap, &class->nidle, "slabs without a block in use are miscounted");
}

/* Frames of no slab, and how many slabs there are. */
static int check_others(const struct heap *heap, size_t nslabs)
{
    static const uint32_t none[PARTS];
    unsigned nhome = 0;
    int error = 0;
    for (size_t frame = 0; !error && frame < heap->nframes; frame++) {
        void *base = (void *)slab_base(heap, frame);
        heap_span_t span = heap_span_of(heap, base);
        if (heap_span_none(span) || heap_span_is_large(span))
            error = check_frame(heap, frame, none, 0, &nhome);
        else
            nslabs -= heap_span_base(span, base) == base;
    }
    if (!error && nslabs != 0)
        error = heap_corrupt(heap, heap->spans, "slabs that are in no ring");
    return error;
}

/* Marks a free block as hinted at. */
static int check_round(const struct heap *heap, unsigned number, uintptr_t block)
{
    const struct slab_heap *all = slab_heap_of(heap);
    const struct slab_part *part = slab_part_of(slab_hart_of(heap, 0), block);
    if (block - heap->base >= heap->nframes << PAGE_SHIFT || !IS_ALIGNED(block, HEAP_ALIGN))
        return heap_corrupt(heap, (void *)block, "a round that is no address of a block");
    unsigned shape = slab_shape_of(part);
    bool right = shape != 0 && slab_shapes[shape].class == number && slab_is_free(heap, block) &&
                 slab_is_block(heap, &slab_shapes[shape], block);
    if (!right)
        return all->reclaimed ? 0 : heap_corrupt(heap, (void *)block, "a round of what is not free");
    if (++*(uint64_t *)block > 1 && !all->reclaimed)
        return heap_corrupt(heap, (void *)block, "a block that is hinted at twice");
    return 0;
}

static int check_rounds(const struct heap *heap, unsigned class, const uintptr_t *rounds, size_t count)
{
    int error = 0;
    for (size_t i = 0; !error && i < count; i++)
        error = check_round(heap, class, rounds[i]);
    return error;
}

/* A magazine in its place, which nothing else has. */
static int check_magazine(
    const struct heap *heap, const struct slab_class *class, const struct magazine *magazine, uint64_t *seen)
{
    unsigned number = magazine->number, all = class->ndepot + 2 * heap->nharts;
    if (number >= all || slab_magazine(class, number) != magazine ||
        (seen[number / 64] & 1ull << number % 64))
        return heap_corrupt(heap, magazine, "a magazine in two places, or none");
    seen[number / 64] |= 1ull << number % 64;
    if (magazine->never != 0 ||
        slab_part_of(slab_hart_of(heap, 0), magazine->bottom) != (const void *)&magazine->never)
        return heap_corrupt(heap, magazine, "a magazine without a bottom");
    return 0;
}

static int check_magazines(const struct heap *heap, unsigned number)
{
    const struct slab_class *class = &slab_heap_of(heap)->class[number];
    uint64_t seen[MAGAZINES_MAX / 64] = {0};
    int error = 0;
    for (unsigned hart = 0; !error && hart < heap->nharts; hart++) {
        const struct slab_cache *cache = &slab_hart_of(heap, hart)->cache[number + 1];
        size_t rounds = cache->top - cache->loaded->round;
        if (rounds > class->capacity || cache->previous_rounds > class->capacity ||
            cache->end != cache->loaded->round + class->capacity)
            return heap_corrupt(heap, cache, "a magazine with more rounds than it has room for");
        error = check_magazine(heap, class, cache->loaded, seen);
        if (!error)
            error = check_magazine(heap, class, cache->previous, seen);
        if (!error)
            error = check_rounds(heap, number, cache->loaded->round, rounds);
        if (!error)
            error = check_rounds(heap, number, cache->previous->round, cache->previous_rounds);
    }
    if (!error && class->depot->nfull > class->ndepot)
        return heap_corrupt(heap, class->depot, "a depot with more magazines than it has room for");
    for (unsigned i = 0; !error && i < class->ndepot; i++) {
        const struct magazine *magazine = slab_magazine(class, class->depot->slot[i]);
        error = check_magazine(heap, class, magazine, seen);
        if (!error && i < class->depot->nfull)
            error = check_rounds(heap, number, magazine->round, class->capacity);
    }
    return error;
}

/* Each free block of a slab is at home, or somebody has a round of it. */
static int check_hints(const struct heap *heap, uint32_t frame, const struct slab_shape *shape)
{
    SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)
    {
        uint32_t home = slab_of(heap, (block - heap->base) >> PAGE_SHIFT)->home[block / PART_BYTES % PARTS];
        uint64_t hints = (home & slab_bit_of(block)) != 0;
        if (!slab_is_free(heap, block))
            continue;
        hints += *(uint64_t *)block;
        if (hints == 0)
            return heap_corrupt(heap, (void *)block, "lost: free, and nowhere to be found");
        if (hints > 1 && !slab_heap_of(heap)->reclaimed)
            return heap_corrupt(heap, (void *)block, "a block that is hinted at twice");
    }
    return 0;
}

int slab_validate(struct heap *heap)
{
    size_t nslabs = 0;
    int error = 0;
    for (unsigned i = 0; !error && i < SLAB_CLASSES; i++)
        error = check_class(heap, i, &nslabs);
    if (!error)
        error = check_others(heap, nslabs);
    for (unsigned i = 0; !error && i < SLAB_CLASSES; i++)
        error = check_magazines(heap, i);
    heap_span_t span;
    for (void *base = NULL; !error && (base = heap_span_next(heap, base, &span));) {
        if (!heap_span_is_large(span))
            error = check_hints(
                heap, ((uintptr_t)base - heap->base) >> PAGE_SHIFT, &slab_shapes[heap_span_tag(span)]);
    }
    return error;
}

void slab_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        const struct slab_shape *shape = &slab_shapes[heap_span_tag(span)];
        SLAB_BLOCK_FOR_EACH(heap, ((uintptr_t)base - heap->base) >> PAGE_SHIFT, shape, block)
        visit(
            argument, &(struct heap_block){
                          .base = (void *)block, .bytes = shape->bytes, .live = !slab_is_free(heap, block)});
    }
}

void slab_describe(struct heap *heap, struct parts *parts)
{
    struct slab_heap *all = slab_heap_of(heap);
    parts_add_array(parts, "magazines' places of hart", slab_hart_of(heap, 0), sizeof(struct slab_hart),
        heap->nharts, sizeof(struct slab_hart));
    parts_add_array(parts, "state of frame", all->state, CACHE_LINE_BYTES, heap->nframes, CACHE_LINE_BYTES);
    parts_add_array(
        parts, "slab at frame", all->slabs, sizeof(struct slab), heap->nframes, sizeof(struct slab));
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        const struct slab_class *class = &all->class[i];
        parts_add_nth(parts, "rings of class", i, class->ring, CACHE_LINE_BYTES);
        parts_add_nth(parts, "depot of class", i, class->depot, CACHE_LINE_BYTES);
        parts_add_nth(parts, "magazines of class", i, class->magazines,
            (class->ndepot + 2 * heap->nharts) * class->magazine_bytes);
        lock_describe(&class->depot_lock, parts);
        lock_describe(&class->lock, parts);
    }
}
