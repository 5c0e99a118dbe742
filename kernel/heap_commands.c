/* `heap` at the monitor: what the kernel's own heap holds, whether it is sound, and what was allocated since a mark. */
#include "arch/console.h"
#include "kernel/monitor.h"
#include "lib/error.h"
#include "lib/ratio.h"
#include "lib/string.h"
#include "mm/heap/checkpoint.h"
#include "mm/kmalloc.h"

static struct heap_mark mark;

/* "1023 B", "1.5 KiB", "64.0 MiB" */
struct size_text {
    char text[16];
};

static struct size_text size_text(size_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB"};
    struct size_text size = {""};
    unsigned unit = 0;
    if (bytes < 1024) {
        buffer_format(size.text, sizeof(size.text), "%zu B", bytes);
        return size;
    }
    while (unit + 1 < ARRAY_SIZE(units) && bytes >> (10 * (unit + 2)) != 0)
        unit++;
    struct decimal value = ratio_decimal(bytes, 1ull << (10 * (unit + 1)), 1);
    buffer_format(
        size.text, sizeof(size.text), "%lu.%u %s", (unsigned long)value.whole, value.fraction, units[unit]);
    return size;
}

/* What is not used of a whole, in per cent. */
static struct size_text waste_text(size_t used, size_t whole)
{
    struct size_text text = {""};
    struct decimal value = whole > used ? ratio_decimal(100 * (whole - used), whole, 1) : (struct decimal){0};
    buffer_format(text.text, sizeof(text.text), "%lu.%u %%", (unsigned long)value.whole, value.fraction);
    return text;
}

static void print_totals(const struct heap_stats *stats)
{
    const struct heap *heap = &kernel_heap;
    console_format("  design         %s over frames of %s, %s%s, guard %s\n", heap->ops->name,
        heap->frames->ops->name, heap->ops->lockless ? "" : "lock ",
        heap->ops->lockless ? "without locks" : heap->lock_kind->name, heap->guarded ? "on" : "off");
    console_format("  live           %s in %zu block%s, at most %s when looked at\n",
        size_text(stats->live_bytes).text, stats->live_blocks, stats->live_blocks == 1 ? "" : "s",
        size_text(stats->live_bytes_peak).text);
    if (heap->guarded)
        console_format("  asked for      %s, at most %s\n", size_text(stats->asked_bytes).text,
            size_text(stats->asked_bytes_peak).text);
    console_format("  free           %s in blocks, the largest of %s\n", size_text(stats->free_bytes).text,
        size_text(stats->largest_free).text);
    console_format("  reserved       %s in pages, at most %s\n", size_text(stats->reserved_bytes).text,
        size_text(stats->reserved_bytes_peak).text);
    console_format("  fragmentation  inside blocks %s, outside %s\n",
        heap->guarded ? waste_text(stats->asked_bytes, stats->live_bytes).text : "known to the guard only",
        waste_text(stats->live_bytes, stats->reserved_bytes).text);
}

static void print_classes(const struct heap_stats *stats)
{
    console_format("\n  blocks of up to      live       bytes        free\n");
    for (unsigned i = 0; i < HEAP_CLASSES; i++) {
        const struct heap_class_stats *class = &stats->class[i];
        if (class->live_blocks != 0 || class->free_bytes != 0)
            console_format("  %15s %9zu %11s %11s\n", size_text(heap_class_bytes(i)).text, class->live_blocks,
                size_text(class->live_bytes).text, size_text(class->free_bytes).text);
    }
}

/* Designs without parts of harts count everything to hart 0. */
static void print_harts(const struct heap_stats *stats)
{
    unsigned parts = 0;
    for (unsigned i = 1; i < kernel_heap.nharts; i++)
        parts += stats->hart[i].live_bytes != 0 || stats->hart[i].free_bytes != 0;
    if (parts == 0)
        return;
    console_format("\n  part of hart     live        free\n");
    for (unsigned i = 0; i < kernel_heap.nharts; i++) {
        const struct heap_hart_stats *hart = &stats->hart[i];
        if (hart->live_bytes != 0 || hart->free_bytes != 0)
            console_format(
                "  %12u %11s %11s\n", i, size_text(hart->live_bytes).text, size_text(hart->free_bytes).text);
    }
}

static int show(void)
{
    struct heap_stats stats;
    heap_stats(&kernel_heap, &stats);
    print_totals(&stats);
    if (stats.reserved_bytes != 0)
        print_classes(&stats);
    print_harts(&stats);
    return 0;
}

static int check(void)
{
    int error = heap_validate(&kernel_heap, HEAP_HELD_UNKNOWN);
    uint64_t refused = atomic_load_explicit(&kernel_heap.misuse_count, memory_order_relaxed);
    if (!error)
        console_format("  sound: %s; %lu wrong frees or overruns so far\n",
            kernel_heap.guarded
                ? "every block is accounted for, and nothing was written behind one"
                : "its metadata agrees with itself (no guard: overruns and lost blocks do not show)",
            refused);
    return error;
}

static bool has_call_sites(void)
{
    if (!kernel_heap.guarded)
        console_format("the heap knows no call sites without its guard: `make run ARGS=kernel.guard=1` "
                       "boots with it\n");
    return kernel_heap.guarded;
}

static int set_mark(void)
{
    if (!has_call_sites())
        return ERR_STATE;
    heap_mark(&kernel_heap, &mark);
    return 0;
}

static int since_mark(void)
{
    if (!has_call_sites())
        return ERR_STATE;
    if (mark.generation == 0)
        console_format("  since boot, as no mark was set (`heap mark`):\n");
    if (heap_report_since(&kernel_heap, &mark, "  ") == 0)
        console_format("  nothing is left\n");
    return 0;
}

static const struct action {
    const char *name;
    int (*run)(void);
} actions[] = {{"check", check}, {"mark", set_mark}, {"since", since_mark}};

static int heap_run(unsigned argc, char **argv)
{
    if (argc == 1)
        return show();
    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(actions); i++) {
        if (strcmp(argv[1], actions[i].name) == 0)
            return actions[i].run();
    }
    console_format("usage: heap [check|mark|since]\n");
    return ERR_INVALID;
}

COMMAND(heap_command, .name = "heap", .usage = "[check|mark|since]",
    .help = "the kernel's heap: statistics; is it sound; what was allocated since a mark and is left",
    .run = heap_run);
