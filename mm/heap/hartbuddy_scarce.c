/*
 * When the frame allocator has nothing left, in "hartbuddy": what other harts have and do not use is used where it is. Under
 * the lock of each hart in turn a block is taken on its behalf, from a run with free blocks or from free pages; it stays that
 * hart's, so to free it is a remote free. Runs that are empty become free pages, those that the hart allocates from
 * too, and chunks that are whole go to the frame allocator, where every hart has them.
 */
#include "mm/heap/hartbuddy.h"
#include "trace/counter.h"

static void *take_from_runs(struct heap *heap, struct hart_heap *hart, struct slot *slot)
{
    _Atomic uint64_t *word = slot_word(slot);
    void *block = NULL;
    if (word != &hart->no_word)
        block = run_take(heap, hart, slot, run_of_word(word));
    while (!block && slot->partial != PAGE_NONE) {
        struct page *run = &hart->pages[slot->partial];
        block = run_take(heap, hart, slot, run);
        if (run_free_count(slot, run) == 0)
            run_unlist(hart, slot, run);
    }
    return block;
}

/* Empty runs become pages. */
static void unmap_empty(struct heap *heap, struct hart_heap *hart)
{
    for (unsigned class = 0; class < CLASSES; class ++) {
        struct slot *slot = &hart->slots[class];
        _Atomic uint64_t *word = slot_word(slot);
        if (word != &hart->no_word)
            run_unmap(heap, hart, run_of_word(word));
        for (uint32_t at = slot->partial; at != PAGE_NONE;) {
            struct page *run = &hart->pages[at];
            at = run->next;
            if (run_free_count(slot, run) < slot->nblocks)
                continue;
            run_unlist(hart, slot, run);
            if (!run_unmap(heap, hart, run))
                run_list(hart, slot, run);
        }
    }
}

static void *take_from_hart(struct heap *heap, struct hart_heap *hart, unsigned class, unsigned npages)
{
    struct lock_node node;
    lock_acquire(&hart->lock, &node);
    run_drain(heap, hart);
    void *block = take_from_runs(heap, hart, &hart->slots[class]);
    if (!block)
        block = run_take_new(heap, hart, class, npages, false);
    if (!block) {
        unmap_empty(heap, hart);
        block = run_take_new(heap, hart, class, npages, false);
    }
    if (!block)
        pages_trim(heap, hart);
    lock_release(&hart->lock, &node);
    return block;
}

void *scarce_alloc(struct heap *heap, unsigned class, unsigned npages)
{
    void *block = NULL;
    for (unsigned i = 0; i < heap->nharts && !block; i++)
        block = take_from_hart(heap, hart_heap_of(heap, (hart_index() + i) % heap->nharts), class, npages);
    if (block) {
        counter_add(COUNTER_FRAME_STEAL, 1);
        return block;
    }
    /* What has been given back on the way may be enough together. */
    struct hart_heap *own = hart_heap_of(heap, hart_index());
    struct lock_node node;
    lock_acquire(&own->lock, &node);
    block = run_take_new(heap, own, class, npages, true);
    lock_release(&own->lock, &node);
    return block;
}

/* Twice: what one hart passes on may be for one that has been seen to. */
bool scarce_trim(struct heap *heap)
{
    bool any = false;
    for (unsigned i = 0; i < 2 * heap->nharts; i++) {
        struct hart_heap *hart = hart_heap_of(heap, i % heap->nharts);
        struct lock_node node;
        lock_acquire(&hart->lock, &node);
        run_drain(heap, hart);
        unmap_empty(heap, hart);
        any |= pages_trim(heap, hart);
        lock_release(&hart->lock, &node);
    }
    return any;
}
