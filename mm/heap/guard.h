/*
 * The guard: a layer between callers and any design that finds writes behind a block's end and writes to freed blocks, and
 * knows who allocated what. Each block gets 16 bytes more; they hold its asked size and its call site, and what lies
 * between the asked size and them is a canary. Freed blocks are filled with poison. For heap.c.
 */
#ifndef MM_HEAP_GUARD_H
#define MM_HEAP_GUARD_H

#include "mm/heap/heap.h"

/* What a guarded heap shows to its callers. */
extern const struct heap_ops heap_guard;

/** heap_aligned - alloc_aligned of the design, and what is the same for all: more than a page's alignment. */
void *heap_aligned(struct heap *heap, size_t bytes, size_t align);

/** heap_guard_check - look behind the end of a live block of a guarded heap, and report. Returns whether it is right. */
bool heap_guard_check(struct heap *heap, const void *pointer);

#endif
