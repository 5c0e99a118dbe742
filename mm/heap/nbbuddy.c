/*
 * The design "nbbuddy": a buddy system without locks. What it is made of is told in nbbuddy.h; here are the
 * operations, which ask nbbuddy_tree.h for a block of a tree, and the search for a tree that has one.
 *
 * Compiled a second time by nbbuddy_locked.c.
 */
#ifndef NBBUDDY_LOCKED
#define NBBUDDY_LOCKED 0
#endif

#include "mm/heap/nbbuddy_tree.h"

/* Words of `rooms` that a search looks at before it asks for pages: trees of 4 MiB. The next one that finds nothing
 * there goes on behind them, so growing costs the same however large the heap is. */
#define WINDOW_WORDS 32u

static size_t nbbuddy_metadata_size(size_t nframes, unsigned nharts)
{
    size_t ntrees = DIV_CEIL(nframes, TREE_PAGES);
    return sizeof(struct nbbuddy) + nharts * sizeof(struct nbbuddy_hart) +
           ntrees * (sizeof(struct nbbuddy_upper) + TREE_SLOTS * sizeof(uint64_t)) +
           ALIGN_UP(DIV_CEIL(ntrees, ROOMS) * sizeof(uint64_t), (size_t)CACHE_LINE_BYTES);
}

/* The harts begin as far from each other as can be, as in the paper. */
static void place_harts(struct heap *heap)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    for (unsigned i = 0; i < heap->nharts; i++) {
        struct nbbuddy_hart *hart = &self->harts[i];
        hart->spare = (uint64_t)self->ntrees * i / heap->nharts;
        hart->window = hart->spare / ROOMS;
        for (unsigned k = 0; k < PLACES; k++)
            hart->place[k] = (uint64_t)hart->spare << TREE_SHIFT;
        hart->freed = NBBUDDY_NONE;
    }
}

static int nbbuddy_init(struct heap *heap)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    memset(self, 0, nbbuddy_metadata_size(heap->nframes, heap->nharts));
    self->ntrees = DIV_CEIL(heap->nframes, TREE_PAGES);
    self->nrooms = DIV_CEIL(self->ntrees, ROOMS);
    self->bytes = (size_t)self->ntrees << TREE_SHIFT;
    self->uppers = (struct nbbuddy_upper *)&self->harts[heap->nharts];
    self->lowers = (_Atomic uint64_t *)&self->uppers[self->ntrees];
    self->rooms = &self->lowers[(size_t)self->ntrees * TREE_SLOTS];
#if NBBUDDY_LOCKED
    lock_init(&self->lock, heap->lock_kind, "heap.nbbuddy_locked");
#endif
    /* Relaxed: nobody else is here yet. sd. */
    for (uint32_t tree = 0; tree < self->ntrees; tree++)
        store_relaxed(&self->uppers[tree].bunch, UPPER_STATES);
    place_harts(heap);
    return 0;
}

static ALWAYS_INLINE uint64_t *place_of(struct nbbuddy *self, unsigned order)
{
    return &self->harts[hart_index()].place[MIN(order, PLACES - 1u)];
}

/* A block of less than a slot, of that one. */
static size_t take_from(struct heap *heap, struct nbbuddy *self, size_t place, unsigned order)
{
    uint64_t before, first = take_leaves(lower_at(self, place), order, &before);
    if (!first)
        return NBBUDDY_NONE;
    size_t found = place + (bits_lowest_of_one(first) << LEAF_SHIFT);
    if ((before & LOWER_MARKED) || climb(self, found, before))
        return found;
    put_back(heap, self, found);
    return NBBUDDY_NONE;
}

/* The same, of one of several of a tree: there the hart goes on. */
static size_t take_from_any(
    struct heap *heap, struct nbbuddy *self, uint32_t tree, unsigned order, uint64_t slots)
{
    for (; slots != 0; slots &= slots - 1) {
        size_t place = (size_t)tree << TREE_SHIFT | bits_lowest(slots) << SLOT_SHIFT;
        size_t found = take_from(heap, self, place, order);
        if (found == NBBUDDY_NONE)
            continue;
        *place_of(self, order) = place;
        return found;
    }
    return NBBUDDY_NONE;
}

/* Where the hart has just freed a block, if that was less than a slot and this one is: who frees and allocates in
 * turn, among blocks of long life, need not look for a hole. The authors' program goes on from there, too, until the
 * slot is full. Here a hart does not, and has pages of its own first: it would settle in the slot that others are
 * at. */
static size_t take_freed(struct heap *heap, struct nbbuddy *self, unsigned order)
{
    struct nbbuddy_hart *hart = &self->harts[hart_index()];
    size_t freed = hart->freed;
    hart->freed = NBBUDDY_NONE;
    if (freed == NBBUDDY_NONE || !(LOAD(upper_at(self, hart->place[order])) & UPPER_PAGES))
        return NBBUDDY_NONE;
    return take_from(heap, self, ALIGN_DOWN(freed, 1ull << SLOT_SHIFT), order);
}

static size_t take_whole(struct nbbuddy *self, uint32_t tree, unsigned order)
{
    size_t place = (size_t)tree << TREE_SHIFT;
    uint64_t first = take_slots(&self->uppers[tree].bunch, order);
    if (!first)
        return NBBUDDY_NONE;
    *place_of(self, order) = place;
    return place | bits_lowest_of_one(first) << SLOT_SHIFT;
}

/* A block of a tree, in a slot that is divided already if there is room in one. Each part of it that has none is seen
 * to be full at some moment. */
static size_t take_in(struct heap *heap, struct nbbuddy *self, uint32_t tree, unsigned order)
{
    if (order >= SLOT_ORDER)
        return take_whole(self, tree, order);
    uint64_t upper = LOAD(&self->uppers[tree].bunch);
    size_t found = take_from_any(heap, self, tree, order, upper_divided_slots(upper));
    return found != NBBUDDY_NONE ? found : take_from_any(heap, self, tree, order, upper_free_slots(upper));
}

/* Relaxed: a hint. lr.d; sc.d. */
static void say_none(struct nbbuddy *self, uint32_t tree, unsigned room)
{
    UPDATE(cas_relaxed, &self->rooms[tree / ROOMS], room_lower, tree % ROOMS, room);
}

/* In the trees of a window that are said to have room. */
static size_t look_around(struct heap *heap, struct nbbuddy *self, unsigned order)
{
    struct nbbuddy_hart *hart = &self->harts[hart_index()];
    uint32_t word = hart->window;
    for (uint32_t n = MIN(WINDOW_WORDS, self->nrooms); n > 0; n--) {
        uint64_t tops = rooms_for(LOAD(&self->rooms[word]), order);
        for (; tops != 0; tops &= tops - 1) {
            uint32_t tree = word * ROOMS + bits_lowest(tops) / ROOM_BITS;
            size_t found = take_in(heap, self, tree, order);
            if (found != NBBUDDY_NONE)
                return found;
            say_none(self, tree, order);
        }
        word = word + 1 < self->nrooms ? word + 1 : 0;
    }
    hart->window = word;
    return NBBUDDY_NONE;
}

/* In all of them, whatever is said: what makes NULL true. What another hart is about to put back, or has of pages
 * and has not shown yet, is not there. */
static size_t look_everywhere(struct heap *heap, struct nbbuddy *self, unsigned order)
{
    uint32_t tree = *place_of(self, order) >> TREE_SHIFT;
    for (uint32_t n = self->ntrees; n > 0; n--) {
        size_t found = take_in(heap, self, tree, order);
        if (found != NBBUDDY_NONE) {
            say_room(self, tree, ROOM_ALL);
            return found;
        }
        tree = tree + 1 < self->ntrees ? tree + 1 : 0;
    }
    return NBBUDDY_NONE;
}

/* Another span: a whole tree, or a page where that does. Which tree that is in, or NBBUDDY_NONE. Release: the pages
 * are ours, for who takes a block there. lr.d; sc.d.rl. */
static size_t grow(struct heap *heap, struct nbbuddy *self, unsigned order)
{
    bool whole = true;
    void *base = heap_span_take(heap, WHOLE_SPAN_ORDER, 0);
    if (!base && order <= PAGE_ORDER) {
        whole = false;
        base = heap_span_take(heap, 0, 0);
    }
    if (!base)
        return NBBUDDY_NONE;
    size_t page = ((uintptr_t)base - heap->base) >> PAGE_SHIFT;
    uint32_t tree = page / TREE_PAGES;
    UPDATE(cas_release, &self->uppers[tree].bunch, upper_open, whole, page % TREE_PAGES);
    say_room(self, tree, ROOM_ALL);
    return tree;
}

/* The end of every operation that gives a block out. */
static ALWAYS_INLINE void *hand_out(
    struct heap *heap, struct nbbuddy *self, size_t found, struct lock_node *node)
{
    uint64_t left;
    if (plant_due(PLANT_TWICE) && !put_leaves(self, found, &left))
        put_slots(self, found);
    LEAVE(self, node);
    return (void *)(heap->base + found);
}

/* Where the hart freed last, then near where it had the last one from, then wherever there is room, then in new
 * pages. */
static size_t find(struct heap *heap, struct nbbuddy *self, unsigned order)
{
    uint32_t tree = tree_of(*place_of(self, order)), spare = self->harts[hart_index()].spare;
    size_t found = order < SLOT_ORDER ? take_freed(heap, self, order) : NBBUDDY_NONE, grown;
    if (found == NBBUDDY_NONE)
        found = take_in(heap, self, tree, order);
    if (found == NBBUDDY_NONE && spare != tree)
        found = take_in(heap, self, spare, order);
    if (found == NBBUDDY_NONE)
        found = look_around(heap, self, order);
    /* Others may have taken all of it before we look. */
    while (found == NBBUDDY_NONE && (grown = grow(heap, self, order)) != NBBUDDY_NONE)
        found = take_in(heap, self, grown, order);
    return found != NBBUDDY_NONE ? found : look_everywhere(heap, self, order);
}

static NOINLINE void *search(struct heap *heap, unsigned order, struct lock_node *node)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    size_t found = find(heap, self, order);
    if (found != NBBUDDY_NONE)
        return hand_out(heap, self, found, node);
    LEAVE(self, node);
    /* Two pages are of one tree only where that is one span; by themselves they may be to be had. */
    return order == PAGE_ORDER + 1 ? heap_large_alloc(heap, 2 * PAGE_BYTES, 1) : NULL;
}

static COLD void *search_again(struct heap *heap, size_t lost, unsigned order, struct lock_node *node)
{
    put_back(heap, nbbuddy_of(heap), lost);
    return search(heap, order, node);
}

/* In a slot that was not marked. */
static NOINLINE LEAF_PATH void *take_unmarked(
    struct heap *heap, size_t found, unsigned order, uint64_t before, struct lock_node *node)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    if (unlikely(!climb(self, found, before)))
        return search_again(heap, found, order, node);
    return hand_out(heap, self, found, node);
}

/* Where the hart had the last one from, if there is room. */
static ALWAYS_INLINE void *take_small(struct heap *heap, unsigned order)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    size_t place = self->harts[hart_index()].place[order];
    struct lock_node node;
    uint64_t before;
    ENTER(self, &node);
    uint64_t first = take_leaves(lower_at(self, place), order, &before);
    size_t found = place + (bits_lowest_of_one(first) << LEAF_SHIFT);
    if (unlikely(!first))
        return search(heap, order, &node);
    if (!(before & LOWER_MARKED))
        return take_unmarked(heap, found, order, before, &node);
    return hand_out(heap, self, found, &node);
}

static ALWAYS_INLINE void *take_large(struct heap *heap, unsigned order)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    size_t place = self->harts[hart_index()].place[PLACES - 1];
    struct lock_node node;
    ENTER(self, &node);
    uint64_t first = take_slots(upper_at(self, place), order);
    if (unlikely(!first))
        return search(heap, order, &node);
    return hand_out(heap, self, place + (bits_lowest_of_one(first) << SLOT_SHIFT), &node);
}

/* The orders of blocks of up to 16 leaves, and of slots less SLOT_ORDER. */
static const uint8_t orders[TREE_SLOTS] = {0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4};

static LEAF_PATH void *nbbuddy_alloc(struct heap *heap, size_t bytes)
{
    if (bytes <= 1u << (SLOT_SHIFT - 1))
        return take_small(heap, orders[(bytes - 1) >> LEAF_SHIFT]);
    if (bytes <= 1u << TREE_SHIFT)
        return take_large(heap, SLOT_ORDER + orders[(bytes - 1) >> SLOT_SHIFT]);
    return heap_large_alloc(heap, bytes, 1);
}

/* A block lies where its size divides. */
static void *nbbuddy_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    size_t room = MAX(bytes, align);
    return room <= 1u << TREE_SHIFT ? nbbuddy_alloc(heap, room) : heap_large_alloc(heap, bytes, align);
}

static NOINLINE LEAF_PATH void free_last(struct heap *heap, size_t offset, struct lock_node *node)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    join(heap, self, offset);
    LEAVE(self, node);
}

static NOINLINE LEAF_PATH void free_slots(
    struct heap *heap, void *pointer, const void *caller, struct lock_node *node)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    size_t offset = (uintptr_t)pointer - heap->base;
    bool right = IS_ALIGNED(offset, 1u << SLOT_SHIFT) && put_slots(self, offset);
    if (likely(right))
        keep_or_give(heap, self, offset);
    LEAVE(self, node);
    if (unlikely(!right))
        nbbuddy_refuse(heap, pointer, caller);
}

static LEAF_PATH void nbbuddy_free(struct heap *heap, void *pointer)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    size_t offset = (uintptr_t)pointer - heap->base;
    struct lock_node node;
    uint64_t left = 0;
    if (unlikely(offset >= self->bytes || !IS_ALIGNED(offset, 1u << LEAF_SHIFT))) {
        nbbuddy_refuse(heap, pointer, __builtin_return_address(0));
        return;
    }
    if (plant_due(PLANT_LOST))
        return;
    ENTER(self, &node);
    if (upper_state(LOAD(upper_at(self, offset)), slot_of(offset)) != SLOT_DIVIDED) {
        free_slots(heap, pointer, __builtin_return_address(0), &node);
        return;
    }
    bool right = put_leaves(self, offset, &left);
    if (right && left == 0) {
        free_last(heap, offset, &node);
        return;
    }
    if (likely(right)) {
        self->harts[hart_index()].freed = offset;
        say_room(self, tree_of(offset), ROOM_LEAVES);
    }
    LEAVE(self, &node);
    if (unlikely(!right))
        nbbuddy_refuse(heap, pointer, __builtin_return_address(0));
}

static void nbbuddy_drain(struct heap *heap)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    struct lock_node node;
    ENTER(self, &node);
    for (uint32_t tree = 0; tree < self->ntrees; tree++)
        give_tree(heap, self, tree);
    LEAVE(self, &node);
}

const struct heap_ops
#if NBBUDDY_LOCKED
    heap_nbbuddy_locked = {
        .name = "nbbuddy_locked",
#else
    heap_nbbuddy = {
        .name = "nbbuddy",
        .lockless = true,
#endif
        .metadata_size = nbbuddy_metadata_size,
        .init = nbbuddy_init,
        .alloc = nbbuddy_alloc,
        .alloc_aligned = nbbuddy_alloc_aligned,
        .free = nbbuddy_free,
        .usable_size = nbbuddy_usable_size,
        .drain = nbbuddy_drain,
        .validate = nbbuddy_validate,
        .walk = nbbuddy_walk,
        .describe = nbbuddy_describe,
};
