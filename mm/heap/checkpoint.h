/*
 * Checkpoints: set a mark, let something run, and see what it allocated and did not free, by call site. For heaps with the
 * guard, whose blocks know when and by whom they were allocated; the harts are quiet in each of these calls.
 */
#ifndef MM_HEAP_CHECKPOINT_H
#define MM_HEAP_CHECKPOINT_H

#include "mm/heap/heap.h"

struct heap_mark {
    uint64_t generation; /* of what is allocated from now on; 0: no mark was set */
    size_t nameless; /* live blocks that have no room for a call site */
};

/* What calls from one place in the code have allocated. */
struct heap_site {
    uint64_t caller; /* return address of the calls; 0: not known */
    size_t blocks, bytes; /* bytes as asked for */
};

/* More than there are in the kernel. */
#define HEAP_SITES_MAX 64

struct heap_since {
    struct heap_site total;
    struct heap_site others; /* of the sites that found no room below */
    size_t nsites;
    struct heap_site site[HEAP_SITES_MAX]; /* the most bytes first, then by address */
};

/** heap_mark - a moment to look back to. Earlier marks stay valid. */
void heap_mark(struct heap *heap, struct heap_mark *mark);

/**
 * heap_since - what was allocated since the mark and is still live.
 * A block that realloc has moved is as old as it was before. Blocks of nearly HEAP_BYTES_MAX, which have no room for a
 * call site, are only counted: by how many more there are, under caller 0. There is also any block whose call site was
 * overwritten, whenever it was allocated, with its usable size.
 */
void heap_since(struct heap *heap, const struct heap_mark *mark, struct heap_since *since);

/** heap_report_since - the same on the console, a line a site, each begun by @before. Returns the number of blocks. */
size_t heap_report_since(struct heap *heap, const struct heap_mark *mark, const char *before);

#endif
