/* What the parts of the design "treebuddy" share: treebuddy.c has its operations, treebuddy_validate.c its inspection. */
#ifndef MM_HEAP_TREEBUDDY_H
#define MM_HEAP_TREEBUDDY_H

#include "mm/heap/buddy_sizes.h"

/* A node's value: 1 + the order of the longest free block in it, 0 for none; whole() where that block is all of it. Below a
 * block, free or in use, all nodes have their whole values: so a node that has nothing shows by those below it whether
 * it is one block or is cut up. */
#define VALUES (BLOCK_ORDER + 2)

_Static_assert(VALUES <= 16, "two nodes a byte: a pair of buddies");

#define NONE UINT32_MAX

/* Of spans, by the number of their first frame. */
struct links {
    uint32_t next, previous;
};

struct treebuddy {
    struct lock lock; /* protects trees, lists and links */
    uint32_t filled; /* values whose lists are not empty */
    uint32_t list[VALUES]; /* spans by the values of their roots; not those without a free block */
    struct links *links; /* of every frame of the arena */
    uint8_t *nodes; /* PAGE_GRAINS bytes a frame: a span's tree has twice as many nodes as it has grains */
};

/* The tree of one span. */
struct tree {
    uint8_t *nodes; /* the n-th byte has the halves of node n, the left one in bits 3…0 */
    uint32_t frame; /* the span's first */
    unsigned order; /* of the root */
};

static inline struct tree tree_of(const struct heap *heap, heap_span_t span, const void *address)
{
    const struct treebuddy *treebuddy = heap->metadata;
    uint32_t frame = ((uintptr_t)heap_span_base(span, address) - heap->base) >> PAGE_SHIFT;
    return (struct tree){&treebuddy->nodes[frame * PAGE_GRAINS], frame, span_block_order(span)};
}

static inline void *span_at(const struct heap *heap, uint32_t frame)
{
    return (void *)(heap->base + ((uintptr_t)frame << PAGE_SHIFT));
}

static inline unsigned value_of(const struct tree *tree, uint32_t node)
{
    return tree->nodes[node >> 1] >> (node & 1) * 4 & 15;
}

static inline unsigned whole(unsigned order)
{
    return order + 1;
}

static inline unsigned root_value(const struct tree *tree)
{
    return value_of(tree, 1);
}

static inline uint32_t leaf_at(const struct heap *heap, const struct tree *tree, const void *address)
{
    size_t grain = ((uintptr_t)address - (uintptr_t)span_at(heap, tree->frame)) >> GRAIN_SHIFT;
    return ((uint32_t)1 << tree->order) + grain;
}

/* The node in use that an address is in, and its order; 0: it is free there. All nodes below a block are whole, so the first
 * from the grain up that has nothing is the block. */
static inline uint32_t node_in_use(
    const struct heap *heap, const struct tree *tree, const void *address, unsigned *order)
{
    uint32_t node = leaf_at(heap, tree, address);
    for (*order = 0; node != 0 && value_of(tree, node) != 0; ++*order)
        node >>= 1;
    return node;
}

/** treebuddy_validate, treebuddy_walk - as heap_ops has them. */
int treebuddy_validate(struct heap *heap);
void treebuddy_walk(struct heap *heap, heap_visit *visit, void *argument);

#endif
