/*
 * The division of physical memory at boot. The largest free range is used: from its top an arena of a power
 * of two frames, at most half of the range, below it the metadata of the allocator and the heap under test, below
 * that the kernel's own two shares, of about the same size.
 */
#include "mm/memory.h"
#include "arch/console.h"
#include "arch/paging.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/heap/record.h"

#define BLOCK_BYTES ((uint64_t)PAGE_BYTES << FRAME_ORDER_MAX)

/* Below this the kernel could not hold its stacks for 64 harts in the one share, and the harness's buffers in the other; and its
 * frames begin at a large block. */
#define SHARE_BYTES_MIN  (4ull << 20)
#define SHARES_BYTES_MIN (2 * (SHARE_BYTES_MIN + BLOCK_BYTES))

struct frame_allocator kernel_frames;
struct frame_refs kernel_refs;
struct heap kernel_heap;

static struct memory_plan plan;
static struct memory_designs chosen;

/* The first share's, while the kernel is in the other. */
static struct {
    struct frame_allocator frames;
    struct frame_refs refs;
    struct heap heap;
    struct table_page *table_pages;
} home;

struct range {
    uint64_t first, end;
};

/* Cuts [cut->first, cut->end) out of a range and keeps the larger remainder: enough, because what is cut lies
 * near the ends (firmware and image at the bottom, device tree at the top). */
static struct range cut(struct range from, struct range taken)
{
    if (taken.end <= from.first || taken.first >= from.end || taken.first >= taken.end)
        return from;
    struct range below = {from.first, MAX(taken.first, from.first)};
    struct range above = {MIN(taken.end, from.end), from.end};
    return below.end - below.first >= above.end - above.first ? below : above;
}

static struct range to_range(struct fdt_range r)
{
    return (struct range){r.base, r.base + r.bytes};
}

static struct range largest_free(
    const struct machine *machine, const struct fdt_range *taken, unsigned ntaken)
{
    struct range best = {0, 0};
    for (unsigned i = 0; i < machine->nram; i++) {
        struct range r = to_range(machine->ram[i]);
        r.end = MIN(r.end, paging_direct_limit().value);
        for (unsigned k = 0; k < machine->nreserved; k++)
            r = cut(r, to_range(machine->reserved[k]));
        for (unsigned k = 0; k < ntaken; k++)
            r = cut(r, to_range(taken[k]));
        if (r.end > r.first && r.end - r.first > best.end - best.first)
            best = r;
    }
    return best;
}

static void note_ram_bounds(const struct machine *machine)
{
    plan.ram_first = PADDR(UINT64_MAX);
    plan.ram_end = PADDR(0);
    for (unsigned i = 0; i < machine->nram; i++) {
        struct range r = to_range(machine->ram[i]);
        plan.ram_first.value = MIN(plan.ram_first.value, r.first);
        plan.ram_end.value = MAX(plan.ram_end.value, r.end);
    }
}

/* The most that any design asks for over this many frames. */
static size_t metadata_bytes_max(size_t nframes, unsigned nharts)
{
    size_t most = 0;
    for (size_t i = 0; frame_allocator_at(i); i++)
        most = MAX(most, frame_allocator_at(i)->metadata_size(nframes, nharts));
    return ALIGN_UP(most, (size_t)PAGE_BYTES);
}

static size_t heap_metadata_bytes_max(size_t nframes, unsigned nharts)
{
    size_t most = 0;
    for (size_t i = 0; heap_design_at(i); i++)
        most = MAX(most, heap_metadata_size(heap_design_at(i), nframes, nharts));
    return ALIGN_UP(most, (size_t)PAGE_BYTES);
}

/* Whether there is room for an arena of so many frames; then it is planned, and @free is what is left. */
static bool fit_arena(struct range *free, size_t frames, unsigned nharts)
{
    size_t frame_bytes = metadata_bytes_max(frames, nharts);
    size_t heap_bytes = heap_metadata_bytes_max(frames, nharts);
    uint64_t base = ALIGN_DOWN(free->end - MIN(free->end, frames * PAGE_BYTES), BLOCK_BYTES);
    if (base < free->first + frame_bytes + heap_bytes + SHARES_BYTES_MIN)
        return false;
    plan.metadata_bytes = frame_bytes;
    plan.heap_metadata_bytes = heap_bytes;
    plan.arena_base = paddr_to_pfn_floor(PADDR(base));
    plan.arena_frames = frames;
    plan.metadata = paddr_to_direct(PADDR(base - frame_bytes));
    plan.heap_metadata = paddr_to_direct(PADDR(base - frame_bytes - heap_bytes));
    free->end = base - frame_bytes - heap_bytes;
    return true;
}

/* At most half, and less where the kernel would not have enough. */
static int plan_arena(struct range *free, unsigned nharts)
{
    uint64_t half = (free->end - free->first) / 2 / PAGE_BYTES;
    size_t frames = half ? MIN((size_t)1 << bits_highest(half), ARENA_FRAMES_MAX) : 0;
    for (; frames >= ARENA_FRAMES_MIN; frames /= 2)
        if (fit_arena(free, frames, nharts))
            return 0;
    return ERR_NO_MEMORY;
}

/* What memory_init() needs in one piece, wherever that begins. */
static uint64_t least_bytes(unsigned nharts)
{
    return SHARES_BYTES_MIN + metadata_bytes_max(ARENA_FRAMES_MIN, nharts) +
           heap_metadata_bytes_max(ARENA_FRAMES_MIN, nharts) + 2 * BLOCK_BYTES;
}

static struct range share_of(paddr_t first, size_t bytes)
{
    return (struct range){first.value, first.value + bytes};
}

static void plan_shares(struct range free)
{
    uint64_t first = ALIGN_UP(free.first, (uint64_t)PAGE_BYTES);
    uint64_t middle = ALIGN_DOWN(first + (free.end - first) / 2, BLOCK_BYTES);
    plan.kernel_first = PADDR(first);
    plan.kernel_bytes = middle - first;
    plan.apart_first = PADDR(middle);
    plan.apart_bytes = free.end - middle;
}

/* From the beginning of a share on: metadata of the frame allocator, references, metadata of the heap, notes
 * on page tables, and from the next large block on the frames. */
static int start_kernel(struct range free, unsigned nharts, const struct memory_designs *designs)
{
    uint64_t first = free.first;
    /* For a few frames more than there will be: those that all this lies on. The kernel's own table has its pages from whichever share
     * is in use, and notes on them in the first. */
    size_t frames = (free.end - first) / PAGE_BYTES;
    size_t noted = (plan.apart_first.value + plan.apart_bytes - first) / PAGE_BYTES;
    uint64_t references =
        first + ALIGN_UP(designs->frame->metadata_size(frames, nharts), (size_t)CACHE_LINE_BYTES);
    uint64_t heap = ALIGN_UP(references + frame_refs_bytes(frames), (uint64_t)CACHE_LINE_BYTES);
    uint64_t tables =
        ALIGN_UP(heap + heap_metadata_size(designs->heap, frames, nharts), (uint64_t)CACHE_LINE_BYTES);
    uint64_t base = ALIGN_UP(tables + noted * sizeof(*plan.table_pages), BLOCK_BYTES);
    if (base + BLOCK_BYTES > free.end)
        return ERR_NO_MEMORY;
    int error = frame_allocator_init(&kernel_frames, designs->frame, designs->lock, "kernel",
        paddr_to_direct(PADDR(first)), paddr_to_pfn_floor(PADDR(base)), (free.end - base) / PAGE_BYTES,
        nharts);
    if (error)
        return error;
    frame_refs_init(&kernel_refs, &kernel_frames, paddr_to_direct(PADDR(references)));
    plan.table_pages = paddr_to_direct(PADDR(tables));
    memset(plan.table_pages, 0, noted * sizeof(*plan.table_pages));
    return heap_init(&kernel_heap, designs->heap, designs->lock, "kernel", &kernel_frames,
        paddr_to_direct(PADDR(heap)), designs->heap_flags);
}

int memory_init(const struct machine *machine, const struct fdt_range *taken, unsigned ntaken,
    const struct memory_designs *designs)
{
    note_ram_bounds(machine);
    chosen = *designs;
    struct range free = largest_free(machine, taken, ntaken);
    uint64_t available = free.end - free.first;
    int error = plan_arena(&free, machine->nharts);
    if (!error) {
        plan_shares(free);
        error = start_kernel(share_of(plan.kernel_first, plan.kernel_bytes), machine->nharts, designs);
    }
    if (error)
        console_format(
            "error: too little RAM: the largest free range has %lu KiB; the kernel and the smallest "
            "arena need about %lu KiB (QEMU's -m, MEM= for make)\n",
            available / 1024, least_bytes(machine->nharts) / 1024);
    return error;
}

static void go_home(void)
{
    kernel_frames = home.frames;
    kernel_refs = home.refs;
    kernel_heap = home.heap;
    plan.table_pages = home.table_pages;
}

int memory_move(void)
{
    home.frames = kernel_frames;
    home.refs = kernel_refs;
    home.heap = kernel_heap;
    home.table_pages = plan.table_pages;
    int error = start_kernel(share_of(plan.apart_first, plan.apart_bytes), kernel_frames.nharts, &chosen);
    if (error)
        go_home();
    else
        heap_record_follow(&kernel_heap, &home.heap);
    return error;
}

/* Relaxed: the harts are quiet. */
static int inspect(struct writer *why)
{
    uint64_t misuses = atomic_load_explicit(&kernel_heap.misuse_count, memory_order_relaxed) +
                       atomic_load_explicit(&kernel_frames.misuse_count, memory_order_relaxed);
    heap_drain(&kernel_heap);
    size_t lost = kernel_frames.nframes - frame_free_count(&kernel_frames);
    if (lost != 0)
        writer_format(why, "%zu of the kernel's frames have not come back", lost);
    else if (misuses != 0)
        writer_format(why, "%lu misuses of the kernel's heap and frames", misuses);
    else if (frame_validate(&kernel_frames, 0) || frame_refs_validate(&kernel_refs, 0))
        writer_puts(why, "the kernel's frames do not validate");
    else
        return 0;
    return ERR_CORRUPT;
}

int memory_return(struct writer *why)
{
    int error = inspect(why);
    go_home();
    return error;
}

const struct memory_plan *memory_plan(void)
{
    return &plan;
}
