/* See memory.h: what a frame allocator costs in memory, measured from outside. */
#include "bench/memory.h"
#include "mm/memory.h"

/* The huge frames that the inspection holds, of all harts. */
static pfn_t huge[ARENA_FRAMES_MAX >> FRAME_ORDER_HUGE];
static size_t nhuge;

void memory_watch(struct bench_run *run)
{
    if (run->variant.heap)
        run->reserved_max = MAX(run->reserved_max, heap_reserved_bytes(&run->heap));
    if (run->variant.frame)
        run->stranded_max = MAX(run->stranded_max, frame_stranded_count(&run->arena));
}

static void take_huge(void *argument)
{
    struct bench_hart *hart = argument;
    while (nhuge < ARRAY_SIZE(huge)) {
        pfn_t pfn = frame_alloc(hart->arena, FRAME_ORDER_HUGE, 0);
        if (pfn_is_none(pfn))
            return;
        huge[nhuge++] = pfn;
    }
}

static void inspect_heap(struct bench_run *run, struct bench_memory *memory)
{
    struct heap_stats stats;
    heap_stats(&run->heap, &stats);
    memory->arena_frames = run->arena.nframes;
    memory->metadata_bytes = heap_metadata_size(run->variant.heap, run->arena.nframes, run->arena.nharts);
    memory->live_bytes = run->workload->held_bytes ? run->workload->held_bytes(run) : 0;
    memory->block_bytes = stats.live_bytes;
    memory->reserved_bytes = stats.reserved_bytes;
    memory->reserved_bytes_max = MAX(run->reserved_max, stats.reserved_bytes);
}

void memory_inspect(struct bench_run *run, struct bench_memory *memory)
{
    const struct frame_allocator_ops *ops = run->variant.frame;
    if (run->variant.heap)
        inspect_heap(run, memory);
    if (!ops)
        return;
    memory->arena_frames = run->arena.nframes;
    memory->metadata_bytes = ops->metadata_size(run->arena.nframes, run->arena.nharts);
    memory->stranded_frames = frame_stranded_count(&run->arena);
    memory->stranded_frames_max = MAX(run->stranded_max, memory->stranded_frames);
    memory->free_frames = frame_free_count(&run->arena);
    memory->has_huge = ops->order_max >= FRAME_ORDER_HUGE;
    if (!memory->has_huge)
        return;
    nhuge = 0;
    bench_each(run, take_huge);
    memory->huge_frames = nhuge << FRAME_ORDER_HUGE;
    while (nhuge > 0)
        frame_free(&run->arena, huge[--nhuge], FRAME_ORDER_HUGE);
}
