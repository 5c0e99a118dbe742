/* See recording.h. */
#include "tests/host/shim/recording.h"
#include <stdlib.h>
#include <string.h>
#include "arch/panic.h"

struct file_writer {
    struct writer writer;
    struct recording *recording;
};

static void put(struct writer *writer, const char *bytes, size_t count)
{
    struct recording *recording = ((struct file_writer *)writer)->recording;
    recording->file = realloc(recording->file, recording->file_bytes + count);
    memcpy(recording->file + recording->file_bytes, bytes, count);
    recording->file_bytes += count;
}

struct recording *recording_start(struct heap *heap, size_t events)
{
    struct recording *recording =
        aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(sizeof(*recording), CACHE_LINE_BYTES));
    memset(recording, 0, sizeof(*recording));
    recording->recorder.slots = malloc(HEAP_RECORD_SLOTS_BYTES);
    for (size_t have = 0; have < events; have += HEAP_RECORD_CHUNK_EVENTS)
        recording->recorder.chunks[have / HEAP_RECORD_CHUNK_EVENTS] = malloc(HEAP_RECORD_CHUNK_BYTES);
    recording->recorder.capacity = (uint32_t)events;
    heap_record_start(heap, &recording->recorder);
    return recording;
}

static void read_trace(struct recording *recording)
{
    struct heap_trace_reader reader;
    struct heap_trace_fault fault;
    struct heap_call call;
    ASSERT(heap_trace_open(&recording->trace, recording->file, recording->file_bytes, &fault) == 0);
    uint64_t *ended = calloc(1, heap_trace_bits_bytes(&recording->trace) + 1);
    ASSERT(heap_trace_check(&recording->trace, ended, &fault) == 0);
    free(ended);
    recording->live = calloc(recording->trace.objects + 1, sizeof(*recording->live));
    heap_trace_start(&reader, &recording->trace);
    while (heap_trace_next(&reader, &call, &fault) == 1) {
        recording->calls[call.kind]++;
        if (heap_call_ends(call.kind))
            recording->live[call.old] = 0;
        if (heap_call_makes(call.kind))
            recording->live[call.object] = call.bytes + 1;
    }
    for (uint32_t i = 0; i < recording->trace.objects; i++)
        recording->nlive += recording->live[i] != 0;
}

void recording_stop(struct recording *recording, struct heap *heap)
{
    uint8_t header[HEAP_TRACE_HEADER_BYTES];
    struct file_writer writer = {{put}, recording};
    heap_record_stop(heap);
    recording->file = malloc(sizeof(header));
    recording->file_bytes = sizeof(header);
    ASSERT(heap_record_write(&recording->recorder, "test", &writer.writer, header) > 0);
    ASSERT(recording->recorder.twice == 0);
    memcpy(recording->file, header, sizeof(header));
    read_trace(recording);
}

void recording_free(struct recording *recording)
{
    for (unsigned i = 0; i < HEAP_RECORD_CHUNKS_MAX; i++)
        free(recording->recorder.chunks[i]);
    free(recording->recorder.slots);
    free(recording->file);
    free(recording->live);
    free(recording);
}
