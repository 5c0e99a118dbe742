/* See heap_trace.h and docs/heap-traces.md. Every trace has exactly one form, so whatever could be written in two ways is
 * refused in one of them: files are then equal when the calls are. */
#include "lib/heap_trace.h"
#include "lib/crc32.h"
#include "lib/error.h"
#include "lib/string.h"

static const uint8_t magic[8] = "HSHEAPTR";

/* Where the header has what; all numbers little-endian. */
enum {
    AT_VERSION = 8,
    AT_CHECKSUM = 12,
    AT_RECORDS_BYTES = 16, /* what lies from here on is summed */
    AT_CALLS = 24,
    AT_THREADS = 28,
    AT_OBJECTS = 32,
    AT_ZERO = 36,
    AT_NAME = 40,
};

_Static_assert(AT_NAME + HEAP_TRACE_NAME_BYTES == HEAP_TRACE_HEADER_BYTES, "the name ends the header");

/* A record's first byte; what is not named here is 0. */
#define KIND_MASK      3u
#define THREAD_FOLLOWS 4u

#define ALIGN_SHIFT_MIN 5
#define ALIGN_SHIFT_MAX 22

_Static_assert(HEAP_TRACE_ALIGN_MIN == 1u << ALIGN_SHIFT_MIN, "the least alignment");
_Static_assert(HEAP_TRACE_BYTES_MAX == 1u << ALIGN_SHIFT_MAX, "the largest alignment");

static uint64_t load(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static void store(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static int fail(struct heap_trace_fault *fault, size_t offset, int error, const char *what)
{
    *fault = (struct heap_trace_fault){what, offset};
    return error;
}

static bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

/* Printable, and NULs from its end on. */
static int read_name(struct heap_trace *trace, const uint8_t *header, struct heap_trace_fault *fault)
{
    bool ended = false;
    memcpy(trace->name, header + AT_NAME, HEAP_TRACE_NAME_BYTES);
    for (size_t i = 0; i < HEAP_TRACE_NAME_BYTES; i++) {
        char c = trace->name[i];
        ended |= c == '\0';
        if (ended ? c != '\0' : !is_printable(c))
            return fail(fault, AT_NAME + i, ERR_FORMAT, "a name that is no text");
    }
    return ended ? 0 : fail(fault, AT_NAME, ERR_FORMAT, "a name without an end");
}

static int read_counts(struct heap_trace *trace, const uint8_t *header, struct heap_trace_fault *fault)
{
    trace->calls = (uint32_t)load(header + AT_CALLS, 4);
    trace->threads = (uint32_t)load(header + AT_THREADS, 4);
    trace->objects = (uint32_t)load(header + AT_OBJECTS, 4);
    if (trace->calls == 0)
        return fail(fault, AT_CALLS, ERR_FORMAT, "no calls");
    if (trace->calls > HEAP_TRACE_CALLS_MAX)
        return fail(fault, AT_CALLS, ERR_RANGE, "more than 2^24 calls");
    if (trace->threads == 0)
        return fail(fault, AT_THREADS, ERR_FORMAT, "no threads");
    if (trace->threads > HEAP_TRACE_THREADS_MAX)
        return fail(fault, AT_THREADS, ERR_RANGE, "more than 4096 threads");
    if (trace->objects > trace->calls)
        return fail(fault, AT_OBJECTS, ERR_FORMAT, "more objects than calls");
    if (load(header + AT_ZERO, 4) != 0)
        return fail(fault, AT_ZERO, ERR_FORMAT, "what must be 0 is not");
    return 0;
}

int heap_trace_open(struct heap_trace *trace, const void *file, size_t bytes, struct heap_trace_fault *fault)
{
    const uint8_t *header = file;
    if (bytes < sizeof(magic) || memcmp(header, magic, sizeof(magic)) != 0)
        return fail(fault, 0, ERR_FORMAT, "no trace of heap calls");
    if (bytes < HEAP_TRACE_HEADER_BYTES)
        return fail(fault, bytes, ERR_TRUNCATED, "the file ends in its header");
    if (load(header + AT_VERSION, 4) != HEAP_TRACE_VERSION)
        return fail(fault, AT_VERSION, ERR_UNSUPPORTED, "another version of the format than 1");
    trace->records = header + HEAP_TRACE_HEADER_BYTES;
    trace->records_bytes = bytes - HEAP_TRACE_HEADER_BYTES;
    if (load(header + AT_RECORDS_BYTES, 8) > trace->records_bytes)
        return fail(fault, bytes, ERR_TRUNCATED, "the file ends before its records do");
    if (load(header + AT_RECORDS_BYTES, 8) < trace->records_bytes)
        return fail(fault, HEAP_TRACE_HEADER_BYTES + load(header + AT_RECORDS_BYTES, 8), ERR_FORMAT,
            "bytes behind the records");
    trace->checksum = (uint32_t)load(header + AT_CHECKSUM, 4);
    if (crc32(0, header + AT_RECORDS_BYTES, bytes - AT_RECORDS_BYTES) != trace->checksum)
        return fail(fault, AT_CHECKSUM, ERR_CORRUPT, "the checksum is not that of the contents");
    int error = read_counts(trace, header, fault);
    return error ? error : read_name(trace, header, fault);
}

void heap_trace_start(struct heap_trace_reader *reader, const struct heap_trace *trace)
{
    *reader = (struct heap_trace_reader){.trace = trace};
}

/* In a record that began at reader->at; *at moves on. */
static int read_byte(
    const struct heap_trace *trace, size_t *at, uint8_t *byte, struct heap_trace_fault *fault)
{
    if (*at == trace->records_bytes)
        return fail(fault, HEAP_TRACE_HEADER_BYTES + *at, ERR_TRUNCATED, "the last record is cut short");
    *byte = trace->records[(*at)++];
    return 0;
}

/* Seven bits a byte, the lowest first, the top bit set in all but the last, which is 0 only if it is the only one. */
static int read_number(
    const struct heap_trace *trace, size_t *at, uint32_t *number, struct heap_trace_fault *fault)
{
    size_t began = HEAP_TRACE_HEADER_BYTES + *at;
    uint64_t value = 0;
    uint8_t byte = 0x80;
    for (unsigned shift = 0; byte & 0x80; shift += 7) {
        int error = read_byte(trace, at, &byte, fault);
        if (error)
            return error;
        if (shift != 0 && byte == 0)
            return fail(fault, began, ERR_FORMAT, "a number that could be shorter");
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (value > UINT32_MAX || (shift == 28 && byte & 0x80))
            return fail(fault, began, ERR_RANGE, "a number of more than 32 bits");
    }
    *number = (uint32_t)value;
    return 0;
}

static int read_thread(struct heap_trace_reader *reader, size_t *at, bool follows, struct heap_call *call,
    struct heap_trace_fault *fault)
{
    size_t began = HEAP_TRACE_HEADER_BYTES + *at;
    call->thread = reader->thread;
    if (!follows)
        return 0;
    int error = read_number(reader->trace, at, &call->thread, fault);
    if (error)
        return error;
    if (call->thread == reader->thread)
        return fail(fault, began, ERR_FORMAT, "the thread of the call before, once more");
    if (call->thread >= reader->trace->threads)
        return fail(fault, began, ERR_RANGE, "a thread that the header does not count");
    return 0;
}

static int read_object(
    struct heap_trace_reader *reader, size_t *at, struct heap_call *call, struct heap_trace_fault *fault)
{
    size_t began = HEAP_TRACE_HEADER_BYTES + *at;
    uint32_t back = 0;
    int error = heap_call_ends(call->kind) ? read_number(reader->trace, at, &back, fault) : 0;
    if (error)
        return error;
    if (heap_call_ends(call->kind) && (back == 0 || back > reader->objects))
        return fail(fault, began, ERR_RANGE, "an object that has not been made");
    call->old = reader->objects - back;
    return 0;
}

static int read_size(
    struct heap_trace_reader *reader, size_t *at, struct heap_call *call, struct heap_trace_fault *fault)
{
    size_t began = HEAP_TRACE_HEADER_BYTES + *at;
    uint8_t shift = 0;
    if (!heap_call_makes(call->kind))
        return 0;
    int error = read_number(reader->trace, at, &call->bytes, fault);
    if (error)
        return error;
    if (call->bytes > HEAP_TRACE_BYTES_MAX)
        return fail(fault, began, ERR_RANGE, "an object of more than 4 MiB");
    call->object = reader->objects;
    if (call->kind != HEAP_CALL_ALIGNED)
        return 0;
    began = HEAP_TRACE_HEADER_BYTES + *at;
    error = read_byte(reader->trace, at, &shift, fault);
    if (error)
        return error;
    if (shift < ALIGN_SHIFT_MIN || shift > ALIGN_SHIFT_MAX)
        return fail(fault, began, ERR_RANGE, "an alignment outside 2^5 to 2^22");
    call->align = 1u << shift;
    return 0;
}

/* Behind the last record: the header has counted right. */
static int check_counts(const struct heap_trace_reader *reader, struct heap_trace_fault *fault)
{
    const struct heap_trace *trace = reader->trace;
    if (reader->calls != trace->calls)
        return fail(fault, AT_CALLS, ERR_FORMAT, "more calls than there are");
    if (reader->objects != trace->objects)
        return fail(fault, AT_OBJECTS, ERR_FORMAT, "more objects than there are");
    if (reader->threads != trace->threads)
        return fail(fault, AT_THREADS, ERR_FORMAT, "more threads than there are");
    return 0;
}

int heap_trace_next(struct heap_trace_reader *reader, struct heap_call *call, struct heap_trace_fault *fault)
{
    const struct heap_trace *trace = reader->trace;
    size_t at = reader->at;
    if (at == trace->records_bytes)
        return check_counts(reader, fault);
    uint8_t first = trace->records[at++];
    if (first & ~(KIND_MASK | THREAD_FOLLOWS))
        return fail(fault, HEAP_TRACE_HEADER_BYTES + reader->at, ERR_FORMAT, "no kind of call");
    *call = (struct heap_call){.kind = (enum heap_call_kind)(first & KIND_MASK)};
    if (reader->calls == trace->calls)
        return fail(
            fault, HEAP_TRACE_HEADER_BYTES + reader->at, ERR_FORMAT, "more calls than the header says");
    if (heap_call_makes(call->kind) && reader->objects == trace->objects)
        return fail(
            fault, HEAP_TRACE_HEADER_BYTES + reader->at, ERR_FORMAT, "more objects than the header says");
    int error = read_thread(reader, &at, first & THREAD_FOLLOWS, call, fault);
    error = error ? error : read_object(reader, &at, call, fault);
    error = error ? error : read_size(reader, &at, call, fault);
    if (error)
        return error;
    reader->at = at;
    reader->calls++;
    reader->objects += heap_call_makes(call->kind);
    reader->threads = MAX(reader->threads, call->thread + 1);
    reader->thread = call->thread;
    return 1;
}

int heap_trace_check(const struct heap_trace *trace, uint64_t *ended, struct heap_trace_fault *fault)
{
    struct heap_trace_reader reader;
    struct heap_call call;
    int more;
    heap_trace_start(&reader, trace);
    for (size_t began = 0; (more = heap_trace_next(&reader, &call, fault)) == 1; began = reader.at) {
        if (!heap_call_ends(call.kind))
            continue;
        if (ended[call.old / 64] >> call.old % 64 & 1)
            return fail(fault, HEAP_TRACE_HEADER_BYTES + began, ERR_FORMAT, "an object ends that has ended");
        ended[call.old / 64] |= 1ull << call.old % 64;
    }
    return more;
}

void heap_trace_write_start(struct heap_trace_writer *writer, struct writer *out, const uint8_t *header)
{
    *writer = (struct heap_trace_writer){.out = out};
    if (header)
        writer->checksum = crc32(0, header + AT_RECORDS_BYTES, HEAP_TRACE_HEADER_BYTES - AT_RECORDS_BYTES);
}

static size_t put_number(uint8_t *to, uint32_t number)
{
    size_t count = 0;
    for (; number > 0x7f; number >>= 7)
        to[count++] = (uint8_t)(number | 0x80);
    to[count++] = (uint8_t)number;
    return count;
}

void heap_trace_write(struct heap_trace_writer *writer, const struct heap_call *call)
{
    uint8_t record[1 + 3 * 5 + 1];
    size_t count = 1;
    bool other = call->thread != writer->thread;
    record[0] = (uint8_t)(call->kind | (other ? THREAD_FOLLOWS : 0));
    if (other)
        count += put_number(record + count, call->thread);
    if (heap_call_ends(call->kind))
        count += put_number(record + count, writer->objects - call->old);
    if (heap_call_makes(call->kind))
        count += put_number(record + count, call->bytes);
    if (call->kind == HEAP_CALL_ALIGNED) {
        record[count] = 0;
        while (1u << record[count] < call->align)
            record[count]++;
        count++;
    }
    writer->out->put(writer->out, (const char *)record, count);
    writer->checksum = crc32(writer->checksum, record, count);
    writer->bytes += count;
    writer->calls++;
    writer->objects += heap_call_makes(call->kind);
    writer->threads = MAX(writer->threads, call->thread + 1);
    writer->thread = call->thread;
}

void heap_trace_header(
    const struct heap_trace_writer *writer, const char *name, uint8_t header[HEAP_TRACE_HEADER_BYTES])
{
    memset(header, 0, HEAP_TRACE_HEADER_BYTES);
    memcpy(header, magic, sizeof(magic));
    store(header + AT_VERSION, HEAP_TRACE_VERSION, 4);
    store(header + AT_CHECKSUM, writer->checksum, 4);
    store(header + AT_RECORDS_BYTES, writer->bytes, 8);
    store(header + AT_CALLS, writer->calls, 4);
    store(header + AT_THREADS, writer->threads, 4);
    store(header + AT_OBJECTS, writer->objects, 4);
    for (size_t i = 0; i < HEAP_TRACE_NAME_BYTES - 1 && name[i]; i++)
        header[AT_NAME + i] = (uint8_t)(is_printable(name[i]) ? name[i] : '?');
}
