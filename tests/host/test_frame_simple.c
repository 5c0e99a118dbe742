/*
 * What makes each of the classic designs what it is, beyond what test_frame.c asks of all: which block "tracker" and
 * "stack" give out, where "list" keeps its links, what "caslist" counts.
 */
#include "unit.h"

#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/counter.h"
#include "trace/inject.h"

#define NFRAMES 600

static void start(struct frame_model *model, const char *design)
{
    frame_model_init(model, frame_allocator_find(design), &lock_tas, NFRAMES, 2);
}

static void finish(struct frame_model *model)
{
    frame_model_check(model);
    frame_model_free_all(model);
    frame_model_check(model);
    frame_model_destroy(model);
}

static uint64_t index_of(const struct frame_model *model, pfn_t pfn)
{
    return pfn.value - model->fa.base.value;
}

/* The lowest free block of that order, or NFRAMES. */
static uint64_t lowest_free(const struct frame_model *model, unsigned order)
{
    uint64_t count = 1ull << order;
    for (uint64_t first = 0; first + count <= NFRAMES; first += count) {
        uint64_t nfree = 0;
        while (nfree < count && !model->held[first + nfree])
            nfree++;
        if (nfree == count)
            return first;
    }
    return NFRAMES;
}

static void test_tracker_gives_the_first_fit(void **state)
{
    (void)state;
    struct frame_model model;
    struct rng rng;
    start(&model, "tracker");
    rng_seed(&rng, 1, 0);
    for (unsigned step = 0; step < 4000; step++) {
        if (model.nblocks > 0 && rng_below(&rng, 100) < 48) {
            frame_model_free(&model, rng_below(&rng, model.nblocks));
            continue;
        }
        unsigned order = rng_below(&rng, 2) ? 0 : rng_below(&rng, 7);
        uint64_t expected = lowest_free(&model, order);
        pfn_t pfn = frame_model_alloc(&model, order);
        if (expected == NFRAMES)
            assert_true(pfn_is_none(pfn));
        else
            assert_int_equal(index_of(&model, pfn), expected);
    }
    finish(&model);
}

/* Used frames first, the last freed before all; blocks from the frames never used, in ascending order. */
static void test_stack_order(void **state)
{
    (void)state;
    struct frame_model model;
    start(&model, "stack");
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 0)), 0);
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 0)), 1);
    frame_model_free(&model, 0);
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 2)), 4);
    /* 2 and 3 were skipped. */
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 0)), 2);
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 0)), 3);
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 0)), 0);
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 0)), 8);
    finish(&model);
}

/* A block that is freed becomes single frames, and a block that does not fit skips nothing. */
static void test_stack_never_puts_blocks_together(void **state)
{
    (void)state;
    struct frame_model model;
    start(&model, "stack");
    while (!pfn_is_none(frame_model_alloc(&model, 6)))
        ;
    assert_int_equal(model.nheld, ALIGN_DOWN(NFRAMES, 64));
    assert_int_equal(frame_free_count(&model.fa), NFRAMES % 64);
    frame_model_free_all(&model);
    assert_true(pfn_is_none(frame_model_alloc(&model, 6)));
    assert_int_equal(index_of(&model, frame_model_alloc(&model, 4)), ALIGN_DOWN(NFRAMES, 64));
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
    assert_int_equal(model.nheld, NFRAMES);
    finish(&model);
}

/* A frame's first word is the list's as long as it is free, and only that word. */
static void test_list_links_free_frames(void **state)
{
    (void)state;
    struct frame_model model;
    start(&model, "list");
    pfn_t first = frame_model_alloc(&model, 0), second = frame_model_alloc(&model, 0);
    uint64_t *word = pfn_to_direct(first);
    word[0] = word[1] = 0x5555;
    frame_model_free(&model, 1);
    frame_model_free(&model, 0);
    assert_int_equal(word[0], second.value);
    assert_int_equal(word[1], 0x5555);
    assert_int_equal(frame_model_alloc(&model, 0).value, first.value);
    assert_int_equal(frame_model_alloc(&model, 0).value, second.value);
    finish(&model);
}

/* What a hart that writes to a frame after freeing it does to the list is found, and followed nowhere. */
static void test_list_sees_broken_links(void **state)
{
    (void)state;
    struct frame_model model;
    start(&model, "list");
    frame_model_alloc(&model, 0);
    pfn_t freed = model.blocks[0].pfn;
    frame_model_free(&model, 0);
    uint64_t *link = pfn_to_direct(freed), right = *link;
    const uint64_t wrong[] = {
        freed.value, MODEL_BASE.value + 7, MODEL_BASE.value + NFRAMES, 0x5555, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        *link = wrong[i];
        host_console_capture();
        assert_int_not_equal(frame_validate(&model.fa, 0), 0);
        host_console_release();
        *link = right;
        frame_model_check(&model);
    }
    finish(&model);
}

static void test_caslist_counts_retries(void **state)
{
    (void)state;
    struct frame_model model;
    start(&model, "caslist");
    uint64_t before = counter_sum(COUNTER_CAS_RETRY);
    frame_model_alloc(&model, 0);
    frame_model_free_all(&model);
    assert_int_equal(counter_sum(COUNTER_CAS_RETRY), before);
    inject_arm(INJECT_CAS, 1);
    frame_model_alloc(&model, 0);
    inject_arm(INJECT_CAS, 1);
    frame_model_free_all(&model);
    inject_arm(INJECT_CAS, 0);
    assert_int_equal(counter_sum(COUNTER_CAS_RETRY), before + 2);
    finish(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tracker_gives_the_first_fit),
        cmocka_unit_test(test_stack_order),
        cmocka_unit_test(test_stack_never_puts_blocks_together),
        cmocka_unit_test(test_list_links_free_frames),
        cmocka_unit_test(test_list_sees_broken_links),
        cmocka_unit_test(test_caslist_counts_retries),
    };
    return cmocka_run_group_tests_name("classic frame allocators", tests, NULL, NULL);
}
