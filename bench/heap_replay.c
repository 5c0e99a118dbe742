/*
 * heap.replay: a recorded trace of heap calls, from a file of the user's (docs/heap-traces.md); heap.kernel: the same of a
 * kernel's calls. A round is the whole trace once: each hart does the calls of its threads in their order, and a call on an
 * object waits until the object has been made. What is live at a trace's end stays so until the next round begins, and is then
 * freed. An operation is a call, such frees among them.
 */
#include "arch/atomic.h"
#include "arch/console.h"
#include "arch/cpu.h"
#include "bench/bench.h"
#include "bench/heap_replay.h"
#include "bench/replay.h"
#include "bench/workloads.h"
#include "kernel/initrd.h"
#include "lib/error.h"
#include "mm/memory.h"

/* In the place of a block that there was no memory for: where NULL says that the giver has not come so far. */
#define NOTHING ((void *)1)

/* A trace that was given to this kernel; where it came from, and what came of looking at it. */
struct source {
    const char *file; /* in the initrd */
    bool looked;
    int error;
    char why[160];
    struct heap_trace trace;
};

static struct source replayed = {.file = "replay.heaptrace"};
static struct source of_kernel = {.file = "kernel.heaptrace"};

/* A hart's part of a round, on a line of its own. */
struct player {
    const struct replay_program *program;
    void *_Atomic *places;
    uint64_t passes;
    uint64_t spoilt; /* blocks that somebody else has written to */
} CACHE_ALIGNED;

struct playback {
    struct replay replay;
    struct player players[HART_MAX];
};

static struct playback playback; /* of the data point being measured */

static int look(struct source *source, const void *file, size_t bytes)
{
    struct heap_trace_fault fault;
    struct buffer_writer why;
    source->looked = true;
    buffer_writer_init(&why, source->why, sizeof(source->why));
    if (!file) {
        writer_format(&why.writer, "there is no file %s in the initrd", source->file);
        return ERR_NOT_FOUND;
    }
    int error = heap_trace_open(&source->trace, file, bytes, &fault);
    if (!error) {
        size_t bits = heap_trace_bits_bytes(&source->trace) + 1;
        uint64_t *ended = bench_buffer(bits);
        fault = (struct heap_trace_fault){"no memory to check it", 0};
        error = ended ? heap_trace_check(&source->trace, ended, &fault) : ERR_NO_MEMORY;
        bench_buffer_free(ended);
    }
    if (error)
        writer_format(&why.writer, "%s is no right trace of heap calls: byte %zu: %s", source->file,
            fault.offset, fault.what);
    return error;
}

static int available(struct source *source, struct writer *why)
{
    if (!source->looked) {
        size_t bytes = 0;
        const void *file = initrd_find(source->file, &bytes);
        source->error = look(source, file, bytes);
    }
    if (source->error && why)
        writer_puts(why, source->why);
    return source->error;
}

int heap_replay_set(const void *file, size_t bytes)
{
    replayed.error = look(&replayed, file, bytes);
    return replayed.error;
}

static int replay_available(struct writer *why)
{
    return available(&replayed, why);
}

static int kernel_available(struct writer *why)
{
    return available(&of_kernel, why);
}

static int start(struct bench_run *run, const struct source *source)
{
    int error = replay_make(&playback.replay, &source->trace, run->nharts);
    if (!error && playback.replay.peak_bytes > run->arena.nframes * PAGE_BYTES) {
        replay_unmake(&playback.replay);
        error = ERR_NO_MEMORY; /* failed allocations are not what this is about */
    }
    if (error)
        return error;
    for (unsigned i = 0; i < run->nharts; i++)
        playback.players[i] =
            (struct player){.program = &playback.replay.programs[i], .places = playback.replay.places};
    run->state = &playback;
    return 0;
}

static int replay_setup(struct bench_run *run)
{
    return start(run, &replayed);
}

static int kernel_setup(struct bench_run *run)
{
    return start(run, &of_kernel);
}

/* Every block carries a byte of its place's number while it is there: a block that was given twice is seen. */
static ALWAYS_INLINE void put(struct player *player, uint32_t home, void *block)
{
    void *_Atomic *place = &player->places[home & REPLAY_PLACE];
    if (likely(block))
        *(uint8_t *)block = (uint8_t)home;
    if (!(home & REPLAY_HANDED)) {
        atomic_store_explicit(place, block, memory_order_relaxed); /* nobody else looks. sd */
        return;
    }
    /* Relaxed (ld): the word itself is all that is written here, behind what the taker wrote to it. */
    while (atomic_load_explicit(place, memory_order_relaxed))
        cpu_relax();
    /* Release (fence rw,w; sd), pairs with the acquire in take(): the block is as it was left here. */
    store_release(place, block ? block : NOTHING);
}

static ALWAYS_INLINE void *take(struct player *player, uint32_t home)
{
    void *_Atomic *place = &player->places[home & REPLAY_PLACE];
    void *block;
    if (!(home & REPLAY_HANDED)) {
        block = atomic_load_explicit(place, memory_order_relaxed); /* our own store. ld */
    } else {
        /* Acquire (ld; fence r,rw), pairs with the release in put(). */
        while (!(block = atomic_load_explicit(place, memory_order_acquire)))
            cpu_relax();
        atomic_store_explicit(
            place, NULL, memory_order_relaxed); /* says that it is empty, nothing else. sd */
        block = block == NOTHING ? NULL : block;
    }
    if (likely(block))
        player->spoilt += *(uint8_t *)block != (uint8_t)home;
    return block;
}

static ALWAYS_INLINE void *aligned(struct bench_hart *hart, struct replay_step step, const bool timed)
{
    uint64_t since = timed ? clock_now() : 0;
    void *block = heap_alloc_aligned(hart->heap, replay_bytes(step), replay_align(step));
    if (timed)
        bench_record(hart, BENCH_TAKE, since, clock_now());
    hart->failed += !block;
    return block;
}

/* What cannot be had is given up: the next steps are the same whatever there was memory for. */
static ALWAYS_INLINE void *resized(struct bench_hart *hart, void *block, size_t bytes, const bool timed)
{
    if (unlikely(!block))
        return bench_heap_alloc(hart, bytes, timed);
    void *moved = bench_heap_realloc(hart, block, bytes, timed);
    if (unlikely(!moved))
        heap_free(hart->heap, block);
    return moved;
}

static ALWAYS_INLINE void play(
    struct bench_hart *hart, struct player *player, const struct replay_step *step, const bool timed)
{
    for (;; step++) {
        switch (replay_code(*step)) {
        case REPLAY_ALLOC:
            put(player, step->place, bench_heap_alloc(hart, replay_bytes(*step), timed));
            break;
        case REPLAY_FREE: bench_heap_free(hart, take(player, step->place), timed); break;
        case REPLAY_REALLOC: {
            void *block = resized(hart, take(player, step->place), replay_bytes(*step), timed);
            step++;
            put(player, step->place, block);
            break;
        }
        case REPLAY_ALIGNED: put(player, step->place, aligned(hart, *step, timed)); break;
        case REPLAY_LINK: step = *(const struct replay_step *const *)(step + 1) - 1; break;
        case REPLAY_END: return;
        }
    }
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct player *player = &((struct playback *)hart->run->state)->players[hart->index];
    const struct replay_program *program = player->program;
    for (uint64_t i = 0; i < rounds; i++) {
        if (player->passes++ != 0) {
            play(hart, player, program->closing, timed);
            hart->ops += program->left;
        }
        play(hart, player, program->pass, timed);
        hart->ops += program->calls;
    }
}

BENCH_LOOP(run, loop)

/* What is live at the end, behind the last round; the rest of the places is empty, or says nothing. */
static void for_each_left(
    const struct bench_run *run, void (*visit)(void *argument, struct replay_step step), void *argument)
{
    for (unsigned i = 0; i < run->nharts; i++) {
        const struct player *player = &playback.players[i];
        const struct replay_step *step = player->program->closing;
        for (; player->passes != 0 && replay_code(*step) != REPLAY_END; step++) {
            if (replay_code(*step) == REPLAY_LINK)
                step = *(const struct replay_step *const *)(step + 1) - 1;
            else
                visit(argument, *step);
        }
    }
}

static void add_bytes(void *argument, struct replay_step step)
{
    if (atomic_load_explicit(&playback.replay.places[step.place], memory_order_relaxed)) /* quiet */
        *(size_t *)argument += replay_bytes(step);
}

static size_t held_bytes(const struct bench_run *run)
{
    size_t bytes = 0;
    for_each_left(run, add_bytes, &bytes);
    return bytes;
}

static void free_left(void *heap, struct replay_step step)
{
    heap_free(
        heap, atomic_load_explicit(&playback.replay.places[step.place], memory_order_relaxed)); /* quiet */
}

static void teardown(struct bench_run *run)
{
    for_each_left(run, free_left, &run->heap);
    replay_unmake(&playback.replay);
}

static void conclude(struct bench_run *run)
{
    const struct replay *replay = &playback.replay;
    uint64_t calls = 0, most = 0;
    for (unsigned i = 0; i < run->nharts; i++) {
        calls += replay->programs[i].calls;
        most = MAX(most, (uint64_t)replay->programs[i].calls);
    }
    bench_figure(run, "calls", calls, 1);
    bench_figure(run, "copies", replay->copies, 1);
    bench_figure(run, "handed", replay->handed, 1);
    bench_figure(run, "peak_bytes", replay->peak_bytes, 1);
    bench_figure(run, "balance", calls, run->nharts * most);
}

static int check(struct bench_run *run, struct writer *why)
{
    uint64_t spoilt = 0;
    for (unsigned i = 0; i < run->nharts; i++)
        spoilt += playback.players[i].spoilt;
    if (spoilt == 0)
        return 0;
    writer_format(why, "%lu blocks were written to by somebody else", spoilt);
    return ERR_CORRUPT;
}

static void write_source(struct json *json, const struct source *source)
{
    char checksum[16];
    buffer_format(checksum, sizeof(checksum), "%#010x", source->trace.checksum);
    json_string(json, "trace", source->trace.name);
    json_string(json, "checksum", checksum);
    json_unsigned(json, "calls", source->trace.calls);
    json_unsigned(json, "threads", source->trace.threads);
}

static void replay_parameters(struct json *json)
{
    write_source(json, &replayed);
}

static void kernel_parameters(struct json *json)
{
    write_source(json, &of_kernel);
}

static void describe(struct bench_run *run, struct parts *parts)
{
    const struct replay *replay = &playback.replay;
    parts_add(parts, "places of objects", (const void *)replay->places,
        replay->nplaces * sizeof(replay->places[0]));
    parts_add_array(
        parts, "player of hart", playback.players, sizeof(struct player), run->nharts, sizeof(struct player));
}

const struct workload workload_heap_replay = {
    .name = "heap.replay",
    .measures = "a recorded trace of heap calls, once a round",
    .axis = BENCH_HEAP,
    .rounds = 1,
    .collective = true,
    .available = replay_available,
    .setup = replay_setup,
    .run = run,
    .teardown = teardown,
    .check = check,
    .held_bytes = held_bytes,
    .conclude = conclude,
    .parameters = replay_parameters,
    .describe = describe,
};

const struct workload workload_heap_kernel = {
    .name = "heap.kernel",
    .measures = "a trace of a kernel's heap calls, once a round",
    .axis = BENCH_HEAP,
    .rounds = 1,
    .collective = true,
    .available = kernel_available,
    .setup = kernel_setup,
    .run = run,
    .teardown = teardown,
    .check = check,
    .held_bytes = held_bytes,
    .conclude = conclude,
    .parameters = kernel_parameters,
    .describe = describe,
};
