/* Every frame allocator over the arena, by all harts at once, and its refusals of wrong frees. */
#include "lib/rng.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

/* Not a multiple of 64: the last word of a bitmap is partly there. */
#define TEST_FRAMES 4059
#define HELD_MAX    32

static struct frame_allocator arena;
static _Atomic uint64_t held_frames;

static void make(const struct frame_allocator_ops *design, size_t nframes)
{
    const struct memory_plan *plan = memory_plan();
    CHECK(frame_allocator_init(&arena, design, &lock_ttas, "test", plan->metadata, plan->arena_base,
              MIN(nframes, plan->arena_frames), hart_count()) == 0);
}

static void for_each_design(void (*test)(const struct frame_allocator_ops *design))
{
    for (size_t i = 0; frame_allocator_at(i); i++)
        test(frame_allocator_at(i));
}

static void mark(pfn_t pfn, unsigned order)
{
    for (size_t i = 0; i < (size_t)1 << order; i++)
        *(volatile uint64_t *)pfn_to_direct(pfn_add(pfn, i)) = pfn.value << 8 | hart_index();
}

static void check_mark(pfn_t pfn, unsigned order)
{
    for (size_t i = 0; i < (size_t)1 << order; i++)
        CHECK(*(volatile uint64_t *)pfn_to_direct(pfn_add(pfn, i)) == (pfn.value << 8 | hart_index()));
}

static void churn(void *unused)
{
    struct rng rng;
    pfn_t pfn[HELD_MAX];
    unsigned order[HELD_MAX];
    (void)unused;
    rng_seed(&rng, 7, hart_index());
    for (unsigned i = 0; i < HELD_MAX; i++)
        pfn[i] = PFN_NONE;
    for (unsigned step = 0; step < 3000; step++) {
        uint64_t bits = rng_next(&rng);
        unsigned i = bits % HELD_MAX;
        if (!pfn_is_none(pfn[i])) {
            check_mark(pfn[i], order[i]);
            frame_free(&arena, pfn[i], order[i]);
            pfn[i] = PFN_NONE;
            continue;
        }
        order[i] = bits_lowest(bits >> 32 | 1u << MIN(5u, arena.ops->order_max));
        pfn[i] = frame_alloc(&arena, order[i], 0);
        if (!pfn_is_none(pfn[i]))
            mark(pfn[i], order[i]);
    }
    for (unsigned i = 0; i < HELD_MAX; i++) { /* half are left to be counted as held */
        if (pfn_is_none(pfn[i]))
            continue;
        check_mark(pfn[i], order[i]);
        if (i % 2)
            frame_free(&arena, pfn[i], order[i]);
        else
            atomic_fetch_add_explicit(&held_frames, 1u << order[i], memory_order_relaxed);
    }
}

static void harts_share(const struct frame_allocator_ops *design)
{
    make(design, TEST_FRAMES);
    atomic_store_explicit(&held_frames, 0, memory_order_relaxed);
    smp_call(hart_mask_first(hart_count()), churn, NULL);
    CHECK(frame_validate(&arena, atomic_load_explicit(&held_frames, memory_order_relaxed)) == 0);
    CHECK(atomic_load_explicit(&arena.misuse_count, memory_order_relaxed) == 0);
}

TEST(frame_harts_share_every_design)
{
    for_each_design(harts_share);
}

static void take_until_none(void *unused)
{
    uint64_t taken = 0;
    (void)unused;
    while (!pfn_is_none(frame_alloc(&arena, 0, 0)))
        taken++;
    atomic_fetch_add_explicit(&held_frames, taken, memory_order_relaxed);
}

static void exhaustion_is_exact(const struct frame_allocator_ops *design)
{
    make(design, TEST_FRAMES);
    atomic_store_explicit(&held_frames, 0, memory_order_relaxed);
    smp_call(hart_mask_first(hart_count()), take_until_none, NULL);
    CHECK(atomic_load_explicit(&held_frames, memory_order_relaxed) == arena.nframes);
    CHECK(frame_free_count(&arena) == 0);
    CHECK(frame_validate(&arena, arena.nframes) == 0);
}

TEST(frame_harts_together_get_every_frame)
{
    for_each_design(exhaustion_is_exact);
}

static void free_all_by_one_hart(void *argument)
{
    if (hart_index() != *(unsigned *)argument)
        return;
    for (size_t i = 0; i < arena.nframes; i++)
        frame_free(&arena, pfn_add(arena.base, i), 0);
}

/* One hart frees what all allocated: its cache overflows, and the others must be able to have the frames. */
static void remote_frees_come_back(const struct frame_allocator_ops *design)
{
    unsigned last = hart_count() - 1;
    exhaustion_is_exact(design);
    smp_call(hart_mask_first(hart_count()), free_all_by_one_hart, &last);
    CHECK(frame_validate(&arena, 0) == 0);
    atomic_store_explicit(&held_frames, 0, memory_order_relaxed);
    smp_call(hart_mask_one(0), take_until_none, NULL);
    CHECK(atomic_load_explicit(&held_frames, memory_order_relaxed) == arena.nframes);
}

TEST(frame_one_hart_gets_what_another_caches)
{
    for_each_design(remote_frees_come_back);
}

static void expect_refusal(enum frame_misuse_kind kind, pfn_t pfn, unsigned order)
{
    uint64_t before = atomic_load_explicit(&arena.misuse_count, memory_order_relaxed);
    frame_free(&arena, pfn, order);
    CHECK(atomic_load_explicit(&arena.misuse_count, memory_order_relaxed) == before + 1);
    CHECK(arena.last_misuse.kind == kind);
    CHECK(pfn_equal(arena.last_misuse.pfn, pfn) && arena.last_misuse.order == order);
}

static void wrong_frees_are_refused(const struct frame_allocator_ops *design)
{
    make(design, TEST_FRAMES);
    pfn_t one = frame_alloc(&arena, 0, 0);
    expect_refusal(FRAME_MISUSE_OUT_OF_RANGE, PFN(arena.base.value - 1), 0);
    expect_refusal(FRAME_MISUSE_OUT_OF_RANGE, pfn_add(arena.base, arena.nframes), 0);
    if (design->order_max < 3) {
        frame_free(&arena, one, 0);
        expect_refusal(FRAME_MISUSE_DOUBLE_FREE, one, 0);
        CHECK(frame_validate(&arena, 0) == 0);
        return;
    }
    pfn_t block = frame_alloc(&arena, 3, 0);
    expect_refusal(FRAME_MISUSE_WRONG_ORDER, block, 2);
    expect_refusal(FRAME_MISUSE_WRONG_ORDER, block, 0);
    expect_refusal(FRAME_MISUSE_MISALIGNED, pfn_add(block, 1), 3);
    frame_free(&arena, one, 0);
    expect_refusal(FRAME_MISUSE_DOUBLE_FREE, one, 0);
    CHECK(frame_validate(&arena, 8) == 0);
    frame_free(&arena, block, 3);
    expect_refusal(FRAME_MISUSE_DOUBLE_FREE, block, 3);
    CHECK(frame_validate(&arena, 0) == 0);
}

TEST(frame_wrong_frees_are_refused)
{
    for_each_design(wrong_frees_are_refused);
}

static void zeroed_frames_are_zero(const struct frame_allocator_ops *design)
{
    unsigned order = MIN(2u, design->order_max);
    make(design, TEST_FRAMES);
    pfn_t pfn = frame_alloc(&arena, order, 0);
    memset(pfn_to_direct(pfn), 0xa5, PAGE_BYTES << order);
    frame_free(&arena, pfn, order);
    frame_drain(&arena);
    for (unsigned i = 0; i < 8; i++) {
        const uint64_t *words = pfn_to_direct(frame_alloc(&arena, order, FRAME_ZERO));
        for (size_t k = 0; k < ((size_t)PAGE_BYTES << order) / sizeof(*words); k++)
            if (words[k] != 0)
                CHECK(words[k] == 0);
    }
}

TEST(frame_zeroed_frames_are_zero)
{
    for_each_design(zeroed_frames_are_zero);
}

TEST(frame_kernel_allocator_validates)
{
    size_t held = kernel_frames.nframes - frame_free_count(&kernel_frames);
    CHECK(frame_validate(&kernel_frames, held) == 0);
    CHECK(held > 0 && held < kernel_frames.nframes);
}
