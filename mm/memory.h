/*
 * Physical memory of the machine: what the kernel itself allocates frames from, in two shares, and the arena, a large aligned
 * piece kept free of anything else, over which allocators under test are instantiated. The kernel lives in its first share; while
 * something is measured it lives in the other, which is made anew for that, so that neither addresses nor the state of its
 * allocators depend on what has been done before.
 */
#ifndef MM_MEMORY_H
#define MM_MEMORY_H

#include "lib/machine.h"
#include "lib/writer.h"
#include "mm/frame/frame_refs.h"
#include "mm/kmalloc.h"
#include "mm/vm/page_table.h"

/* The kernel's own allocator, and the references to its frames. Its heap over them: mm/kmalloc.h. */
extern struct frame_allocator kernel_frames;
extern struct frame_refs kernel_refs;

/* What the kernel itself runs on, as opposed to what it measures. */
struct memory_designs {
    const struct frame_allocator_ops *frame;
    const struct heap_ops *heap;
    const struct lock_ops *lock; /* of both */
    unsigned heap_flags; /* of heap_init() */
};

struct memory_plan {
    paddr_t ram_first, ram_end; /* bounds of all RAM */
    paddr_t kernel_first; /* the kernel's first share, with metadata and references */
    size_t kernel_bytes;
    paddr_t apart_first; /* its second, behind that */
    size_t apart_bytes;
    struct table_page *table_pages; /* one for each of the kernel's frames, zeroed */
    void *metadata; /* room for the metadata of any design over the arena */
    size_t metadata_bytes;
    void *heap_metadata; /* room for that of any heap over the arena */
    size_t heap_metadata_bytes;
    pfn_t arena_base; /* aligned to FRAME_ORDER_MAX */
    size_t arena_frames; /* a power of two, at least ARENA_FRAMES_MIN */
};

/* The least that every workload can run on with a few harts: 4 MiB, one block of the largest order. */
#define ARENA_FRAMES_MIN ((size_t)1 << FRAME_ORDER_MAX)

/* A larger arena shows nothing new and takes longer to set up for every data point: 1 GiB. */
#define ARENA_FRAMES_MAX ((size_t)1 << 18)

/**
 * memory_init - divide the RAM, start the kernel's frame allocator and its heap.
 * @taken: ranges that are in use besides the machine's reserved ones; @ntaken of them
 *
 * Boot hart, once, alone. Returns 0, or ERR_NO_MEMORY when there is less RAM than the kernel and the smallest
 * arena need, with the sizes on the console.
 */
int memory_init(const struct machine *machine, const struct fdt_range *taken, unsigned ntaken,
    const struct memory_designs *designs);

/**
 * memory_move - from here on the kernel's frames, their references and its heap are new ones, of the same designs, over its second
 * share: as if nobody had ever used them. The harts are quiet. What has been allocated before is neither given back nor enlarged
 * until memory_return(). 0 or ERR_NO_MEMORY: then nothing has changed.
 *
 * memory_return - they are what they were, and what was allocated in between is gone. The harts are quiet. Returns 0, or ERR_CORRUPT
 * with the reason in @why: not all of it had come back, or it does not validate.
 */
int memory_move(void);
int memory_return(struct writer *why);

/** memory_plan - what memory_init() decided. */
const struct memory_plan *memory_plan(void);

#endif
