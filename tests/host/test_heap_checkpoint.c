/* Checkpoints of every heap: what was allocated since a mark, by call site, and what the guard counts. */
#include "unit.h"

#include <string.h>

#include "lib/error.h"
#include "mm/heap/checkpoint.h"
#include "mm/heap/guard.h"
#include "shim/heap_model.h"
#include "shim/host.h"

/* Call sites of our own making. */
static void *alloc_at(struct heap_model *model, size_t bytes, uintptr_t site)
{
    return heap_guard_alloc(&model->heap, bytes, (const void *)site);
}

static void on_all(void (*test)(struct heap_model *model))
{
    HEAP_DESIGN_FOR_EACH(ops)
    {
        struct heap_model model;
        heap_model_init(&model, ops, 8192, 2, HEAP_GUARD);
        test(&model);
        assert_int_equal(heap_validate(&model.heap, HEAP_HELD_UNKNOWN), 0);
        assert_int_equal(model.heap.noted_blocks, 0);
        assert_int_equal(model.heap.noted_bytes, 0);
        heap_model_destroy(&model);
    }
}

static void check_site(const struct heap_since *since, size_t i, uint64_t caller, size_t blocks, size_t bytes)
{
    assert_int_equal(since->site[i].caller, caller);
    assert_int_equal(since->site[i].blocks, blocks);
    assert_int_equal(since->site[i].bytes, bytes);
}

static void marks(struct heap_model *model)
{
    struct heap *heap = &model->heap;
    struct heap_mark early, late, boot = {0};
    struct heap_since since;
    void *before = alloc_at(model, 700, 1);
    heap_mark(heap, &early);
    void *a = alloc_at(model, 100, 2), *b = alloc_at(model, 200, 2), *freed = alloc_at(model, 5, 3);
    heap_mark(heap, &late);
    void *c = alloc_at(model, 3000, 4), *d = alloc_at(model, 300, 1);
    heap_free(heap, freed);

    heap_since(heap, &late, &since);
    assert_int_equal(since.nsites, 2);
    check_site(&since, 0, 4, 1, 3000);
    check_site(&since, 1, 1, 1, 300);
    heap_since(heap, &early, &since); /* still valid */
    assert_int_equal(since.nsites, 3);
    check_site(&since, 1, 1, 1, 300); /* as many bytes: by address */
    check_site(&since, 2, 2, 2, 300);
    assert_int_equal(since.total.blocks, 4);
    assert_int_equal(since.total.bytes, 3600);
    heap_since(heap, &boot, &since);
    assert_int_equal(since.total.blocks, 5);

    heap_free(heap, a);
    heap_free(heap, c);
    heap_free(heap, d);
    host_console_capture();
    assert_int_equal(heap_report_since(heap, &late, "# "), 0);
    assert_int_equal(heap_report_since(heap, &early, "# "), 1);
    assert_string_equal(host_console_release(), "# 1 block, 200 bytes, allocated by 0x2 (unknown+0x0)\n");
    heap_free(heap, b);
    heap_free(heap, before);
}

static void test_marks(void **state)
{
    (void)state;
    on_all(marks);
}

/* In place or moved, larger or smaller: a block is as old as when it came. */
static void resized(struct heap_model *model)
{
    static const size_t sizes[] = {10, 60, 3000, 100000, 200, 1};
    struct heap_mark mark;
    struct heap_since since;
    void *old = heap_alloc(&model->heap, 50);
    heap_mark(&model->heap, &mark);
    void *young = heap_alloc(&model->heap, 50);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        old = heap_realloc(&model->heap, old, sizes[i]);
        young = heap_realloc(&model->heap, young, sizes[i]);
        heap_since(&model->heap, &mark, &since);
        assert_int_equal(since.total.blocks, 1);
        assert_int_equal(since.total.bytes, sizes[i]);
        assert_int_equal(model->heap.noted_bytes, 2 * sizes[i]);
    }
    heap_free(&model->heap, old);
    heap_free(&model->heap, young);
    assert_int_equal(model->heap.noted_bytes_peak, 200000 + 3000);
}

static void test_resized_blocks_keep_their_age(void **state)
{
    (void)state;
    on_all(resized);
}

/* A byte behind the end leaves the call site readable; a call site that is gone is no block of the largest size. */
static void overrun(struct heap_model *model)
{
    struct heap_mark mark;
    struct heap_since since;
    uint8_t *before = alloc_at(model, 900, 1);
    heap_mark(&model->heap, &mark);
    uint8_t *after = alloc_at(model, 100, 2);
    before[900]++;
    after[100]++;
    heap_since(&model->heap, &mark, &since);
    assert_int_equal(since.nsites, 1);
    check_site(&since, 0, 2, 1, 100);
    before[900]--;
    after[100]--;

    size_t usable = model->heap.ops->usable_size(&model->heap, after);
    after[usable - 1]++;
    heap_since(&model->heap, &mark, &since);
    assert_int_equal(since.nsites, 1);
    check_site(&since, 0, 0, 1, usable);
    after[usable - 1]--;
    heap_free(&model->heap, before);
    heap_free(&model->heap, after);
}

static void test_overrun_blocks(void **state)
{
    (void)state;
    on_all(overrun);
}

#define MORE_SITES (HEAP_SITES_MAX + 10)

static void many(struct heap_model *model)
{
    struct heap_mark mark;
    struct heap_since since;
    void *blocks[MORE_SITES][2];
    heap_mark(&model->heap, &mark);
    for (unsigned i = 0; i < MORE_SITES; i++)
        for (unsigned k = 0; k < 2; k++)
            blocks[i][k] = alloc_at(model, 64, 1000 + i);
    heap_since(&model->heap, &mark, &since);
    assert_int_equal(since.nsites, HEAP_SITES_MAX);
    assert_int_equal(since.total.blocks, 2 * MORE_SITES);
    size_t listed = 0;
    for (size_t i = 0; i < since.nsites; i++)
        listed += since.site[i].blocks;
    assert_int_equal(listed + since.others.blocks, 2 * MORE_SITES);
    assert_true(since.others.blocks >= 2 * (MORE_SITES - HEAP_SITES_MAX));
    for (unsigned i = 0; i < MORE_SITES; i++)
        for (unsigned k = 0; k < 2; k++)
            heap_free(&model->heap, blocks[i][k]);
}

static void test_more_sites_than_fit(void **state)
{
    (void)state;
    on_all(many);
}

/* A block of the largest size has no room for a call site; one a little smaller does. */
static void largest(struct heap_model *model)
{
    struct heap_mark mark;
    struct heap_since since;
    void *before = alloc_at(model, HEAP_BYTES_MAX, 1);
    heap_mark(&model->heap, &mark);
    heap_since(&model->heap, &mark, &since);
    assert_int_equal(since.total.blocks, 0);
    void *after = alloc_at(model, HEAP_BYTES_MAX - 1, 2), *named = alloc_at(model, HEAP_BYTES_MAX - 24, 3);
    heap_since(&model->heap, &mark, &since);
    assert_int_equal(since.nsites, 2);
    check_site(&since, 0, 0, 1, HEAP_BYTES_MAX);
    check_site(&since, 1, 3, 1, HEAP_BYTES_MAX - 24);
    heap_free(&model->heap, before);
    heap_free(&model->heap, after);
    heap_free(&model->heap, named);
}

static void test_blocks_of_the_largest_size(void **state)
{
    (void)state;
    on_all(largest);
}

/* Without the callers' own count, the guard's tells what is lost. */
static void test_the_guard_counts(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        struct heap_model model;
        heap_model_init(&model, ops, 64, 1, HEAP_GUARD | HEAP_PEAK);
        void *pointer = heap_alloc(&model.heap, 100);
        assert_int_equal(heap_validate(&model.heap, HEAP_HELD_UNKNOWN), 0);
        host_console_capture();
        model.heap.ops->free(&model.heap, pointer); /* behind the guard's back */
        assert_int_equal(heap_validate(&model.heap, HEAP_HELD_UNKNOWN), ERR_CORRUPT);
        assert_non_null(strstr(host_console_release(), "given twice"));
        heap_model_destroy(&model);
    }
}

/* The most pages are known without anybody having looked. */
static void test_peak_of_pages(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        struct heap_model model;
        struct heap_stats stats;
        heap_model_init(&model, ops, 4096, 2, HEAP_PEAK);
        void *pointers[] = {heap_alloc(&model.heap, 1 << 20), NULL};
        host_become_hart(1);
        pointers[1] = heap_alloc(&model.heap, 2 << 20);
        heap_free(&model.heap, pointers[0]);
        host_become_hart(0);
        heap_free(&model.heap, pointers[1]);
        heap_drain(&model.heap);
        heap_stats(&model.heap, &stats);
        assert_int_equal(stats.reserved_bytes, 0);
        assert_in_range(stats.reserved_bytes_peak, 3 << 20, 12 << 20);
        heap_model_destroy(&model);
    }
}

static void test_without_the_guard_nothing_is_known(void **state)
{
    (void)state;
    struct heap_model model;
    struct heap_mark mark;
    struct heap_since since;
    heap_model_init(&model, heap_design_at(0), 64, 1, 0);
    heap_mark(&model.heap, &mark);
    void *pointer = heap_alloc(&model.heap, 10);
    heap_since(&model.heap, &mark, &since);
    assert_int_equal(since.total.blocks, 0);
    heap_free(&model.heap, pointer);
    heap_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_resized_blocks_keep_their_age),
        cmocka_unit_test(test_overrun_blocks),
        cmocka_unit_test(test_more_sites_than_fit),
        cmocka_unit_test(test_blocks_of_the_largest_size),
        cmocka_unit_test(test_the_guard_counts),
        cmocka_unit_test(test_peak_of_pages),
        cmocka_unit_test(test_without_the_guard_nothing_is_known),
    };
    return cmocka_run_group_tests_name("heap checkpoints", tests, NULL, NULL);
}
