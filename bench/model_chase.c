/*
 * model.chase: what a load costs whose address is the result of the one before, by the size of what is walked over
 * and the size of its pages. Each load goes to another page than the last, in an order that repeats, so that a
 * level of the caches or of the TLB either holds everything or, once its capacity is exceeded, nothing: the
 * steps are sharp and say what each level costs. An operation is a load.
 *
 * The memory is the arena's, through the kernel's window (arch/layout.h) with leaves of the wanted size.
 */
#include "arch/paging.h"
#include "bench/bench.h"
#include "bench/workloads.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "smp/call.h"

#define PAGE_LINES (PAGE_BYTES / CACHE_LINE_BYTES)

/* Loads between two turns of the loop, so that its two instructions are 3 % of a load that hits. */
#define UNROLL 64

/* Loads of a round, so that the look at the clock between two, which misses in the caches that the chase has filled,
 * is lost among them. */
#define ROUND_LOADS 4096

struct chase {
    size_t window_bytes;
    size_t loads; /* of one way around */
    void **start;
    struct {
        void **at;
    } CACHE_ALIGNED hart[HART_MAX];
};

static uint64_t chase_kib, chase_page_kib, chase_lines;

static int apply_kib(const char *value, struct writer *why)
{
    return config_apply_number(value, 4, 1 << 20, &chase_kib, why);
}

CONFIG_KEY(chase_kib_key, .name = "chase_kib", .valid = "KiB that model.chase spans, 4 to 1048576",
    .initial = "64", .apply = apply_kib);

static int apply_page_kib(const char *value, struct writer *why)
{
    int error = config_apply_number(value, 4, 2048, &chase_page_kib, why);
    if (error || chase_page_kib == 4 || chase_page_kib == 2048)
        return error;
    writer_puts(why, "the window's pages are of 4 or 2048 KiB");
    return ERR_RANGE;
}

CONFIG_KEY(chase_page_key, .name = "chase_page_kib", .valid = "size of model.chase's pages: 4 or 2048",
    .initial = "2048", .apply = apply_page_kib);

static int apply_lines(const char *value, struct writer *why)
{
    return config_apply_number(value, 1, PAGE_LINES, &chase_lines, why);
}

CONFIG_KEY(chase_lines_key, .name = "chase_lines",
    .valid = "lines that model.chase uses of each 4 KiB, 1 to 64", .initial = "64", .apply = apply_lines);

/* The k-th load of @npages × chase_lines. The pages come in a scattered order (a step that is prime to their number), the
 * same every time around; the line within the page depends on the page, so that few lines of many pages
 * spread over the cache's sets. */
static void **place(char *window, size_t npages, size_t step, size_t k)
{
    size_t page = k % npages * step % npages, line = (page / 16 + k / npages) % PAGE_LINES;
    return (void **)(window + page * PAGE_BYTES + line * CACHE_LINE_BYTES);
}

/* Near the golden section of n, and prime to it. */
static size_t scattering_step(size_t n)
{
    size_t step = n * 618 / 1000 | 1;
    for (;; step += 2) {
        size_t a = n, b = step;
        while (b != 0) {
            size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return step;
    }
}

static void link_up(struct chase *chase, char *window, size_t npages)
{
    size_t step = scattering_step(npages);
    chase->loads = npages * chase_lines;
    chase->start = place(window, npages, step, 0);
    for (size_t k = 0; k < chase->loads; k++)
        *place(window, npages, step, k) = place(window, npages, step, (k + 1) % chase->loads);
}

static int setup(struct bench_run *bench)
{
    const struct memory_plan *memory = memory_plan();
    size_t npages = chase_kib * 1024 / PAGE_BYTES;
    size_t bytes = ALIGN_UP(npages * PAGE_BYTES, (size_t)chase_page_kib * 1024);
    if (bytes > memory->arena_frames * PAGE_BYTES)
        return ERR_NO_MEMORY;
    struct chase *chase = bench_buffer(sizeof(*chase));
    if (!chase)
        return ERR_NO_MEMORY;
    /* Nothing remembers that nothing was there: the harts flushed when it went. */
    if (page_table_map(&kernel_table, VADDR(WINDOW_BASE), pfn_to_paddr(memory->arena_base), bytes,
            PTE_R | PTE_W, chase_page_kib == 4 ? 0 : PAGE_LEVEL_2M)) {
        bench_buffer_free(chase);
        return ERR_NO_MEMORY;
    }
    chase->window_bytes = bytes;
    link_up(chase, (char *)WINDOW_BASE, npages);
    for (unsigned i = 0; i < bench->nharts; i++)
        chase->hart[i].at = chase->start;
    bench->state = chase;
    return 0;
}

static ALWAYS_INLINE void **walk(void **at, size_t loads)
{
    for (size_t left = DIV_CEIL(loads, (size_t)UNROLL); left > 0; left--) {
#pragma GCC unroll 64
        for (unsigned i = 0; i < UNROLL; i++)
            at = *(void **volatile *)at;
    }
    return at;
}

/* A span begins with one way around that does not count, or a large set would not be where it belongs yet. */
static void run(struct bench_hart *hart, uint64_t rounds)
{
    struct chase *chase = hart->run->state;
    void **at = chase->hart[hart->index].at;
    if (hart->ops == 0) {
        uint64_t since = clock_now();
        at = walk(at, chase->loads);
        hart->paused += clock_now() - since;
    }
    at = walk(at, rounds * ROUND_LOADS);
    chase->hart[hart->index].at = at;
    hart->ops += rounds * ROUND_LOADS;
}

static void flush_one(void *unused)
{
    (void)unused;
    paging_flush();
}

static void teardown(struct bench_run *bench)
{
    struct chase *chase = bench->state;
    struct table_gather gather = TABLE_GATHER_INIT;
    /* Its ends are those of leaves, so nothing is split, and it cannot fail. */
    page_table_unmap(&kernel_table, VADDR(WINDOW_BASE), chase->window_bytes, &gather);
    smp_call(hart_mask_first(hart_count()), flush_one, NULL);
    page_table_release(&kernel_table, &gather);
    bench_buffer_free(chase);
}

static void parameters(struct json *json)
{
    json_unsigned(json, "chase_kib", chase_kib);
    json_unsigned(json, "chase_page_kib", chase_page_kib);
    json_unsigned(json, "chase_lines", chase_lines);
}

const struct workload workload_model_chase = {
    .name = "model.chase",
    .measures = "loads that depend on each other, by working set and page size",
    .axis = BENCH_MACHINE,
    .rounds = 1,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .parameters = parameters,
};
