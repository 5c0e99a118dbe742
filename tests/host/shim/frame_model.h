/*
 * A frame allocator beside a model of it: which frames are held, kept as simply as can be. Every answer of
 * the allocator is compared with the model at once; a difference panics. For one thread, which may change its
 * hart between calls.
 */
#ifndef TESTS_HOST_SHIM_FRAME_MODEL_H
#define TESTS_HOST_SHIM_FRAME_MODEL_H

#include "lib/rng.h"
#include "mm/frame/frame.h"

/* RAM's place on QEMU's virt machine. */
#define MODEL_BASE PFN(0x80000)

/* The largest arena of a model: 64 MiB. */
#define MODEL_FRAMES_MAX ((size_t)16384)

#define DESIGN_FOR_EACH(ops)                                                                                 \
    for (const struct frame_allocator_ops *ops = frame_allocator_at(0); ops;                                 \
         ops = frame_model_design_after(ops))

/** frame_model_design_after - the next design of the registry; NULL behind the last. */
const struct frame_allocator_ops *frame_model_design_after(const struct frame_allocator_ops *ops);

struct model_block {
    pfn_t pfn;
    unsigned order;
};

struct frame_model {
    struct frame_allocator fa;
    uint8_t *metadata;
    bool *held; /* a frame: is it in a block that the test holds? */
    struct model_block *blocks; /* the blocks held, in no order */
    size_t nblocks;
    size_t nheld; /* frames in them */
};

/** frame_model_init - an allocator over `nframes` frames, which pfn_to_direct() shows from now on; panics if it
 *  refuses. The frames of all models are the same memory: one model at a time. */
void frame_model_init(struct frame_model *model, const struct frame_allocator_ops *ops,
    const struct lock_ops *lock_kind, size_t nframes, unsigned nharts);

void frame_model_destroy(struct frame_model *model);

/** frame_model_alloc - PFN_NONE must mean, exactly, that no such block is free, or that the design says that it
 *  may fail to find one. */
pfn_t frame_model_alloc(struct frame_model *model, unsigned order);

/** frame_model_take_all - blocks of an order until there are none. */
void frame_model_take_all(struct frame_model *model, unsigned order);

/** frame_model_free - the i-th block held. */
void frame_model_free(struct frame_model *model, size_t i);
void frame_model_free_all(struct frame_model *model);

/** frame_model_misuse - a free that must be refused for this reason, at once or by the next drain, and nothing else
 *  happen. */
void frame_model_misuse(struct frame_model *model, pfn_t pfn, unsigned order, enum frame_misuse_kind kind);

/** frame_model_misuse_any - a wrong free of some sort, by the rng. */
void frame_model_misuse_any(struct frame_model *model, struct rng *rng);

/** frame_model_finish - check, free everything as hart 0, drain, with a check after each, and destroy. */
void frame_model_finish(struct frame_model *model);

/** frame_model_check - the allocator's own validation, and its counts against the model's. */
void frame_model_check(struct frame_model *model);

#endif
