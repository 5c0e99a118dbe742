/*
 * Faults on purpose: each compare-and-swap and each refill of the frame allocators made to fail once, since
 * undo and retry paths are where allocators rot, and planted bugs, to prove that validation can fail.
 */
#include "unit.h"

#include <string.h>

#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/inject.h"

/* Frees every second block of that order, by its number. */
static void free_every_second(struct frame_model *model, unsigned order, unsigned first)
{
    for (size_t i = model->nblocks; i-- > 0;)
        if (model->blocks[i].order == order && (model->blocks[i].pfn.value >> order) % 2 == first)
            frame_model_free(model, i);
}

/* Blocks of which one half is free and the other is not: first of two rows of a bitmap, then of two huge blocks. */
static void blocks_beside_blocks(struct frame_model *model)
{
    static const unsigned halves[] = {6, 7, FRAME_ORDER_HUGE};
    frame_model_alloc(model, 8);
    for (unsigned i = 0; i < ARRAY_SIZE(halves); i++) {
        unsigned order = halves[i];
        for (unsigned first = 0; first < 2; first++) {
            frame_model_take_all(model, order);
            free_every_second(model, order, first);
            frame_model_alloc(model, order + 1);
            frame_model_check(model);
        }
        frame_model_free_all(model);
        frame_model_take_all(model, order + 1);
        frame_model_free_all(model);
        frame_model_check(model);
    }
}

/* Passes every compare-and-swap and every refill: fast paths, drains, thefts, exhaustion, huge blocks. */
static void sweep_script(struct frame_model *model)
{
    for (unsigned hart = 0; hart < 2; hart++) {
        host_become_hart(hart);
        for (unsigned i = 0; i < 150; i++)
            frame_model_alloc(model, 0);
        for (unsigned i = 0; i < 3; i++)
            frame_model_alloc(model, FRAME_ORDER_HUGE);
    }
    host_become_hart(0);
    while (model->nblocks > 40)
        frame_model_free(model, model->nblocks - 1);
    frame_model_check(model);
    host_become_hart(1);
    while (!pfn_is_none(frame_model_alloc(model, 0)))
        ;
    frame_model_free_all(model);
    blocks_beside_blocks(model);
}

/* Every passing of a point up to this; of the thousands more in a design that swaps a word at every operation every
 * 64th part, so that each stage of the script is struck at and the sweep does not grow with its square. */
#define SWEEP_EVERY 256

/* Returns how often the script passes the point. */
static uint64_t sweep(const struct frame_allocator_ops *ops, enum inject point)
{
    for (uint64_t n = 1;; n += n < SWEEP_EVERY ? 1 : n / 64) {
        struct frame_model model;
        frame_model_init(&model, ops, &lock_tas, 2 * 2048, 2);
        inject_arm(point, n);
        sweep_script(&model);
        uint64_t passed = inject_passed(point);
        inject_arm(point, 0);
        host_become_hart(0);
        frame_model_destroy(&model);
        if (passed < n)
            return passed;
    }
}

/* A sweep that never struck would prove nothing: each point is in some design, and one without locks, or with
 * caches that other harts must be able to empty, cannot do without compare-and-swap or a lock's refill. */
/* No frame allocator has these. */
static bool is_of_others(enum inject point)
{
    return point == INJECT_GROW || point == INJECT_TABLE || point == INJECT_UNDO || point == INJECT_THREAD ||
           point == INJECT_PAGE;
}

static void test_injected_failures(void **state)
{
    (void)state;
    uint64_t passed_by_all[INJECT_COUNT] = {0};
    DESIGN_FOR_EACH (ops) {
        uint64_t passed_by_this = 0;
        for (enum inject point = 0; point < INJECT_COUNT; point++) {
            if (is_of_others(point))
                continue;
            uint64_t passed = sweep(ops, point);
            passed_by_this += passed;
            passed_by_all[point] += passed;
        }
        if (ops->lockless || ops->drain)
            assert_true(passed_by_this > 20);
    }
    for (enum inject point = 0; point < INJECT_COUNT; point++)
        assert_true(passed_by_all[point] > 0 || is_of_others(point));
}

/* Few, as all of them are recounted at each step, and enough for a cache in front of them. */
#define CHURN_FRAMES 1024

/* One frame out and back until validation complains; how many times it took, 0 when it never did. */
static unsigned churn_until_caught(const struct frame_allocator_ops *ops)
{
    struct frame_model model;
    frame_model_init(&model, ops, &lock_tas, CHURN_FRAMES, 2);
    unsigned caught = 0;
    for (unsigned i = 1; i <= 2500 && !caught; i++) {
        pfn_t pfn = frame_alloc(&model.fa, 0, 0);
        bool right = frame_validate(&model.fa, 1) == 0;
        if (right) {
            frame_free(&model.fa, pfn, 0);
            right = frame_validate(&model.fa, 0) == 0;
        }
        if (!right)
            caught = i;
    }
    frame_model_destroy(&model);
    return caught;
}

static void test_planted_bugs_are_caught(void **state)
{
    (void)state;
    DESIGN_FOR_EACH (ops) {
        unsigned bugs = 0;
        for (size_t i = 0; plant_name(i); i++) {
            const char *bug = plant_name(i) + strlen(ops->name);
            if (strncmp(plant_name(i), ops->name, strlen(ops->name)) != 0 ||
                (strcmp(bug, ".lost") != 0 && strcmp(bug, ".twice") != 0))
                continue;
            host_console_capture();
            plant_set(i + 1);
            unsigned caught = churn_until_caught(ops);
            plant_set(PLANT_NONE);
            const char *report = host_console_release();
            assert_in_range(caught, 1000, 1001);
            assert_non_null(strstr(report, strstr(plant_name(i), "lost") ? "lost" : "given twice"));
            bugs++;
        }
        assert_int_equal(bugs, 2);
        assert_int_equal(churn_until_caught(ops), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_injected_failures),
        cmocka_unit_test(test_planted_bugs_are_caught),
    };
    return cmocka_run_group_tests_name("frame faults", tests, NULL, NULL);
}
