/*
 * See replay.h. The order of a program's steps is that of the file, copies interleaved, and nothing waits for anything that
 * comes later in it: of all steps that have not been done, the first can be done. So a pass ends, whatever the harts'
 * number and speed.
 *
 * A place for what one hart hands to another is used again when it is empty, the one that has been for longest first. So the
 * giver waits when it is as far ahead of the taker as it was at most in the trace, and no more is live than was then.
 */
#include "bench/replay.h"
#include "bench/bench.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/string.h"

/* Steps are in pieces, each with a pointer to another piece before them, and linked: enough that links are rare, few enough that 64 harts' first pieces are a MiB. */
#define PIECE_BYTES ((size_t)16384)
#define PIECE_STEPS (PIECE_BYTES / sizeof(struct replay_step))

#define LINE_PLACES (CACHE_LINE_BYTES / sizeof(void *))

/* An array that may be larger than any buffer: in chunks. */
#define CHUNK_BYTES ((size_t)1 << 20)
#define CHUNKS_MAX  512

struct wide {
    void *chunks[CHUNKS_MAX];
    size_t entry_bytes;
};

/* What the file says of an object. */
struct object {
    uint32_t bytes;
    uint16_t maker; /* the thread that makes it */
    uint16_t ender; /* one more than the thread that ends it; 0: none */
};

_Static_assert(HEAP_TRACE_THREADS_MAX < UINT16_MAX, "a thread fits");

/* Empty places, linked by maker.next; 0 is none, else one more than the place. */
struct list {
    uint32_t first, last;
};

/* One at a time. */
static struct maker {
    struct replay *replay;
    const struct heap_trace *trace;
    struct wide objects;
    struct wide homes; /* by object and copy: the place that it is in */
    uint32_t *next; /* by place */
    uint32_t places_max;
    struct list *own; /* by hart */
    struct list *between; /* by giver and taker */
    struct replay_step *at[HART_MAX]; /* where the next step goes, */
    struct replay_step *end[HART_MAX]; /* and where its piece has room for a link only */
    int error;
} maker;

static int wide_make(struct wide *wide, size_t entries, size_t entry_bytes)
{
    size_t chunks = DIV_CEIL(entries, CHUNK_BYTES / entry_bytes);
    wide->entry_bytes = entry_bytes;
    if (chunks > CHUNKS_MAX)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < chunks; i++) {
        wide->chunks[i] = bench_buffer(CHUNK_BYTES);
        if (!wide->chunks[i])
            return ERR_NO_MEMORY;
    }
    return 0;
}

static void wide_unmake(struct wide *wide)
{
    for (size_t i = 0; i < CHUNKS_MAX; i++)
        bench_buffer_free(wide->chunks[i]);
    memset(wide, 0, sizeof(*wide));
}

static void *wide_at(const struct wide *wide, size_t i)
{
    size_t in_chunk = CHUNK_BYTES / wide->entry_bytes;
    return (uint8_t *)wide->chunks[i / in_chunk] + i % in_chunk * wide->entry_bytes;
}

static struct object *object_at(uint32_t object)
{
    return wide_at(&maker.objects, object);
}

static uint32_t *home_of(uint32_t object, unsigned copy)
{
    return wide_at(&maker.homes, (size_t)object * maker.replay->copies + copy);
}

static unsigned hart_of(uint32_t thread, unsigned copy)
{
    return (copy * maker.trace->threads + thread) % maker.replay->nharts;
}

static void push_back(struct list *list, uint32_t place)
{
    maker.next[place] = 0;
    if (list->first)
        maker.next[list->last - 1] = place + 1;
    else
        list->first = place + 1;
    list->last = place + 1;
}

static void push_front(struct list *list, uint32_t place)
{
    maker.next[place] = list->first;
    if (!list->first)
        list->last = place + 1;
    list->first = place + 1;
}

/* An empty place, of a line that is the list's alone. */
static uint32_t take_place(struct list *list)
{
    if (!list->first) {
        if (maker.replay->nplaces + LINE_PLACES > maker.places_max) {
            maker.error = ERR_NO_MEMORY;
            return 0;
        }
        for (unsigned i = 0; i < LINE_PLACES; i++)
            push_back(list, maker.replay->nplaces++);
    }
    uint32_t place = list->first - 1;
    list->first = maker.next[place];
    return place;
}

static struct replay_step *new_piece(unsigned hart)
{
    struct replay_step *piece = bench_buffer(PIECE_BYTES);
    if (!piece)
        return NULL;
    *(void **)piece = maker.replay->pieces;
    maker.replay->pieces = piece;
    maker.at[hart] = piece + 1;
    maker.end[hart] = piece + PIECE_STEPS - 2; /* a link is two steps long */
    return piece + 1;
}

/* Makes room for so many steps in a row. */
static bool make_room(unsigned hart, size_t steps)
{
    struct replay_step *at = maker.at[hart];
    if (at && at + steps <= maker.end[hart])
        return true;
    const struct replay_step *piece = maker.error ? NULL : new_piece(hart);
    if (!piece) {
        maker.error = ERR_NO_MEMORY;
        return false;
    }
    if (at) {
        at->what = (uint32_t)REPLAY_LINK << 28;
        memcpy(at + 1, &piece, sizeof(piece));
    }
    return true;
}

_Static_assert(sizeof(struct replay_step) == sizeof(void *), "a link's second step is a pointer");

static void emit(unsigned hart, enum replay_code code, uint32_t place, uint32_t bytes, uint32_t align)
{
    uint32_t shift = align ? bits_highest(align) : 0;
    if (make_room(hart, code == REPLAY_REALLOC ? 2 : 1))
        *maker.at[hart]++ = (struct replay_step){place, (uint32_t)code << 28 | shift << 23 | bytes};
}

/* Where an object that this hart makes is to be. */
static uint32_t make_home(uint32_t object, unsigned copy, unsigned hart)
{
    struct replay *replay = maker.replay;
    unsigned ender = object_at(object)->ender;
    unsigned taker = ender ? hart_of(ender - 1, copy) : hart;
    struct list *list = taker == hart ? &maker.own[hart] : &maker.between[hart * replay->nharts + taker];
    uint32_t home = take_place(list) | (taker == hart ? 0 : REPLAY_HANDED);
    replay->handed += taker != hart;
    *home_of(object, copy) = home;
    return home;
}

/* Where an object is that this hart ends; the place is empty from then on. */
static uint32_t leave_home(uint32_t object, unsigned copy, unsigned hart)
{
    uint32_t home = *home_of(object, copy);
    unsigned giver = hart_of(object_at(object)->maker, copy);
    if (home & REPLAY_HANDED)
        push_back(&maker.between[giver * maker.replay->nharts + hart], home & REPLAY_PLACE);
    else
        push_front(&maker.own[hart], home);
    return home;
}

static void emit_call(const struct heap_call *call, unsigned copy)
{
    unsigned hart = hart_of(call->thread, copy);
    uint32_t old = maker.error || !heap_call_ends(call->kind) ? 0 : leave_home(call->old, copy, hart);
    uint32_t home = maker.error || !heap_call_makes(call->kind) ? 0 : make_home(call->object, copy, hart);
    if (maker.error)
        return;
    maker.replay->programs[hart].calls++;
    switch (call->kind) {
    case HEAP_CALL_ALLOC: emit(hart, REPLAY_ALLOC, home, call->bytes, 0); break;
    case HEAP_CALL_ALIGNED: emit(hart, REPLAY_ALIGNED, home, call->bytes, call->align); break;
    case HEAP_CALL_FREE: emit(hart, REPLAY_FREE, old, object_at(call->old)->bytes, 0); break;
    case HEAP_CALL_REALLOC:
        emit(hart, REPLAY_REALLOC, old, call->bytes, 0);
        if (!maker.error) /* there is room for both */
            *maker.at[hart]++ = (struct replay_step){home, (uint32_t)REPLAY_REALLOC << 28};
        break;
    }
}

/* Who makes and ends each object, and how much is live at most. */
static void survey(const struct heap_trace *trace)
{
    struct heap_trace_reader reader;
    struct heap_trace_fault fault;
    struct heap_call call;
    uint64_t live = 0, peak = 0;
    heap_trace_start(&reader, trace);
    while (heap_trace_next(&reader, &call, &fault) == 1) {
        if (heap_call_ends(call.kind)) {
            live -= object_at(call.old)->bytes;
            object_at(call.old)->ender = (uint16_t)(call.thread + 1);
        }
        if (heap_call_makes(call.kind)) {
            live += call.bytes;
            *object_at(call.object) = (struct object){call.bytes, (uint16_t)call.thread, 0};
        }
        peak = MAX(peak, live);
    }
    maker.replay->peak_bytes = peak * maker.replay->copies;
}

static void emit_calls(const struct heap_trace *trace)
{
    struct heap_trace_reader reader;
    struct heap_trace_fault fault;
    struct heap_call call;
    heap_trace_start(&reader, trace);
    while (heap_trace_next(&reader, &call, &fault) == 1)
        for (unsigned copy = 0; copy < maker.replay->copies; copy++)
            emit_call(&call, copy);
}

static void emit_closing(const struct heap_trace *trace)
{
    struct replay *replay = maker.replay;
    for (unsigned i = 0; i < replay->nharts; i++) {
        emit(i, REPLAY_END, 0, 0, 0);
        replay->programs[i].closing = maker.at[i];
    }
    for (uint32_t object = 0; object < trace->objects; object++) {
        const struct object *what = object_at(object);
        for (unsigned copy = 0; copy < replay->copies && what->ender == 0 && !maker.error; copy++) {
            unsigned hart = hart_of(what->maker, copy);
            emit(hart, REPLAY_FREE, *home_of(object, copy), what->bytes, 0);
            replay->programs[hart].left++;
        }
    }
    for (unsigned i = 0; i < replay->nharts; i++)
        emit(i, REPLAY_END, 0, 0, 0);
}

/* Every object a place of its own, and each list a line that is not full: there cannot be more. */
static uint32_t places_bound(const struct heap_trace *trace, unsigned nharts, unsigned copies)
{
    uint64_t objects = (uint64_t)trace->objects * copies;
    uint64_t lists = nharts + MIN(objects, (uint64_t)nharts * nharts);
    return (uint32_t)MIN(objects + LINE_PLACES * lists, (uint64_t)REPLAY_PLACES_MAX);
}

static int make_tables(struct replay *replay, const struct heap_trace *trace)
{
    unsigned nharts = replay->nharts;
    maker.places_max = places_bound(trace, nharts, replay->copies);
    replay->places = bench_buffer(maker.places_max * sizeof(replay->places[0]));
    replay->programs = bench_buffer(nharts * sizeof(struct replay_program));
    maker.next = bench_buffer(maker.places_max * sizeof(maker.next[0]));
    maker.own = bench_buffer(nharts * sizeof(struct list));
    maker.between = bench_buffer((size_t)nharts * nharts * sizeof(struct list));
    if (!replay->places || !replay->programs || !maker.next || !maker.own || !maker.between)
        return ERR_NO_MEMORY;
    int error = wide_make(&maker.objects, trace->objects, sizeof(struct object));
    return error ? error : wide_make(&maker.homes, (size_t)trace->objects * replay->copies, sizeof(uint32_t));
}

static void unmake_tables(void)
{
    bench_buffer_free(maker.next);
    bench_buffer_free(maker.own);
    bench_buffer_free(maker.between);
    wide_unmake(&maker.objects);
    wide_unmake(&maker.homes);
}

int replay_make(struct replay *replay, const struct heap_trace *trace, unsigned nharts)
{
    *replay = (struct replay){.nharts = nharts, .copies = replay_copies(trace->threads, nharts)};
    memset(&maker, 0, sizeof(maker));
    maker.replay = replay;
    maker.trace = trace;
    maker.error = make_tables(replay, trace);
    for (unsigned i = 0; i < nharts && !maker.error; i++)
        if (make_room(i, 1))
            replay->programs[i].pass = maker.at[i];
    if (!maker.error) {
        survey(trace);
        emit_calls(trace);
        emit_closing(trace);
    }
    unmake_tables();
    if (maker.error)
        replay_unmake(replay);
    return maker.error;
}

void replay_unmake(struct replay *replay)
{
    for (void *piece = replay->pieces, *next; piece; piece = next) {
        next = *(void **)piece;
        bench_buffer_free(piece);
    }
    bench_buffer_free(replay->programs);
    bench_buffer_free(replay->places);
    memset(replay, 0, sizeof(*replay));
}
