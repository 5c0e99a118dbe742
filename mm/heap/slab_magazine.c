/*
 * The magazine layer of the design "slab" (Bonwick and Adams 2001, chapter 3). A hart has two magazines of each class,
 * loaded and previous: with one, a hart at the edge of it would go to the depot with every other operation; with
 * two it goes once in a magazine's worth. The depot is not unbounded as in the paper, where a reaper trims it by the
 * working set every 15 seconds: it has room for so many, and what is more goes to the slab layer at once.
 */
#include "mm/heap/slab.h"
#include "trace/counter.h"
#include "trace/inject.h"

static void load(struct slab_cache *cache, struct magazine *magazine, uint32_t rounds)
{
    cache->loaded = magazine;
    cache->top = magazine->round + rounds;
    cache->end = magazine->round + cache->capacity;
}

static void swap(struct slab_cache *cache)
{
    struct magazine *loaded = cache->loaded;
    uint32_t rounds = (uint32_t)(cache->top - loaded->round);
    load(cache, cache->previous, cache->previous_rounds);
    cache->previous = loaded;
    cache->previous_rounds = rounds;
}

/* The previous magazine, which is empty, for a full one, which is loaded. */
static bool exchange_for_full(struct slab_class *class, struct slab_cache *cache)
{
    struct slab_depot *depot = class->depot;
    struct lock_node node;
    unsigned number = 0;
    lock_acquire(&class->depot_lock, &node);
    bool found = depot->nfull > 0;
    if (found) {
        depot->nfull--;
        number = depot->slot[depot->nfull];
        depot->slot[depot->nfull] = cache->previous->number;
    }
    lock_release(&class->depot_lock, &node);
    if (!found)
        return false;
    counter_add(COUNTER_HEAP_EXCHANGE, 1);
    cache->previous = cache->loaded;
    load(cache, slab_magazine(class, number), cache->capacity);
    return true;
}

/* The previous magazine, which is full, for an empty one, which is loaded. */
static bool exchange_for_empty(struct slab_class *class, struct slab_cache *cache)
{
    struct slab_depot *depot = class->depot;
    struct lock_node node;
    unsigned number = 0;
    lock_acquire(&class->depot_lock, &node);
    bool found = depot->nfull < class->ndepot;
    if (found) {
        number = depot->slot[depot->nfull];
        depot->slot[depot->nfull] = cache->previous->number;
        depot->nfull++;
    }
    lock_release(&class->depot_lock, &node);
    if (!found)
        return false;
    counter_add(COUNTER_HEAP_EXCHANGE, 1);
    cache->previous = cache->loaded;
    cache->previous_rounds = cache->capacity;
    load(cache, slab_magazine(class, number), 0);
    return true;
}

bool slab_load(struct heap *heap, unsigned number, struct slab_cache *cache)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    uintptr_t *rounds = cache->loaded->round;
    if (cache->previous_rounds > 0) {
        swap(cache);
        return true;
    }
    if (exchange_for_full(class, cache))
        return true;
    unsigned got = slab_take(heap, number, rounds, cache->capacity);
    if (got == 0)
        got = slab_grow(heap, number, rounds, cache->capacity);
    if (got == 0)
        got = slab_reclaim(heap, number, rounds, cache->capacity);
    if (got == 0 && slab_reclaim_pages(heap))
        got = slab_grow(heap, number, rounds, cache->capacity);
    cache->top += got;
    return got > 0;
}

void slab_unload(struct heap *heap, unsigned number, struct slab_cache *cache)
{
    struct slab_class *class = &slab_heap_of(heap)->class[number];
    if (cache->previous_rounds < cache->capacity) {
        swap(cache);
        return;
    }
    if (exchange_for_empty(class, cache))
        return;
    slab_put(heap, number, cache->previous->round, cache->previous_rounds);
    cache->previous_rounds = 0;
    swap(cache);
}
