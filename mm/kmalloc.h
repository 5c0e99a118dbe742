/*
 * The kernel's own heap: one instance over the kernel's frames, of the design that `kernel.heap=` names. Whoever in the
 * kernel wants less than pages, or does not care where it lies, calls this; what is shared with the hardware or
 * measured by the line takes frames.
 *
 * What heap.h says of each call holds here. Everything is called with the hart's own index known, by no interrupt
 * handler, and from memory_init() on.
 */
#ifndef MM_KMALLOC_H
#define MM_KMALLOC_H

#include "mm/heap/heap.h"

/* For statistics, checkpoints and validation; callers that allocate use the functions below. */
extern struct heap kernel_heap;

/** kmalloc - so many bytes, 0 is served as 1 is; NULL: there is no memory, or more than HEAP_BYTES_MAX were asked for. */
static inline void *kmalloc(size_t bytes)
{
    return heap_alloc(&kernel_heap, bytes);
}

/** kzalloc - the same, filled with zeros. */
static inline void *kzalloc(size_t bytes)
{
    return heap_zalloc(&kernel_heap, bytes);
}

/** kmalloc_aligned - the same as kmalloc, aligned to a power of two up to HEAP_BYTES_MAX. */
static inline void *kmalloc_aligned(size_t bytes, size_t align)
{
    return heap_alloc_aligned(&kernel_heap, bytes, align);
}

/** krealloc - a block of another size with the same contents; NULL: there is no memory, and the block is as it was. */
static inline void *krealloc(void *pointer, size_t bytes)
{
    return heap_realloc(&kernel_heap, pointer, bytes);
}

/** kfree - give it back, from any hart; NULL is nothing, and a wrong pointer is reported and changes nothing. */
static inline void kfree(void *pointer)
{
    heap_free(&kernel_heap, pointer);
}

#endif
