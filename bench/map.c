/*
 * The names of memory in one data point: the allocator under test and its arena, the kernel's frames, the harness, the
 * workload. Static data is not among them, but for arrays by hart: the ELF has its symbols.
 */
#include "bench/map.h"
#include "bench/points.h"
#include "bench/report.h"
#include "kernel/config.h"
#include "lib/parts.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "smp/hart.h"

/* A few KiB for each data point, which nobody reads who does not look for contended lines. */
static uint64_t wanted;

static int apply_map(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, 1, &wanted, why);
}

CONFIG_KEY(map_key, .name = "map", .valid = "1: say what lies where in each data point, or 0", .initial = "0",
    .apply = apply_map);

struct writer_of_parts {
    struct parts parts; /* first: the visitor is given this */
    struct json *json;
};

static void write_part(struct parts *parts, const struct part *part)
{
    struct json *json = ((struct writer_of_parts *)parts)->json;
    json_object_begin(json, NULL);
    json_string(json, "owner", part->owner);
    json_string(json, "name", part->name);
    json_unsigned(json, "base", kernel_to_paddr((const void *)part->base).value);
    json_unsigned(json, "bytes", part->bytes);
    if (part->count) {
        json_unsigned(json, "count", part->count);
        json_unsigned(json, "first", part->first);
        json_unsigned(json, "stride", part->stride);
    }
    json_object_end(json);
}

static void describe_harts(struct parts *parts, const struct bench_run *run)
{
    for (unsigned i = 0; i < hart_count(); i++)
        parts_add_nth(parts, "stack of hart", i, harts[i].arch.stack_base, HART_STACK_BYTES);
    parts_add_array(parts, "area of hart", harts, sizeof(harts[0]), hart_count(), sizeof(harts[0]));
    parts_add_array(parts, "counters of hart", counter_block_of(0), sizeof(struct counter_block),
        hart_count(), sizeof(struct counter_block));
    parts->owner = "harness";
    parts_add(parts, "data point", run, sizeof(*run));
    parts_add_array(
        parts, "share of hart", run->harts, sizeof(run->harts[0]), hart_count(), sizeof(run->harts[0]));
    parts_add(parts, "barrier", &run->barrier, sizeof(run->barrier));
}

void map_report(struct bench_run *run)
{
    struct json json;
    struct writer_of_parts writer = {.parts = {.visit = write_part}, .json = &json};
    if (!wanted)
        return;
    report_mark_begin(&json, "map");
    json_array_begin(&json, "parts");
    writer.parts.owner = "kernel frames";
    frame_describe(&kernel_frames, &writer.parts);
    frame_refs_describe(&kernel_refs, &writer.parts);
    writer.parts.owner = "kernel";
    describe_harts(&writer.parts, run);
    if (run->variant.frame) {
        writer.parts.owner = run->variant.frame->name;
        frame_describe(&run->arena, &writer.parts);
    }
    if (run->variant.heap) {
        writer.parts.owner = HEAP_FRAMES;
        frame_describe(&run->arena, &writer.parts);
        writer.parts.owner = run->variant.heap->name;
        heap_describe(&run->heap, &writer.parts);
    }
    writer.parts.owner = run->workload->name;
    bench_describe_buffers(&writer.parts);
    if (run->workload->describe)
        run->workload->describe(run, &writer.parts);
    json_array_end(&json);
    report_mark_end(&json);
}
