/* References to frames, by all harts at once: the kernel's own frames, and the arena under every design. */
#include "lib/rng.h"
#include "mm/memory.h"
#include "smp/barrier.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

#define TEST_FRAMES 1024
#define ROUNDS      40 /* with four barriers each, which take a while where harts outnumber cores */
#define STEPS       1000
#define PLACES      16

static struct frame_allocator arena;
static struct frame_refs arena_refs;

static struct {
    struct frame_refs *refs;
    struct barrier barrier;
    pfn_t common;
    _Atomic uint32_t last_puts;
    _Atomic uint64_t exchange[PLACES]; /* frame numbers; 0 for none */
} shared;

static uint64_t *words_of(pfn_t pfn)
{
    return pfn_to_direct(pfn);
}

/* Each hart makes its references itself out of the first one, adds to the frame, and all leave at once. */
static void leave_together(void *unused)
{
    struct frame_refs *refs = shared.refs;
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (hart_index() == 0)
            shared.common = frame_alloc(refs->fa, 0, FRAME_ZERO);
        barrier_wait(&shared.barrier);
        if (hart_index() != 0) /* hart 0 holds one until all have got theirs */
            CHECK(frame_get(refs, shared.common) == 0);
        words_of(shared.common)[hart_index()] = round + 1;
        barrier_wait(&shared.barrier);
        CHECK(frame_is_exclusive(refs, shared.common) == (hart_count() == 1));
        barrier_wait(&shared.barrier);
        if (frame_put(refs, shared.common, 0)) {
            /* The last sees what all have written, and the frame is still as they left it: nobody asks for one. */
            for (unsigned i = 0; i < hart_count(); i++)
                CHECK(words_of(shared.common)[i] == round + 1);
            atomic_fetch_add_explicit(&shared.last_puts, 1, memory_order_relaxed);
        }
        barrier_wait(&shared.barrier);
        CHECK(atomic_load_explicit(&shared.last_puts, memory_order_relaxed) == round + 1);
    }
}

/* Leaves one more reference to a frame for another hart, and puts what another has left. */
static void pass_one_on(struct rng *rng, pfn_t mine)
{
    CHECK(frame_get(shared.refs, mine) == 0);
    /* Acquire and release: references are handed on with order. amoswap.d.aqrl. */
    uint64_t theirs =
        atomic_exchange_explicit(&shared.exchange[rng_below(rng, PLACES)], mine.value, memory_order_acq_rel);
    if (theirs) {
        CHECK(words_of(PFN(theirs))[0] == ~words_of(PFN(theirs))[1]);
        frame_put(shared.refs, PFN(theirs), 0);
    }
}

/* A frame a hart, which others have too now and then; written to in place when they have not, as after a fork. */
static void copy_on_write(void *unused)
{
    struct rng rng;
    (void)unused;
    rng_seed(&rng, 11, hart_index());
    pfn_t mine = frame_alloc(shared.refs->fa, 0, FRAME_ZERO);
    words_of(mine)[1] = ~0ull;
    for (uint64_t step = 0; step < STEPS; step++) {
        if (rng_below(&rng, 2)) {
            pass_one_on(&rng, mine);
            continue;
        }
        if (!frame_is_exclusive(shared.refs, mine)) {
            pfn_t copy = frame_alloc(shared.refs->fa, 0, 0);
            frame_put(shared.refs, mine, 0);
            mine = copy;
        }
        words_of(mine)[0] = step;
        words_of(mine)[1] = ~step;
    }
    frame_put(shared.refs, mine, 0);
}

static void share_frames_of(struct frame_refs *refs, void (*work)(void *))
{
    size_t free = frame_free_count(refs->fa);
    uint64_t refused = atomic_load_explicit(&refs->fa->misuse_count, memory_order_relaxed);
    shared.refs = refs;
    barrier_init(&shared.barrier, hart_count());
    atomic_store_explicit(&shared.last_puts, 0, memory_order_relaxed);
    smp_call(hart_mask_first(hart_count()), work, NULL);
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t left = atomic_exchange_explicit(&shared.exchange[i], 0, memory_order_relaxed);
        if (left)
            frame_put(refs, PFN(left), 0);
    }
    CHECK(frame_free_count(refs->fa) == free);
    CHECK(frame_validate(refs->fa, refs->fa->nframes - free) == 0);
    CHECK(frame_refs_validate(refs, 0) == 0);
    CHECK(atomic_load_explicit(&refs->fa->misuse_count, memory_order_relaxed) == refused);
}

TEST(frame_refs_harts_share_kernel_frames)
{
    CHECK(kernel_refs.nframes == kernel_frames.nframes);
    share_frames_of(&kernel_refs, copy_on_write);
}

/* Of a design that leaves free frames as they are, and without a quarantine. */
TEST(frame_refs_the_last_sees_what_all_have_written)
{
    static _Atomic uint32_t counts[TEST_FRAMES] CACHE_ALIGNED;
    const struct memory_plan *plan = memory_plan();
    CHECK(frame_allocator_init(&arena, frame_allocator_find("hartcache"), &lock_ttas, "test", plan->metadata,
              plan->arena_base, TEST_FRAMES, hart_count()) == 0);
    frame_refs_init(&arena_refs, &arena, counts);
    share_frames_of(&arena_refs, leave_together);
}

TEST(frame_refs_harts_share_every_design)
{
    const struct memory_plan *plan = memory_plan();
    static _Atomic uint32_t counts[TEST_FRAMES] CACHE_ALIGNED;
    for (size_t i = 0; frame_allocator_at(i); i++) {
        CHECK(frame_allocator_init(&arena, frame_allocator_at(i), &lock_ttas, "test", plan->metadata,
                  plan->arena_base, TEST_FRAMES, hart_count()) == 0);
        frame_refs_init(&arena_refs, &arena, counts);
        share_frames_of(&arena_refs, copy_on_write);
    }
}

TEST(frame_refs_misuse_is_refused)
{
    uint64_t refused = atomic_load_explicit(&kernel_frames.misuse_count, memory_order_relaxed);
    pfn_t outside = memory_plan()->arena_base;
    CHECK(frame_get(&kernel_refs, outside) == ERR_RANGE);
    CHECK(frame_get(&kernel_refs, PFN_NONE) == ERR_RANGE);
    frame_put(&kernel_refs, outside, 0);
    CHECK(kernel_frames.last_misuse.kind == FRAME_MISUSE_OUT_OF_RANGE);
    pfn_t pfn = frame_alloc(&kernel_frames, 0, 0);
    CHECK(frame_put(&kernel_refs, pfn, 0));
    frame_put(&kernel_refs, pfn, 0);
    CHECK(kernel_frames.last_misuse.kind == FRAME_MISUSE_DOUBLE_FREE);
    CHECK(atomic_load_explicit(&kernel_frames.misuse_count, memory_order_relaxed) == refused + 2);
}
