/* Inspection of the design "bestfit": headers against headers, headers against lists. */
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/heap/bestfit.h"

/* Every block of a span, and how it lies between its neighbours. */
static int check_span(const struct heap *heap, heap_span_t span, void *base, size_t *nfree)
{
    const struct block *before = NULL;
    for (struct block *block = base; (void *)block != end_of(span, base);
         block = block_at(block, block->bytes)) {
        if (!is_block(span, base, block))
            return heap_corrupt(heap, block, "no header where a block ends");
        if (block->before != (before ? before->bytes : 0))
            return heap_corrupt(heap, block, "the size of the block in front of it is wrong");
        bool is_free = is_sealed(block, SEAL_FREE);
        if (is_free && before && is_sealed(before, SEAL_FREE))
            return heap_corrupt(heap, block, "two free blocks side by side");
        *nfree += is_free;
        before = block;
    }
    return 0;
}

/* The lists have the free blocks, each once: who is linked both ways is in one list only. */
static int check_list(const struct heap *heap, const struct bestfit *bestfit, unsigned list, size_t *listed)
{
    const struct block *before = NULL;
    for (const struct block *block = bestfit->list[list]; block; block = block->next) {
        if (heap_span_none(heap_span_of(heap, block)) || !IS_ALIGNED((uintptr_t)block, HEAP_ALIGN))
            return heap_corrupt(heap, block, "in a list, but not in the heap: written to after it was freed");
        if (!is_sealed(block, SEAL_FREE) || bits_highest(block->bytes) != list || block->previous != before)
            return heap_corrupt(heap, block, "in a list where it does not belong");
        ++*listed;
        before = block;
    }
    return 0;
}

int bestfit_validate(struct heap *heap)
{
    const struct bestfit *bestfit = heap->metadata;
    size_t nfree = 0, listed = 0, idle = 0;
    int error = 0;
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        error = check_span(heap, span, base, &nfree);
        if (error)
            return error;
        idle += heap_span_order(span) == GROW_ORDER && is_whole_span(span, base, base) &&
                is_sealed(base, SEAL_FREE);
    }
    for (unsigned list = 0; !error && list < LISTS; list++) {
        if ((bestfit->filled >> list & 1) != (bestfit->list[list] != NULL))
            return heap_corrupt(
                heap, &bestfit->filled, "an empty list that is said to be filled, or the reverse");
        error = check_list(heap, bestfit, list, &listed);
    }
    if (!error && nfree != listed)
        error = heap_corrupt(heap, bestfit, "free blocks that are in no list");
    if (!error && idle != bestfit->idle)
        error = heap_corrupt(heap, &bestfit->idle, "spans without a block in use are miscounted");
    return error;
}

void bestfit_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        for (struct block *block = base; (void *)block != end_of(span, base);
             block = block_at(block, block->bytes))
            visit(argument, &(struct heap_block){.base = user_of(block),
                                .bytes = block->bytes - HEADER_BYTES,
                                .live = is_sealed(block, SEAL_USED)});
    }
}
