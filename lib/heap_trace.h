/*
 * Traces of heap calls, in the format that docs/heap-traces.md has byte by byte: a header with a checksum, then a record
 * a call, in an order in which the calls may have happened. The reader trusts nothing and says what is wrong where; it reads in
 * place and allocates nothing. The writer hands on records as it is given calls.
 */
#ifndef LIB_HEAP_TRACE_H
#define LIB_HEAP_TRACE_H

#include "lib/base.h"
#include "lib/writer.h"

#define HEAP_TRACE_HEADER_BYTES 64
#define HEAP_TRACE_VERSION      1
#define HEAP_TRACE_NAME_BYTES   24 /* the NUL included */

#define HEAP_TRACE_CALLS_MAX   (1u << 24)
#define HEAP_TRACE_THREADS_MAX 4096u
#define HEAP_TRACE_BYTES_MAX   (4u << 20) /* of an object, and of an alignment: HEAP_BYTES_MAX */
#define HEAP_TRACE_ALIGN_MIN   32u /* less has every object */

enum heap_call_kind { HEAP_CALL_ALLOC, HEAP_CALL_ALIGNED, HEAP_CALL_REALLOC, HEAP_CALL_FREE };

/* A call. Objects are numbered from 0 in the order of the calls that make them: each allocation makes one, and a
 * reallocation makes one of the one that it ends. */
struct heap_call {
    enum heap_call_kind kind;
    uint32_t thread;
    uint32_t bytes; /* asked for; 0 is allowed. Not of a free */
    uint32_t align; /* a power of two; of HEAP_CALL_ALIGNED only */
    uint32_t object; /* that it makes; not of a free */
    uint32_t old; /* that it ends; of a reallocation and a free */
};

/** heap_call_makes, heap_call_ends - whether a kind of call makes an object, and ends one. */
static inline bool heap_call_makes(enum heap_call_kind kind)
{
    return kind != HEAP_CALL_FREE;
}

static inline bool heap_call_ends(enum heap_call_kind kind)
{
    return kind == HEAP_CALL_REALLOC || kind == HEAP_CALL_FREE;
}

/* A file with a right header and checksum. */
struct heap_trace {
    const uint8_t *records;
    size_t records_bytes;
    uint32_t calls, threads, objects;
    uint32_t checksum; /* of all of the file that lies behind it */
    char name[HEAP_TRACE_NAME_BYTES]; /* of what was recorded; printable ASCII */
};

/* What is wrong with a file, and where in it. */
struct heap_trace_fault {
    const char *what;
    size_t offset;
};

/**
 * heap_trace_open - read the header and prove the checksum.
 *
 * Returns 0; ERR_TRUNCATED for a file that is shorter than it says; ERR_UNSUPPORTED for another version; ERR_RANGE for more
 * than the limits above; ERR_CORRUPT where the checksum is another; ERR_FORMAT for everything else. All but 0 with the fault.
 */
int heap_trace_open(struct heap_trace *trace, const void *file, size_t bytes, struct heap_trace_fault *fault);

/* A place in a trace. */
struct heap_trace_reader {
    const struct heap_trace *trace;
    size_t at; /* of the next record, in trace->records */
    uint32_t calls, threads, objects, thread; /* read so far; the last call's thread */
};

void heap_trace_start(struct heap_trace_reader *reader, const struct heap_trace *trace);

/**
 * heap_trace_next - the next call.
 *
 * Returns 1 with the call, 0 behind the last one, or ERR_FORMAT, ERR_RANGE or ERR_TRUNCATED with the fault: a record that
 * cannot be, an object that has not been made yet, or other counts than the header's.
 */
int heap_trace_next(struct heap_trace_reader *reader, struct heap_call *call, struct heap_trace_fault *fault);

/**
 * heap_trace_check - read all the calls and prove that none ends an object that has ended already.
 * @ended: a zeroed bit for each object, heap_trace_bits_bytes(trace) bytes
 *
 * Returns 0, or what heap_trace_next() returned; ERR_FORMAT for an object that ends twice.
 */
int heap_trace_check(const struct heap_trace *trace, uint64_t *ended, struct heap_trace_fault *fault);

static inline size_t heap_trace_bits_bytes(const struct heap_trace *trace)
{
    return DIV_CEIL(trace->objects, 64u) * sizeof(uint64_t);
}

/* Writing is done twice over the same calls, because the header comes first and has counts and checksum of all: once with a
 * writer that drops everything, and once with that header. */
struct heap_trace_writer {
    struct writer *out;
    uint32_t calls, threads, objects, thread;
    uint64_t bytes; /* of records */
    uint32_t checksum;
};

/** heap_trace_write_start - the records begin. @header: of the first time; NULL for the first time */
void heap_trace_write_start(struct heap_trace_writer *writer, struct writer *out, const uint8_t *header);

/** heap_trace_write - the next call. Its object's number is given by the order, and call->object ignored. */
void heap_trace_write(struct heap_trace_writer *writer, const struct heap_call *call);

/**
 * heap_trace_header - the header of what was written; its checksum is right after the second time only.
 * @name: cut to what fits; characters that are not printable become '?'
 */
void heap_trace_header(
    const struct heap_trace_writer *writer, const char *name, uint8_t header[HEAP_TRACE_HEADER_BYTES]);

#endif
