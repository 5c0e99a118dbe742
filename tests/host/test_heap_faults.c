/*
 * Faults on purpose: each growth and each compare-and-swap of the heaps made to fail once, since undo paths are where
 * allocators rot, and planted bugs, to prove that validation can fail.
 */
#include "unit.h"

#include <string.h>

#include "shim/heap_model.h"
#include "shim/host.h"
#include "trace/inject.h"

/* Passes every growth: of each kind of span, by both harts, with blocks on the way that have to be cut up. */
static void sweep_script(struct heap_model *model)
{
    static const size_t some[] = {20, 64, 500, 3000, 4096, 20000, 100000, 1 << 20};
    for (unsigned hart = 0; hart < 2; hart++) {
        host_become_hart(hart);
        for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
            for (unsigned k = 0; k < 4; k++)
                heap_model_alloc(model, some[i], k == 3 ? 256 : 1);
        }
        heap_model_alloc(model, 100, 2 * PAGE_BYTES);
        heap_model_alloc(model, 200, PAGE_BYTES);
    }
    heap_model_check(model);
    for (size_t i = 0; i < model->nblocks; i += 3)
        heap_model_realloc(model, i, 2 * model->blocks[i].bytes);
    heap_model_check(model);
    host_become_hart(0);
    while (model->nblocks > 10)
        heap_model_free(model, model->nblocks / 2);
    heap_model_check(model);
    heap_drain(&model->heap);
    host_become_hart(1);
    for (unsigned i = 0; i < 200; i++)
        heap_model_alloc(model, 1000, 1);
    heap_model_check(model);
    heap_model_free_all(model);
    heap_model_drained(model);
}

/* Every passing of a point up to this; of the thousands more where every operation swaps a word every 64th part. */
#define SWEEP_EVERY 256

/* Returns how often the script passes the point. */
static uint64_t sweep(const struct heap_ops *ops, enum inject point, unsigned flags)
{
    for (uint64_t n = 1;; n += n < SWEEP_EVERY ? 1 : n / 64) {
        struct heap_model model;
        /* Room for any block, and one that fails all the same is NULL while nothing is held: hold something. */
        heap_model_init(&model, ops, 4095, 2, flags);
        heap_model_alloc(&model, 10, 1);
        inject_arm(point, n);
        sweep_script(&model);
        uint64_t passed = inject_passed(point);
        inject_arm(point, 0);
        host_become_hart(0);
        heap_model_destroy(&model);
        if (passed < n)
            return passed;
    }
}

static void test_injected_failures(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        assert_true(sweep(ops, INJECT_GROW, 0) > 10);
        assert_true(sweep(ops, INJECT_GROW, HEAP_GUARD) > 10);
        uint64_t swaps = sweep(ops, INJECT_CAS, 0);
        if (ops->lockless)
            assert_true(swaps > 20);
    }
}

/* Blocks of some sizes out and back until validation complains; how many times it took, 0 when it never did. */
static unsigned churn_until_caught(const struct heap_ops *ops)
{
    static const size_t some[] = {64, 64, 64, 1000, 64, 24};
    struct heap_model model;
    heap_model_init(&model, ops, 512, 2, 0);
    unsigned caught = 0;
    for (unsigned i = 1; i <= 2500 && !caught; i++) {
        uint8_t *pointer = heap_alloc(&model.heap, some[i % ARRAY_SIZE(some)]);
        if (pointer)
            memset(pointer, 0x5a, 24); /* over links, if it is still free */
        bool right = heap_validate(&model.heap, 1) == 0;
        if (right) {
            heap_free(&model.heap, pointer);
            right = heap_validate(&model.heap, 0) == 0;
        }
        if (!right)
            caught = i;
    }
    heap_model_destroy(&model);
    return caught;
}

static void test_planted_bugs_are_caught(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
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
            assert_in_range(caught, 1, 1001);
            assert_non_null(strstr(report, ops->name));
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
    return cmocka_run_group_tests_name("heap faults", tests, NULL, NULL);
}
