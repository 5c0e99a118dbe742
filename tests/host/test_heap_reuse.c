/*
 * After everything was allocated and everything freed, all of it is to be had again, in blocks of any size. What
 * trees of buddies got wrong more than once, so it is asked of every heap, and asked from outside, by what can be
 * allocated: a heap that finds nothing wrong with itself does not pass by that. Planted bugs prove that it can fail.
 */
#include "unit.h"

#include <string.h>

#include "lib/bits.h"
#include "shim/heap_model.h"
#include "shim/host.h"
#include "trace/inject.h"

enum order { FORWARDS, BACKWARDS, RANDOM, SECOND_FIRST, ORDERS };

/* The model's list moves its last block to where one was freed. */
static void free_in_order(struct heap_model *model, enum order order, struct rng *rng)
{
    size_t count = model->nblocks;
    switch (order) {
    case FORWARDS:
        for (size_t i = 0; i < count / 2; i++) { /* turned round, so that the last is the first */
            struct heap_model_block first = model->blocks[i];
            model->blocks[i] = model->blocks[count - 1 - i];
            model->blocks[count - 1 - i] = first;
        }
        break;
    case BACKWARDS: break;
    case RANDOM:
        while (model->nblocks)
            heap_model_free(model, rng_below(rng, model->nblocks));
        break;
    case SECOND_FIRST:
        for (size_t i = 0; i < count / 2; i++)
            heap_model_free(model, i);
        break;
    default: break;
    }
    heap_model_free_all(model);
}

static size_t fill_bytes;

/* The same size again and again, in between nothing but what drain leaves. */
static void same_size(struct heap_model *model)
{
    struct rng rng;
    rng_seed(&rng, 3, fill_bytes);
    size_t first = heap_model_fill(model, fill_bytes);
    assert_true(first > 0);
    for (enum order order = 0; order < ORDERS; order++) {
        heap_model_check(model);
        host_become_hart(order % model->heap.nharts);
        free_in_order(model, order, &rng);
        heap_model_check(model);
        heap_model_drained(model);
        assert_int_equal(heap_model_fill(model, fill_bytes), first);
    }
    heap_model_free_all(model);
    heap_model_drained(model);
    size_t largest = ((size_t)PAGE_BYTES << bits_highest(model->frames.nframes));
    if (largest <= HEAP_BYTES_MAX)
        assert_non_null(heap_model_alloc(model, largest / 2, 1));
}

static void test_same_size(void **state)
{
    (void)state;
    static const struct {
        size_t nframes, bytes;
    } fills[] = {{64, 1}, {64, 100}, {256, 1000}, {300, 4096}, {300, 5000}, {1024, 70000}, {4096, 1000000}};
    for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
        fill_bytes = fills[i].bytes;
        heap_model_on_all(fills[i].nframes, same_size);
    }
}

/* Of each size as many as the first time, whatever size all memory was in before: each with each. */
static bool sizes_follow_each_other(struct heap_model *model)
{
    static const size_t sizes[] = {24, 1000, 5000, 30000};
    size_t first[ARRAY_SIZE(sizes)];
    struct rng rng;
    rng_seed(&rng, 4, model->heap.nharts);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        first[i] = heap_model_fill(model, sizes[i]);
        for (size_t k = 0; k <= i; k++) {
            host_become_hart(k % model->heap.nharts);
            free_in_order(model, (i + k) % ORDERS, &rng);
            heap_drain(&model->heap);
            if (heap_model_fill(model, sizes[k]) != first[k])
                return false;
            free_in_order(model, k % ORDERS, &rng);
            heap_drain(&model->heap);
            if (heap_reserved_bytes(&model->heap) != 0 || heap_model_fill(model, sizes[i]) != first[i])
                return false;
        }
        free_in_order(model, RANDOM, &rng);
        heap_drain(&model->heap);
    }
    return true;
}

/* Here and there a block stays, so that pages stay with the heap as it has left them; the others are to be had again without
 * anybody having to drain it, and so are those that stayed. By one hart: what is in the cache of another may stay there. */
static bool holes_are_filled(struct heap_model *model)
{
    host_become_hart(0);
    for (size_t bytes = 24; bytes <= 1000; bytes *= 6) {
        size_t all = heap_model_fill_by_hart(model, bytes);
        for (size_t stride = 2; stride < 600; stride *= 7) {
            for (size_t i = all; i-- > 0;)
                if (i % stride != 0)
                    heap_model_free(model, i);
            if (heap_model_fill_by_hart(model, bytes) != all)
                return false;
            while (model->nblocks > all / stride)
                heap_model_free(model, 0);
            if (heap_model_fill_by_hart(model, bytes) != all)
                return false;
        }
        heap_model_free_all(model);
    }
    return true;
}

static void everything(struct heap_model *model)
{
    assert_true(sizes_follow_each_other(model));
    heap_model_check(model);
    assert_true(holes_are_filled(model));
}

static void test_everything_is_to_be_had_again(void **state)
{
    (void)state;
    heap_model_on_all(64, everything);
}

/* With one of its bugs planted: does a heap pass? Nothing that it says about itself is looked at. */
static bool passes(const struct heap_ops *ops, enum plant plant)
{
    struct heap_model model;
    heap_model_init(&model, ops, 64, 1, 0);
    plant_set(plant);
    bool right = sizes_follow_each_other(&model) && holes_are_filled(&model);
    plant_set(PLANT_NONE);
    heap_model_destroy(&model);
    return right;
}

/* Blocks that stay in use, and, of trees, buddies that are both free and never one block again: all memory is free then, and
 * only what is larger than it was cut up for is not to be had. */
static void test_planted_bugs_are_caught(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        unsigned bugs = 0;
        assert_true(passes(ops, PLANT_NONE));
        for (size_t i = 0; plant_name(i); i++) {
            const char *bug = plant_name(i) + strlen(ops->name);
            if (strncmp(plant_name(i), ops->name, strlen(ops->name)) != 0 ||
                (strcmp(bug, ".lost") != 0 && strcmp(bug, ".apart") != 0))
                continue;
            assert_false(passes(ops, i + 1));
            bugs++;
        }
        assert_int_equal(bugs, strcmp(ops->name, "treebuddy") == 0 ? 2 : 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_size),
        cmocka_unit_test(test_everything_is_to_be_had_again),
        cmocka_unit_test(test_planted_bugs_are_caught),
    };
    return cmocka_run_group_tests_name("heap reuse", tests, NULL, NULL);
}
