/* What "nbbuddy" and "nbbuddy_locked" have in common and neither swaps nor stores: what a pointer is of, and
 * inspection while the harts are quiet, bunch against bunch, and both against the spans. Every block is found by its
 * bits. */
#include "lib/error.h"
#include "mm/heap/nbbuddy.h"

/* Everything here is relaxed: the harts are quiet, or the block is the caller's and stays as it is, or it is wrong
 * and may be anything. ld. */
#define LOAD(object) atomic_load_explicit(object, memory_order_relaxed)

/* The size of the block that an address is in, and where that begins; 0: it is in none. */
static size_t block_around(struct nbbuddy *self, size_t offset, size_t *begin)
{
    uint64_t upper = LOAD(upper_at(self, offset)), lower = LOAD(lower_at(self, offset)), block = 0;
    bool divided = upper_state(upper, slot_of(offset)) == SLOT_DIVIDED;
    unsigned shift = divided ? LEAF_SHIFT : SLOT_SHIFT;
    int at = divided ? leaf_of(offset) : slot_of(offset);
    size_t first = ALIGN_DOWN(offset, (size_t)1 << shift) - ((size_t)at << shift);
    for (; at >= 0 && block == 0 && (divided ? lower : upper) >> at & 1; at--)
        block = divided ? lower_block(lower, at) : upper_block(upper, at);
    *begin = first + ((size_t)(at + 1) << shift);
    return (size_t)bits_count(block) << shift;
}

void nbbuddy_refuse(struct heap *heap, void *pointer, const void *caller)
{
    heap_span_t span = heap_span_of(heap, pointer);
    size_t offset = (uintptr_t)pointer - heap->base, begin;
    if (heap_span_is_large(span)) {
        heap_large_free(heap, span, pointer, caller);
        return;
    }
    if (heap_span_none(span)) {
        heap_refuse_at(heap, HEAP_MISUSE_FOREIGN, pointer, 0, caller);
        return;
    }
    /* Looked at anew: it may be the beginning of somebody's block by now. */
    size_t bytes = block_around(nbbuddy_of(heap), offset, &begin);
    if (bytes > 0 && begin != offset)
        heap_refuse_at(heap, HEAP_MISUSE_INTERIOR, pointer, bytes, caller);
    else
        heap_refuse_at(heap, HEAP_MISUSE_DOUBLE_FREE, pointer, 0, caller);
}

size_t nbbuddy_usable_size(struct heap *heap, const void *pointer)
{
    heap_span_t span = heap_span_of(heap, pointer);
    size_t begin, offset = (uintptr_t)pointer - heap->base;
    if (heap_span_none(span))
        return 0;
    if (heap_span_is_large(span))
        return heap_large_usable(span, pointer);
    size_t bytes = block_around(nbbuddy_of(heap), offset, &begin);
    return begin == offset ? bytes : 0;
}

static void *address_of(const struct heap *heap, uint32_t tree, unsigned slot, unsigned leaf)
{
    return (void *)(heap->base + ((size_t)tree << TREE_SHIFT) + (slot << SLOT_SHIFT) + (leaf << LEAF_SHIFT));
}

/* Places are in leaves of a slot or slots of a tree: is that a block that could have been given out? */
static bool is_buddy(unsigned first, unsigned length)
{
    return IS_POWER_OF_TWO(length) && first % length == 0;
}

static unsigned lower_length(uint64_t lower, unsigned leaf)
{
    return bits_count(lower_block(lower, leaf));
}

static unsigned upper_length(uint64_t upper, unsigned slot)
{
    return bits_count(upper_block(upper, slot));
}

static int check_lower(const struct heap *heap, uint32_t tree, unsigned slot)
{
    uint64_t lower = LOAD(&nbbuddy_of(heap)->lowers[tree * TREE_SLOTS + slot]);
    bool divided = upper_state(LOAD(&nbbuddy_of(heap)->uppers[tree].bunch), slot) == SLOT_DIVIDED;
    if (divided != ((lower & LOWER_LEAVES) != 0) || (!divided && lower != 0))
        return heap_corrupt(heap, address_of(heap, tree, slot, 0),
            divided ? "a slot is divided, and nothing lies in it"
                    : "something lies in a slot that is not divided");
    for (unsigned leaf = 0, length; leaf < SLOT_LEAVES; leaf += length) {
        bool taken = lower >> leaf & 1, begins = leaf > 0 && (lower >> 32 >> leaf & 1);
        length = taken ? lower_length(lower, leaf) : 1;
        if ((!taken && begins) || !is_buddy(leaf, length))
            return heap_corrupt(heap, address_of(heap, tree, slot, leaf), "leaves that are no block");
    }
    return 0;
}

/* What the spans say of a page against what the tree does. */
static int check_page(const struct heap *heap, uint32_t tree, unsigned page)
{
    uint64_t upper = LOAD(&nbbuddy_of(heap)->uppers[tree].bunch);
    void *address = address_of(heap, tree, page * PAGE_SLOTS, 0);
    heap_span_t span = heap_span_of(heap, address);
    bool ours = !heap_span_none(span) && !heap_span_is_large(span);
    if (upper_has_page(upper, page) != ours)
        return heap_corrupt(heap, address, "a page of the heap's that its tree lacks, or the reverse");
    if (ours && heap_span_order(span) != (upper & UPPER_WHOLE ? WHOLE_SPAN_ORDER : 0))
        return heap_corrupt(heap, address, "a page is in a span of another size than its tree says");
    uint64_t states = upper_span_states(false, page);
    return !ours && (upper & states) != states
               ? heap_corrupt(heap, address, "a page that is nobody's is to be had")
               : 0;
}

static int check_tree(const struct heap *heap, uint32_t tree)
{
    uint64_t upper = LOAD(&nbbuddy_of(heap)->uppers[tree].bunch);
    int error = 0;
    for (unsigned page = 0; !error && page < TREE_PAGES; page++)
        error = check_page(heap, tree, page);
    for (unsigned slot = 0; !error && slot < TREE_SLOTS; slot++)
        error = check_lower(heap, tree, slot);
    for (unsigned slot = 0, length; !error && slot < TREE_SLOTS; slot += length) {
        length =
            upper >> slot & 1 && upper_has_page(upper, slot / PAGE_SLOTS) ? upper_length(upper, slot) : 1;
        if (!is_buddy(slot, length) || (length > PAGE_SLOTS && !(upper & UPPER_WHOLE)))
            error = heap_corrupt(heap, address_of(heap, tree, slot, 0), "slots that are no block");
    }
    return error;
}

static int check_hart(const struct heap *heap, const struct nbbuddy_hart *hart)
{
    const struct nbbuddy *self = nbbuddy_of(heap);
    bool right = hart->spare < self->ntrees && hart->window < self->nrooms &&
                 (hart->freed < self->bytes || hart->freed == NBBUDDY_NONE);
    for (unsigned i = 0; i < PLACES; i++)
        right = right && hart->place[i] >> TREE_SHIFT < self->ntrees;
    return right ? 0 : heap_corrupt(heap, hart, "a hart looks behind the end of the arena");
}

int nbbuddy_validate(struct heap *heap)
{
    const struct nbbuddy *self = nbbuddy_of(heap);
    int error = 0;
    for (unsigned i = 0; !error && i < heap->nharts; i++)
        error = check_hart(heap, &self->harts[i]);
    for (uint32_t tree = 0; !error && tree < self->ntrees; tree++)
        error = check_tree(heap, tree);
    return error;
}

/* How many of the free places from one on are a buddy, which grows while both halves are free. @most: a power of two */
static unsigned free_length(uint64_t free, unsigned first, unsigned most)
{
    unsigned length = 1;
    while (length < most && first % (2 * length) == 0 &&
           (free >> first & bits_mask(0, 2 * length)) == bits_mask(0, 2 * length))
        length *= 2;
    return length;
}

static void walk_lower(struct heap *heap, uint32_t tree, unsigned slot, heap_visit *visit, void *argument)
{
    uint64_t lower = LOAD(&nbbuddy_of(heap)->lowers[tree * TREE_SLOTS + slot]);
    for (unsigned leaf = 0, length; leaf < SLOT_LEAVES; leaf += length) {
        bool live = lower >> leaf & 1;
        length =
            live ? MAX(lower_length(lower, leaf), 1u) : free_length(~lower & LOWER_LEAVES, leaf, SLOT_LEAVES);
        visit(argument, &(struct heap_block){.base = address_of(heap, tree, slot, leaf),
                            .bytes = (size_t)length << LEAF_SHIFT,
                            .live = live});
    }
}

static void walk_tree(struct heap *heap, uint32_t tree, heap_visit *visit, void *argument)
{
    uint64_t upper = LOAD(&nbbuddy_of(heap)->uppers[tree].bunch);
    for (unsigned slot = 0, length; slot < TREE_SLOTS; slot += length) {
        unsigned state = upper_state(upper, slot);
        length = 1;
        if (!upper_has_page(upper, slot / PAGE_SLOTS))
            continue;
        if (state == SLOT_DIVIDED) {
            walk_lower(heap, tree, slot, visit, argument);
            continue;
        }
        length = state != SLOT_FREE ? MAX(upper_length(upper, slot), 1u)
                                    : free_length(upper_free_slots(upper), slot,
                                          upper & UPPER_WHOLE ? TREE_SLOTS : PAGE_SLOTS);
        visit(argument, &(struct heap_block){.base = address_of(heap, tree, slot, 0),
                            .bytes = (size_t)length << SLOT_SHIFT,
                            .live = state != SLOT_FREE});
    }
}

void nbbuddy_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    for (uint32_t tree = 0; tree < nbbuddy_of(heap)->ntrees; tree++)
        walk_tree(heap, tree, visit, argument);
}

void nbbuddy_describe(struct heap *heap, struct parts *parts)
{
    struct nbbuddy *self = nbbuddy_of(heap);
    parts_add(parts, "header", self, sizeof(*self));
    if (!heap->ops->lockless)
        lock_describe(&self->lock, parts);
    parts_add_array(
        parts, "places of hart", self->harts, sizeof(*self->harts), heap->nharts, sizeof(*self->harts));
    parts_add_array(
        parts, "room of trees", self->rooms, sizeof(*self->rooms), self->nrooms, sizeof(*self->rooms));
    parts_add_array(parts, "upper bunch of tree", self->uppers, sizeof(*self->uppers), self->ntrees,
        sizeof(*self->uppers));
    parts_add_array(parts, "lower bunches of tree", self->lowers, TREE_SLOTS * sizeof(*self->lowers),
        self->ntrees, TREE_SLOTS * sizeof(*self->lowers));
}
