/*
 * frame.mixed: blocks of orders 0 to 9 with random lifetimes. Each hart has a window of blocks; a step takes a
 * random place, frees what is there and allocates anew. An order is half as likely as the one below, so that
 * each contributes about the same number of frames and none is an exception. An operation is one block.
 */
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/bits.h"
#include "lib/error.h"

/* Few enough that 64 harts never hold more than a small arena on average (5 frames a block), many enough for
 * lifetimes to interleave. */
#define WINDOW     16
#define ORDERS_MAX FRAME_ORDER_HUGE

struct block {
    pfn_t pfn;
    unsigned order;
};

struct window {
    struct block blocks[WINDOW];
} CACHE_ALIGNED;

static int setup(struct bench_run *bench)
{
    struct window *windows = bench_buffer(bench->nharts * sizeof(struct window));
    if (!windows)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < bench->nharts; i++) {
        for (unsigned k = 0; k < WINDOW; k++)
            windows[i].blocks[k].pfn = PFN_NONE;
    }
    bench->state = windows;
    return 0;
}

/* P(order) = 2^-(order + 1) up to the largest, which gets the rest. */
static ALWAYS_INLINE unsigned random_order(uint64_t bits)
{
    return bits_lowest(bits | 1ull << ORDERS_MAX);
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct window *window = &((struct window *)hart->run->state)[hart->index];
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t bits = rng_next(&hart->rng);
        struct block *block = &window->blocks[bits >> 60];
        bench_free(hart, block->pfn, block->order, timed);
        block->order = random_order(bits);
        block->pfn = bench_alloc(hart, block->order, 0, timed);
    }
    hart->ops += rounds;
}

_Static_assert(WINDOW == 1 << 4, "the place is the top four bits of a random word");

BENCH_LOOP(run, loop)

static void teardown(struct bench_run *bench)
{
    struct window *windows = bench->state;
    for (unsigned i = 0; i < bench->nharts; i++) {
        for (unsigned k = 0; k < WINDOW; k++) {
            struct block *block = &windows[i].blocks[k];
            if (!pfn_is_none(block->pfn))
                frame_free(&bench->arena, block->pfn, block->order);
        }
    }
    bench_buffer_free(windows);
}

const struct workload workload_frame_mixed = {
    .name = "frame.mixed",
    .measures = "blocks of orders 0 to 9 with random lifetimes",
    .axis = BENCH_FRAME,
    .order = ORDERS_MAX,
    .rounds = 64,
    .setup = setup,
    .run = run,
    .teardown = teardown,
};
