/*
 * A recorder of a heap's calls: while one is set, each call leaves an event, and when the harts are quiet again the events
 * become a trace (docs/heap-traces.md). A heap without a recorder pays nothing in heap_alloc() and heap_free(), and the look
 * at one pointer in the other calls.
 */
#ifndef MM_HEAP_RECORD_H
#define MM_HEAP_RECORD_H

#include "lib/heap_trace.h"
#include "mm/heap/heap.h"

/* A call, as far as it is over. */
enum heap_event_kind {
    HEAP_EVENT_MADE, /* an allocation has returned */
    HEAP_EVENT_ENDS, /* a free begins: its memory may be given out before it returns */
    HEAP_EVENT_MOVES, /* so for a reallocation, */
    HEAP_EVENT_MOVED, /* which then has returned; without a pointer: the block is as it was */
};

struct heap_event {
    uint64_t pointer;
    uint32_t bytes;
    uint16_t hart;
    uint8_t kind;
    uint8_t align_shift; /* 0: nothing was asked for */
    uint32_t next,
        object; /* while the trace is made: one more than the next event of the same slot; its object */
};

#define HEAP_RECORD_CHUNK_EVENTS 32768u
#define HEAP_RECORD_CHUNK_BYTES  (HEAP_RECORD_CHUNK_EVENTS * sizeof(struct heap_event))
#define HEAP_RECORD_CHUNKS_MAX   (HEAP_TRACE_CALLS_MAX / HEAP_RECORD_CHUNK_EVENTS)
#define HEAP_RECORD_SLOTS        65536u
#define HEAP_RECORD_SLOTS_BYTES  (HEAP_RECORD_SLOTS * sizeof(uint32_t))

struct heap_recorder {
    /* The caller's: chunks of HEAP_RECORD_CHUNK_BYTES, for as many events as are wanted, and HEAP_RECORD_SLOTS_BYTES. */
    struct heap_event *chunks[HEAP_RECORD_CHUNKS_MAX];
    uint32_t capacity; /* events; a reallocation leaves two */
    uint32_t *slots;

    uint32_t
        twice; /* in the trace that was written: blocks given out while they were live, by a heap that is wrong */
    uint32_t moving[HART_MAX]; /* one more than the event of the object that a hart's reallocation is about */
    _Atomic uint64_t count CACHE_ALIGNED; /* of events, those that found no room, too */
} CACHE_ALIGNED;

/** heap_record_start - keep the heap's calls from now on. The harts are quiet. @recorder: with its memory set; it begins anew */
void heap_record_start(struct heap *heap, struct heap_recorder *recorder);

/** heap_record_follow - whoever keeps the calls of one heap, if anybody does, keeps those of another in the same trace. The harts are
 *  quiet. */
void heap_record_follow(struct heap *heap, const struct heap *before);

/** heap_record_stop - and no more. The harts are quiet. */
void heap_record_stop(struct heap *heap);

/** heap_record_lost - how many events found no room: those of the end, so that the others make a trace. */
uint64_t heap_record_lost(const struct heap_recorder *recorder);

/**
 * heap_record_write - the trace of what was recorded; what was allocated before is not in it, nor what failed or was refused.
 * @out: gets the records
 * @header: gets what goes in front of them
 *
 * The recorder is stopped. Returns the number of calls; with 0 there is no trace.
 */
uint32_t heap_record_write(struct heap_recorder *recorder, const char *name, struct writer *out,
    uint8_t header[HEAP_TRACE_HEADER_BYTES]);

/** heap_record_made, heap_record_realloc - for heap.c, of a heap with a recorder: an allocation has returned this; a
 *  reallocation of a pointer that is not NULL, done and recorded. */
void heap_record_made(struct heap *heap, const void *pointer, size_t bytes, size_t align);
void *heap_record_realloc(struct heap *heap, void *pointer, size_t bytes, const void *caller);

#endif
