/*
 * A trace of heap calls as programs for harts: what a hart does is an array of small steps, so that replaying costs little
 * beside the calls, and what harts hand to each other is known before.
 *
 * Threads of the trace are dealt to the harts round robin. There are as many copies of the trace as it takes for each hart
 * to have a thread. A hart does its threads' calls in the order of the file.
 */
#ifndef BENCH_REPLAY_H
#define BENCH_REPLAY_H

#include <stdatomic.h>

#include "lib/heap_trace.h"

/* What a step does. */
enum replay_code {
    REPLAY_END,
    REPLAY_LINK, /* the steps go on where the next word points */
    REPLAY_ALLOC,
    REPLAY_ALIGNED,
    REPLAY_REALLOC, /* of what is in this step's place; the next step has the place of the result */
    REPLAY_FREE,
};

/* Which place an object's pointer is in; bit 31: another hart takes it out of there. */
#define REPLAY_HANDED (1u << 31)
#define REPLAY_PLACE  (REPLAY_HANDED - 1)

/* Packed: bits 31…28 the code, 27…23 the alignment's logarithm, 22…0 the bytes of the object; of a free, too. */
struct replay_step {
    uint32_t place;
    uint32_t what;
};

_Static_assert(HEAP_TRACE_BYTES_MAX < 1u << 23, "bytes fit");

static inline enum replay_code replay_code(struct replay_step step)
{
    return (enum replay_code)(step.what >> 28);
}

static inline size_t replay_align(struct replay_step step)
{
    return (size_t)1 << (step.what >> 23 & 31);
}

static inline size_t replay_bytes(struct replay_step step)
{
    return step.what & ((1u << 23) - 1);
}

/* Bounded by the largest buffer: pointers of 4 MiB. */
#define REPLAY_PLACES_MAX (1u << 19)

struct replay_program {
    const struct replay_step *pass; /* the calls of its threads */
    const struct replay_step *closing; /* frees what is live behind them */
    uint32_t calls, left; /* steps of either that are operations */
};

struct replay {
    struct replay_program *programs; /* one a hart */
    void *_Atomic *places; /* in lines of eight, each of them one hart's or for what one hands to one other */
    void *pieces; /* all steps */
    uint32_t nplaces;
    unsigned nharts, copies;
    uint32_t handed; /* objects that another hart ends than makes them */
    uint64_t peak_bytes; /* live at most, in the order of the file, in all copies */
};

/**
 * replay_make - the programs of a trace for so many harts.
 * @trace: heap_trace_check() has accepted it
 *
 * Boot hart. Returns 0; ERR_NO_MEMORY where there is no room for them or more than REPLAY_PLACES_MAX objects live at once.
 */
int replay_make(struct replay *replay, const struct heap_trace *trace, unsigned nharts);

/** replay_unmake - give its memory back. What is in the places is the caller's. */
void replay_unmake(struct replay *replay);

/** replay_copies - how many copies of a trace of so many threads so many harts get. */
static inline unsigned replay_copies(uint32_t threads, unsigned nharts)
{
    return DIV_CEIL(nharts, threads);
}

#endif
