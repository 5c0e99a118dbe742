/* See frame_model.h. */
#include <stdlib.h>
#include <sys/mman.h>

#include "arch/panic.h"
#include "frame_model.h"
#include "host.h"
#include "lib/string.h"

const struct frame_allocator_ops *frame_model_design_after(const struct frame_allocator_ops *ops)
{
    size_t i = 0;
    while (frame_allocator_at(i) != ops)
        i++;
    return frame_allocator_at(i + 1);
}

static void *allocate(size_t bytes)
{
    void *memory;
    ASSERT(posix_memalign(&memory, CACHE_LINE_BYTES, MAX(bytes, 1)) == 0);
    /* Nothing may rely on memory that happens to be zero. */
    memset(memory, 0xa5, bytes);
    return memory;
}

/* The memory of the frames, of one model as of the next: the host commits what is touched, and only designs that
 * keep links in free frames touch any. */
static void *frames_memory(void)
{
    static void *memory;
    if (!memory) {
        memory = mmap(NULL, MODEL_FRAMES_MAX * PAGE_BYTES, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(memory != MAP_FAILED);
    }
    return memory;
}

void frame_model_init(struct frame_model *model, const struct frame_allocator_ops *ops,
    const struct lock_ops *lock_kind, size_t nframes, unsigned nharts)
{
    ASSERT(nframes <= MODEL_FRAMES_MAX);
    host_map_frames(frames_memory(), MODEL_BASE);
    memset(model, 0, sizeof(*model));
    model->metadata = allocate(ops->metadata_size(nframes, nharts));
    model->held = allocate(nframes * sizeof(*model->held));
    model->blocks = allocate(nframes * sizeof(*model->blocks));
    memset(model->held, 0, nframes * sizeof(*model->held));
    ASSERT(frame_allocator_init(
               &model->fa, ops, lock_kind, "model", model->metadata, MODEL_BASE, nframes, nharts) == 0);
    frame_model_check(model);
}

void frame_model_destroy(struct frame_model *model)
{
    free(model->metadata);
    free(model->held);
    free(model->blocks);
}

static bool any_held(const struct frame_model *model, size_t index, size_t count)
{
    return memchr(&model->held[index], true, count) != NULL;
}

static bool block_is_free_somewhere(const struct frame_model *model, unsigned order)
{
    size_t count = (size_t)1 << order;
    for (size_t index = 0; index + count <= model->fa.nframes; index += count)
        if (!any_held(model, index, count))
            return true;
    return false;
}

pfn_t frame_model_alloc(struct frame_model *model, unsigned order)
{
    pfn_t pfn = frame_alloc(&model->fa, order, 0);
    if (pfn_is_none(pfn)) {
        bool served = order <= model->fa.ops->order_max && (order == 0 || model->fa.ops->finds_every_block);
        ASSERT(!served || !block_is_free_somewhere(model, order));
        return pfn;
    }
    ASSERT(order <= model->fa.ops->order_max);
    size_t count = (size_t)1 << order;
    size_t index = pfn.value - model->fa.base.value;
    ASSERT(index < model->fa.nframes && count <= model->fa.nframes - index);
    ASSERT(IS_ALIGNED(index, count));
    ASSERT(!any_held(model, index, count));
    memset(&model->held[index], true, count);
    model->blocks[model->nblocks++] = (struct model_block){pfn, order};
    model->nheld += count;
    return pfn;
}

void frame_model_take_all(struct frame_model *model, unsigned order)
{
    while (!pfn_is_none(frame_model_alloc(model, order)))
        ;
}

void frame_model_free(struct frame_model *model, size_t i)
{
    ASSERT(i < model->nblocks);
    struct model_block block = model->blocks[i];
    uint64_t refused = model->fa.misuse_count;
    frame_free(&model->fa, block.pfn, block.order);
    ASSERT(model->fa.misuse_count == refused);
    memset(&model->held[block.pfn.value - model->fa.base.value], false, (size_t)1 << block.order);
    model->blocks[i] = model->blocks[--model->nblocks];
    model->nheld -= (size_t)1 << block.order;
}

void frame_model_free_all(struct frame_model *model)
{
    while (model->nblocks)
        frame_model_free(model, model->nblocks - 1);
}

void frame_model_misuse(struct frame_model *model, pfn_t pfn, unsigned order, enum frame_misuse_kind kind)
{
    uint64_t refused = model->fa.misuse_count;
    size_t free = frame_free_count(&model->fa);
    frame_free(&model->fa, pfn, order);
    bool at_once = model->fa.misuse_count > refused;
    if (!at_once) {
        ASSERT(model->fa.ops->drain); /* what comes to it later is found here */
        frame_drain(&model->fa);
    }
    ASSERT(model->fa.misuse_count == refused + 1);
    ASSERT(model->fa.last_misuse.kind == kind);
    ASSERT(pfn_equal(model->fa.last_misuse.pfn, pfn) && model->fa.last_misuse.order == order);
    ASSERT(model->fa.ops->drain || model->fa.last_misuse.caller != 0);
    ASSERT(frame_free_count(&model->fa) == free);
}

void frame_model_misuse_any(struct frame_model *model, struct rng *rng)
{
    size_t nframes = model->fa.nframes;
    unsigned order = rng_below(rng, FRAME_ORDER_MAX + 1);
    size_t index = rng_below(rng, nframes);
    pfn_t pfn = pfn_add(model->fa.base, index);
    if (rng_below(rng, 8) == 0) {
        pfn_t outside[] = {PFN_NONE, PFN(0), PFN(model->fa.base.value - 1), pfn_add(model->fa.base, nframes)};
        frame_model_misuse(
            model, outside[rng_below(rng, ARRAY_SIZE(outside))], order, FRAME_MISUSE_OUT_OF_RANGE);
    } else if (nframes - index < (size_t)1 << order) {
        frame_model_misuse(model, pfn, order, FRAME_MISUSE_OUT_OF_RANGE);
    } else if (!IS_ALIGNED(index, (size_t)1 << order)) {
        frame_model_misuse(model, pfn, order, FRAME_MISUSE_MISALIGNED);
    } else if (!model->held[index]) {
        frame_model_misuse(model, pfn, order, FRAME_MISUSE_DOUBLE_FREE);
    } else {
        for (size_t i = 0; i < model->nblocks; i++)
            if (pfn_equal(model->blocks[i].pfn, pfn) && model->blocks[i].order == order)
                return; /* the one free that would be right */
        frame_model_misuse(model, pfn, order, FRAME_MISUSE_WRONG_ORDER);
    }
}

void frame_model_check(struct frame_model *model)
{
    ASSERT(frame_validate(&model->fa, model->nheld) == 0);
    ASSERT(frame_free_count(&model->fa) == model->fa.nframes - model->nheld);
    ASSERT(frame_stranded_count(&model->fa) <= frame_free_count(&model->fa));
}

void frame_model_finish(struct frame_model *model)
{
    frame_model_check(model);
    host_become_hart(0);
    frame_model_free_all(model);
    frame_model_check(model);
    frame_drain(&model->fa);
    frame_model_check(model);
    frame_model_destroy(model);
}
