/* Replaying traces: of any number of threads on any number of harts it ends, and each call is made once. */
#include "bench/harness.h"
#include "bench/heap_replay.h"
#include "bench/replay.h"
#include "bench/workloads.h"
#include "lib/error.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "mm/heap/record.h"
#include "mm/memory.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

/* Few, and few that wait for another hart: where harts outnumber the host's cores, each wait is one for its scheduler. */
#define CALLS       400
#define TURN        25 /* calls of a thread in a row */
#define FILE_BYTES  65536
#define THREADS_MAX 16
#define LIVE_MAX    16 /* of what a thread has made */
#define FRAMES      8192

static uint8_t file[FILE_BYTES];
static struct {
    struct writer writer;
    size_t used;
} memory;
static struct bench_result result;
static char reason[400];

static void put(struct writer *writer, const char *bytes, size_t count)
{
    (void)writer;
    CHECK(HEAP_TRACE_HEADER_BYTES + memory.used + count <= sizeof(file));
    memcpy(file + HEAP_TRACE_HEADER_BYTES + memory.used, bytes, count);
    memory.used += count;
}

/* What is live, by the thread that has made it. */
static struct {
    uint32_t objects[THREADS_MAX][LIVE_MAX];
    size_t count[THREADS_MAX];
    uint32_t made;
} live;

/* The next call of this thread, at random; one in eight objects that end are another thread's. */
static void next_call(struct rng *rng, struct heap_call *call, unsigned thread, unsigned threads)
{
    static const uint32_t most[] = {16, 64, 256, 1024, 4096, 20000};
    uint64_t bits = rng_next(rng);
    unsigned whose = bits >> 61 ? thread : (unsigned)(bits >> 8) % threads;
    bool full = live.count[thread] == LIVE_MAX;
    *call = (struct heap_call){.kind = full ? HEAP_CALL_FREE : (enum heap_call_kind)(bits >> 2 & 3)};
    call->thread = thread;
    whose = full ? thread : whose;
    if (live.count[whose] == 0)
        call->kind = HEAP_CALL_ALLOC;
    if (heap_call_ends(call->kind)) {
        size_t which = (bits >> 40) % live.count[whose];
        call->old = live.objects[whose][which];
        live.objects[whose][which] = live.objects[whose][--live.count[whose]];
    }
    if (heap_call_makes(call->kind)) {
        call->bytes = (uint32_t)rng_below(rng, most[(bits >> 32 & 7) % ARRAY_SIZE(most)]);
        live.objects[thread][live.count[thread]++] = live.made++;
    }
    if (call->kind == HEAP_CALL_ALIGNED)
        call->align = 32u << (bits >> 24 & 7);
}

/* Returns how many objects are live at the end. */
static size_t make_trace(unsigned threads, size_t calls)
{
    struct heap_trace_writer writer;
    struct heap_call call;
    struct rng rng;
    size_t left = 0;
    for (unsigned time = 0; time < 2; time++) {
        memset(&live, 0, sizeof(live));
        rng_seed(&rng, threads, calls);
        memory.writer.put = put;
        memory.used = 0;
        heap_trace_write_start(&writer, &memory.writer, time ? file : NULL);
        for (size_t i = 0; i < calls; i++) {
            next_call(&rng, &call, (unsigned)(i / TURN) % threads, threads);
            heap_trace_write(&writer, &call);
        }
        heap_trace_header(&writer, "random", file);
    }
    for (unsigned i = 0; i < threads; i++)
        left += live.count[i];
    return left;
}

static size_t file_bytes(void)
{
    return HEAP_TRACE_HEADER_BYTES + memory.used;
}

static void replay(const struct heap_ops *design, unsigned nharts)
{
    const struct bench_plan plan = {.trials = 1, .trial_ms = 1, .seed = 1, .arena_frames = FRAMES};
    struct buffer_writer why;
    buffer_writer_init(&why, reason, sizeof(reason));
    struct bench_variant variant = {.heap = design, .lock = &lock_ttas};
    CHECK(bench_measure(&workload_heap_replay, variant, nharts, &plan, &result, &why.writer) == 0);
    CHECK(reason[0] == '\0');
}

/* Every pass makes each call once in each copy, and frees what the one before has left. */
static void check_replay(unsigned threads, size_t calls, size_t left)
{
    uint64_t copies = replay_copies(threads, hart_count());
    CHECK(result.figures[0].value == calls * copies);
    CHECK(result.figures[1].value == copies);
    CHECK(result.ops > 0 && result.ops % ((calls + left) * copies) == 0);
    CHECK(result.failed_ops == 0);
    CHECK(left == 0 || result.memory.live_bytes > 0);
    CHECK(result.memory.live_bytes <= result.memory.block_bytes);
}

static void replay_random(const struct heap_ops *design, unsigned threads)
{
    size_t left = make_trace(threads, CALLS);
    CHECK(heap_replay_set(file, file_bytes()) == 0);
    replay(design, hart_count());
    check_replay(threads, CALLS, left);
    CHECK(heap_replay_set(NULL, 0) == ERR_NOT_FOUND);
}

TEST(replay_every_design)
{
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; heap_design_at(i); i++)
        replay_random(heap_design_at(i), 4);
    bench_finish();
}

TEST(replay_any_number_of_threads)
{
    static const unsigned threads[] = {1, 2, 3, 7, 13};
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        replay_random(heap_design_at(0), threads[i]);
    bench_finish();
}

/* A trace of two threads, written by @calls. */
static void make_of_two(const char *name, void (*calls)(struct heap_trace_writer *writer))
{
    struct heap_trace_writer writer;
    for (unsigned time = 0; time < 2; time++) {
        memory.writer.put = put;
        memory.used = 0;
        heap_trace_write_start(&writer, &memory.writer, time ? file : NULL);
        calls(&writer);
        heap_trace_header(&writer, name, file);
    }
    CHECK(heap_replay_set(file, file_bytes()) == 0);
}

#define TURNS 12

static void to_and_fro(struct heap_trace_writer *writer)
{
    heap_trace_write(writer, &(struct heap_call){.kind = HEAP_CALL_ALLOC, .bytes = 8});
    for (uint32_t i = 0; i < TURNS; i++)
        heap_trace_write(writer,
            &(struct heap_call){.kind = HEAP_CALL_REALLOC, .thread = (i + 1) % 2, .old = i, .bytes = i});
    heap_trace_write(writer, &(struct heap_call){.kind = HEAP_CALL_FREE, .thread = 1, .old = TURNS});
}

static void one_way(struct heap_trace_writer *writer)
{
    for (uint32_t i = 0; i < 10 * TURNS; i++) {
        heap_trace_write(writer, &(struct heap_call){.kind = HEAP_CALL_ALLOC, .bytes = 40});
        heap_trace_write(writer, &(struct heap_call){.kind = HEAP_CALL_FREE, .thread = 1, .old = i});
    }
}

/* What two threads pass to and fro one by one is the tightest order that there is; what one passes to the other may not run
 * further ahead than there are places. */
TEST(replay_two_threads_in_step)
{
    CHECK(bench_prepare() == 0);
    make_of_two("to and fro", to_and_fro);
    replay(heap_design_at(0), hart_count());
    check_replay(2, TURNS + 2, 0);
    make_of_two("one way", one_way);
    replay(heap_design_at(0), hart_count());
    check_replay(2, 20 * TURNS, 0);
    CHECK(heap_replay_set(NULL, 0) == ERR_NOT_FOUND);
    bench_finish();
}

/* All harts on one heap, each with a few blocks, some of which the next one frees. */
static struct frame_allocator arena;
static struct heap heap;
static struct heap_recorder recorder;
static _Atomic(void *) passed_on[HART_MAX];
static uint64_t made_calls[HART_MAX];

#define STEPS 60

static void work(void *unused)
{
    struct rng rng;
    void *held = NULL;
    uint64_t *calls = &made_calls[hart_index()];
    (void)unused;
    rng_seed(&rng, 3, hart_index());
    *calls = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        size_t bytes = 1 + rng_below(&rng, 900);
        void *block = held && i % 4 == 0 ? heap_realloc(&heap, held, bytes) : heap_alloc(&heap, bytes);
        CHECK(block != NULL);
        *calls += 1;
        if (held && i % 4 != 0) {
            /* Both orders: what is in a block goes with it. */
            void *gone = atomic_exchange_explicit(
                &passed_on[(hart_index() + i % 2) % hart_count()], held, memory_order_acq_rel);
            *calls += gone != NULL;
            heap_free(&heap, gone);
        }
        held = block;
    }
    *calls += 1;
    heap_free(&heap, held);
}

TEST(replay_what_was_recorded)
{
    const struct memory_plan *plan = memory_plan();
    uint64_t calls = 0, left = 0;
    CHECK(bench_prepare() == 0);
    CHECK(frame_allocator_init(&arena, frame_allocator_find("hartcache"), &lock_ttas, "test", plan->metadata,
              plan->arena_base, FRAMES, hart_count()) == 0);
    CHECK(heap_init(&heap, heap_design_at(0), &lock_ttas, "test", &arena, plan->heap_metadata, HEAP_GUARD) ==
          0);
    recorder.capacity = HEAP_RECORD_CHUNK_EVENTS;
    recorder.chunks[0] = bench_buffer(HEAP_RECORD_CHUNK_BYTES);
    recorder.slots = bench_buffer(HEAP_RECORD_SLOTS_BYTES);
    heap_record_start(&heap, &recorder);
    memset(passed_on, 0, sizeof(passed_on));
    smp_call(hart_mask_first(hart_count()), work, NULL);
    heap_record_stop(&heap);
    memory.writer.put = put;
    memory.used = 0;
    for (unsigned i = 0; i < hart_count(); i++) {
        calls += made_calls[i];
        left += passed_on[i] != NULL;
        heap_free(&heap, passed_on[i]);
    }
    CHECK(heap_validate(&heap, 0) == 0);
    CHECK(heap_record_write(&recorder, "recorded", &memory.writer, file) == calls);
    CHECK(recorder.twice == 0 && heap_record_lost(&recorder) == 0);
    CHECK(heap_replay_set(file, file_bytes()) == 0);
    replay(heap_design_at(0), hart_count());
    check_replay(hart_count(), calls, left);
    CHECK(heap_replay_set(NULL, 0) == ERR_NOT_FOUND);
    bench_buffer_free(recorder.chunks[0]);
    bench_buffer_free(recorder.slots);
    bench_finish();
}

TEST(replay_damaged_traces_are_refused)
{
    char text[200];
    struct buffer_writer why;
    make_trace(3, 100);
    file[70] ^= 1;
    CHECK(heap_replay_set(file, file_bytes()) == ERR_CORRUPT);
    buffer_writer_init(&why, text, sizeof(text));
    CHECK(workload_heap_replay.available(&why.writer) == ERR_CORRUPT);
    CHECK(strcmp(text,
              "replay.heaptrace is no right trace of heap calls: byte 12: the checksum is not that of the "
              "contents") == 0);
    file[70] ^= 1;
    CHECK(heap_replay_set(file, file_bytes() - 1) == ERR_TRUNCATED);
    CHECK(heap_replay_set(file, file_bytes()) == 0);
    CHECK(heap_replay_set(NULL, 0) == ERR_NOT_FOUND);
    CHECK(workload_heap_replay.available(NULL) == ERR_NOT_FOUND);
}
