/* Inspection of the design "treebuddy": each node against its halves, spans against lists. */
#include "lib/error.h"
#include "mm/heap/treebuddy.h"

static void *address_of(const struct heap *heap, const struct tree *tree, uint32_t node, unsigned order)
{
    size_t grain = ((size_t)node << order) - ((size_t)1 << tree->order);
    return (uint8_t *)span_at(heap, tree->frame) + grain * GRAIN_BYTES;
}

/* Every node has what follows from its halves, or is a block in use, and then they are whole. */
static int check_tree(const struct heap *heap, const struct tree *tree)
{
    uint32_t node = ((uint32_t)2 << tree->order) - 1;
    if (value_of(tree, 0) != 0)
        return heap_corrupt(heap, span_at(heap, tree->frame), "the root has got a buddy");
    for (unsigned order = 0; order <= tree->order; order++) {
        for (; node >= (uint32_t)1 << (tree->order - order); node--) {
            unsigned value = value_of(tree, node);
            if (order == 0) {
                if (value > whole(0))
                    return heap_corrupt(heap, address_of(heap, tree, node, order), "a grain larger than one");
                continue;
            }
            unsigned left = value_of(tree, 2 * node), right = value_of(tree, 2 * node + 1);
            bool both = left == whole(order - 1) && right == left;
            if (value != (both ? whole(order) : MAX(left, right)) && !(both && value == 0))
                return heap_corrupt(heap, address_of(heap, tree, node, order),
                    both ? "free as its buddy is, and not merged"
                         : "not the longest free block of two halves");
        }
    }
    return 0;
}

/* The list has the spans whose root has that value, each once: who is linked both ways is there once. */
static int check_list(const struct heap *heap, unsigned value, size_t spans)
{
    const struct treebuddy *treebuddy = heap->metadata;
    uint32_t before = NONE;
    if ((treebuddy->filled >> value & 1) != (treebuddy->list[value] != NONE))
        return heap_corrupt(
            heap, &treebuddy->filled, "an empty list that is said to be filled, or the reverse");
    for (uint32_t frame = treebuddy->list[value]; frame != NONE; frame = treebuddy->links[frame].next) {
        const void *base = frame < heap->nframes ? span_at(heap, frame) : NULL;
        heap_span_t span = heap_span_of(heap, base);
        if (heap_span_none(span) || heap_span_is_large(span) || heap_span_base(span, base) != base)
            return heap_corrupt(heap, base, "in a list, but no span");
        struct tree tree = tree_of(heap, span, base);
        if (root_value(&tree) != value || treebuddy->links[frame].previous != before)
            return heap_corrupt(heap, base, "in a list where it does not belong");
        spans--;
        before = frame;
    }
    return spans == 0 ? 0 : heap_corrupt(heap, &treebuddy->list[value], "spans that are in no list");
}

int treebuddy_validate(struct heap *heap)
{
    size_t spans[VALUES] = {0};
    int error = 0;
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        struct tree tree = tree_of(heap, span, base);
        error = check_tree(heap, &tree);
        if (error)
            return error;
        spans[root_value(&tree)]++;
    }
    for (unsigned value = 1; !error && value < VALUES; value++)
        error = check_list(heap, value, spans[value]);
    return error;
}

/* The block that begins at an address, the largest one where it is free. */
static struct heap_block block_from(const struct heap *heap, const struct tree *tree, void *address)
{
    unsigned order;
    bool live = node_in_use(heap, tree, address, &order) != 0;
    if (!live) {
        uint32_t node = leaf_at(heap, tree, address);
        for (order = 0; node > 1 && value_of(tree, node >> 1) == whole(order + 1); order++)
            node >>= 1;
    }
    return (struct heap_block){.base = address, .bytes = GRAIN_BYTES << order, .live = live};
}

void treebuddy_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        struct tree tree = tree_of(heap, span, base);
        uint8_t *end = (uint8_t *)base + heap_span_bytes(span);
        for (uint8_t *address = base; address < end;) {
            struct heap_block block = block_from(heap, &tree, address);
            visit(argument, &block);
            address += block.bytes;
        }
    }
}
