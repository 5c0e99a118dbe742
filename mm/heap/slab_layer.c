/*
 * The slab layer of the design "slab" (Bonwick 1994, chapter 3): slabs of a class, those with blocks at home in front of
 * those with none, so that what is partly used is used up and what is not used at all goes back. Where the paper has
 * a list of free blocks in each slab, here are bits, since a block may come home twice after a reclaim. The
 * slab's record is not in the slab: the state has to outlive the page.
 */
#include "lib/bits.h"
#include "mm/heap/slab.h"
#include "trace/counter.h"
#include "trace/inject.h"

/* Slabs with all blocks at home that a class keeps: with none the last block of all would go to the frame allocator and
 * back each time. */
#define IDLE_MAX 1

static void ring_insert(struct heap *heap, uint32_t *ring, uint32_t frame, bool last)
{
    struct slab *slab = slab_of(heap, frame);
    if (*ring == RING_EMPTY) {
        slab->next = slab->previous = *ring = frame;
        return;
    }
    slab->next = *ring;
    slab->previous = slab_of(heap, *ring)->previous;
    slab_of(heap, slab->previous)->next = frame;
    slab_of(heap, slab->next)->previous = frame;
    if (!last)
        *ring = frame;
}

static void ring_remove(struct heap *heap, uint32_t *ring, uint32_t frame)
{
    struct slab *slab = slab_of(heap, frame);
    slab_of(heap, slab->previous)->next = slab->next;
    slab_of(heap, slab->next)->previous = slab->previous;
    if (*ring == frame)
        *ring = slab->next == frame ? RING_EMPTY : slab->next;
}

static enum slab_ring ring_of(const struct slab *slab)
{
    return slab->nhome > 0 ? SLAB_SOME : SLAB_NONE_HOME;
}

/* Blocks have come home, or left: into the ring where it belongs, and in its place there. */
static void sort_in(struct heap *heap, struct slab_class *class, uint32_t frame, uint32_t nhome_before)
{
    struct slab *slab = slab_of(heap, frame);
    uint32_t all = slab_count(slab_shape_at(heap, frame)), nhome = slab->nhome;
    if (nhome == nhome_before)
        return;
    class->nidle += (nhome == all) - (nhome_before == all);
    if ((nhome > 0) == (nhome_before > 0) && nhome < all)
        return;
    ring_remove(heap, &class->ring[nhome_before > 0 ? SLAB_SOME : SLAB_NONE_HOME], frame);
    ring_insert(heap, &class->ring[ring_of(slab)], frame, nhome == all);
}

/* Rounds for up to `wanted` blocks that are at home in one slab. */
static unsigned take_from(struct heap *heap, uint32_t frame, uintptr_t *rounds, unsigned wanted)
{
    struct slab *first = slab_of(heap, frame);
    unsigned got = 0;
    wanted = MIN(wanted, first->nhome);
    for (unsigned i = 0; got < wanted; i++) {
        uint32_t *home = &slab_of(heap, frame + i / PARTS)->home[i % PARTS];
        uintptr_t base = slab_base(heap, frame) + i * PART_BYTES;
        for (; *home && got < wanted; *home &= *home - 1)
            rounds[got++] = base + bits_lowest(*home) * HEAP_ALIGN;
    }
    first->nhome -= got;
    return got;
}

unsigned slab_take(struct heap *heap, unsigned number, uintptr_t *rounds, unsigned wanted)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    struct lock_node node;
    unsigned got = 0;
    lock_acquire(&class->lock, &node);
    while (got < wanted && class->ring[SLAB_SOME] != RING_EMPTY) {
        uint32_t frame = class->ring[SLAB_SOME], before = slab_of(heap, frame)->nhome;
        got += take_from(heap, frame, rounds + got, wanted - got);
        sort_in(heap, class, frame, before);
    }
    lock_release(&class->lock, &node);
    counter_add(COUNTER_HEAP_REFILL, got > 0);
    return got;
}

/* All blocks are at home, whatever their state. */
static void set_home(struct heap *heap, uint32_t frame, const struct slab_shape *shape)
{
    SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)
    {
        size_t offset = block - slab_base(heap, frame);
        uint32_t *home = slab_of(heap, frame + offset / PAGE_BYTES)->home;
        home[offset / PART_BYTES % PARTS] |= slab_bit_of(block);
    }
    slab_of(heap, frame)->nhome = slab_count(shape);
}

/* The frames become a slab's: what no block is in counts as free, too. Not a store, and at once: a free that will turn out
 * to be wrong may have set a bit. Release: who claims sees a slab that is made. amoor.d.rl. */
static void set_state(struct heap *heap, uint32_t frame, unsigned shape)
{
    struct slab_part *part = &slab_heap_of(heap)->state[frame * PARTS];
    for (unsigned i = 0; i < PARTS << slab_shapes[shape].order; i++)
        or_release(&part[i].word, SLAB_PLACE(shape) << SLAB_PLACE_SHIFT | SLAB_FREE);
}

/* A span of a shape that is to be had; NULL. */
static void *take_span(struct heap *heap, unsigned class, unsigned *shape)
{
    void *base = NULL;
    for (*shape = class + 1; *shape < SLAB_SHAPES; ++*shape) {
        if (slab_shapes[*shape].class != class || *shape == SLAB_UNSAFE_LOOKED)
            continue;
        base = heap_span_take(heap, slab_shapes[*shape].order, *shape);
        if (base)
            break;
    }
    return base;
}

/* The lock is held, and the span ours: a smaller slab that was there has gone under the lock, so it is known here. Only
 * those of one class look at what has been, so that class's lock is enough. */
static unsigned safe_shape(struct heap *heap, void *base, unsigned shape)
{
    struct slab_heap *all = slab_heap_of(heap);
    if (unlikely(shape == SLAB_UNSAFE_SMALLER))
        all->unsafe = true;
    if (likely(shape != SLAB_UNSAFE) || !all->unsafe)
        return shape;
    heap_span_retag(heap, base, SLAB_UNSAFE_LOOKED);
    return SLAB_UNSAFE_LOOKED;
}

unsigned slab_grow(struct heap *heap, unsigned number, uintptr_t *rounds, unsigned wanted)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    struct lock_node node;
    unsigned shape;
    void *base = take_span(heap, number, &shape);
    if (!base)
        return 0;
    uint32_t frame = ((uintptr_t)base - heap->base) >> PAGE_SHIFT;
    set_home(heap, frame, &slab_shapes[shape]);
    unsigned got = take_from(heap, frame, rounds, wanted);
    lock_acquire(&class->lock, &node);
    set_state(heap, frame, safe_shape(heap, base, shape));
    ring_insert(heap, &class->ring[ring_of(slab_of(heap, frame))], frame, false);
    lock_release(&class->lock, &node);
    counter_add(COUNTER_HEAP_REFILL, 1);
    return got;
}

/* Claims what is at home in a part, or forgets what there turns out to be in use. Whether nothing was. The part is of no slab
 * by the same swap: a block whose bit alone were cleared would look as if somebody held it, and a second free of it, of which
 * another hart is in the middle, like a right one. */
static bool claim_part(struct slab *first, struct slab_part *part, uint32_t *home)
{
    for (;;) {
        uint64_t word = slab_word(part);
        uint32_t lost = *home & ~word;
        if (unlikely(lost != 0)) {
            *home &= word;
            first->nhome -= bits_count(lost);
            return false;
        }
        /* Acquire, pairs with the release of whoever freed them: the page goes on to others. lr.d.aq; sc.d. */
        if (!inject_due(INJECT_CAS) && cas_acquire(&part->word, word, 0))
            return true;
    }
}

bool slab_release(struct heap *heap, struct slab_class *class, uint32_t frame)
{
    const struct slab_shape *shape = slab_shape_at(heap, frame);
    struct slab_part *part = &slab_heap_of(heap)->state[frame * PARTS];
    struct slab *slab = slab_of(heap, frame);
    uint32_t nhome = slab->nhome;
    unsigned nparts = PARTS << shape->order, claimed = 0;
    bool ours = nhome == slab_count(shape) && !inject_due(INJECT_CAS);
    while (ours && claimed < nparts) {
        ours =
            claim_part(slab, &part[claimed], &slab_of(heap, frame + claimed / PARTS)->home[claimed % PARTS]);
        claimed += ours;
    }
    if (!ours) {
        /* What was claimed is as it was: all of it free. Release: whose claim succeeds has what we have. amoor.d.rl. */
        for (unsigned i = 0; i < claimed; i++)
            or_release(&part[i].word, SLAB_PLACE(shape - slab_shapes) << SLAB_PLACE_SHIFT | SLAB_FREE);
        sort_in(heap, class, frame, nhome);
        return false;
    }
    for (unsigned i = 0; i < nparts; i++)
        slab_of(heap, frame + i / PARTS)->home[i % PARTS] = 0;
    ring_remove(heap, &class->ring[SLAB_SOME], frame);
    class->nidle--;
    heap_span_give(heap, (void *)slab_base(heap, frame));
    return true;
}

/* The lock is held. */
static void put_one(struct heap *heap, struct slab_class *class, unsigned number, uintptr_t block)
{
    const struct slab_part *part = slab_part_of(slab_hart_of(heap, 0), block);
    unsigned shape = slab_shape_of(part);
    if (unlikely(shape == 0 || slab_shapes[shape].class != number || !slab_is_free(heap, block)))
        return;
    /* Of the class's first shape it is one: slab.h. */
    if (unlikely(shape != number + 1 && !slab_is_block(heap, &slab_shapes[shape], block)))
        return;
    uint64_t bit = slab_bit_of(block);
    uint32_t frame = (block - heap->base) >> PAGE_SHIFT;
    uint32_t *home = &slab_of(heap, frame)->home[block / PART_BYTES % PARTS];
    frame = ALIGN_DOWN(frame, 1u << slab_shapes[shape].order);
    struct slab *slab = slab_of(heap, frame);
    if (unlikely(*home & bit))
        return;
    *home |= bit;
    slab->nhome++;
    sort_in(heap, class, frame, slab->nhome - 1);
    if (class->nidle > IDLE_MAX)
        slab_release(heap, class, frame);
}

void slab_put(struct heap *heap, unsigned number, const uintptr_t *rounds, unsigned count)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    struct lock_node node;
    lock_acquire(&class->lock, &node);
    for (unsigned i = 0; i < count; i++)
        put_one(heap, class, number, rounds[i]);
    lock_release(&class->lock, &node);
    counter_add(COUNTER_HEAP_FLUSH, 1);
}

void slab_send_home(struct heap *heap, struct slab_class *class, uint32_t frame)
{
    const struct slab_shape *shape = slab_shape_at(heap, frame);
    struct slab *slab = slab_of(heap, frame);
    uint32_t before = slab->nhome;
    SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)
    {
        size_t offset = block - slab_base(heap, frame);
        uint32_t *home = &slab_of(heap, frame + offset / PAGE_BYTES)->home[offset / PART_BYTES % PARTS];
        uint64_t bit = slab_bit_of(block);
        bool is_free = slab_is_free(heap, block), was_home = *home & bit;
        *home = is_free ? *home | bit : *home & ~bit;
        slab->nhome += is_free - was_home;
    }
    sort_in(heap, class, frame, before);
}
