/*
 * See record.h. A trace goes out in lines that the runner reads: `@trace {"offset":…,"data":"…"}` with bytes of the file in
 * base64, the header last because it counts, then `@recorded` with the sum. The file's own checksum proves that none is missing.
 */
#include "kernel/record.h"
#include "arch/console.h"
#include "kernel/config.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/json.h"
#include "mm/heap/record.h"
#include "mm/kmalloc.h"
#include "mm/memory.h"

/* Bytes of the file in a line: a multiple of three, so that base64 needs no padding within, and a line is 500 characters. */
#define LINE_BYTES 360

static uint64_t wanted_calls;
static bool of_kernel;
static struct heap_recorder recorder;

static int apply_record(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, HEAP_TRACE_CALLS_MAX, &wanted_calls, why);
}

CONFIG_KEY(record_key, .name = "record", .valid = "calls of a heap to record, 0 to 16777216", .initial = "0",
    .apply = apply_record);

static const char *heap_name_at(size_t i)
{
    static const char *const names[] = {"tested", "kernel"};
    return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static int apply_heap(const char *value, struct writer *why)
{
    of_kernel = value[0] == 'k';
    return config_apply_choice(value, heap_name_at, why);
}

CONFIG_KEY(record_heap_key, .name = "record.heap", .valid = "tested or kernel", .initial = "tested",
    .apply = apply_heap);

bool record_wanted(void)
{
    return wanted_calls != 0 && !of_kernel;
}

static void *frames_for(size_t bytes)
{
    pfn_t pfn = frame_alloc(&kernel_frames, bits_order(DIV_CEIL(bytes, (size_t)PAGE_BYTES)), 0);
    return pfn_is_none(pfn) ? NULL : pfn_to_direct(pfn);
}

int record_prepare(void)
{
    if (wanted_calls == 0)
        return 0;
    recorder.slots = frames_for(HEAP_RECORD_SLOTS_BYTES);
    recorder.capacity = (uint32_t)wanted_calls;
    for (uint64_t have = 0; have < wanted_calls; have += HEAP_RECORD_CHUNK_EVENTS)
        if (!(recorder.chunks[have / HEAP_RECORD_CHUNK_EVENTS] = frames_for(HEAP_RECORD_CHUNK_BYTES)))
            return ERR_NO_MEMORY;
    if (of_kernel)
        heap_record_start(&kernel_heap, &recorder);
    return recorder.slots ? 0 : ERR_NO_MEMORY;
}

void record_start(struct heap *heap)
{
    if (record_wanted())
        heap_record_start(heap, &recorder);
}

void record_stop(struct heap *heap)
{
    if (record_wanted())
        heap_record_stop(heap);
}

/* Collects bytes of the file to lines. */
struct line_writer {
    struct writer writer;
    size_t offset; /* of the line in the file */
    size_t used;
    uint8_t bytes[LINE_BYTES];
};

static void put_base64(const uint8_t *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[LINE_BYTES / 3 * 4 + 1], *to = text;
    for (size_t i = 0; i < count; i += 3) {
        size_t left = count - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        *to++ = digits[three >> 18];
        *to++ = digits[three >> 12 & 63];
        *to++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[three & 63] : '=';
    }
    *to = '\0';
    writer_puts(console_writer(), text);
}

static void flush_line(struct line_writer *line)
{
    if (line->used == 0)
        return;
    console_lock();
    writer_format(console_writer(), "@trace {\"offset\":%zu,\"data\":\"", line->offset);
    put_base64(line->bytes, line->used);
    writer_puts(console_writer(), "\"}\n");
    console_unlock();
    line->offset += line->used;
    line->used = 0;
}

static void put_bytes(struct writer *writer, const char *bytes, size_t count)
{
    struct line_writer *line = (struct line_writer *)writer;
    for (size_t i = 0; i < count; i++) {
        line->bytes[line->used++] = (uint8_t)bytes[i];
        if (line->used == sizeof(line->bytes))
            flush_line(line);
    }
}

void record_report(const char *name)
{
    static struct line_writer line = {.writer = {put_bytes}};
    uint8_t header[HEAP_TRACE_HEADER_BYTES];
    struct json json;
    if (wanted_calls == 0)
        return;
    if (of_kernel)
        heap_record_stop(&kernel_heap);
    line.offset = sizeof(header);
    uint32_t calls = heap_record_write(&recorder, name, &line.writer, header);
    flush_line(&line);
    size_t bytes = line.offset;
    line.offset = 0;
    put_bytes(&line.writer, (const char *)header, sizeof(header));
    flush_line(&line);
    if (recorder.twice)
        console_format("error: %u blocks were given out while they were in use\n", recorder.twice);
    console_lock();
    writer_puts(console_writer(), "@recorded ");
    json_init(&json, console_writer());
    json_object_begin(&json, NULL);
    json_string(&json, "name", name);
    json_unsigned(&json, "calls", calls);
    json_unsigned(&json, "bytes", bytes);
    json_unsigned(&json, "lost", heap_record_lost(&recorder));
    json_object_end(&json);
    writer_puts(console_writer(), "\n");
    console_unlock();
}
