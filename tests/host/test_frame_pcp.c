/*
 * "buddy_pcp": Linux's batch rules, by what they give for zones whose figures are known from running kernels, and
 * what the lists of its harts do. That it allocates and frees rightly is shown with all other designs.
 */
#include "unit.h"

#include "mm/frame/pcp_rules.h"
#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/counter.h"

#define MIB_FRAMES 256

static void test_batch(void **state)
{
    (void)state;
    static const struct {
        size_t mib;
        unsigned batch;
    } known[] = {{4, 1}, {64, 3}, {128, 7}, {256, 15}, {512, 31}, {1024, 63}, {4096, 63}, {1 << 20, 63}};
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        assert_int_equal(pcp_batch(known[i].mib * MIB_FRAMES), known[i].batch);
    assert_int_equal(pcp_batch(1), 1);
}

/* 1 GiB: min_free_kbytes is 4096, so the low watermark 1024 + 256 frames. */
static void test_bounds(void **state)
{
    (void)state;
    struct pcp_rules rules;
    pcp_rules_init(&rules, 1024 * MIB_FRAMES, 4);
    assert_int_equal(rules.high_min, 1286 / 4);
    assert_int_equal(rules.high_max, 1024 * MIB_FRAMES / 8 / 4);
    /* Too many harts for so little memory. */
    pcp_rules_init(&rules, 4 * MIB_FRAMES, 64);
    assert_int_equal(rules.high_max, 0);
    assert_int_equal(pcp_refill_blocks(&rules, 0), 1);
    assert_int_equal(pcp_freed(&rules, 0), 1);
}

/* Each refill that no free precedes is twice the last, up to 32 batches; frees bring it down again. */
static void test_refills_double(void **state)
{
    (void)state;
    struct pcp_rules rules;
    pcp_rules_init(&rules, 4096 * MIB_FRAMES, 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(pcp_refill_blocks(&rules, 0), 63u << (i < 5 ? i : 5));
        pcp_allocating(&rules);
    }
    pcp_freed(&rules, 0);
    pcp_freed(&rules, 0);
    assert_int_equal(pcp_refill_blocks(&rules, 0), 63u << 1);
    assert_int_equal(pcp_refill_blocks(&rules, 1), 31);
    assert_int_equal(pcp_refill_blocks(&rules, 9), 2);
}

/* Frees that no allocation interrupts go back in ever larger batches, and never leave `high` on the lists. */
static void test_drains_grow(void **state)
{
    (void)state;
    struct pcp_rules rules;
    int32_t most = 0;
    pcp_rules_init(&rules, 64 * MIB_FRAMES, 8);
    assert_int_equal(rules.high_max, 256);
    for (unsigned i = 0; i < 5000; i++) {
        unsigned n = pcp_freed(&rules, 0);
        assert_true(n <= (unsigned)rules.count);
        assert_true(n <= 3u << PCP_SCALE_MAX);
        rules.count -= (int32_t)n;
        most = MAX(most, rules.count);
        assert_true(rules.count < rules.high_max);
    }
    /* Room for the 96 frames that were freed in a row and a batch: what 32 batches need, not an eighth of all. */
    assert_int_equal(rules.high, 96 + 3);
    assert_int_equal(most, 98);
}

/* Blocks of four that come back one after another do not stay. */
static void test_larger_blocks_do_not_pile_up(void **state)
{
    (void)state;
    struct pcp_rules rules;
    pcp_rules_init(&rules, 64 * MIB_FRAMES, 1);
    unsigned emptied = 0;
    for (unsigned i = 0; i < 100; i++) {
        unsigned n = pcp_freed(&rules, 2);
        emptied += n == (unsigned)MIN(rules.count, 96) && n > 0;
        rules.count -= (int32_t)n;
    }
    assert_true(emptied > 0);
    assert_true(rules.count < rules.high_min);
}

/* Once warm, neither one frame out and back nor 64 touch the zone: each takes the lock of the hart's lists, no other. */
static void test_lists_spare_the_zone(void **state)
{
    (void)state;
    struct frame_model model;
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("buddy_pcp"), &lock_mcs, 16384, 8);
    uint64_t locked = 0, moved = 0;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 64; i++)
            assert_false(pfn_is_none(frame_model_alloc(&model, 0)));
        frame_model_free_all(&model);
        if (round == 0) {
            locked = counter_sum(COUNTER_LOCK_ACQUIRE);
            moved = counter_sum(COUNTER_FRAME_REFILL) + counter_sum(COUNTER_FRAME_DRAIN);
        }
    }
    assert_int_equal(counter_sum(COUNTER_LOCK_ACQUIRE), locked + 99 * 128);
    assert_int_equal(counter_sum(COUNTER_FRAME_REFILL) + counter_sum(COUNTER_FRAME_DRAIN), moved);
    frame_model_destroy(&model);
}

/* A frame on another hart's list is found, and so is a block that only exists once all lists are empty. */
static void test_lists_are_swept_before_failure(void **state)
{
    (void)state;
    struct frame_model model;
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("buddy_pcp"), &lock_mcs, 1024, 2);
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
    host_become_hart(1);
    frame_model_free(&model, 0);
    assert_int_equal(frame_stranded_count(&model.fa), 1);
    host_become_hart(0);
    uint64_t stolen = counter_sum(COUNTER_FRAME_STEAL);
    assert_false(pfn_is_none(frame_model_alloc(&model, 0)));
    assert_int_equal(counter_sum(COUNTER_FRAME_STEAL), stolen + 1);

    for (unsigned hart = 0; model.nblocks; hart++) {
        host_become_hart(hart % 2);
        frame_model_free(&model, model.nblocks - 1);
    }
    assert_true(frame_stranded_count(&model.fa) > 0);
    assert_false(pfn_is_none(frame_model_alloc(&model, FRAME_ORDER_MAX)));
    assert_int_equal(frame_stranded_count(&model.fa), 0);
    host_become_hart(0);
    frame_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_refills_double),
        cmocka_unit_test(test_drains_grow),
        cmocka_unit_test(test_larger_blocks_do_not_pile_up),
        cmocka_unit_test(test_lists_spare_the_zone),
        cmocka_unit_test(test_lists_are_swept_before_failure),
    };
    return cmocka_run_group_tests_name("frame pcp", tests, NULL, NULL);
}
