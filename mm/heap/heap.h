/*
 * Kernel heaps: the interface that every design stands behind, and the one way to call them. A heap is an instance over
 * pages of a frame allocator and gives them back whole when nothing lies in them; the caller supplies its metadata,
 * so any number of heaps can be measured in one boot.
 *
 * To add a design: one file with a `struct heap_ops`, one line in heap.c. What designs share is in heap_span.h.
 * docs/adding-a-variant.md.
 */
#ifndef MM_HEAP_HEAP_H
#define MM_HEAP_HEAP_H

#include <stdatomic.h>

#include "lib/base.h"
#include "lib/parts.h"
#include "mm/frame/frame.h"
#include "smp/lock.h"

/* Every block is aligned to this; more on request, up to HEAP_BYTES_MAX. */
#define HEAP_ALIGN ((size_t)16)

/* The largest block, 4 MiB: the frame allocators have no larger ones. */
#define HEAP_BYTES_MAX ((size_t)PAGE_BYTES << FRAME_ORDER_MAX)

/* Flags of heap_init(). */
#define HEAP_GUARD 1u /* canaries, poison and call sites around every block: mm/heap/guard.c */
#define HEAP_PEAK  2u /* the most pages ever reserved are known, for a sum over the harts at each growth */

#if defined(HARTSCALE_CHECK) && HARTSCALE_CHECK
#define HEAP_GUARD_DEFAULT HEAP_GUARD
#else
#define HEAP_GUARD_DEFAULT 0u
#endif

struct heap;

/* A block of a heap, as heap_walk() shows it. */
struct heap_block {
    void *base; /* as the caller has it, or would have it */
    size_t bytes; /* usable */
    bool live; /* given out; else free, in a cache of a hart too */
    unsigned hart; /* whose part of the heap it is in; 0 where they have none */
};

typedef void heap_visit(void *argument, const struct heap_block *block);

struct heap_ops {
    const char *name; /* as on the command line */

    /* It has no locks, so one measurement stands for all kinds of lock. */
    bool lockless;

    /* How many bytes at the start of a free block it writes to. Behind them a free block is left as it is: that is how the
     * guard finds writes to freed memory. A design that writes elsewhere, as to a header that a merge has absorbed,
     * calls heap_poison() for it. */
    size_t link_bytes;

    /* Bytes of the design's own metadata over that many frames, besides what is common; 64-byte aligned memory of that
     * size, not zeroed, is heap->metadata. */
    size_t (*metadata_size)(size_t nframes, unsigned nharts);

    /* An empty heap, which has no pages yet. 0, or a negative error. heap's fields are set. */
    int (*init)(struct heap *heap);

    /* A block aligned to HEAP_ALIGN, or NULL: there were no pages to be had, and nothing has changed. Blocks of up to a KiB
     * are to be had while a single frame is. 1 … HEAP_BYTES_MAX. */
    void *(*alloc)(struct heap *heap, size_t bytes);

    /* The same, aligned to a power of two from 2 * HEAP_ALIGN to PAGE_BYTES. */
    void *(*alloc_aligned)(struct heap *heap, size_t bytes, size_t align);

    /* Change a block's size, in place or by moving it; NULL: as it was, there was no room. The pointer is a live block's,
     * 1 … HEAP_BYTES_MAX. NULL instead of a function: heap_realloc() has a way for all. */
    void *(*realloc)(struct heap *heap, void *pointer, size_t bytes);

    /* Give a block back, not NULL. A wrong pointer goes to heap_refuse() and changes nothing. */
    void (*free)(struct heap *heap, void *pointer);

    /* Bytes that the holder of a block may use: what was asked for or more, a multiple of 8. 0 for what free would
     * refuse. */
    size_t (*usable_size)(struct heap *heap, const void *pointer);

    /* Give back every page in which nothing is live, caches of harts included; the harts are quiet. */
    void (*drain)(struct heap *heap);

    /* Recount everything from ground truth; the harts are quiet. 0, or ERR_CORRUPT with the finding on the console. */
    int (*validate)(struct heap *heap);

    /* Show every block, live or free, of all spans that are not large (heap_span.h); the harts are quiet. */
    void (*walk)(struct heap *heap, heap_visit *visit, void *argument);

    /* Name the parts of the metadata, for reports of contended lines. NULL: it is all called "metadata". */
    void (*describe)(struct heap *heap, struct parts *parts);
};

/* What was wrong. */
enum heap_misuse_kind {
    HEAP_MISUSE_DOUBLE_FREE, /* the block is free */
    HEAP_MISUSE_FOREIGN, /* in no page of this heap; of one that went back, perhaps */
    HEAP_MISUSE_INTERIOR, /* inside a block that is in use */
    HEAP_MISUSE_OVERRUN, /* somebody wrote behind the end of the block, or of the one in front of it */
    HEAP_MISUSE_AFTER_FREE, /* somebody wrote to the block while it was free; found when it was given out again */
};

struct heap_misuse {
    enum heap_misuse_kind kind;
    const void *pointer;
    size_t bytes; /* of the block, as far as known; else 0 */
    uint64_t caller; /* return address of the call that found it */
    uint64_t allocated_by; /* of the call that had the block; 0: not known */
};

/* A hart's own counts, on a line of its own; they mean something only when summed. */
struct heap_hart {
    _Atomic int64_t frames; /* taken less given back */
    uint64_t caller; /* of the free that is handed on to the design; else 0 */
} CACHE_ALIGNED;

struct heap {
    const struct heap_ops *ops; /* the design */
    const struct heap_ops
        *front; /* what callers reach: the design, the guard before it, or the recorder before both */
    struct frame_allocator *frames; /* where its pages are from */
    _Atomic uint64_t *spans; /* a word a frame: heap_span.h */
    uintptr_t base; /* where the direct map shows the first frame of the allocator */
    size_t nframes; /* that the allocator has */
    void *metadata; /* the design's own */
    struct heap_hart *harts;
    const struct lock_ops
        *lock_kind; /* for every lock of this instance; may be NULL if the design has none */
    const char *name; /* of the instance: "kernel", "heap" */
    struct heap_recorder *recorder; /* that keeps its calls: mm/heap/record.h; NULL: none */
    unsigned nharts; /* harts 0 … nharts − 1 may call */
    bool guarded;
    bool keeps_peak;
    _Atomic uint64_t generation; /* marks that were set: mm/heap/checkpoint.h */

    _Atomic uint64_t misuse_count CACHE_ALIGNED;
    struct heap_misuse last_misuse; /* read when quiet */
    size_t live_bytes_peak; /* of all looks: heap_stats() */
    _Atomic size_t reserved_bytes_peak; /* the same, and of all growths with HEAP_PEAK */

    /* By the guard: live blocks, their bytes as asked for, and the most of those. */
    _Atomic int64_t noted_blocks CACHE_ALIGNED;
    _Atomic int64_t noted_bytes, noted_bytes_peak;
} CACHE_ALIGNED;

/** heap_design_at - the i-th design; NULL behind the last. heap_design_name_at - its name. */
const struct heap_ops *heap_design_at(size_t i);
const char *heap_design_name_at(size_t i);

/** heap_design_find - a design by its exact name; NULL if there is none. */
const struct heap_ops *heap_design_find(const char *name);

/** heap_metadata_size - bytes that heap_init() wants for a design over that many frames. */
size_t heap_metadata_size(const struct heap_ops *ops, size_t nframes, unsigned nharts);

/**
 * heap_init - make an empty heap.
 * @name: of the instance; must outlive it
 * @frames: its pages are from there; others may use it, too
 * @metadata: heap_metadata_size(ops, frames->nframes, frames->nharts) bytes, aligned to CACHE_LINE_BYTES
 * @flags: of HEAP_GUARD and HEAP_PEAK
 *
 * Returns 0, ERR_INVALID for misaligned metadata, or what the design's init returned.
 */
int heap_init(struct heap *heap, const struct heap_ops *ops, const struct lock_ops *lock_kind,
    const char *name, struct frame_allocator *frames, void *metadata, unsigned flags);

/** heap_destroy - give every page back, whatever is still held. The harts are quiet. */
void heap_destroy(struct heap *heap);

/**
 * heap_alloc - a block of so many bytes, aligned to HEAP_ALIGN.
 * @bytes: 0 is served as 1 is: a pointer of its own, to be freed
 *
 * Returns NULL when there is no memory, and for more than HEAP_BYTES_MAX. The caller must not migrate to another
 * hart during the call, nor be an interrupt handler; so it is for all calls here.
 */
static inline void *heap_alloc(struct heap *heap, size_t bytes)
{
    if (unlikely(bytes - 1 >= HEAP_BYTES_MAX)) { /* both ends with one comparison */
        if (bytes != 0)
            return NULL;
        bytes = 1;
    }
    return heap->front->alloc(heap, bytes);
}

/** heap_zalloc - the same, filled with zeros as far as was asked for. */
void *heap_zalloc(struct heap *heap, size_t bytes);

/** heap_alloc_aligned - the same, aligned to a power of two up to HEAP_BYTES_MAX; NULL for any other number. */
void *heap_alloc_aligned(struct heap *heap, size_t bytes, size_t align);

/** heap_alloc_for - the same for functions that allocate in another's name. @caller: who is the block's call site */
void *heap_alloc_for(struct heap *heap, size_t bytes, size_t align, const void *caller);

/**
 * heap_realloc - a block of another size with the contents of this one, as far as they fit; often the same one.
 * @pointer: NULL: heap_alloc(). Only HEAP_ALIGN of its alignment is kept.
 * @bytes: 0 is served as 1 is; it does not free
 *
 * Returns NULL when there is no memory, and the block is as it was; to make one smaller never fails. A wrong pointer is
 * refused as heap_free() does, and NULL.
 */
void *heap_realloc(struct heap *heap, void *pointer, size_t bytes);

/**
 * heap_free - give back a block, from any hart. NULL is nothing.
 * A wrong one is counted, reported with address, size and call site as far as they are known, and changes nothing.
 */
static inline void heap_free(struct heap *heap, void *pointer)
{
    if (likely(pointer != NULL))
        heap->front->free(heap, pointer);
}

/** heap_usable_size - bytes of a block that its holder may use; 0 for what is not a live block. */
static inline size_t heap_usable_size(struct heap *heap, const void *pointer)
{
    return pointer ? heap->front->usable_size(heap, pointer) : 0;
}

/** heap_drain - give back every page in which nothing is live. The harts are quiet. */
void heap_drain(struct heap *heap);

#define HEAP_HELD_UNKNOWN SIZE_MAX

/**
 * heap_validate - prove the heap's state against itself and against its callers.
 * @held: blocks that callers hold, by their own count; HEAP_HELD_UNKNOWN: by the guard's, and where there is none nobody says
 *
 * The harts are quiet. Returns 0, or ERR_CORRUPT with what is wrong on the console: more blocks in use than are held are
 * lost, fewer were given twice.
 */
int heap_validate(struct heap *heap, size_t held);

/** heap_walk - show every block. The harts are quiet. */
void heap_walk(struct heap *heap, heap_visit *visit, void *argument);

/* Statistics by the size of blocks: class i has those of up to 2^i times HEAP_ALIGN. */
#define HEAP_CLASSES 19
_Static_assert((HEAP_ALIGN << (HEAP_CLASSES - 1)) == HEAP_BYTES_MAX, "the last class is the largest block");

/* Nothing is counted while the harts work, but by the guard: it is all found by walking. Fragmentation: inside blocks
 * 1 − asked / live, outside of them 1 − live / reserved. */
struct heap_stats {
    size_t live_blocks, live_bytes; /* given out; usable bytes */
    size_t asked_bytes, asked_bytes_peak; /* of those, as asked for, and the most ever; 0 without the guard */
    size_t free_bytes, largest_free; /* in free blocks; the largest of them */
    size_t reserved_bytes; /* in pages of the heap */
    size_t live_bytes_peak; /* the most of all looks, this one too */
    size_t reserved_bytes_peak; /* the same; with HEAP_PEAK the most ever */

    struct heap_class_stats {
        size_t live_blocks, live_bytes, free_bytes;
    } class[HEAP_CLASSES];

    struct heap_hart_stats {
        size_t live_bytes, free_bytes; /* in its part of the heap */
    } hart[HART_MAX];
};

/** heap_stats - a look at the heap. The harts are quiet. */
void heap_stats(struct heap *heap, struct heap_stats *stats);

/** heap_class_bytes - the largest block of a class of the statistics. */
static inline size_t heap_class_bytes(unsigned class)
{
    return HEAP_ALIGN << class;
}

/** heap_reserved_bytes - in pages of the heap; exact when the harts are quiet, else of some moment near. */
size_t heap_reserved_bytes(const struct heap *heap);

/** heap_describe - name what belongs to the instance: its parts and its metadata. */
void heap_describe(struct heap *heap, struct parts *parts);

/** heap_refuse - for designs: count and report a misuse. @misuse->caller: __builtin_return_address(0). */
void heap_refuse(struct heap *heap, const struct heap_misuse *misuse) COLD;

/** heap_corrupt - for designs: say on the console what validation found at an address. Returns ERR_CORRUPT. */
int heap_corrupt(const struct heap *heap, const void *address, const char *finding) COLD;

/** heap_say_site - a call site on the console, with its name: "0xffffffff80201234 (function+0x34)"; 0 says "unknown". */
void heap_say_site(uint64_t address);

/** heap_misuse_text - the kind in words: "double free". */
const char *heap_misuse_text(enum heap_misuse_kind kind);

#endif
