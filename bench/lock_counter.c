/*
 * lock.counter: take the lock, count, stay a while, let go, do something else for a while. The lengths of the
 * critical section and of the gap are parameters: with a long gap the lock is idle and every kind is the same, with
 * a short one the hand-over is all there is. An operation is one critical section.
 */
#include "bench/bench.h"
#include "bench/workloads.h"
#include "kernel/config.h"
#include "lib/error.h"

struct counter_state {
    struct lock lock;
    uint64_t count CACHE_ALIGNED; /* written inside the critical section only */
};

static uint64_t section_instructions, gap_instructions;

/* 100000 instructions are longer than any critical section worth spinning for. */
#define LENGTH_MAX 100000

static int apply_section(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, LENGTH_MAX, &section_instructions, why);
}

CONFIG_KEY(section_key, .name = "section",
    .valid = "instructions in lock.counter's critical section, 0 to 100000", .initial = "0",
    .apply = apply_section);

static int apply_gap(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, LENGTH_MAX, &gap_instructions, why);
}

CONFIG_KEY(gap_key, .name = "gap",
    .valid = "instructions between lock.counter's critical sections, 0 to 100000", .initial = "100",
    .apply = apply_gap);

/* Executes about that many instructions that touch no memory: a loop of two. */
static ALWAYS_INLINE void delay(uint64_t instructions)
{
    for (uint64_t left = instructions / 2; left > 0; left--)
        __asm__ volatile("" : "+r"(left));
}

static int setup(struct bench_run *bench)
{
    struct counter_state *state = bench_buffer(sizeof(*state));
    if (!state)
        return ERR_NO_MEMORY;
    lock_init(&state->lock, bench->variant.lock, "lock.counter");
    bench->state = state;
    return 0;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct counter_state *state = hart->run->state;
    uint64_t section = section_instructions, gap = gap_instructions;
    struct lock_node node;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t since = timed ? clock_now() : 0;
        lock_acquire(&state->lock, &node);
        uint64_t until = timed ? clock_now() : 0;
        state->count++;
        delay(section);
        lock_release(&state->lock, &node);
        if (timed)
            bench_record(hart, BENCH_TAKE, since, until);
        delay(gap);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

/* The count is over all trials, as is what the harness adds up. */
static int check(struct bench_run *bench, struct writer *why)
{
    const struct counter_state *state = bench->state;
    if (state->count == bench->total_ops)
        return 0;
    writer_format(why, "the lock let harts in together: counted %lu in %lu critical sections", state->count,
        bench->total_ops);
    return ERR_CORRUPT;
}

static void teardown(struct bench_run *bench)
{
    bench_buffer_free(bench->state);
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    const struct counter_state *state = bench->state;
    lock_describe(&state->lock, parts);
    parts_add(parts, "count", &state->count, sizeof(state->count));
}

static void parameters(struct json *json)
{
    json_unsigned(json, "section", section_instructions);
    json_unsigned(json, "gap", gap_instructions);
}

const struct workload workload_lock_counter = {
    .name = "lock.counter",
    .measures = "a counter under a lock",
    .axis = BENCH_LOCK,
    .rounds = 64,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = check,
    .parameters = parameters,
    .describe = describe,
};
