/*
 * Fuzzes the reader of heap traces, two ways. An input that begins like a file is taken for a whole one. Any other is taken
 * for records, and gets a right header as far as they are right, since no fuzzer guesses a checksum. What is read
 * without complaint must be written again as the same bytes: a trace has one form only.
 */
#include <stdlib.h>
#include <string.h>
#include "lib/heap_trace.h"

#define RECORDS_BYTES_MAX 4096

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void drop(struct writer *writer, const char *bytes, size_t count)
{
    (void)writer;
    (void)bytes;
    (void)count;
}

/* A writer that has to be given the trace's records again. */
struct comparison {
    struct writer writer;
    const uint8_t *expected;
    size_t left;
};

static void compare(struct writer *writer, const char *bytes, size_t count)
{
    struct comparison *comparison = (struct comparison *)writer;
    require(count <= comparison->left && memcmp(comparison->expected, bytes, count) == 0);
    comparison->expected += count;
    comparison->left -= count;
}

static void check_call(const struct heap_trace *trace, const struct heap_call *call)
{
    require(call->thread < trace->threads && call->bytes <= HEAP_TRACE_BYTES_MAX);
    require(!heap_call_makes(call->kind) || call->object < trace->objects);
    require(!heap_call_ends(call->kind) || call->old < trace->objects);
    require(!heap_call_ends(call->kind) || !heap_call_makes(call->kind) || call->old < call->object);
    require((call->kind == HEAP_CALL_ALIGNED) == (call->align != 0));
    require(call->align == 0 || (call->align >= HEAP_TRACE_ALIGN_MIN && IS_POWER_OF_TWO(call->align)));
}

/* Reads as far as it is right and writes it again. Returns what heap_trace_next() ended with. */
static int read_and_write(
    const struct heap_trace *trace, struct heap_trace_writer *writer, struct heap_trace_fault *fault)
{
    struct comparison comparison = {{compare}, trace->records, trace->records_bytes};
    struct heap_trace_reader reader;
    struct heap_call call;
    int more;
    heap_trace_start(&reader, trace);
    heap_trace_write_start(writer, &comparison.writer, NULL);
    while ((more = heap_trace_next(&reader, &call, fault)) == 1) {
        check_call(trace, &call);
        heap_trace_write(writer, &call);
        require(reader.at == writer->bytes);
    }
    require(more == 0 || (fault->what && fault->offset <= HEAP_TRACE_HEADER_BYTES + trace->records_bytes));
    return more;
}

static void fuzz_file(const uint8_t *file, size_t bytes)
{
    struct heap_trace trace;
    struct heap_trace_fault fault = {NULL, 0};
    struct heap_trace_writer writer;
    if (heap_trace_open(&trace, file, bytes, &fault)) {
        require(fault.what && fault.offset <= bytes);
        return;
    }
    uint8_t header[HEAP_TRACE_HEADER_BYTES];
    uint64_t *ended = calloc(1, heap_trace_bits_bytes(&trace) + 8);
    struct writer nowhere = {drop};
    int error = heap_trace_check(&trace, ended, &fault);
    int more = read_and_write(&trace, &writer, &fault);
    free(ended);
    require(more == 0 || error != 0);
    if (error)
        return;
    heap_trace_header(&writer, trace.name, header);
    heap_trace_write_start(&writer, &nowhere, header);
    require(memcmp(header, file, 12) == 0 && memcmp(header + 16, file + 16, sizeof(header) - 16) == 0);
}

static void fuzz_records(const uint8_t *records, size_t bytes)
{
    static uint8_t file[HEAP_TRACE_HEADER_BYTES + RECORDS_BYTES_MAX];
    struct heap_trace trace = {records, MIN(bytes, (size_t)RECORDS_BYTES_MAX), HEAP_TRACE_CALLS_MAX,
        HEAP_TRACE_THREADS_MAX, HEAP_TRACE_CALLS_MAX, 0, "records"};
    struct heap_trace_fault fault = {NULL, 0};
    struct heap_trace_writer first, second;
    require(read_and_write(&trace, &first, &fault) != 0); /* there are fewer than the most */
    if (first.calls == 0)
        return;
    trace.records_bytes = first.bytes;
    trace.calls = first.calls;
    trace.threads = first.threads;
    trace.objects = first.objects;
    require(read_and_write(&trace, &first, &fault) == 0);
    heap_trace_header(&first, trace.name, file);
    struct comparison comparison = {{compare}, records, trace.records_bytes};
    heap_trace_write_start(&second, &comparison.writer, file);
    struct heap_trace_reader reader;
    struct heap_call call;
    heap_trace_start(&reader, &trace);
    while (heap_trace_next(&reader, &call, &fault) == 1)
        heap_trace_write(&second, &call);
    heap_trace_header(&second, trace.name, file);
    memcpy(file + HEAP_TRACE_HEADER_BYTES, records, trace.records_bytes);
    require(heap_trace_open(&trace, file, HEAP_TRACE_HEADER_BYTES + trace.records_bytes, &fault) == 0);
    fuzz_file(file, HEAP_TRACE_HEADER_BYTES + trace.records_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'H')
        fuzz_file(data, size);
    else
        fuzz_records(data, size);
    return 0;
}
