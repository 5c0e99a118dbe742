/*
 * The design "hartbuddy": a buddy heap for each hart, with size classes in front of it. Its fast paths are here: one atomic
 * operation for an allocation, one for a free, on a line that only this hart touches.
 *
 * A hart takes chunks of pages from the frame allocator and keeps a binary buddy in each: a word of bits. Pages are cut
 * into runs, blocks of one size, or are a block by themselves, as many as it needs. Everything about a page is in a line
 * of its own, outside of it; there each block of a run has one bit, which is set while the block is free. It is the whole
 * truth about the block, for every hart: who clears it has the block, who sets it has freed it, and who finds it set has
 * freed it twice. No block's own memory is ever touched.
 *
 *     allocate      clear a bit of the class's current run                        the hart, no lock
 *     free          set the block's bit, whoever's run it is                      any hart, no lock
 *     full          a run without free blocks is nowhere; the first one freed there brings it back
 *     empty         a run all of whose blocks are free becomes pages again, whole chunks go to the frame allocator
 *
 * What brings a run back, or finds it empty, is the word of bits as the free found it. The owner puts the run into its list,
 * under its own lock; any other hart puts it on the owner's remote list, a stack that anybody pushes to by one swap and
 * that is taken whole, so that there is no ABA. So frees by others cost their owner nothing until it needs a run, and
 * many frees of one run cost one transfer of its line. Memory that a hart does not use is no other's concern until there
 * are no frames left: hartbuddy_scarce.c.
 *
 * A hart that makes pages of a run which another hart allocates from does so in spite of that one's fast path:
 *
 *     hart 0: alloc                         hart 1: has hart 0's lock
 *     word = slot's word
 *                                           takes all bits of the run: it is empty
 *                                           slot's word = no_word
 *                                           the page becomes a run of 96 bytes, bits are set, with release
 *     clears a bit of word: takes it, with acquire
 *     slot's word is another: gives it back
 *
 * Size classes with runs found by masks after Bonwick's slabs (USENIX 1994); an owner and a remote list for each heap
 * after Hoard's successors, Streamflow (Schneider, Antonopoulos, Nikolopoulos, ISMM 2006) and mimalloc (Leijen, Zorn,
 * de Moura, APLAS 2019), where blocks are linked instead.
 */
#include "mm/heap/hartbuddy.h"
#include "lib/string.h"
#include "smp/hart.h"
#include "trace/inject.h"

static size_t hartbuddy_metadata_size(size_t nframes, unsigned nharts)
{
    return nharts * sizeof(struct hart_heap) + nframes * sizeof(struct page);
}

static int hartbuddy_init(struct heap *heap)
{
    struct page *pages = (struct page *)hart_heap_of(heap, heap->nharts);
    memset(heap->metadata, 0, hartbuddy_metadata_size(heap->nframes, heap->nharts));
    for (size_t i = 0; i < heap->nframes; i++)
        store_relaxed(&pages[i].tag, TAG_NONE);
    for (unsigned i = 0; i < heap->nharts; i++) {
        struct hart_heap *hart = hart_heap_of(heap, i);
        hart->pages = pages;
        lock_init(&hart->lock, heap->lock_kind, "heap.hartbuddy");
        for (unsigned order = 0; order <= CHUNK_ORDER_MAX; order++)
            hart->chunks[order] = PAGE_NONE;
        slots_init(hart);
    }
    return 0;
}

static ALWAYS_INLINE struct hart_heap *own_heap(const struct heap *heap)
{
    return hart_heap_of(heap, hart_index());
}

/* Makes a block free; its bit tells at once if it is so already, whoever has freed it. */
static ALWAYS_INLINE uint64_t set_bit(_Atomic uint64_t *word, uint64_t bit)
{
    if (plant_due(PLANT_HARTBUDDY_LOST))
        return run_word(word) & ~bit;
    /* Release, pairs with the acquire of whoever takes the block next. amoor.d.rl. */
    return or_release(word, bit);
}

/* The bit was taken, but of another run than was meant: another hart has made pages of ours meanwhile, and a run of those.
 * A free by somebody else. */
static void give_back_stray(struct heap *heap, _Atomic uint64_t *word, uint64_t bit)
{
    struct page *run = run_of_word(word);
    uint32_t tag = page_tag(run);
    const struct slot *slot = &own_heap(heap)->slots[tag_class(tag)];
    uint64_t before = or_release(word, bit);
    if (before == 0 || (before | bit) == run_mask(slot, (unsigned)(word - run->free)))
        run_changed(heap, run, tag);
}

/* Takes a block of a word, if it is free. */
static ALWAYS_INLINE bool take_bit(_Atomic uint64_t *word, uint64_t bit)
{
    /* Acquire, pairs with the release of whoever set the bit: what was written to the block is over. amoand.d.aq. */
    return !inject_due(INJECT_CAS) &&
           likely(atomic_fetch_and_explicit(word, ~bit, memory_order_acquire) & bit);
}

/* Whether what was taken is a block of the slot's run. Who makes pages of that takes the word away before, and whose they
 * are then sets the bit after: so this load, behind the acquire, sees it. ld. */
static ALWAYS_INLINE bool is_right(const struct slot *slot, const _Atomic uint64_t *word)
{
    return likely(slot_word(slot) == word);
}

static ALWAYS_INLINE void *give_out(const struct slot *slot, _Atomic uint64_t *word, uint64_t bit)
{
    if (plant_due(PLANT_HARTBUDDY_TWICE))
        or_release(word, bit);
    return (void *)slot->pointer;
}

/* The lowest free block of the current word; NULL: there is none. */
static void *take_lowest(struct heap *heap, struct slot *slot)
{
    for (;;) {
        _Atomic uint64_t *word = slot_word(slot);
        uint64_t free = run_word(word), bit = free & -free;
        if (free == 0)
            return NULL;
        if (!take_bit(word, bit))
            continue;
        if (unlikely(!is_right(slot, word))) {
            give_back_stray(heap, word, bit);
            continue;
        }
        slot->bit = bit;
        slot->pointer = slot->base + (size_t)bits_lowest_of_one(bit) * slot->bytes;
        return give_out(slot, word, bit);
    }
}

static NOINLINE void *alloc_refill(struct heap *heap, unsigned class)
{
    struct hart_heap *hart = own_heap(heap);
    struct lock_node node;
    void *block = NULL;
    lock_acquire(&hart->lock, &node);
    while (!block && run_refill(heap, hart, class))
        block = take_lowest(heap, &hart->slots[class]);
    lock_release(&hart->lock, &node);
    return block;
}

static NOINLINE void *alloc_slow(struct heap *heap, struct slot *slot)
{
    void *block = take_lowest(heap, slot);
    if (likely(block))
        return block;
    unsigned class = (unsigned)(slot - own_heap(heap)->slots);
    block = alloc_refill(heap, class);
    if (!block)
        block = scarce_alloc(heap, class, 0);
    /* No pages in a row, but one by itself, perhaps. */
    if (!block && slot->npages > 1)
        block = alloc_slow(heap, &own_heap(heap)->slots[SIZED_CLASSES - 1]);
    return block;
}

static void *alloc_pages(struct heap *heap, unsigned npages)
{
    struct hart_heap *hart = own_heap(heap);
    struct lock_node node;
    lock_acquire(&hart->lock, &node);
    run_drain(heap, hart);
    void *block = run_take_new(heap, hart, CLASS_PAGES, npages, true);
    lock_release(&hart->lock, &node);
    return block ? block : scarce_alloc(heap, CLASS_PAGES, npages);
}

static NOINLINE void *alloc_large(struct heap *heap, size_t bytes)
{
    if (bytes <= CHUNK_PAGES_MAX * PAGE_BYTES)
        return alloc_pages(heap, DIV_CEIL(bytes, (size_t)PAGE_BYTES));
    void *block = heap_large_alloc(heap, bytes, 1);
    if (!block && scarce_trim(heap))
        block = heap_large_alloc(heap, bytes, 1);
    return block;
}

/* Ways out of an allocation, each from one place: for the sake of a shared one GCC copies the arguments away. */

static COLD void *alloc_lost(struct heap *heap, struct slot *slot)
{
    return alloc_slow(heap, slot);
}

static COLD void *alloc_again(struct heap *heap, struct slot *slot, _Atomic uint64_t *word, uint64_t bit)
{
    give_back_stray(heap, word, bit);
    return alloc_slow(heap, slot);
}

static LEAF_PATH void *hartbuddy_alloc(struct heap *heap, size_t bytes)
{
    if (unlikely(bytes > RUN_BYTES_MAX))
        return alloc_large(heap, bytes);
    struct hart_heap *hart = own_heap(heap);
    struct slot *slot = slot_at_line(hart, hart->line_of[(bytes + HEAP_ALIGN - 1) / HEAP_ALIGN]);
    _Atomic uint64_t *word = slot_word(slot);
    uint64_t bit = slot->bit;
    /* A look first: a failed attempt costs as much as one that succeeds. */
    if (unlikely(!(run_word(word) & bit)))
        return alloc_slow(heap, slot);
    if (unlikely(!take_bit(word, bit)))
        return alloc_lost(heap, slot);
    if (unlikely(!is_right(slot, word)))
        return alloc_again(heap, slot, word, bit);
    return give_out(slot, word, bit);
}

/* Blocks lie at multiples of their size from the beginning of a page. */
static void *hartbuddy_alloc_aligned(struct heap *heap, size_t bytes, size_t align)
{
    const struct hart_heap *hart = own_heap(heap);
    size_t size = MAX(bytes, align);
    if (size > RUN_BYTES_MAX)
        return alloc_large(heap, size);
    unsigned class = hart->line_of[DIV_CEIL(size, HEAP_ALIGN)] - SLOT_LINE;
    while (!IS_ALIGNED(hart->slots[class].bytes, align))
        class ++;
    return hartbuddy_alloc(heap, hart->slots[class].bytes);
}

/* The block that an address is in: its run and number; a number that is none behind the run's last block. */
struct place {
    struct page *run;
    uint32_t tag; /* of the run's first page */
    unsigned block;
    size_t bytes; /* of a block */
    bool begins; /* the address is the block's beginning */
};

/* @page: of the address; it is part of a run */
static ALWAYS_INLINE struct place place_of(
    const struct heap *heap, struct hart_heap *hart, struct page *page, const void *pointer)
{
    struct place place = {.run = page - tag_back(page_tag(page))};
    place.tag = page_tag(place.run);
    uintptr_t offset = (uintptr_t)pointer - page_address(heap, hart, place.run);
    if (tag_class(place.tag) == CLASS_PAGES) {
        place.bytes = (size_t)tag_pages(place.tag) * PAGE_BYTES;
        place.begins = offset == 0;
        return place;
    }
    const struct slot *slot = &hart->slots[tag_class(place.tag)];
    place.bytes = slot->bytes;
    place.block = offset * slot->reciprocal >> 32;
    place.begins = place.block * place.bytes == offset && place.block < slot->nblocks;
    return place;
}

static inline bool is_free(const struct place *place)
{
    return place->block >= RUN_WORDS * 64 ||
           (run_word(&place->run->free[place->block / 64]) >> place->block % 64 & 1);
}

/* What is no live block of a run: a large one, or nothing that can be freed. */
static COLD void free_large_or_refuse(struct heap *heap, void *pointer)
{
    struct hart_heap *hart = own_heap(heap);
    const void *caller = __builtin_return_address(0);
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_is_large(span)) {
        heap_large_free(heap, span, pointer, caller);
        return;
    }
    struct page *page = heap_span_none(span) ? NULL : page_of(heap, hart, pointer);
    if (!page || page_tag(page) == TAG_NONE) {
        heap_refuse_at(heap, page ? HEAP_MISUSE_DOUBLE_FREE : HEAP_MISUSE_FOREIGN, pointer, 0, caller);
        return;
    }
    struct place place = place_of(heap, hart, page, pointer);
    bool is_double = place.begins || is_free(&place);
    heap_refuse_at(
        heap, is_double ? HEAP_MISUSE_DOUBLE_FREE : HEAP_MISUSE_INTERIOR, pointer, place.bytes, caller);
}

/* A plain run that is not the hart's, or a block that was not its class's last one. */
static ALWAYS_INLINE void free_block(
    struct heap *heap, void *pointer, struct page *run, uint32_t tag, struct slot *slot, unsigned block)
{
    uint64_t bit = 1ull << block % 64;
    unsigned w = block / 64;
    _Atomic uint64_t *word = &run->free[w];
    uint64_t before = set_bit(word, bit);
    if (unlikely(before & bit)) {
        free_large_or_refuse(heap, pointer);
        return;
    }
    if (slot_word(slot) == word) {
        slot->bit = bit;
        slot->pointer = (uintptr_t)pointer;
        return;
    }
    if (unlikely(before == 0) || unlikely((before | bit) == run_mask(slot, w)))
        run_changed(heap, run, tag);
}

/* Of a run that is not plain, or not the hart's. */
static LEAF_PATH NOINLINE void free_elsewhere(struct heap *heap, void *pointer, struct page *page)
{
    struct hart_heap *hart = own_heap(heap);
    if (unlikely(page_tag(page) == TAG_NONE)) {
        free_large_or_refuse(heap, pointer);
        return;
    }
    struct place place = place_of(heap, hart, page, pointer);
    if (unlikely(!place.begins)) {
        free_large_or_refuse(heap, pointer);
        return;
    }
    free_block(heap, pointer, place.run, place.tag, &hart->slots[tag_class(place.tag)], place.block);
}

/* Of a plain run of the hart's. */
static LEAF_PATH NOINLINE void free_own(
    struct heap *heap, void *pointer, struct page *page, struct slot *slot)
{
    uintptr_t offset = (uintptr_t)pointer % PAGE_BYTES;
    unsigned block = offset * slot->reciprocal >> 32;
    if (unlikely(block * slot->bytes != offset) || unlikely(block >= slot->nblocks)) {
        free_large_or_refuse(heap, pointer);
        return;
    }
    free_block(heap, pointer, page, page_tag(page), slot, block);
}

/* Ways out of a free, in the same manner. */

static COLD void free_old(struct heap *heap, void *pointer, struct page *page, struct slot *slot)
{
    free_own(heap, pointer, page, slot);
}

static COLD void refuse_place(struct heap *heap, void *pointer)
{
    heap_refuse_at(heap, HEAP_MISUSE_FOREIGN, pointer, 0, __builtin_return_address(0));
}

static COLD void refuse_double(struct heap *heap, void *pointer, const struct slot *slot)
{
    heap_refuse_at(heap, HEAP_MISUSE_DOUBLE_FREE, pointer, slot->bytes, __builtin_return_address(0));
}

static LEAF_PATH void hartbuddy_free(struct heap *heap, void *pointer)
{
    if (unlikely(((uintptr_t)pointer - heap->base) >> PAGE_SHIFT >= heap->nframes)) {
        refuse_place(heap, pointer);
        return;
    }
    uint64_t self = hart_index();
    struct hart_heap *hart = hart_heap_of(heap, self);
    struct page *page = page_of(heap, hart, pointer);
    /* With its sign, as it is loaded: a plain run's has none. */
    int64_t tag = (int32_t)page_tag(page);
    if (unlikely((uint64_t)(tag & 0xff) != self)) {
        free_elsewhere(heap, pointer, page);
        return;
    }
    struct slot *slot = (struct slot *)((uintptr_t)hart + (uintptr_t)(tag >> 8));
    /* Mostly it is the block that the class has given out last, of its current run. */
    if (unlikely(slot->pointer != (uintptr_t)pointer)) {
        free_own(heap, pointer, page, slot);
        return;
    }
    if (unlikely(slot_word(slot) != &page->free[0])) {
        free_old(heap, pointer, page, slot);
        return;
    }
    uint64_t bit = slot->bit;
    if (unlikely(set_bit(&page->free[0], bit) & bit))
        refuse_double(heap, pointer, slot);
}

static size_t hartbuddy_usable_size(struct heap *heap, const void *pointer)
{
    struct hart_heap *hart = own_heap(heap);
    heap_span_t span = heap_span_of(heap, pointer);
    if (heap_span_is_large(span))
        return heap_large_usable(span, pointer);
    if (heap_span_none(span))
        return 0;
    struct page *page = page_of(heap, hart, pointer);
    if (page_tag(page) == TAG_NONE)
        return 0;
    struct place place = place_of(heap, hart, page, pointer);
    return place.begins && !is_free(&place) ? place.bytes : 0;
}

static void hartbuddy_drain(struct heap *heap)
{
    scarce_trim(heap);
}

const struct heap_ops heap_hartbuddy = {
    .name = "hartbuddy",
    .metadata_size = hartbuddy_metadata_size,
    .init = hartbuddy_init,
    .alloc = hartbuddy_alloc,
    .alloc_aligned = hartbuddy_alloc_aligned,
    .free = hartbuddy_free,
    .usable_size = hartbuddy_usable_size,
    .drain = hartbuddy_drain,
    .validate = hartbuddy_validate,
    .walk = hartbuddy_walk,
    .describe = hartbuddy_describe,
};
