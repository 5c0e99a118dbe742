/*
 * The reader and the writer of heap traces: what is written is read again, the example of docs/heap-traces.md, each way of
 * being wrong that there is, and a file cut at every byte and with every bit flipped.
 */
#include <stdlib.h>
#include <string.h>
#include "lib/crc32.h"
#include "lib/error.h"
#include "lib/heap_trace.h"
#include "lib/rng.h"
#include "tests/host/unit.h"

#define FILE_BYTES 65536
#define CALLS      3000
#define THREADS    5

/* As in docs/heap-traces.md. */
static const uint8_t example[] = "HSHEAPTR"
                                 "\1\0\0\0"
                                 "\x64\xe0\xb8\xf2"
                                 "\x10\0\0\0\0\0\0\0"
                                 "\5\0\0\0"
                                 "\2\0\0\0"
                                 "\3\0\0\0"
                                 "\0\0\0\0"
                                 "example\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                 "\x00\x18"
                                 "\x05\x01\x80\x20\x06"
                                 "\x02\x02\x64"
                                 "\x07\x00\x02"
                                 "\x07\x01\x01";
#define EXAMPLE_BYTES (sizeof(example) - 1)

static const struct heap_call example_calls[] = {
    {.kind = HEAP_CALL_ALLOC, .thread = 0, .bytes = 24, .object = 0},
    {.kind = HEAP_CALL_ALIGNED, .thread = 1, .bytes = 4096, .align = 64, .object = 1},
    {.kind = HEAP_CALL_REALLOC, .thread = 1, .bytes = 100, .object = 2, .old = 0},
    {.kind = HEAP_CALL_FREE, .thread = 0, .old = 1},
    {.kind = HEAP_CALL_FREE, .thread = 1, .old = 2},
};

static uint8_t file[FILE_BYTES];
static size_t file_bytes;

struct memory_writer {
    struct writer writer;
    size_t used;
};

static void put(struct writer *writer, const char *bytes, size_t count)
{
    struct memory_writer *memory = (struct memory_writer *)writer;
    assert_true(HEAP_TRACE_HEADER_BYTES + memory->used + count <= sizeof(file));
    memcpy(file + HEAP_TRACE_HEADER_BYTES + memory->used, bytes, count);
    memory->used += count;
}

static void write_file(const struct heap_call *calls, size_t count, const char *name)
{
    struct memory_writer memory;
    struct heap_trace_writer writer;
    for (unsigned time = 0; time < 2; time++) {
        memory = (struct memory_writer){{put}, 0};
        heap_trace_write_start(&writer, &memory.writer, time ? file : NULL);
        for (size_t i = 0; i < count; i++)
            heap_trace_write(&writer, &calls[i]);
        heap_trace_header(&writer, name, file);
    }
    file_bytes = HEAP_TRACE_HEADER_BYTES + memory.used;
}

/* Makes the checksum right again after a change. */
static void sum(void)
{
    uint32_t checksum = crc32(0, file + 16, file_bytes - 16);
    for (unsigned i = 0; i < 4; i++)
        file[12 + i] = (uint8_t)(checksum >> 8 * i);
}

static void take_example(void)
{
    memcpy(file, example, EXAMPLE_BYTES);
    file_bytes = EXAMPLE_BYTES;
}

/* Reads a copy of exactly that size, so that the address sanitizer sees what is read behind it. */
static int read_file(size_t bytes, struct heap_trace *trace, struct heap_trace_fault *fault)
{
    uint8_t *copy = malloc(bytes + !bytes);
    memcpy(copy, file, bytes);
    *fault = (struct heap_trace_fault){NULL, 0};
    int error = heap_trace_open(trace, copy, bytes, fault);
    if (!error) {
        uint64_t *ended = calloc(1, heap_trace_bits_bytes(trace) + 1);
        error = heap_trace_check(trace, ended, fault);
        free(ended);
    }
    free(copy);
    return error;
}

static void expect(int error, size_t offset, const char *what)
{
    struct heap_trace trace;
    struct heap_trace_fault fault;
    assert_int_equal(read_file(file_bytes, &trace, &fault), error);
    assert_non_null(fault.what);
    assert_string_equal(fault.what, what);
    assert_int_equal(fault.offset, offset);
}

static void assert_calls(const struct heap_trace *trace, const struct heap_call *calls, size_t count)
{
    struct heap_trace_reader reader;
    struct heap_trace_fault fault;
    struct heap_call call;
    heap_trace_start(&reader, trace);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(heap_trace_next(&reader, &call, &fault), 1);
        assert_int_equal(call.kind, calls[i].kind);
        assert_int_equal(call.thread, calls[i].thread);
        assert_int_equal(call.bytes, calls[i].bytes);
        assert_int_equal(call.align, calls[i].align);
        if (heap_call_makes(call.kind))
            assert_int_equal(call.object, calls[i].object);
        if (heap_call_ends(call.kind))
            assert_int_equal(call.old, calls[i].old);
    }
    assert_int_equal(heap_trace_next(&reader, &call, &fault), 0);
    assert_int_equal(heap_trace_next(&reader, &call, &fault), 0);
}

static void example_is_read_and_written(void **state)
{
    struct heap_trace trace;
    struct heap_trace_fault fault;

    (void)state;
    take_example();
    assert_int_equal(heap_trace_open(&trace, file, file_bytes, &fault), 0);
    assert_string_equal(trace.name, "example");
    assert_int_equal(trace.threads, 2);
    assert_calls(&trace, example_calls, ARRAY_SIZE(example_calls));
    memset(file, 0xee, sizeof(file));
    write_file(example_calls, ARRAY_SIZE(example_calls), "example");
    assert_int_equal(file_bytes, EXAMPLE_BYTES);
    assert_memory_equal(file, example, EXAMPLE_BYTES);
}

/* Random calls; whatever is live may end. */
static size_t make_calls(struct heap_call *calls, size_t count)
{
    static uint32_t live[CALLS];
    struct rng rng;
    size_t nlive = 0, objects = 0;
    rng_seed(&rng, 3, 0);
    for (size_t i = 0; i < count; i++) {
        struct heap_call *call = &calls[i];
        enum heap_call_kind kind = (enum heap_call_kind)rng_below(&rng, 4);
        *call = (struct heap_call){.kind = nlive ? kind : HEAP_CALL_ALLOC};
        call->thread = (uint32_t)rng_below(&rng, THREADS);
        if (heap_call_ends(call->kind)) {
            size_t which = rng_below(&rng, nlive);
            call->old = live[which];
            live[which] = live[--nlive];
        }
        if (heap_call_makes(call->kind)) {
            call->bytes = (uint32_t)(rng_next(&rng) >> 42 >> rng_below(&rng, 22));
            call->object = live[nlive++] = (uint32_t)objects++;
        }
        if (call->kind == HEAP_CALL_ALIGNED)
            call->align = 32u << rng_below(&rng, 18);
    }
    return objects;
}

static void what_is_written_is_read(void **state)
{
    static struct heap_call calls[CALLS];
    struct heap_trace trace;
    struct heap_trace_fault fault;

    (void)state;
    size_t objects = make_calls(calls, CALLS);
    write_file(calls, CALLS, "a name that is far too long to fit\n");
    assert_int_equal(read_file(file_bytes, &trace, &fault), 0);
    assert_int_equal(heap_trace_open(&trace, file, file_bytes, &fault), 0);
    assert_string_equal(trace.name, "a name that is far too ");
    assert_int_equal(trace.objects, objects);
    assert_calls(&trace, calls, CALLS);
}

static void headers_that_cannot_be(void **state)
{
    static const struct {
        size_t offset;
        uint8_t byte;
        bool summed;
        int error;
        size_t where;
        const char *what;
    } cases[] = {
        {0, 'h', false, ERR_FORMAT, 0, "no trace of heap calls"},
        {8, 2, false, ERR_UNSUPPORTED, 8, "another version of the format than 1"},
        {12, 0x65, false, ERR_CORRUPT, 12, "the checksum is not that of the contents"},
        {16, 17, true, ERR_TRUNCATED, EXAMPLE_BYTES, "the file ends before its records do"},
        {23, 0x80, true, ERR_TRUNCATED, EXAMPLE_BYTES, "the file ends before its records do"},
        {16, 15, true, ERR_FORMAT, EXAMPLE_BYTES - 1, "bytes behind the records"},
        {24, 0, true, ERR_FORMAT, 24, "no calls"},
        {27, 2, true, ERR_RANGE, 24, "more than 2^24 calls"},
        {24, 6, true, ERR_FORMAT, 24, "more calls than there are"},
        {24, 4, true, ERR_FORMAT, 77, "more calls than the header says"},
        {28, 0, true, ERR_FORMAT, 28, "no threads"},
        {29, 0x20, true, ERR_RANGE, 28, "more than 4096 threads"},
        {28, 3, true, ERR_FORMAT, 28, "more threads than there are"},
        {28, 1, true, ERR_RANGE, 67, "a thread that the header does not count"},
        {32, 6, true, ERR_FORMAT, 32, "more objects than calls"},
        {32, 4, true, ERR_FORMAT, 32, "more objects than there are"},
        {32, 2, true, ERR_FORMAT, 71, "more objects than the header says"},
        {36, 1, true, ERR_FORMAT, 36, "what must be 0 is not"},
        {41, '\n', true, ERR_FORMAT, 41, "a name that is no text"},
        {50, 'x', true, ERR_FORMAT, 50, "a name that is no text"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        take_example();
        file[cases[i].offset] = cases[i].byte;
        if (cases[i].summed)
            sum();
        expect(cases[i].error, cases[i].where, cases[i].what);
    }
    take_example();
    memset(file + 40, 'x', 24);
    sum();
    expect(ERR_FORMAT, 40, "a name without an end");
}

/* A file of these records behind the example's header, with counts that fit. */
static void take_records(const char *records, size_t bytes, uint8_t calls, uint8_t objects)
{
    take_example();
    file[16] = (uint8_t)bytes;
    file[24] = calls;
    file[32] = objects;
    memcpy(file + HEAP_TRACE_HEADER_BYTES, records, bytes);
    file_bytes = HEAP_TRACE_HEADER_BYTES + bytes;
    sum();
}

#define RECORDS(bytes, calls, objects) take_records(bytes, sizeof(bytes) - 1, calls, objects)

static void records_that_cannot_be(void **state)
{
    (void)state;
    RECORDS("\x08", 1, 1);
    expect(ERR_FORMAT, 64, "no kind of call");
    RECORDS("\x00", 1, 1);
    expect(ERR_TRUNCATED, 65, "the last record is cut short");
    RECORDS("\x00\x80", 1, 1);
    expect(ERR_TRUNCATED, 66, "the last record is cut short");
    RECORDS("\x01\x05", 1, 1);
    expect(ERR_TRUNCATED, 66, "the last record is cut short");
    RECORDS("\x00\x98\x00", 1, 1);
    expect(ERR_FORMAT, 65, "a number that could be shorter");
    RECORDS("\x00\xff\xff\xff\xff\x1f", 1, 1);
    expect(ERR_RANGE, 65, "a number of more than 32 bits");
    RECORDS("\x00\xff\xff\xff\xff\x8f\x01", 1, 1);
    expect(ERR_RANGE, 65, "a number of more than 32 bits");
    RECORDS("\x00\x81\x80\x80\x02", 1, 1);
    expect(ERR_RANGE, 65, "an object of more than 4 MiB");
    RECORDS("\x01\x05\x04", 1, 1);
    expect(ERR_RANGE, 66, "an alignment outside 2^5 to 2^22");
    RECORDS("\x01\x05\x17", 1, 1);
    expect(ERR_RANGE, 66, "an alignment outside 2^5 to 2^22");
    RECORDS("\x04\x00\x18", 1, 1);
    expect(ERR_FORMAT, 65, "the thread of the call before, once more");
    RECORDS("\x04\x02\x18", 1, 1);
    expect(ERR_RANGE, 65, "a thread that the header does not count");
    RECORDS("\x03\x01", 1, 0);
    expect(ERR_RANGE, 65, "an object that has not been made");
    RECORDS("\x04\x01\x18\x03\x00", 2, 1);
    expect(ERR_RANGE, 68, "an object that has not been made");
    RECORDS("\x04\x01\x18\x03\x02", 2, 1);
    expect(ERR_RANGE, 68, "an object that has not been made");
    RECORDS("\x04\x01\x18\x03\x01\x03\x01", 3, 1);
    expect(ERR_FORMAT, 69, "an object ends that has ended");
    RECORDS("\x04\x01\x18\x02\x01\x05\x03\x02", 3, 2);
    expect(ERR_FORMAT, 70, "an object ends that has ended");
    /* And the largest of all that is right. */
    struct heap_trace trace;
    struct heap_trace_fault fault;
    RECORDS("\x05\x01\x80\x80\x80\x02\x16", 1, 1);
    assert_int_equal(read_file(file_bytes, &trace, &fault), 0);
}

static void cut_at_every_byte(void **state)
{
    static struct heap_call calls[100];
    struct heap_trace trace;
    struct heap_trace_fault fault;

    (void)state;
    make_calls(calls, ARRAY_SIZE(calls));
    write_file(calls, ARRAY_SIZE(calls), "cut");
    for (size_t bytes = 0; bytes < file_bytes; bytes++) {
        int error = read_file(bytes, &trace, &fault);
        assert_int_equal(error, bytes < 8 ? ERR_FORMAT : ERR_TRUNCATED);
        assert_true(fault.offset <= bytes);
    }
}

/* Behind the checksum a flipped bit is always seen by it; with the checksum made right, whatever it says is inside the file. */
static void every_bit_flipped(void **state)
{
    static struct heap_call calls[100];
    struct heap_trace trace;
    struct heap_trace_fault fault;

    (void)state;
    make_calls(calls, ARRAY_SIZE(calls));
    write_file(calls, ARRAY_SIZE(calls), "flipped");
    for (size_t bit = 0; bit < file_bytes * 8; bit++) {
        file[bit / 8] ^= 1u << bit % 8;
        assert_int_not_equal(read_file(file_bytes, &trace, &fault), 0);
        sum();
        if (read_file(file_bytes, &trace, &fault))
            assert_true(fault.what != NULL && fault.offset <= file_bytes);
        file[bit / 8] ^= 1u << bit % 8;
        sum();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_is_read_and_written),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(headers_that_cannot_be),
        cmocka_unit_test(records_that_cannot_be),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(every_bit_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
