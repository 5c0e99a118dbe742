/* Writing results; the format is the project's and is described in docs/results.md. */
#include "bench/report.h"
#include "arch/console.h"
#include "arch/model.h"
#include "bench/vm_select.h"

void report_mark_begin(struct json *json, const char *mark)
{
    console_lock();
    writer_format(console_writer(), "@%s ", mark);
    json_init(json, console_writer());
    json_object_begin(json, NULL);
}

void report_mark_end(struct json *json)
{
    json_object_end(json);
    writer_puts(console_writer(), "\n");
    console_unlock();
}

static void write_point(struct json *json, const struct bench_point *point)
{
    json_string(json, "bench", point->workload->name);
    json_object_begin(json, "variant");
    if (point->variant.frame)
        json_string(json, "frame", point->variant.frame->name);
    if (point->variant.heap)
        json_string(json, "heap", point->variant.heap->name);
    if (point->variant.lock)
        json_string(json, "lock", point->variant.lock->name);
    for (size_t i = 0; point->variant.vm && vm_choice_name(i); i++)
        json_string(json, vm_choice_name(i), vm_choice_value(point->variant.vm, i));
    json_object_end(json);
    json_unsigned(json, "harts", point->nharts);
}

void report_plan(unsigned points, unsigned total)
{
    struct json json;
    report_mark_begin(&json, "plan");
    json_unsigned(&json, "points", points);
    json_unsigned(&json, "total", total);
    report_mark_end(&json);
}

void report_begin(const struct bench_point *point)
{
    struct json json;
    report_mark_begin(&json, "begin");
    write_point(&json, point);
    json_unsigned(&json, "point", point->number);
    report_mark_end(&json);
}

/* Empty distributions, as of the frees of a lock, are null. */
static void write_latency(struct json *json, const char *name, const struct histogram *h)
{
    if (!h || h->total == 0) {
        json_null(json, name);
        return;
    }
    json_object_begin(json, name);
    json_unsigned(json, "p50", histogram_quantile(h, 50, 100));
    json_unsigned(json, "p90", histogram_quantile(h, 90, 100));
    json_unsigned(json, "p99", histogram_quantile(h, 99, 100));
    json_unsigned(json, "p999", histogram_quantile(h, 999, 1000));
    json_unsigned(json, "max", h->max);
    json_object_end(json);
}

static void write_counters(struct json *json, const struct bench_result *result)
{
    json_object_begin(json, "counters");
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        json_unsigned(json, counter_name(i), result->counters[i]);
    json_unsigned(json, "failed_ops", result->failed_ops);
    for (unsigned i = MODEL_CYCLES_COUNT; i < MODEL_STAT_COUNT && clock_kind() == CLOCK_MODEL; i++)
        json_unsigned(json, model_stat_name(i), result->model[i]);
    json_object_end(json);
}

/* Where the cycles went; they add up to `cycles` but for the pauses of a workload. */
static void write_attribution(struct json *json, const struct bench_result *result)
{
    json_object_begin(json, "attribution");
    for (unsigned i = 0; i < MODEL_CYCLES_COUNT; i++)
        json_unsigned(json, model_stat_name(i), result->model[i]);
    json_object_end(json);
}

/* Null where the allocator has no huge frames to be broken up, and where nothing is free. */
static void write_fragmentation(struct json *json, const struct bench_memory *memory)
{
    if (memory->has_huge && memory->huge_frames <= memory->free_frames)
        json_ratio(json, "fragmentation", memory->free_frames - memory->huge_frames, memory->free_frames, 6);
    else
        json_null(json, "fragmentation");
}

/* Of what heaps have in pages, the share that is not in the workload's hands: inside blocks, outside of them, in caches. Null
 * where they have none. */
static void write_heap_memory(struct json *json, const struct bench_memory *memory)
{
    size_t idle = memory->reserved_bytes - MIN(memory->live_bytes, memory->reserved_bytes);
    json_unsigned(json, "live_bytes", memory->live_bytes);
    json_unsigned(json, "block_bytes", memory->block_bytes);
    json_unsigned(json, "reserved_bytes", memory->reserved_bytes);
    json_unsigned(json, "reserved_bytes_max", memory->reserved_bytes_max);
    json_ratio(json, "fragmentation", idle, memory->reserved_bytes, 6);
}

static void write_memory(
    struct json *json, const struct workload *workload, const struct bench_memory *memory)
{
    json_object_begin(json, "memory");
    json_unsigned(json, "arena_frames", memory->arena_frames);
    json_unsigned(json, "metadata_bytes", memory->metadata_bytes);
    if (workload->axis == BENCH_HEAP) {
        write_heap_memory(json, memory);
        json_object_end(json);
        return;
    }
    json_unsigned(json, "stranded_frames", memory->stranded_frames);
    json_unsigned(json, "stranded_frames_max", memory->stranded_frames_max);
    write_fragmentation(json, memory);
    json_object_end(json);
}

/* The workload's own findings: whole numbers, and decimals where they are quotients. */
static void write_figures(struct json *json, const struct bench_result *result)
{
    if (result->nfigures == 0)
        return;
    json_object_begin(json, "figures");
    for (unsigned i = 0; i < result->nfigures; i++) {
        const struct bench_figure *figure = &result->figures[i];
        if (figure->per == 1)
            json_unsigned(json, figure->name, figure->value);
        else
            json_ratio(json, figure->name, figure->value, figure->per, 3);
    }
    json_object_end(json);
}

static void write_numbers(
    struct json *json, const struct workload *workload, const struct bench_result *result, unsigned trials)
{
    json_unsigned(json, "ops", result->ops);
    json_unsigned(json, "cycles", result->cycles);
    json_unsigned(json, "ops_per_sec", result->ops_per_sec);
    json_unsigned(json, "trials", trials);
    json_object_begin(json, "spread");
    json_unsigned(json, "min", result->ops_per_sec_min);
    json_unsigned(json, "max", result->ops_per_sec_max);
    json_object_end(json);
    json_ratio(json, "cycles_per_op", result->cycles, result->ops, 3);
    if (clock_kind() == CLOCK_MODEL)
        json_ratio(json, "insns_per_op", result->model[MODEL_STAT_INSNS], result->ops, 3);
    else
        json_null(json, "insns_per_op");
    write_latency(json, "latency", result->latency[BENCH_TAKE]);
    write_latency(json, "latency_free", result->latency[BENCH_GIVE]);
    if (workload->latency_more)
        write_latency(json, workload->latency_more, result->latency[BENCH_MORE]);
    json_ratio(json, "fairness", result->fairness_millionths, 1000000, 6);
}

void report_result(
    const struct bench_point *point, const struct bench_result *result, unsigned trials, const char *reason)
{
    struct json json;
    report_mark_begin(&json, "result");
    write_point(&json, point);
    json_string(&json, "clock", clock_name(clock_kind()));
    if (point->workload->parameters) {
        json_object_begin(&json, "parameters");
        point->workload->parameters(&json);
        json_object_end(&json);
    }
    write_numbers(&json, point->workload, result, trials);
    write_figures(&json, result);
    write_counters(&json, result);
    if (clock_kind() == CLOCK_MODEL)
        write_attribution(&json, result);
    write_memory(&json, point->workload, &result->memory);
    json_string(&json, "status", reason ? "failed" : "ok");
    if (reason)
        json_string(&json, "reason", reason);
    report_mark_end(&json);
}

void report_end(unsigned failed, unsigned next)
{
    struct json json;
    report_mark_begin(&json, "end");
    json_unsigned(&json, "failed", failed);
    if (next)
        json_unsigned(&json, "next", next);
    report_mark_end(&json);
}

/* What is measured, in one word. */
static void write_subject(struct writer *writer, const struct bench_variant *variant)
{
    if (variant->frame)
        writer_puts(writer, variant->frame->name);
    if (variant->heap)
        writer_puts(writer, variant->heap->name);
    for (size_t i = 0; variant->vm && vm_choice_name(i); i++)
        writer_format(writer, "%s%s", i ? "/" : "", vm_choice_value(variant->vm, i));
}

void report_for_people(const struct bench_point *point, const struct bench_result *result, const char *reason)
{
    char subject[64];
    struct buffer_writer writer;
    const char *lock = point->variant.lock ? point->variant.lock->name : "";
    uint64_t thousands = result->ops_per_sec / 1000;
    buffer_writer_init(&writer, subject, sizeof(subject));
    write_subject(&writer.writer, &point->variant);
    console_format("  %-13s %-10s %-7s %2u harts  %6lu.%03lu M/s  %7lu %s an operation%s%s\n",
        point->workload->name, subject, lock, point->nharts, thousands / 1000, thousands % 1000,
        result->ops ? result->cycles / result->ops : 0, clock_unit(clock_kind()), reason ? "  FAILED: " : "",
        reason ? reason : "");
}
