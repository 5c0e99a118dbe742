/*
 * The guard: a layer between callers and any design that finds writes behind a block's end and writes to freed blocks, and
 * knows who allocated what. Each block gets 24 bytes more; they hold its asked size, its call site and its generation, and
 * what lies between the asked size and them is a canary. Freed blocks are filled with poison. For heap.c.
 */
#ifndef MM_HEAP_GUARD_H
#define MM_HEAP_GUARD_H

#include "mm/heap/heap.h"

/* What a guarded heap shows to its callers: the calls that heap.h makes directly. */
extern const struct heap_ops heap_guard;

/** heap_guard_alloc, heap_guard_alloc_aligned, heap_guard_realloc, heap_guard_free - what the guard does for the other calls.
 *  @caller: their return address */
void *heap_guard_alloc(struct heap *heap, size_t bytes, const void *caller);
void *heap_guard_alloc_aligned(struct heap *heap, size_t bytes, size_t align, const void *caller);
void *heap_guard_realloc(struct heap *heap, void *pointer, size_t bytes, const void *caller);
void heap_guard_free(struct heap *heap, void *pointer, const void *caller);

/** heap_aligned - alloc_aligned of the design, and what is the same for all: more than a page's alignment. */
void *heap_aligned(struct heap *heap, size_t bytes, size_t align);

/** heap_resize_for - heap_realloc() in another's name, of a pointer that is not NULL, of 1 … HEAP_BYTES_MAX bytes. It is not
 *  recorded. */
void *heap_resize_for(struct heap *heap, void *pointer, size_t bytes, const void *caller);

/** heap_free_for - the design's free, with misuse reported as that of @caller. */
void heap_free_for(struct heap *heap, void *pointer, const void *caller);

/* What a tail says. */
struct heap_note {
    size_t asked; /* bytes */
    uint64_t caller; /* return address of the call that allocated; 0: not known */
    uint64_t
        generation; /* of the heap at that time; of a block that realloc made, that of the block it was */
};

/** heap_guard_read - what is noted of a live block of a guarded heap. False: it has no tail, or a damaged one, and the usable
 *  size counts as asked for. */
bool heap_guard_read(struct heap *heap, const void *pointer, struct heap_note *note);

/** heap_guard_check - look behind the end of a live block of a guarded heap, and report. Returns whether it is right. */
bool heap_guard_check(struct heap *heap, const void *pointer);

#endif
