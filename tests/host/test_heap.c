/*
 * The heaps against a model, from one thread that plays all harts in turn, with the guard and without: everything that does
 * not need real concurrency (tsan_heap.c has that) or faults on purpose (test_heap_faults.c), and is not about getting all memory
 * back again (test_heap_reuse.c).
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "lib/error.h"
#include "shim/heap_model.h"
#include "shim/host.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

static void test_registry(void **state)
{
    (void)state;
    size_t count = 0;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        assert_ptr_equal(heap_design_find(ops->name), ops);
        assert_string_equal(heap_design_name_at(count), ops->name);
        count++;
    }
    assert_true(count >= 2);
    assert_null(heap_design_name_at(count));
    assert_null(heap_design_find("nosuch"));
}

static void sizes(struct heap_model *model)
{
    void *zero = heap_model_alloc(model, 0, 1);
    assert_non_null(zero);
    assert_ptr_not_equal(zero, heap_model_alloc(model, 0, 1));
    assert_null(heap_alloc(&model->heap, HEAP_BYTES_MAX + 1));
    assert_null(heap_alloc(&model->heap, SIZE_MAX));
    assert_null(heap_alloc(&model->heap, SIZE_MAX - 8));
    for (size_t bytes = 1; bytes <= 600; bytes++)
        assert_non_null(heap_model_alloc(model, bytes, 1));
    heap_model_check(model);
    heap_model_free_all(model);
    for (size_t bytes = KIB; bytes <= HEAP_BYTES_MAX; bytes *= 2) {
        for (size_t k = 0; k < 5; k++) {
            assert_true(heap_model_alloc(model, bytes - 2 + k, 1) != NULL || bytes - 2 + k > HEAP_BYTES_MAX);
            heap_model_check(model);
        }
        heap_model_free_all(model);
        heap_model_check(model);
    }
    heap_free(&model->heap, NULL);
    assert_int_equal(heap_usable_size(&model->heap, NULL), 0);
    assert_int_equal(model->heap.misuse_count, 0);
}

static void test_sizes(void **state)
{
    (void)state;
    heap_model_on_all(8192, sizes);
}

static void alignments(struct heap_model *model)
{
    static const size_t some[] = {1, 16, 48, 1000, 4096, 5000, 100000};
    for (size_t align = 1; align <= HEAP_BYTES_MAX; align *= 2) {
        for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
            assert_non_null(heap_model_alloc(model, 40, 1)); /* or all would begin where a page does */
            assert_non_null(heap_model_alloc(model, some[i], align));
        }
        heap_model_check(model);
        if (align >= MIB)
            heap_model_free_all(model);
    }
    assert_null(heap_alloc_aligned(&model->heap, 64, 0));
    assert_null(heap_alloc_aligned(&model->heap, 64, 48));
    assert_null(heap_alloc_aligned(&model->heap, 64, 2 * HEAP_BYTES_MAX));
    assert_null(heap_alloc_aligned(&model->heap, HEAP_BYTES_MAX + 1, 64));
    while (model->nblocks)
        heap_model_free(model, model->nblocks / 2);
}

static void test_alignments(void **state)
{
    (void)state;
    heap_model_on_all(16384, alignments);
}

static void zeroed(struct heap_model *model)
{
    static const size_t some[] = {0, 1, 63, 64, 1000, 5000, 300000};
    for (size_t i = 0; i < ARRAY_SIZE(some); i++)
        assert_non_null(heap_model_alloc(model, some[i], 1)); /* leaves its pattern there */
    heap_model_free_all(model);
    for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
        uint8_t *bytes = heap_zalloc(&model->heap, some[i]);
        assert_non_null(bytes);
        for (size_t k = 0; k < some[i]; k++)
            assert_int_equal(bytes[k], 0);
        heap_free(&model->heap, bytes);
    }
    assert_null(heap_zalloc(&model->heap, HEAP_BYTES_MAX + 1));
}

static void test_zeroed(void **state)
{
    (void)state;
    heap_model_on_all(4096, zeroed);
}

/* The model checks the contents at each step. */
static void reallocs(struct heap_model *model)
{
    heap_model_alloc(model, 1, 1);
    heap_model_alloc(model, 3000, 1);
    for (size_t bytes = 1; bytes <= HEAP_BYTES_MAX; bytes += bytes / 3 + 1)
        assert_true(heap_model_realloc(model, 0, bytes));
    assert_true(heap_model_realloc(model, 0, HEAP_BYTES_MAX));
    for (size_t bytes = HEAP_BYTES_MAX; bytes > 0; bytes /= 3) {
        assert_true(heap_model_realloc(model, 0, bytes));
        heap_model_check(model);
    }
    assert_true(heap_model_realloc(model, 0, 0));
    assert_true(model->blocks[0].usable < 4 * KIB); /* it did let go of the rest */
    assert_null(heap_realloc(&model->heap, model->blocks[0].pointer, HEAP_BYTES_MAX + 1));
    void *fresh = heap_realloc(&model->heap, NULL, 100);
    assert_non_null(fresh);
    heap_free(&model->heap, fresh);
}

static void test_reallocs(void **state)
{
    (void)state;
    heap_model_on_all(4096, reallocs);
}

/* Other users of the frame allocator come and go; the heap lives on what they leave. */
static void share_frames(struct heap_model *model)
{
    pfn_t others[64];
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        others[i] = frame_alloc(&model->frames, 0, 0);
        heap_model_alloc(model, 3000, 1);
    }
    heap_model_fill(model, 500);
    assert_int_equal(heap_validate(&model->heap, model->nblocks), 0);
    assert_int_equal(
        frame_validate(&model->frames, ARRAY_SIZE(others) + heap_reserved_bytes(&model->heap) / PAGE_BYTES),
        0);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        heap_model_misuse(model, pfn_to_direct(others[i]), HEAP_MISUSE_FOREIGN);
        frame_free(&model->frames, others[i], 0);
    }
    heap_model_check(model);
}

static void test_shared_frames(void **state)
{
    (void)state;
    host_console_capture();
    heap_model_on_all(300, share_frames);
    host_console_release();
}

/* Where only single frames are free, far from each other, small blocks are to be had all the same, in all of them. */
static void scattered(struct heap_model *model)
{
    size_t nframes = model->frames.nframes;
    for (size_t i = 0; i < nframes; i++)
        assert_false(pfn_is_none(frame_alloc(&model->frames, 0, 0)));
    for (size_t i = 0; i < nframes; i += 2)
        frame_free(&model->frames, pfn_add(model->frames.base, i), 0);
    assert_true(heap_model_fill(model, 1000) >= nframes / 2);
    assert_int_equal(heap_validate(&model->heap, model->nblocks), 0);
    assert_int_equal(
        frame_validate(&model->frames, nframes / 2 + heap_reserved_bytes(&model->heap) / PAGE_BYTES), 0);
    for (size_t i = 1; i < nframes; i += 2)
        frame_free(&model->frames, pfn_add(model->frames.base, i), 0);
    heap_model_check(model);
}

static void test_scattered_frames(void **state)
{
    (void)state;
    heap_model_on_all(200, scattered);
}

static void random_walk(struct heap_model *model)
{
    struct rng rng;
    rng_seed(&rng, 1, model->heap.nharts);
    for (unsigned step = 0; step < 6000; step++) {
        host_become_hart(rng_below(&rng, model->heap.nharts));
        unsigned what = rng_below(&rng, 100);
        if (what < 45 && !heap_model_is_full(model))
            heap_model_alloc(model, heap_model_size(&rng, 600 * KIB),
                rng_below(&rng, 8) ? 1 : (size_t)1 << rng_below(&rng, 15));
        else if (what < 86 && model->nblocks)
            heap_model_free(model, rng_below(&rng, model->nblocks));
        else if (what < 94 && model->nblocks)
            heap_model_realloc(model, rng_below(&rng, model->nblocks), heap_model_size(&rng, 300 * KIB));
        else if (what < 98)
            heap_model_misuse_any(model, &rng);
        else if (rng_below(&rng, 10) == 0)
            heap_drain(&model->heap);
        else
            heap_model_check(model);
    }
    heap_model_check(model);
}

static void test_random_walk(void **state)
{
    (void)state;
    host_console_capture();
    heap_model_on_all(3000, random_walk);
    host_console_release();
}

/* Each way to free wrongly, by name. */
static void misuse(struct heap_model *model)
{
    static const size_t some[] = {1, 64, 1000, 5000, HEAP_BYTES_MAX};
    uint8_t *base = pfn_to_direct(model->frames.base), local;
    heap_model_misuse(model, &local, HEAP_MISUSE_FOREIGN);
    heap_model_misuse(model, base, HEAP_MISUSE_FOREIGN);
    heap_model_misuse(model, base + model->frames.nframes * PAGE_BYTES, HEAP_MISUSE_FOREIGN);
    for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
        uint8_t *pointer = heap_model_alloc(model, some[i], 1);
        heap_model_alloc(model, some[i], 1);
        assert_non_null(pointer);
        heap_model_misuse(model, pointer + 8, HEAP_MISUSE_INTERIOR);
        if (some[i] >= 64) {
            heap_model_misuse(model, pointer + 16, HEAP_MISUSE_INTERIOR);
            heap_model_misuse(model, pointer + 33, HEAP_MISUSE_INTERIOR);
        }
        if (some[i] == HEAP_BYTES_MAX)
            heap_model_misuse(model, pointer + PAGE_BYTES, HEAP_MISUSE_INTERIOR);
        heap_model_free(model, model->nblocks - 2);
        heap_model_check(model);
        heap_model_double_free(model, pointer);
        assert_null(heap_realloc(&model->heap, pointer, 100));
        heap_model_check(model);
    }
    /* Freed last, merged into what was in front of it, and all its neighbours. */
    heap_model_free_all(model);
    heap_model_drained(model);
    for (unsigned i = 0; i < 8; i++)
        heap_model_alloc(model, 100, 1);
    uint8_t *pinned = model->blocks[7].pointer, *middle = model->blocks[4].pointer;
    for (unsigned i = 0; i < 7; i++)
        heap_model_free(model, 0);
    assert_int_equal(model->nblocks, 1);
    if (model->blocks[0].pointer == pinned)
        heap_model_double_free(model, middle);
}

static void test_misuse(void **state)
{
    (void)state;
    host_console_capture();
    heap_model_on_all(4096, misuse);
    host_console_release();
}

static void test_misuse_is_reported(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        struct heap_model model;
        char address[32];
        heap_model_init(&model, ops, 64, 1, HEAP_GUARD);
        heap_model_alloc(&model, 500, 1);
        heap_model_alloc(&model, 500, 1);
        snprintf(address, sizeof(address), "%p", (void *)model.blocks[1].pointer);
        heap_model_free(&model, 1);
        host_console_capture();
        for (unsigned i = 0; i < 100; i++)
            heap_free(&model.heap, model.freed[0]);
        const char *report = host_console_release();
        assert_non_null(strstr(report, address));
        assert_non_null(strstr(report, "double free"));
        assert_non_null(strstr(report, ops->name));
        unsigned lines = 0;
        for (const char *end = report; (end = strchr(end, '\n')); end++)
            lines++;
        assert_in_range(lines, 1, 10);
        assert_int_equal(model.heap.misuse_count, 100);
        heap_model_check(&model);
        heap_model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_alignments),
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_reallocs),
        cmocka_unit_test(test_shared_frames),
        cmocka_unit_test(test_scattered_frames),
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_misuse_is_reported),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
