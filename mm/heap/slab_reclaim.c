/*
 * The last resort of the design "slab", and draining. In the papers memory in magazines comes back when a reaper takes
 * hold of each processor in turn. Here who has need looks at the state of the blocks: what is free there can be
 * claimed in whose magazine ever it lies, and rounds that are wrong from then on will be dropped.
 */
#include "lib/bits.h"
#include "mm/heap/slab.h"
#include "trace/counter.h"
#include "trace/inject.h"

/* Rounds may be wrong from now on. Relaxed: for who looks when the harts are quiet. sw. */
static void set_reclaimed(struct heap *heap)
{
    store_relaxed(&slab_heap_of(heap)->reclaimed, 1);
}

unsigned slab_reclaim(struct heap *heap, unsigned number, uintptr_t *rounds, unsigned wanted)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    struct lock_node node;
    unsigned got = 0;
    set_reclaimed(heap);
    lock_acquire(&class->lock, &node);
    for (enum slab_ring ring = 0; ring < SLAB_RINGS; ring++) {
        uint32_t first = class->ring[ring], frame = first;
        while (frame != RING_EMPTY && got < wanted) {
            const struct slab_shape *shape = slab_shape_at(heap, frame);
            SLAB_BLOCK_FOR_EACH(heap, frame, shape, block)
            {
                if (got < wanted && slab_is_free(heap, block))
                    rounds[got++] = block;
            }
            frame = slab_of(heap, frame)->next;
            if (frame == first)
                break;
        }
    }
    lock_release(&class->lock, &node);
    counter_add(COUNTER_HEAP_RECLAIM, 1);
    return got;
}

/* Whether no block of a slab is held, by one look at each part. */
static bool looks_idle(const struct heap *heap, uint32_t frame)
{
    const struct slab_part *part = &slab_heap_of(heap)->state[frame * PARTS];
    unsigned nparts = PARTS << slab_shape_at(heap, frame)->order, i = 0;
    while (i < nparts && (slab_word(&part[i]) & SLAB_FREE) == SLAB_FREE)
        i++;
    return i == nparts;
}

static unsigned ring_length(const struct heap *heap, uint32_t first)
{
    unsigned length = 0;
    for (uint32_t frame = first; frame != RING_EMPTY;) {
        length++;
        frame = slab_of(heap, frame)->next;
        if (frame == first)
            break;
    }
    return length;
}

/* A slab of which nothing is held goes. @all: of another, too, everything that is free comes home. Tried again if a
 * claim was lost to somebody who has given back by now. */
static bool release_if_idle(struct heap *heap, struct slab_class *class, uint32_t frame, bool all)
{
    for (;;) {
        bool idle = looks_idle(heap, frame);
        if (idle || all)
            slab_send_home(heap, class, frame);
        if (!idle)
            return false;
        if (slab_release(heap, class, frame))
            return true;
    }
}

/* Slabs may change places on the way, so it is their number that ends it. */
static bool release_idle(struct heap *heap, struct slab_class *class, bool all)
{
    bool any = false;
    for (enum slab_ring ring = 0; ring < SLAB_RINGS; ring++) {
        uint32_t frame = class->ring[ring];
        for (unsigned left = ring_length(heap, frame); left > 0; left--) {
            uint32_t next = slab_of(heap, frame)->next;
            any |= release_if_idle(heap, class, frame, all);
            frame = next;
        }
    }
    return any;
}

bool slab_reclaim_pages(struct heap *heap)
{
    bool any = false;
    set_reclaimed(heap);
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        struct slab_class *class = &slab_heap_of(heap)->class[i];
        struct lock_node node;
        lock_acquire(&class->lock, &node);
        any |= release_idle(heap, class, false);
        lock_release(&class->lock, &node);
    }
    return any;
}

static void empty_magazines(struct heap *heap)
{
    for (unsigned hart = 0; hart < heap->nharts; hart++) {
        for (unsigned i = 0; i < SLAB_CLASSES; i++) {
            struct slab_cache *cache = &slab_hart_of(heap, hart)->cache[i + 1];
            cache->top = cache->loaded->round;
            cache->previous_rounds = 0;
        }
    }
}

void slab_drain(struct heap *heap)
{
    struct slab_heap *all = slab_heap_of(heap);
    empty_magazines(heap);
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        struct slab_class *class = &all->class[i];
        struct lock_node node;
        lock_acquire(&class->depot_lock, &node);
        class->depot->nfull = 0;
        lock_release(&class->depot_lock, &node);
        lock_acquire(&class->lock, &node);
        release_idle(heap, class, true);
        lock_release(&class->lock, &node);
    }
    store_relaxed(&all->reclaimed, 0);
}
