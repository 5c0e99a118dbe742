/*
 * A heap beside a model of it: which bytes are held, kept as simply as can be. Every answer of the heap is compared with the
 * model at once; a difference panics. For one thread, which may change its hart between calls.
 */
#ifndef TESTS_HOST_SHIM_HEAP_MODEL_H
#define TESTS_HOST_SHIM_HEAP_MODEL_H

#include "lib/rng.h"
#include "mm/heap/heap.h"

/* The largest arena of a model: 64 MiB. */
#define HEAP_MODEL_FRAMES_MAX ((size_t)16384)

/* Blocks that a model can hold at once: callers of heap_model_alloc() look at heap_model_is_full(). */
#define HEAP_MODEL_BLOCKS_MAX ((size_t)65536)

#define HEAP_DESIGN_FOR_EACH(ops)                                                                            \
    for (const struct heap_ops *ops = heap_design_at(0); ops; ops = heap_model_design_after(ops))

/** heap_model_design_after - the next design of the registry; NULL behind the last. */
const struct heap_ops *heap_model_design_after(const struct heap_ops *ops);

struct heap_model_block {
    uint8_t *pointer;
    size_t bytes; /* asked for */
    size_t usable;
    uint64_t pattern;
};

struct heap_model {
    struct frame_allocator frames;
    struct heap heap;
    void *frames_metadata, *heap_metadata;
    uint8_t *held; /* by HEAP_ALIGN bytes of the arena: 0 free, 1 held, 2 held, and a block begins there */
    struct heap_model_block *blocks; /* held, in no order */
    size_t nblocks;
    void *freed[16]; /* the last ones, where they were */
    unsigned nfreed;
    uint64_t patterns;
};

/** heap_model_init - an empty heap over an arena of `nframes`, run by `hartcache`; panics if it refuses. The memory of all
 *  models is the same: one model at a time. @flags: of heap_init() */
void heap_model_init(
    struct heap_model *model, const struct heap_ops *ops, size_t nframes, unsigned nharts, unsigned flags);

/** heap_model_destroy - as heap_destroy() does, with blocks still held, or not: every frame has to be back. */
void heap_model_destroy(struct heap_model *model);

/** heap_model_alloc - a block, filled with a pattern; NULL if the heap says so, which it must not while nothing is
 *  held and the arena is large enough for any block. */
void *heap_model_alloc(struct heap_model *model, size_t bytes, size_t align);

/** heap_model_realloc - change the i-th block. Whether there was room. */
bool heap_model_realloc(struct heap_model *model, size_t i, size_t bytes);

/** heap_model_free - the i-th block, its pattern checked. */
void heap_model_free(struct heap_model *model, size_t i);
void heap_model_free_all(struct heap_model *model);

bool heap_model_is_full(const struct heap_model *model);

/** heap_model_misuse - a free that must be refused, and nothing else happen. */
void heap_model_misuse(struct heap_model *model, void *pointer, enum heap_misuse_kind kind);

/** heap_model_double_free - of a block that was freed last, so its memory is nobody else's; its page may have gone back. */
void heap_model_double_free(struct heap_model *model, void *pointer);

/** heap_model_misuse_any - a wrong free of some sort, by the rng. */
void heap_model_misuse_any(struct heap_model *model, struct rng *rng);

/** heap_model_size - a size by the rng: small ones mostly, up to @most. */
size_t heap_model_size(struct rng *rng, size_t most);

/** heap_model_check - the heap's own validation, its blocks against the model's, and its frames against their allocator. */
void heap_model_check(struct heap_model *model);

/** heap_model_drained - drain an empty heap: all pages have to be back. */
void heap_model_drained(struct heap_model *model);

/** heap_model_fill - blocks of a size until there are no more, by all harts in turn. How many are held then.
 *  heap_model_fill_by_hart - by the present hart alone */
size_t heap_model_fill(struct heap_model *model, size_t bytes);
size_t heap_model_fill_by_hart(struct heap_model *model, size_t bytes);

/** heap_model_on_all - run a test on every design, with 1, 2 and 8 harts, with the guard and without. Behind it everything
 *  goes back. */
void heap_model_on_all(size_t nframes, void (*test)(struct heap_model *model));

#endif
