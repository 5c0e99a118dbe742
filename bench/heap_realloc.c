/*
 * heap.realloc: buffers that grow, as those of strings, vectors and packets do. Each hart has eight; a step makes a random one half
 * as large again, from 32 bytes up to a page, where it is freed and begins anew. While one grows the others lie in the
 * way, so a heap that can make a block larger in place gets to do so now and then, and one that rounds sizes up
 * finds some growth already there. An operation is one change of size, beginning anew included.
 *
 * No benchmark's shape, but that of every growing array: a constant factor, for which 1.5 lets what has been freed be used
 * again by what comes later, where 2 does not.
 */
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/workloads.h"
#include "lib/error.h"

#define BUFFERS   8u
#define BYTES_MIN ((size_t)32)
#define BYTES_MAX ((size_t)PAGE_BYTES)

/* Of each hart before the trials: a dozen steps are a buffer's life. */
#define STEPS_BEFORE 512

struct buffer {
    void *block;
    size_t bytes;
};

struct grower {
    struct buffer buffers[BUFFERS];
} CACHE_ALIGNED;

static struct grower *grower_of(const struct bench_hart *hart)
{
    return &((struct grower *)hart->run->state)[hart->index];
}

static ALWAYS_INLINE void begin(struct bench_hart *hart, struct buffer *buffer, const bool timed)
{
    if (buffer->block)
        block_look(hart, buffer->block, buffer->bytes, buffer, timed);
    bench_heap_free(hart, buffer->block, timed);
    buffer->bytes = BYTES_MIN;
    buffer->block = bench_heap_alloc(hart, BYTES_MIN, timed);
    block_mark(buffer->block, BYTES_MIN, buffer);
}

/* What was in it is in it still; it is marked anew. Where there is no memory it stays as it is. */
static ALWAYS_INLINE void grow(struct bench_hart *hart, struct buffer *buffer, const bool timed)
{
    size_t bytes = buffer->bytes + buffer->bytes / 2;
    void *block = bench_heap_realloc(hart, buffer->block, bytes, timed);
    if (unlikely(!block))
        return;
    block_look(hart, block, buffer->bytes, buffer, timed);
    block_mark(block, bytes, buffer);
    *buffer = (struct buffer){block, bytes};
}

static ALWAYS_INLINE void advance(
    struct bench_hart *hart, struct grower *grower, uint64_t steps, const bool timed)
{
    for (uint64_t i = 0; i < steps; i++) {
        struct buffer *buffer = &grower->buffers[rng_next(&hart->rng) >> 61];
        if (buffer->block && buffer->bytes + buffer->bytes / 2 <= BYTES_MAX)
            grow(hart, buffer, timed);
        else
            begin(hart, buffer, timed);
    }
}

_Static_assert(BUFFERS == 1 << 3, "the top three bits of a random word");

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    advance(hart, grower_of(hart), rounds, timed);
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

static void live(void *argument)
{
    advance(argument, grower_of(argument), STEPS_BEFORE, false);
}

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct grower));
    if (!bench->state)
        return ERR_NO_MEMORY;
    bench_each(bench, live);
    return 0;
}

static size_t held_bytes(const struct bench_run *bench)
{
    const struct grower *growers = bench->state;
    size_t bytes = 0;
    for (unsigned i = 0; i < bench->nharts * BUFFERS; i++) {
        const struct buffer *buffer = &growers[i / BUFFERS].buffers[i % BUFFERS];
        bytes += buffer->block ? buffer->bytes : 0;
    }
    return bytes;
}

static void teardown(struct bench_run *bench)
{
    const struct grower *growers = bench->state;
    for (unsigned i = 0; i < bench->nharts * BUFFERS; i++)
        heap_free(&bench->heap, growers[i / BUFFERS].buffers[i % BUFFERS].block);
    bench_buffer_free(bench->state);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    parts_add_array(
        parts, "pointers of hart", bench->state, sizeof(struct grower), bench->nharts, sizeof(struct grower));
}

const struct workload workload_heap_realloc = {
    .name = "heap.realloc",
    .measures = "buffers that grow by half of their size, from 32 bytes to a page",
    .axis = BENCH_HEAP,
    .rounds = 64,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .held_bytes = held_bytes,
    .describe = describe,
};
