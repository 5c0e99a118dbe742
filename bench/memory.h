/* What an allocator's speed costs in memory: metadata, frames that lie idle in caches, huge blocks that are broken; and of
 * a heap what its pages hold besides. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "bench/bench.h"

struct bench_memory {
    size_t arena_frames; /* 0: the workload is not about memory */
    size_t metadata_bytes;
    size_t stranded_frames; /* after the last trial */
    size_t stranded_frames_max; /* of all looks */

    /* Gorman and Whitcroft's unusable free space index (2006) for 2 MiB frames is 1 − huge_frames / free_frames. */
    size_t free_frames;
    size_t huge_frames; /* of those, what was had as 2 MiB frames */
    bool has_huge; /* whether the allocator has such frames at all */

    /* Of a heap, after the last trial: what the workload holds, as it asked for it; the blocks that it has for that; the
     * pages that they lie in, and the most of all looks. */
    size_t live_bytes, block_bytes;
    size_t reserved_bytes, reserved_bytes_max;
};

/** memory_watch - a look at how many frames lie in caches, or how many a heap has. The run's harts are between rounds. */
void memory_watch(struct bench_run *run);

/**
 * memory_inspect - what it costs, with what the workload holds at the end of the trials still held.
 * Each of the run's harts in turn takes all the 2 MiB frames that it can have, and all go back: what a design has
 * broken up or left in caches where nobody finds it shows, whatever its structure. Boot hart, behind the last look.
 */
void memory_inspect(struct bench_run *run, struct bench_memory *memory);

#endif
