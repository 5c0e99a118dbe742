/*
 * What references to frames cost. frame.put is frame.churn with a put in the place of the free: nobody shares, and
 * the difference between the two is what counting costs those who do not need it. frame.share is one more
 * reference and its end, for a frame that is shared: with spread=0 one frame of all harts, as the pages of a
 * library or of a fork, so that all harts write to one count; with spread=1 frames of their own that lie side
 * by side, so that only the line of the counts is shared; with 16 or more nothing is. An operation is one pair.
 */
#include "bench/bench.h"
#include "bench/workloads.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "mm/frame/frame_refs.h"

/* One more than the counts on a cache line, so that neighbours' counts are on lines of their own. */
#define SPREAD_MAX 16

static uint64_t spread;

static int apply_spread(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, SPREAD_MAX, &spread, why);
}

CONFIG_KEY(spread_key, .name = "spread",
    .valid = "frames from one hart's in frame.share to the next one's, 0 (all share one) to 16",
    .initial = "0", .apply = apply_spread);

struct share {
    struct frame_refs refs;
    void *counts;
    size_t nframes;
    pfn_t frames[(HART_MAX - 1) * SPREAD_MAX + 1]; /* frame.share: hart i has that at i × spread */
};

static void teardown(struct bench_run *bench)
{
    struct share *share = bench->state;
    if (!share)
        return;
    /* The harness has stopped the harts between two rounds: each has put what it got. */
    for (size_t i = 0; i < share->nframes; i++)
        while (!frame_put(&share->refs, share->frames[i], 0))
            ;
    bench_buffer_free(share->counts);
    bench_buffer_free(share);
    bench->state = NULL;
}

static int setup(struct bench_run *bench)
{
    struct share *share = bench_buffer(sizeof(*share));
    if (!share)
        return ERR_NO_MEMORY;
    bench->state = share;
    share->counts = bench_buffer(frame_refs_bytes(bench->arena.nframes));
    if (!share->counts) {
        bench_buffer_free(share);
        bench->state = NULL;
        return ERR_NO_MEMORY;
    }
    frame_refs_init(&share->refs, &bench->arena, share->counts);
    return 0;
}

/* Frames that are allocated one after the other lie side by side in a fresh arena, for most designs. */
static int setup_share(struct bench_run *bench)
{
    int error = setup(bench);
    if (error)
        return error;
    struct share *share = bench->state;
    while (share->nframes < (bench->nharts - 1) * spread + 1) {
        pfn_t pfn = frame_alloc(&bench->arena, 0, 0);
        if (pfn_is_none(pfn)) {
            teardown(bench);
            return ERR_NO_MEMORY;
        }
        share->frames[share->nframes++] = pfn;
    }
    for (unsigned i = 1; i < bench->nharts && spread == 0 && !error; i++)
        error = frame_get(&share->refs, share->frames[0]);
    return error;
}

static ALWAYS_INLINE void put(struct bench_hart *hart, struct frame_refs *refs, pfn_t pfn, const bool timed)
{
    uint64_t since = timed ? clock_now() : 0;
    frame_put(refs, pfn, 0);
    if (timed)
        bench_record(hart, BENCH_GIVE, since, clock_now());
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct share *share = hart->run->state;
    for (uint64_t i = 0; i < rounds; i++) {
        pfn_t pfn = bench_alloc(hart, 0, 0, timed);
        if (likely(!pfn_is_none(pfn)))
            put(hart, &share->refs, pfn, timed);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run, loop)

static ALWAYS_INLINE void loop_share(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct share *share = hart->run->state;
    pfn_t pfn = share->frames[hart->index * spread];
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t since = timed ? clock_now() : 0;
        int error = frame_get(&share->refs, pfn);
        if (timed)
            bench_record(hart, BENCH_TAKE, since, clock_now());
        if (unlikely(error))
            hart->failed++;
        else
            put(hart, &share->refs, pfn, timed);
    }
    hart->ops += rounds;
}

BENCH_LOOP(run_share, loop_share)

/* As after setup: a reference that was lost or made up in a trial is in the counts for good. */
static int check(struct bench_run *bench, struct writer *why)
{
    struct share *share = bench->state;
    uint64_t extra = share->nframes && spread == 0 ? bench->nharts - 1 : 0;
    if (frame_refs_validate(&share->refs, extra) == 0)
        return 0;
    writer_format(why, "the counts are not those of the %lu references that are held", extra);
    return ERR_CORRUPT;
}

static void describe(struct bench_run *bench, struct parts *parts)
{
    frame_refs_describe(&((const struct share *)bench->state)->refs, parts);
}

static void parameters(struct json *json)
{
    json_unsigned(json, "spread", spread);
}

const struct workload workload_frame_put = {
    .name = "frame.put",
    .measures = "allocate one frame, put it: frame.churn with a count of references",
    .axis = BENCH_FRAME,
    .rounds = 256,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .check = check,
    .describe = describe,
};

const struct workload workload_frame_share = {
    .name = "frame.share",
    .measures = "one more reference to a frame that all harts share, and its end",
    .axis = BENCH_FRAME,
    .rounds = 256,
    .setup = setup_share,
    .run = run_share,
    .teardown = teardown,
    .check = check,
    .parameters = parameters,
    .describe = describe,
};
