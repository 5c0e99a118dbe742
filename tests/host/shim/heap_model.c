/* See heap_model.h. */
#include <stdlib.h>
#include <sys/mman.h>

#include "arch/panic.h"
#include "heap_model.h"
#include "host.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "mm/heap/heap_span.h"

#define BASE PFN(0x80000)

/* Of larger blocks the ends are filled, and a word a page. */
#define FILL_BYTES 256

/* Where any single block must be had when nothing is held: twice the largest. */
#define ROOMY_FRAMES ((size_t)2 << FRAME_ORDER_MAX)

const struct heap_ops *heap_model_design_after(const struct heap_ops *ops)
{
    size_t i = 0;
    while (heap_design_at(i) != ops)
        i++;
    return heap_design_at(i + 1);
}

static void *allocate(size_t bytes)
{
    void *memory;
    ASSERT(posix_memalign(&memory, CACHE_LINE_BYTES, MAX(bytes, 1)) == 0);
    memset(memory, 0xa5, bytes); /* nothing may rely on memory that happens to be zero */
    return memory;
}

/* Of one model as of the next: the host commits what is touched. Aligned to the largest block, as addresses on the
 * machine are. */
static void *arena_memory(void)
{
    static uint8_t *memory;
    if (!memory) {
        memory = mmap(NULL, HEAP_MODEL_FRAMES_MAX * PAGE_BYTES + HEAP_BYTES_MAX, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(memory != MAP_FAILED);
        memory = (uint8_t *)ALIGN_UP((uintptr_t)memory, HEAP_BYTES_MAX);
    }
    return memory;
}

static size_t granules(size_t bytes)
{
    return DIV_CEIL(bytes, HEAP_ALIGN);
}

void heap_model_init(
    struct heap_model *model, const struct heap_ops *ops, size_t nframes, unsigned nharts, unsigned flags)
{
    const struct frame_allocator_ops *frames = frame_allocator_find("hartcache");
    ASSERT(nframes <= HEAP_MODEL_FRAMES_MAX);
    memset(model, 0, sizeof(*model));
    host_map_frames(arena_memory(), BASE);
    model->frames_metadata = allocate(frames->metadata_size(nframes, nharts));
    model->heap_metadata = allocate(heap_metadata_size(ops, nframes, nharts));
    model->held = allocate(granules(nframes * PAGE_BYTES));
    model->blocks = malloc(HEAP_MODEL_BLOCKS_MAX * sizeof(*model->blocks)); /* few of them are ever touched */
    ASSERT(model->blocks);
    memset(model->held, 0, granules(nframes * PAGE_BYTES));
    ASSERT(frame_allocator_init(&model->frames, frames, &lock_tas, "model", model->frames_metadata, BASE,
               nframes, nharts) == 0);
    ASSERT(
        heap_init(&model->heap, ops, &lock_tas, "model", &model->frames, model->heap_metadata, flags) == 0);
    heap_model_check(model);
}

void heap_model_destroy(struct heap_model *model)
{
    heap_destroy(&model->heap);
    frame_drain(&model->frames);
    ASSERT(frame_validate(&model->frames, 0) == 0);
    free(model->frames_metadata);
    free(model->heap_metadata);
    free(model->held);
    free(model->blocks);
}

bool heap_model_is_full(const struct heap_model *model)
{
    return model->nblocks == HEAP_MODEL_BLOCKS_MAX;
}

static size_t granule_of(const struct heap_model *model, const void *pointer)
{
    return ((uintptr_t)pointer - (uintptr_t)pfn_to_direct(model->frames.base)) / HEAP_ALIGN;
}

static void hold(struct heap_model *model, const struct heap_model_block *block)
{
    size_t first = granule_of(model, block->pointer), count = granules(block->usable);
    ASSERT(first + count <= granules(model->frames.nframes * PAGE_BYTES));
    for (size_t i = 0; i < count; i++)
        ASSERT(model->held[first + i] == 0);
    memset(&model->held[first], 1, count);
    model->held[first] = 2;
}

static void let_go(struct heap_model *model, const struct heap_model_block *block)
{
    memset(&model->held[granule_of(model, block->pointer)], 0, granules(block->usable));
}

static uint8_t pattern_at(const struct heap_model_block *block, size_t offset)
{
    return (uint8_t)(block->pattern * 37 + offset + (offset >> 8));
}

/* Calls for the offsets that are filled. */
static void on_filled(const struct heap_model_block *block, size_t bytes,
    void (*function)(const struct heap_model_block *block, size_t offset))
{
    for (size_t i = 0; i < bytes; i++) {
        if (i == FILL_BYTES && block->usable > 2 * FILL_BYTES)
            for (; i < bytes && i + FILL_BYTES < block->usable; i += PAGE_BYTES)
                function(block, i);
        if (i < bytes)
            function(block, i);
    }
}

static void fill_byte(const struct heap_model_block *block, size_t offset)
{
    block->pointer[offset] = pattern_at(block, offset);
}

static void check_byte(const struct heap_model_block *block, size_t offset)
{
    ASSERT(block->pointer[offset] == pattern_at(block, offset));
}

/* All that its holder may use is filled, so that two blocks that overlap in it are found. */
static void take_in(struct heap_model *model, struct heap_model_block *block, uint8_t *pointer, size_t bytes)
{
    *block = (struct heap_model_block){.pointer = pointer,
        .bytes = bytes,
        .usable = heap_usable_size(&model->heap, pointer),
        .pattern = model->patterns++};
    ASSERT(block->usable >= MAX(bytes, (size_t)1));
    hold(model, block);
    on_filled(block, block->usable, fill_byte);
}

void *heap_model_alloc(struct heap_model *model, size_t bytes, size_t align)
{
    uint64_t refused = model->heap.misuse_count;
    uint8_t *pointer = align <= HEAP_ALIGN ? heap_alloc(&model->heap, bytes)
                                           : heap_alloc_aligned(&model->heap, bytes, align);
    ASSERT(model->heap.misuse_count == refused); /* nobody wrote to what was free */
    if (!pointer) {
        ASSERT(model->nblocks > 0 || model->frames.nframes < ROOMY_FRAMES || bytes > HEAP_BYTES_MAX);
        return NULL;
    }
    ASSERT(bytes <= HEAP_BYTES_MAX);
    ASSERT(IS_ALIGNED((uintptr_t)pointer, MAX(align, HEAP_ALIGN)));
    ASSERT(model->nblocks < HEAP_MODEL_BLOCKS_MAX);
    take_in(model, &model->blocks[model->nblocks++], pointer, bytes);
    return pointer;
}

bool heap_model_realloc(struct heap_model *model, size_t i, size_t bytes)
{
    struct heap_model_block *block = &model->blocks[i];
    on_filled(block, block->usable, check_byte);
    uint64_t refused = model->heap.misuse_count;
    uint8_t *pointer = heap_realloc(&model->heap, block->pointer, bytes);
    ASSERT(model->heap.misuse_count == refused);
    if (!pointer) {
        ASSERT(bytes > block->usable); /* to make one smaller never fails */
        on_filled(block, block->usable, check_byte);
        return false;
    }
    let_go(model, block);
    struct heap_model_block kept = *block;
    kept.pointer = pointer;
    on_filled(&kept, MIN(kept.bytes, bytes), check_byte);
    take_in(model, block, pointer, bytes);
    return true;
}

void heap_model_free(struct heap_model *model, size_t i)
{
    struct heap_model_block *block = &model->blocks[i];
    ASSERT(i < model->nblocks);
    on_filled(block, block->usable, check_byte);
    ASSERT(heap_usable_size(&model->heap, block->pointer) == block->usable);
    uint64_t refused = model->heap.misuse_count;
    heap_free(&model->heap, block->pointer);
    ASSERT(model->heap.misuse_count == refused);
    let_go(model, block);
    model->freed[model->nfreed++ % ARRAY_SIZE(model->freed)] = block->pointer;
    *block = model->blocks[--model->nblocks];
}

void heap_model_free_all(struct heap_model *model)
{
    while (model->nblocks)
        heap_model_free(model, model->nblocks - 1);
}

static void expect_refusal(struct heap_model *model, void *pointer)
{
    uint64_t refused = model->heap.misuse_count;
    size_t reserved = heap_reserved_bytes(&model->heap);
    ASSERT(heap_usable_size(&model->heap, pointer) == 0);
    heap_free(&model->heap, pointer);
    ASSERT(model->heap.misuse_count == refused + 1);
    ASSERT(model->heap.last_misuse.pointer == pointer && model->heap.last_misuse.caller != 0);
    ASSERT(heap_reserved_bytes(&model->heap) == reserved);
}

void heap_model_misuse(struct heap_model *model, void *pointer, enum heap_misuse_kind kind)
{
    expect_refusal(model, pointer);
    ASSERT(model->heap.last_misuse.kind == kind);
}

void heap_model_double_free(struct heap_model *model, void *pointer)
{
    bool gone = heap_span_none(heap_span_of(&model->heap, pointer));
    heap_model_misuse(model, pointer, gone ? HEAP_MISUSE_FOREIGN : HEAP_MISUSE_DOUBLE_FREE);
}

void heap_model_misuse_any(struct heap_model *model, struct rng *rng)
{
    uint8_t *base = pfn_to_direct(model->frames.base);
    size_t bytes = model->frames.nframes * PAGE_BYTES;
    if (rng_below(rng, 8) == 0) {
        void *outside[] = {model, base - HEAP_ALIGN, base + bytes, (void *)8};
        heap_model_misuse(model, outside[rng_below(rng, ARRAY_SIZE(outside))], HEAP_MISUSE_FOREIGN);
    } else if (rng_below(rng, 2) && model->nblocks) {
        const struct heap_model_block *block = &model->blocks[rng_below(rng, model->nblocks)];
        size_t offset = 1 + rng_below(rng, MIN(block->usable, (size_t)256));
        if (offset < block->usable)
            heap_model_misuse(model, block->pointer + offset, HEAP_MISUSE_INTERIOR);
    } else if (model->nfreed) {
        void *freed = model->freed[rng_below(rng, MIN(model->nfreed, ARRAY_SIZE(model->freed)))];
        uint8_t held = model->held[granule_of(model, freed)];
        if (held == 2)
            return; /* the one free that would be right */
        expect_refusal(model, freed);
        if (held == 1)
            ASSERT(model->heap.last_misuse.kind == HEAP_MISUSE_INTERIOR);
    }
}

size_t heap_model_size(struct rng *rng, size_t most)
{
    unsigned octave = rng_below(rng, bits_highest(most) + 1);
    if (rng_below(rng, 3))
        octave = MIN(octave, 9u);
    return MIN(rng_below(rng, (2ull << octave) + 1), most);
}

struct seen {
    struct heap_model *model;
    size_t live;
};

static void see(void *argument, const struct heap_block *block)
{
    struct seen *seen = argument;
    const uint8_t *held = &seen->model->held[granule_of(seen->model, block->base)];
    seen->live += block->live;
    if (block->live)
        ASSERT(*held == 2);
    else /* a free block has nothing of a held one */
        ASSERT(!memchr(held, 1, granules(block->bytes)) && !memchr(held, 2, granules(block->bytes)));
}

void heap_model_check(struct heap_model *model)
{
    struct heap_stats stats;
    struct seen seen = {.model = model};
    size_t asked = 0, usable = 0;
    bool largest = false;
    for (size_t i = 0; i < model->nblocks; i++) {
        asked += model->blocks[i].bytes ? model->blocks[i].bytes : 1;
        usable += model->blocks[i].usable;
        largest |= model->blocks[i].usable == HEAP_BYTES_MAX; /* counts for all that it is */
    }
    ASSERT(heap_validate(&model->heap, model->nblocks) == 0);
    heap_walk(&model->heap, see, &seen);
    ASSERT(seen.live == model->nblocks);
    heap_stats(&model->heap, &stats);
    ASSERT(stats.live_blocks == model->nblocks && stats.live_bytes >= usable);
    ASSERT(stats.live_bytes + stats.free_bytes <= stats.reserved_bytes);
    ASSERT(!model->heap.guarded || largest || stats.asked_bytes == asked);
    ASSERT(frame_validate(&model->frames, stats.reserved_bytes / PAGE_BYTES) == 0);
}

void heap_model_drained(struct heap_model *model)
{
    ASSERT(model->nblocks == 0);
    heap_drain(&model->heap);
    ASSERT(heap_reserved_bytes(&model->heap) == 0);
    heap_model_check(model);
}

void heap_model_on_all(size_t nframes, void (*test)(struct heap_model *model))
{
    static const unsigned hart_counts[] = {1, 2, 8}, guards[] = {0, HEAP_GUARD};
    HEAP_DESIGN_FOR_EACH(ops)
    {
        for (size_t i = 0; i < ARRAY_SIZE(hart_counts); i++) {
            for (size_t k = 0; k < ARRAY_SIZE(guards); k++) {
                struct heap_model model;
                heap_model_init(&model, ops, nframes, hart_counts[i], guards[k]);
                test(&model);
                host_become_hart(0);
                heap_model_free_all(&model);
                heap_model_check(&model);
                heap_model_drained(&model);
                heap_model_destroy(&model);
            }
        }
    }
}

size_t heap_model_fill_by_hart(struct heap_model *model, size_t bytes)
{
    while (!heap_model_is_full(model) && heap_model_alloc(model, bytes, 1))
        ;
    return model->nblocks;
}

size_t heap_model_fill(struct heap_model *model, size_t bytes)
{
    unsigned hart = 0;
    while (!heap_model_is_full(model) && heap_model_alloc(model, bytes, 1)) {
        hart = (hart + 1) % model->heap.nharts;
        host_become_hart(hart);
    }
    return model->nblocks;
}
