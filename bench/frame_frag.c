/*
 * frame.frag: 2 MiB frames out of an aged arena. Before the trials the harts age it, in turns of a few dozen blocks:
 * they fill it to three quarters with blocks of orders 0 to 3, mostly single frames, one in eight of which stays to
 * the end; replace all the others once at that peak; free at random down to a quarter; and replace as many again
 * there. What is left of huge frames is the allocator's doing: one that takes from where most is taken already keeps
 * them whole. In turns, because the same seed then leaves the same arena under every clock.
 *
 * In a trial all harts take 2 MiB frames until there are none, then give them back. An operation is one that was had
 * and given back; there may be none. Latencies of asking in vain are `latency_none`. The index of fragmentation is
 * in `memory`, as for every workload.
 *
 * After LLFree's fragmentation benchmark (Wrenger et al., USENIX ATC 2023: random reallocation at a given filling, huge
 * frames counted); peak and trough with a mixture of lifetimes after Gorman and Whitcroft (2006).
 */
#include "bench/bench.h"
#include "bench/workloads.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/memory.h"

/* Of the arena's frames, in quarters. */
#define PEAK   3
#define TROUGH 1

#define ORDER_MAX       3
#define LONG_LIVED      8 /* one in so many */
#define TURN_BLOCKS_MAX 32

/* A block in a word: its first frame from the arena's base, and its order. */
typedef uint32_t block_t;

_Static_assert(ARENA_FRAMES_MAX << 2 <= UINT32_MAX && ORDER_MAX < 4, "two bits for the order");

enum phase { FILL, REPLACE_AT_PEAK, FREE, REPLACE_AT_TROUGH, PHASES };

struct ager {
    struct rng rng;
    block_t *blocks; /* the long-lived in front */
    size_t count, nlong;
    size_t frames; /* in those blocks */
    size_t replaced; /* frames, in this phase */
    size_t failed; /* single frames that could not be had */
    bool done; /* with this phase */
    uint32_t *huge; /* of the round: numbers of huge frames */
    size_t first; /* how many of those the first round had */
    bool asked; /* it has been through a round */
} CACHE_ALIGNED;

struct frag {
    enum phase phase;
    size_t share; /* a hart's share of the arena, frames */
    size_t nhuge; /* in the arena */
    size_t free; /* frames, once it has aged */
    block_t *blocks;
    uint32_t *huge;
    struct ager agers[HART_MAX];
};

/* P(order) = 3/4, 1/8, 1/16, 1/16: 1.75 frames on average. */
static unsigned random_order(uint64_t bits)
{
    return (bits & 3) ? 0 : bits_lowest(bits >> 2 | 1 << (ORDER_MAX - 1)) + 1;
}

/* One more block; a single frame where there is none of its order. */
static void grow(struct bench_hart *hart, struct ager *ager)
{
    uint64_t bits = rng_next(&ager->rng);
    unsigned order = random_order(bits);
    pfn_t pfn = frame_alloc(hart->arena, order, 0);
    if (pfn_is_none(pfn)) {
        order = 0;
        pfn = frame_alloc(hart->arena, order, 0);
    }
    if (pfn_is_none(pfn)) {
        ager->failed++;
        return;
    }
    block_t block = (block_t)(pfn.value - hart->arena->base.value) << 2 | order;
    ager->frames += 1u << order;
    bool stays = (bits >> 32) % LONG_LIVED == 0;
    if (stays) {
        ager->blocks[ager->count++] = ager->blocks[ager->nlong];
        ager->blocks[ager->nlong++] = block;
    } else {
        ager->blocks[ager->count++] = block;
    }
}

/* Frees a random block of those that do not stay; returns its frames, 0 when there is none. */
static size_t shrink(struct bench_hart *hart, struct ager *ager)
{
    if (ager->count == ager->nlong)
        return 0;
    size_t i = ager->nlong + rng_below(&ager->rng, ager->count - ager->nlong);
    block_t block = ager->blocks[i];
    ager->blocks[i] = ager->blocks[--ager->count];
    frame_free(hart->arena, pfn_add(hart->arena->base, block >> 2), block & 3);
    ager->frames -= 1u << (block & 3);
    return 1u << (block & 3);
}

/* One step of the phase; false when it is done. @full: the frames that it holds at the phase's filling. */
static bool age(struct bench_hart *hart, struct ager *ager, enum phase phase, size_t full)
{
    /* The largest block may be what is missing. */
    bool is_full = ager->frames + (1u << ORDER_MAX) > full;
    switch (phase) {
    case FILL:
        if (is_full)
            return false;
        grow(hart, ager);
        return ager->failed == 0;
    case FREE: return ager->frames > full && shrink(hart, ager) > 0;
    default:
        if (!is_full) {
            grow(hart, ager);
            return ager->failed == 0;
        }
        if (ager->replaced >= full)
            return false;
        size_t frames = shrink(hart, ager);
        ager->replaced += frames;
        return frames > 0;
    }
}

/* A hart's turn, of a random length: nobody's blocks lie in strides. */
static void take_turn(void *argument)
{
    struct bench_hart *hart = argument;
    struct frag *frag = hart->run->state;
    struct ager *ager = &frag->agers[hart->index];
    size_t full = frag->share * (frag->phase <= REPLACE_AT_PEAK ? PEAK : TROUGH) / 4;
    for (uint64_t left = 1 + rng_below(&ager->rng, TURN_BLOCKS_MAX); left > 0 && !ager->done; left--)
        ager->done = !age(hart, ager, frag->phase, full);
}

static bool all_done(const struct bench_run *bench, const struct frag *frag)
{
    for (unsigned i = 0; i < bench->nharts; i++)
        if (!frag->agers[i].done)
            return false;
    return true;
}

static void teardown(struct bench_run *bench)
{
    struct frag *frag = bench->state;
    for (unsigned i = 0; frag->blocks && i < bench->nharts; i++) {
        struct ager *ager = &frag->agers[i];
        for (size_t k = 0; k < ager->count; k++)
            frame_free(&bench->arena, pfn_add(bench->arena.base, ager->blocks[k] >> 2), ager->blocks[k] & 3);
    }
    bench_buffer_free(frag->blocks);
    bench_buffer_free(frag->huge);
    bench_buffer_free(frag);
    bench->state = NULL;
}

static void grow_old(struct bench_run *bench, struct frag *frag)
{
    for (frag->phase = FILL; frag->phase < PHASES; frag->phase++) {
        for (unsigned i = 0; i < bench->nharts; i++) {
            frag->agers[i].done = false;
            frag->agers[i].replaced = 0;
        }
        while (!all_done(bench, frag))
            bench_each(bench, take_turn);
    }
    frag->free = frame_free_count(&bench->arena);
}

static int setup(struct bench_run *bench)
{
    struct frag *frag = bench_buffer(sizeof(*frag));
    if (!frag)
        return ERR_NO_MEMORY;
    bench->state = frag;
    frag->share = bench->arena.nframes / bench->nharts;
    frag->nhuge = bench->arena.nframes >> FRAME_ORDER_HUGE;
    frag->blocks = bench_buffer(bench->nharts * frag->share * sizeof(block_t));
    frag->huge = bench_buffer(bench->nharts * frag->nhuge * sizeof(uint32_t));
    if (!frag->blocks || !frag->huge) {
        teardown(bench);
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < bench->nharts; i++) {
        frag->agers[i].blocks = &frag->blocks[i * frag->share];
        frag->agers[i].huge = &frag->huge[i * frag->nhuge];
        rng_seed(&frag->agers[i].rng, bench->seed, HART_MAX + i); /* streams that the trials do not have */
    }
    grow_old(bench, frag);
    return 0;
}

/* Until there are none. */
static ALWAYS_INLINE size_t take_huge(struct bench_hart *hart, uint32_t *huge, size_t limit, const bool timed)
{
    for (size_t count = 0; count < limit; count++) {
        uint64_t since = timed ? clock_now() : 0;
        pfn_t pfn = frame_alloc(hart->arena, FRAME_ORDER_HUGE, 0);
        if (timed)
            bench_record(hart, pfn_is_none(pfn) ? BENCH_MORE : BENCH_TAKE, since, clock_now());
        if (pfn_is_none(pfn)) {
            hart->failed++;
            return count;
        }
        huge[count] = (uint32_t)((pfn.value - hart->arena->base.value) >> FRAME_ORDER_HUGE);
    }
    return limit;
}

static ALWAYS_INLINE void loop(struct bench_hart *hart, uint64_t rounds, const bool timed)
{
    struct frag *frag = hart->run->state;
    struct ager *ager = &frag->agers[hart->index];
    for (uint64_t i = 0; i < rounds; i++) {
        size_t count = take_huge(hart, ager->huge, frag->nhuge, timed);
        bench_meet(hart); /* all have found that there are no more */
        for (size_t k = count; k-- > 0;)
            bench_free(hart, pfn_add(hart->arena->base, (uint64_t)ager->huge[k] << FRAME_ORDER_HUGE),
                FRAME_ORDER_HUGE, timed);
        hart->ops += count;
        if (!ager->asked)
            ager->first = count;
        ager->asked = true;
    }
}

BENCH_LOOP(run, loop)

static void conclude(struct bench_run *bench)
{
    const struct frag *frag = bench->state;
    size_t had = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        had += frag->agers[i].first;
    bench_figure(bench, "huge_had", had, 1);
    bench_figure(bench, "huge_ideal", frag->free >> FRAME_ORDER_HUGE, 1);
    bench_figure(bench, "free_frames", frag->free, 1);
    bench_figure(bench, "occupancy", bench->arena.nframes - frag->free, bench->arena.nframes);
}

static int check(struct bench_run *bench, struct writer *why)
{
    const struct frag *frag = bench->state;
    size_t failed = 0, held = 0;
    for (unsigned i = 0; i < bench->nharts; i++) {
        failed += frag->agers[i].failed;
        held += frag->agers[i].frames;
    }
    if (failed != 0)
        writer_format(why, "%zu single frames could not be had from an arena that had some; ", failed);
    else if (held + frag->free != bench->arena.nframes)
        writer_format(
            why, "of %zu frames %zu are held and %zu free; ", bench->arena.nframes, held, frag->free);
    else
        return 0;
    return ERR_CORRUPT;
}

const struct workload workload_frame_frag = {
    .name = "frame.frag",
    .measures = "2 MiB frames out of an aged arena",
    .axis = BENCH_FRAME,
    .order = FRAME_ORDER_HUGE,
    .rounds = 1,
    .collective = true,
    .setup = setup,
    .run = run,
    .teardown = teardown,
    .conclude = conclude,
    .check = check,
    .latency_more = "latency_none",
};
