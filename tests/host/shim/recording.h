/* A recorder with memory of its own, and the trace of what it has recorded, checked. */
#ifndef TESTS_HOST_SHIM_RECORDING_H
#define TESTS_HOST_SHIM_RECORDING_H

#include "mm/heap/record.h"

struct recording {
    struct heap_recorder recorder;
    uint8_t *file;
    size_t file_bytes;
    struct heap_trace trace;
    uint32_t *live; /* by object: bytes it was asked for and one; 0: it has ended */
    size_t nlive;
    size_t calls[4]; /* of each kind */
};

/** recording_start - record a heap, up to so many events. */
struct recording *recording_start(struct heap *heap, size_t events);

/** recording_stop - and read the trace, which has to be a right one. */
void recording_stop(struct recording *recording, struct heap *heap);

void recording_free(struct recording *recording);

#endif
