/*
 * The design "treebuddy": a binary buddy system as an implicit tree, one a span, with one lock around it all. What
 * teaching kernels have. Node 1 is the span, the halves of node n are 2n and 2n + 1, so n ^ 1 is its buddy; of each
 * node is known how large the longest free block in it is. Nothing is written to free blocks.
 *
 * An allocation goes down from the root to a node that is free as a whole, a free up from the first grain to the node that is in
 * use; both then correct the nodes above. As many steps as a span has levels, however many blocks there are.
 *
 * What such code got wrong more than once: on the way up after a free the node above is "not full" or has the longer one of its
 * halves, and that it is one block again when both are free is forgotten, or is seen only where the free began. All
 * memory is free then, and cannot be had. tests/host/test_heap_reuse.c.
 *
 * Source: Knowlton, "A Fast Storage Allocator", 1965; a tree with the longest free block in its nodes has been common ever since.
 */
#include "mm/heap/treebuddy.h"
#include "trace/inject.h"

static size_t links_bytes(size_t nframes)
{
    return nframes * sizeof(struct links);
}

static size_t treebuddy_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct treebuddy) + links_bytes(nframes) + nframes * PAGE_GRAINS;
}

static int treebuddy_init(struct heap *heap)
{
    struct treebuddy *treebuddy = heap->metadata;
    memset(treebuddy, 0, sizeof(*treebuddy));
    memset(treebuddy->list, 0xff, sizeof(treebuddy->list)); /* NONE */
    lock_init(&treebuddy->lock, heap->lock_kind, "heap.treebuddy");
    treebuddy->links = (void *)(treebuddy + 1);
    treebuddy->nodes = (uint8_t *)treebuddy->links + links_bytes(heap->nframes);
    return 0;
}

/* What a node has of its two halves, blocks of an order. */
static unsigned joined(unsigned halves, unsigned order)
{
    if (halves == whole(order) * 0x11 && !plant_due(PLANT_TREEBUDDY_APART))
        return whole(order + 1);
    return MAX(halves & 15, halves >> 4);
}

/* A node's value changes, and with it those above as far as they do. */
static void set_up_to_root(const struct tree *tree, uint32_t node, unsigned order, unsigned value)
{
    uint8_t *nodes = tree->nodes;
    for (;; node >>= 1, order++) {
        unsigned shift = (node & 1) * 4, pair = nodes[node >> 1];
        if ((pair >> shift & 15) == value)
            return;
        pair = (pair & 0xf0 >> shift) | value << shift;
        nodes[node >> 1] = pair;
        if (node == 1)
            return;
        value = joined(pair, order);
    }
}

/* All nodes whole. The root's buddy is none, and 0. */
static void init_tree(const struct tree *tree)
{
    for (unsigned order = 0; order < tree->order; order++) {
        size_t bytes = (size_t)1 << (tree->order - order) >> 1;
        memset(&tree->nodes[bytes], whole(order) * 0x11, bytes);
    }
    tree->nodes[0] = whole(tree->order) << 4;
}

static void list_span(struct treebuddy *treebuddy, uint32_t frame, unsigned value)
{
    uint32_t next = treebuddy->list[value];
    if (value == 0)
        return;
    treebuddy->links[frame] = (struct links){next, NONE};
    if (next != NONE)
        treebuddy->links[next].previous = frame;
    treebuddy->list[value] = frame;
    treebuddy->filled |= 1u << value;
}

static void unlist_span(struct treebuddy *treebuddy, uint32_t frame, unsigned value)
{
    struct links links = treebuddy->links[frame];
    if (value == 0)
        return;
    if (links.next != NONE)
        treebuddy->links[links.next].previous = links.previous;
    if (links.previous != NONE)
        treebuddy->links[links.previous].next = links.next;
    else
        treebuddy->list[value] = links.next;
    if (treebuddy->list[value] == NONE)
        treebuddy->filled &= ~(1u << value);
}

/* The span with the shortest longest block that will do, or a new one, which is listed. False: there is none. */
static bool find(struct heap *heap, struct treebuddy *treebuddy, unsigned order, struct tree *tree)
{
    uint32_t fitting = treebuddy->filled >> whole(order);
    if (fitting) {
        void *base = span_at(heap, treebuddy->list[whole(order) + bits_lowest(fitting)]);
        *tree = tree_of(heap, heap_span_of(heap, base), base);
        return true;
    }
    void *base = block_span_take(heap, order);
    if (!base)
        return false;
    *tree = tree_of(heap, heap_span_of(heap, base), base);
    init_tree(tree);
    list_span(treebuddy, tree->frame, root_value(tree));
    return true;
}

/* Down to a free node of an order, where there is one: at each level into the half whose longest block is the shorter one
 * of those that will do, so that long ones stay; the left half else. */
static uint32_t find_node(const struct tree *tree, unsigned order)
{
    uint32_t node = 1;
    for (unsigned at = tree->order; at > order; at--) {
        unsigned halves = tree->nodes[node], left = halves & 15, right = halves >> 4;
        bool to_right = left < whole(order) || (right >= whole(order) && right < left);
        node = 2 * node + to_right;
    }
    return node;
}

static void *take_from(
    struct heap *heap, struct treebuddy *treebuddy, const struct tree *tree, unsigned order)
{
    uint32_t node = find_node(tree, order);
    unsigned before = root_value(tree);
    if (!plant_due(PLANT_TREEBUDDY_TWICE))
        set_up_to_root(tree, node, order, 0);
    if (root_value(tree) != before) {
        unlist_span(treebuddy, tree->frame, before);
        list_span(treebuddy, tree->frame, root_value(tree));
    }
    size_t grain = ((size_t)node << order) - ((size_t)1 << tree->order);
    return (uint8_t *)span_at(heap, tree->frame) + grain * GRAIN_BYTES;
}

static void *treebuddy_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    struct treebuddy *treebuddy = heap->metadata;
    struct lock_node node;
    struct tree tree;
    void *block = NULL;
    size_t room = MAX(bytes, align); /* a block is aligned to its size */
    if (room > BLOCK_MAX)
        return heap_large_alloc(heap, bytes, align);
    unsigned order = order_for(room);
    lock_acquire(&treebuddy->lock, &node);
    if (find(heap, treebuddy, order, &tree))
        block = take_from(heap, treebuddy, &tree, order);
    lock_release(&treebuddy->lock, &node);
    return block;
}

static void *treebuddy_alloc(struct heap *heap, size_t bytes)
{
    return treebuddy_alloc_aligned(heap, bytes, HEAP_ALIGN);
}

static bool begins_at(const struct heap *heap, const struct tree *tree, const void *pointer, unsigned order)
{
    return IS_ALIGNED((uintptr_t)pointer - (uintptr_t)span_at(heap, tree->frame), GRAIN_BYTES << order);
}

/* The span's list follows its root; a whole span goes back, but for one: the last block of all would go to the frame
 * allocator and back each time. */
static void put(
    struct heap *heap, struct treebuddy *treebuddy, const struct tree *tree, uint32_t node, unsigned order)
{
    unsigned before = root_value(tree);
    set_up_to_root(tree, node, order, whole(order));
    unsigned value = root_value(tree);
    if (value == before)
        return;
    unlist_span(treebuddy, tree->frame, before);
    if (value == whole(tree->order) &&
        (tree->order < BLOCK_ORDER || treebuddy->list[whole(BLOCK_ORDER)] != NONE))
        heap_span_give(heap, span_at(heap, tree->frame));
    else
        list_span(treebuddy, tree->frame, value);
}

/* With the lock. Whether it was right; else its kind and the size of the block that it is about. */
static bool give(
    struct heap *heap, heap_span_t span, void *pointer, enum heap_misuse_kind *kind, size_t *bytes)
{
    struct tree tree = tree_of(heap, span, pointer);
    unsigned order;
    uint32_t node = node_in_use(heap, &tree, pointer, &order);
    if (unlikely(node == 0)) {
        *kind = HEAP_MISUSE_DOUBLE_FREE;
        return false;
    }
    *bytes = GRAIN_BYTES << order;
    *kind = HEAP_MISUSE_INTERIOR;
    if (unlikely(!begins_at(heap, &tree, pointer, order)))
        return false;
    if (!plant_due(PLANT_TREEBUDDY_LOST))
        put(heap, heap->metadata, &tree, node, order);
    return true;
}

static void treebuddy_free(struct heap *heap, void *pointer)
{
    struct treebuddy *treebuddy = heap->metadata;
    enum heap_misuse_kind kind = HEAP_MISUSE_FOREIGN;
    struct lock_node node;
    size_t bytes = 0;
    lock_acquire(&treebuddy->lock, &node);
    heap_span_t span = heap_span_of(heap, pointer);
    bool large = heap_span_is_large(span);
    bool right = !heap_span_none(span) && !large && give(heap, span, pointer, &kind, &bytes);
    lock_release(&treebuddy->lock, &node);
    if (large)
        heap_large_free(heap, span, pointer, __builtin_return_address(0));
    else if (unlikely(!right))
        heap_refuse_at(heap, kind, pointer, bytes, __builtin_return_address(0));
}

/* With the lock: a node is in one byte with its buddy. */
static size_t treebuddy_usable_size(struct heap *heap, const void *pointer)
{
    struct treebuddy *treebuddy = heap->metadata;
    struct lock_node node;
    size_t bytes = 0;
    lock_acquire(&treebuddy->lock, &node);
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_is_large(span)) {
        bytes = heap_large_usable(span, pointer);
    } else if (!heap_span_none(span)) {
        struct tree tree = tree_of(heap, span, pointer);
        unsigned order;
        if (node_in_use(heap, &tree, pointer, &order) != 0 && begins_at(heap, &tree, pointer, order))
            bytes = GRAIN_BYTES << order;
    }
    lock_release(&treebuddy->lock, &node);
    return bytes;
}

static void treebuddy_drain(struct heap *heap)
{
    struct treebuddy *treebuddy = heap->metadata;
    struct lock_node node;
    lock_acquire(&treebuddy->lock, &node);
    for (uint32_t frame; (frame = treebuddy->list[whole(BLOCK_ORDER)]) != NONE;) {
        unlist_span(treebuddy, frame, whole(BLOCK_ORDER));
        heap_span_give(heap, span_at(heap, frame));
    }
    lock_release(&treebuddy->lock, &node);
}

static void treebuddy_describe(struct heap *heap, struct parts *parts)
{
    struct treebuddy *treebuddy = heap->metadata;
    lock_describe(&treebuddy->lock, parts);
    parts_add_array(parts, "head of list", treebuddy->list, sizeof(treebuddy->list[0]), VALUES,
        sizeof(treebuddy->list[0]));
    parts_add_array(parts, "links of span", treebuddy->links, sizeof(treebuddy->links[0]), heap->nframes,
        sizeof(treebuddy->links[0]));
    parts_add_array(parts, "tree of frame", treebuddy->nodes, PAGE_GRAINS, heap->nframes, PAGE_GRAINS);
}

const struct heap_ops heap_treebuddy = {
    .name = "treebuddy",
    .link_bytes = 0,
    .metadata_size = treebuddy_metadata_size,
    .init = treebuddy_init,
    .alloc = treebuddy_alloc,
    .alloc_aligned = treebuddy_alloc_aligned,
    .free = treebuddy_free,
    .usable_size = treebuddy_usable_size,
    .drain = treebuddy_drain,
    .validate = treebuddy_validate,
    .walk = treebuddy_walk,
    .describe = treebuddy_describe,
};
