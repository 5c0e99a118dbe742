/*
 * heap.larson: a server's connections. A hart works on an array of blocks of 10 to 500 bytes: it takes a random one, frees it,
 * and allocates another of a random size in its place. After some rounds it hands the array on to the next hart and goes
 * on with one that it was handed, so the blocks that it frees then were allocated elsewhere: memory bleeds from hart to
 * hart. An operation is one replacement.
 *
 * After Larson and Krishnan, "Memory allocation for long-running server applications" (ISMM 1998), where a thread hands
 * its array to a new one and ends; sizes are those of their program. Nobody waits: there are two arrays a hart, and a hart
 * that has not been handed one goes on with the one it has. One hart hands its two to itself.
 */
#include "bench/bench.h"
#include "bench/marks.h"
#include "bench/ring.h"
#include "bench/workloads.h"
#include "lib/error.h"

#define BYTES_MIN  10u
#define BYTES_SPAN 490u

/* 16 KiB of blocks; and each block is replaced four times on average before the array goes on, so about a fourth of the
 * frees are remote, and there are half a dozen hand-overs a trial. */
#define SLOTS  64u
#define ROUNDS 256u

#define ARRAYS 2u /* a hart */

/* Turns of each hart before the trials: after those each array has been at several harts, its pages are there, and free blocks
 * are where they use to be. */
#define TURNS 16

struct slot {
    void *block;
    size_t bytes;
};

struct array {
    struct slot slots[SLOTS];
} CACHE_ALIGNED;

struct server {
    struct array *array; /* that it works on */
    uint64_t left; /* rounds until it is handed on */
    struct ring inbox CACHE_ALIGNED; /* arrays that wait for this hart */
    struct array arrays[ARRAYS]; /* that it had at first */
} CACHE_ALIGNED;

_Static_assert(HART_MAX *ARRAYS <= RING_SLOTS, "all arrays may wait for one hart");

static struct server *server_of(const struct bench_run *bench, unsigned index)
{
    return &((struct server *)bench->state)[index % bench->nharts];
}

/* @bits: 64 random ones; the top six say which, the low half how large. */
static ALWAYS_INLINE void replace(
    struct bench_hart *hart, struct array *array, uint64_t bits, const bool timed)
{
    struct slot *slot = &array->slots[bits >> 58];
    if (slot->block)
        block_look(hart, slot->block, slot->bytes, slot, timed);
    bench_heap_free(hart, slot->block, timed);
    slot->bytes = BYTES_MIN + ((bits & UINT32_MAX) * BYTES_SPAN >> 32);
    slot->block = bench_heap_alloc(hart, slot->bytes, timed);
    block_mark(slot->block, slot->bytes, slot);
}

_Static_assert(SLOTS == 1 << 6, "the top six bits");

static void hand_on(struct bench_hart *hart, struct server *server)
{
    struct array *next = ring_take(&server->inbox);
    server->left = ROUNDS;
    if (!next)
        return;
    ring_put(&server_of(hart->run, hart->index + 1)->inbox, server->array);
    server->array = next;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct server *server = server_of(hart->run, hart->index);
    for (uint64_t i = 0; i < rounds; i++) {
        replace(hart, server->array, rng_next(&hart->rng), timed);
        if (--server->left == 0)
            hand_on(hart, server);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

static void fill(void *argument)
{
    struct bench_hart *hart = argument;
    struct server *server = server_of(hart->run, hart->index);
    for (unsigned i = 0; i < ARRAYS; i++)
        for (uint64_t k = 0; k < SLOTS; k++)
            replace(hart, &server->arrays[i], k << 58 | rng_next(&hart->rng) >> 32, false);
    server->array = &server->arrays[0];
    for (unsigned i = 1; i < ARRAYS; i++)
        ring_put(&server->inbox, &server->arrays[i]);
    /* As after some time, not all hand on at once. */
    server->left = 1 + ROUNDS * hart->index / hart->run->nharts;
}

static void take_turn(void *argument)
{
    loop(argument, ROUNDS, false);
}

static int setup(struct bench_run *bench)
{
    bench->state = bench_buffer(bench->nharts * sizeof(struct server));
    if (!bench->state)
        return ERR_NO_MEMORY;
    bench_each(bench, fill);
    for (unsigned i = 0; i < TURNS; i++)
        bench_each(bench, take_turn);
    return 0;
}

/* All arrays are where some hart had them at first, wherever they are worked on. */
static size_t held_bytes(const struct bench_run *bench)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < bench->nharts * ARRAYS; i++) {
        const struct array *array = &server_of(bench, i / ARRAYS)->arrays[i % ARRAYS];
        for (unsigned k = 0; k < SLOTS; k++)
            bytes += array->slots[k].block ? array->slots[k].bytes : 0;
    }
    return bytes;
}

static void teardown(struct bench_run *bench)
{
    for (unsigned i = 0; i < bench->nharts * ARRAYS; i++) {
        const struct array *array = &server_of(bench, i / ARRAYS)->arrays[i % ARRAYS];
        for (unsigned k = 0; k < SLOTS; k++)
            heap_free(&bench->heap, array->slots[k].block);
    }
    bench_buffer_free(bench->state);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    const struct server *servers = bench->state;
    parts_add_array(parts, "server", servers, sizeof(*servers), bench->nharts, sizeof(*servers));
    for (unsigned i = 0; i < ARRAYS; i++)
        parts_add_array(parts, i ? "second array of hart" : "array of hart", &servers->arrays[i],
            sizeof(struct array), bench->nharts, sizeof(*servers));
    rings_describe(parts, &servers->inbox, bench->nharts, sizeof(*servers));
}

const struct workload workload_heap_larson = {
    .name = "heap.larson",
    .measures = "blocks of random sizes replaced in arrays that go from hart to hart",
    .axis = BENCH_HEAP,
    .rounds = 256,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = marks_check,
    .held_bytes = held_bytes,
    .describe = describe,
};
