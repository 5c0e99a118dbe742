/*
 * heap.live_500, heap.live_5k, heap.live_50k: what an operation costs when the heap has so many blocks in use, those of
 * all harts together, and as many free places between them. Before the trials each hart allocates twice its share, of 17
 * to 256 bytes, every octave as likely, and frees a random half. Then a step frees a random block of its own and
 * allocates another, so that the number and the holes stay. An operation is the pair.
 *
 * What it costs with a hundred times as many blocks, beyond what the caches make of it, is the design's searches: a free that
 * looks for its place or its buddy in a list takes steps in proportion. `insns_per_op` has no caches in it.
 */
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/error.h"
#include "smp/call.h"

struct live_block {
    void *pointer; /* NULL: there was no memory */
    size_t bytes; /* asked for */
};

struct live {
    size_t share; /* blocks of a hart */
    struct live_block
        *blocks; /* of each hart twice that, of which the first half has live ones in the trials */
};

static struct live_block *blocks_of(const struct bench_run *bench, unsigned hart)
{
    const struct live *live = bench->state;
    return &live->blocks[hart * 2 * live->share];
}

static ALWAYS_INLINE size_t some_size(uint64_t bits)
{
    size_t octave = (size_t)16 << (bits & 3);
    return octave + 1 + (bits >> 2 & (octave - 1));
}

static void fill(void *argument)
{
    struct bench_hart *hart = argument;
    const struct live *live = hart->run->state;
    struct live_block *blocks = blocks_of(hart->run, hart->index);
    for (size_t i = 0; i < 2 * live->share; i++) {
        blocks[i].bytes = some_size(rng_next(&hart->rng));
        blocks[i].pointer = heap_alloc(hart->heap, blocks[i].bytes);
    }
}

/* The last allocated first: a design whose free walks from the lowest address on would else take minutes for it. */
static void free_half(void *argument)
{
    struct bench_hart *hart = argument;
    const struct live *live = hart->run->state;
    struct live_block *blocks = blocks_of(hart->run, hart->index);
    size_t to_free = live->share, kept = 0;
    for (size_t i = 2 * live->share; i-- > 0;) {
        if (rng_below(&hart->rng, i + 1) >= to_free)
            continue;
        heap_free(hart->heap, blocks[i].pointer);
        blocks[i].pointer = NULL;
        to_free--;
    }
    for (size_t i = 0; i < 2 * live->share; i++) {
        struct live_block one = blocks[i];
        blocks[i].pointer = NULL;
        if (one.pointer)
            blocks[kept++] = one;
    }
}

/* From the lowest address on, for the same reason. */
static void teardown(struct bench_run *bench)
{
    struct live *live = bench->state;
    for (unsigned i = 0; live->blocks && i < bench->nharts; i++)
        for (size_t k = 0; k < live->share; k++)
            heap_free(&bench->heap, blocks_of(bench, i)[k].pointer);
    bench_buffer_free(live->blocks);
    bench_buffer_free(live);
    bench->state = NULL;
}

static int setup(struct bench_run *bench, size_t blocks)
{
    struct live *live = bench_buffer(sizeof(*live));
    if (!live)
        return ERR_NO_MEMORY;
    bench->state = live;
    live->share = DIV_CEIL(blocks, bench->nharts);
    live->blocks = bench_buffer(bench->nharts * 2 * live->share * sizeof(struct live_block));
    if (!live->blocks) {
        teardown(bench);
        return ERR_NO_MEMORY;
    }
    bench_each(bench, fill);
    for (unsigned i = bench->nharts; i-- > 0;)
        smp_call(hart_mask_one(i), free_half, &bench->harts[i]);
    return 0;
}

static int setup_500(struct bench_run *bench)
{
    return setup(bench, 500);
}

static int setup_5k(struct bench_run *bench)
{
    return setup(bench, 5000);
}

static int setup_50k(struct bench_run *bench)
{
    return setup(bench, 50000);
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    const struct live *live = hart->run->state;
    struct live_block *blocks = blocks_of(hart->run, hart->index);
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t bits = rng_next(&hart->rng);
        struct live_block *one = &blocks[(bits >> 32) * live->share >> 32];
        bench_heap_free(hart, one->pointer, timed);
        one->bytes = some_size(bits);
        one->pointer = bench_heap_alloc(hart, one->bytes, timed);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

static size_t held_bytes(const struct bench_run *bench)
{
    const struct live *live = bench->state;
    size_t bytes = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        for (size_t k = 0; k < live->share; k++)
            bytes += blocks_of(bench, i)[k].pointer ? blocks_of(bench, i)[k].bytes : 0;
    return bytes;
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    const struct live *live = bench->state;
    parts_add_array(parts, "blocks of hart", live->blocks, 2 * live->share * sizeof(struct live_block),
        bench->nharts, 2 * live->share * sizeof(struct live_block));
}

#define WORKLOAD(suffix, count)                                                                              \
    const struct workload workload_heap_live_##suffix = {                                                    \
        .name = "heap.live_" #suffix,                                                                        \
        .measures = "free one of " count " live blocks, allocate another",                                   \
        .axis = BENCH_HEAP,                                                                                  \
        .rounds = 16,                                                                                        \
        .setup = setup_##suffix,                                                                             \
        .run = run,                                                                                          \
        .teardown = teardown,                                                                                \
        .held_bytes = held_bytes,                                                                            \
        .describe = describe,                                                                                \
    }

WORKLOAD(500, "500");
WORKLOAD(5k, "5,000");
WORKLOAD(50k, "50,000");
