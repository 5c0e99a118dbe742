/*
 * Races of "slab", made to happen each time: between a hart's look at a round and its claim, and between a free and its
 * round, another hart gets its turn, reclaims the page and makes something else of it.
 */
#include "unit.h"

#include <string.h>

#include "mm/heap/slab.h"
#include "intruder.h"
#include "shim/heap_model.h"
#include "shim/host.h"

#define NFRAMES 16
#define CLASS   3 /* of 64 bytes */

static struct heap_model model;
static size_t intruders_bytes; /* the size of the blocks that the other hart wants */

bool __wrap_inject_due(enum inject point)
{
    intruder_enters(point);
    return false;
}

/* All that there is. */
static void take_all(void)
{
    host_become_hart(1);
    while (heap_model_alloc(&model, intruders_bytes, 1))
        ;
}

static void take_all_and_free(void)
{
    take_all();
    while (model.nblocks > 1)
        heap_model_free(&model, model.nblocks - 1);
}

/* Blocks of 64 bytes in hart 0's magazine, and no page free. */
static void make(void)
{
    heap_model_init(&model, heap_design_find("slab"), NFRAMES, 2, 0);
    host_become_hart(0);
    while (heap_model_alloc(&model, 64, 1))
        ;
    heap_model_free_all(&model);
    heap_model_alloc(&model, 4000, 1); /* something is held throughout: NULL is an answer */
    heap_model_check(&model);
}

static void unmake(void)
{
    host_become_hart(0);
    heap_model_check(&model);
    heap_model_free_all(&model);
    heap_model_check(&model);
    heap_model_drained(&model);
    heap_model_destroy(&model);
}

static const size_t sizes[] = {16, 32, 64, 96, 128, 336, 1024, 1344, 2720, 4096, 8192, 16384};

/* The round that hart 0 is about to claim becomes wrong, by a page that is of another size, full or with blocks free. */
static void test_round_becomes_wrong(void **state)
{
    (void)state;
    static void (*const intrusions[])(void) = {take_all, take_all_and_free};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(intrusions); k++) {
            make();
            intruders_bytes = sizes[i];
            set_intruder(INJECT_LOOK, 1, intrusions[k]);
            void *block = heap_model_alloc(&model, 64, 1);
            assert_int_equal(intruder.at, 0);
            assert_true(block != NULL || k == 0);
            heap_model_check(&model);
            for (unsigned n = 0; n < 100; n++) /* the rest of the rounds */
                heap_model_alloc(&model, 64, 1);
            unmake();
        }
    }
}

/* A block is free, and its page something else, before the hart that freed it has a round of it. */
static void test_page_goes_before_the_round_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        make();
        void *block = heap_model_alloc(&model, 64, 1);
        assert_non_null(block);
        intruders_bytes = sizes[i];
        /* The model forgets it first: the intruder may be given it. */
        struct heap_model_block *last = &model.blocks[model.nblocks - 1];
        memset(&model.held[((uintptr_t)block - model.heap.base) / HEAP_ALIGN], 0, 64 / HEAP_ALIGN);
        assert_ptr_equal(last->pointer, block);
        model.nblocks--;
        set_intruder(INJECT_LOOK, 1, take_all);
        heap_free(&model.heap, block);
        assert_int_equal(intruder.at, 0);
        assert_int_equal(model.heap.misuse_count, 0);
        heap_model_check(&model);
        for (unsigned n = 0; n < 200; n++)
            heap_model_alloc(&model, 64, 1);
        unmake();
    }
}

/* Rounds about pages that are the heap's no more. */
static void test_rounds_of_no_slab_are_dropped(void **state)
{
    (void)state;
    make();
    struct slab_hart *self = slab_hart_of(&model.heap, 0);
    heap_model_free_all(&model);
    assert_true(slab_reclaim_pages(&model.heap));
    assert_int_equal(heap_reserved_bytes(&model.heap), 0);
    assert_true(self->cache[CLASS + 1].top > self->cache[CLASS + 1].loaded->round + 1);
    heap_model_check(&model);
    assert_non_null(heap_model_alloc(&model, 64, 1));
    heap_model_check(&model);
    unmake();
}

/* A claim of what is no block of the slab that is there, and before it is undone the slab is another one, which has a block
 * there that is in use. */
static void become_another(void)
{
    heap_span_t span;
    host_become_hart(1);
    heap_model_free_all(&model);
    /* As when all its blocks come home: slab_reclaim_pages() sees that not all bits are set, and leaves it. */
    HEAP_SPAN_FOR_EACH(&model.heap, base, span)
    {
        uint32_t frame = ((uintptr_t)base - model.heap.base) >> PAGE_SHIFT;
        struct slab_class *class = &slab_heap_of(&model.heap)->class[slab_shapes[heap_span_tag(span)].class];
        slab_send_home(&model.heap, class, frame);
        assert_true(slab_release(&model.heap, class, frame));
    }
    intruders_bytes = 32;
    take_all();
}

static void test_page_changes_before_a_claim_is_undone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        make();
        intruders_bytes = sizes[i];
        take_all();
        host_become_hart(0);
        set_intruder(INJECT_UNDO, 1, become_another);
        heap_model_alloc(&model, 64, 1);
        /* Where a page is full of blocks there is none that is no block's. */
        assert_true(intruder.at == 0 || sizes[i] <= 64 || sizes[i] == 4 * PAGE_BYTES);
        heap_model_check(&model);
        set_intruder(INJECT_UNDO, 0, NULL);
        unmake();
    }
}

/* The free of a large block sets a bit that is none; a hart with an old round of it comes by. */
static void *large;

static void claim_what_is_large(void)
{
    host_become_hart(1);
    for (unsigned n = 0; n < 500; n++)
        heap_model_alloc(&model, 64, 1);
}

static void free_it_too(void)
{
    host_become_hart(1);
    heap_free(&model.heap, large);
    intruders_bytes = 64;
    take_all();
}

/* Hart 1 has rounds of all pages, one of which is the large block's now. */
static void make_large(void)
{
    heap_model_init(&model, heap_design_find("slab"), NFRAMES, 2, 0);
    host_become_hart(1);
    while (heap_model_alloc(&model, 64, 1))
        ;
    heap_model_free_all(&model);
    host_become_hart(0);
    while (heap_model_alloc(&model, 4 * PAGE_BYTES, 1))
        ;
    assert_int_equal(model.nblocks, NFRAMES / 4);
    /* The model forgets it, as the intruder may be given what it was. */
    large = model.blocks[--model.nblocks].pointer;
    memset(&model.held[((uintptr_t)large - model.heap.base) / HEAP_ALIGN], 0, 4 * PAGE_BYTES / HEAP_ALIGN);
}

static void test_free_of_a_large_block_and_an_old_round(void **state)
{
    (void)state;
    make_large();
    set_intruder(INJECT_LOOK, 1, claim_what_is_large);
    heap_free(&model.heap, large);
    assert_int_equal(intruder.at, 0);
    assert_int_equal(model.heap.misuse_count, 0);
    heap_model_check(&model);
    unmake();
}

/* Two harts free it; the page of the first is a slab of the other's before the second finds out. */
static void test_large_block_is_freed_twice(void **state)
{
    (void)state;
    make_large();
    set_intruder(INJECT_LOOK, 1, free_it_too);
    host_console_capture();
    heap_free(&model.heap, large);
    host_console_release();
    assert_int_equal(intruder.at, 0);
    assert_int_equal(model.heap.misuse_count, 1);
    heap_model_check(&model);
    unmake();
}

/* A slab is about to go, by a free of its last block; another hart frees a block of it a second time. */
static void *freed;

static void free_it_again(void)
{
    host_become_hart(1);
    heap_free(&model.heap, freed);
}

static void test_double_free_in_a_slab_that_goes(void **state)
{
    (void)state;
    /* The point is passed before the first part of the slab is claimed, and before each. */
    for (unsigned at = 2; at <= 1 + PARTS; at++) {
        heap_model_init(&model, heap_design_find("slab"), NFRAMES, 2, 0);
        host_become_hart(0);
        uintptr_t block = (uintptr_t)heap_model_alloc(&model, 64, 1);
        freed = (void *)ALIGN_DOWN(block, (uintptr_t)PAGE_BYTES); /* the slab's first */
        heap_model_free_all(&model);
        set_intruder(INJECT_CAS, at, free_it_again);
        host_console_capture();
        assert_true(slab_reclaim_pages(&model.heap));
        host_console_release();
        assert_int_equal(intruder.at, 0);
        assert_int_equal(model.heap.misuse_count, 1);
        assert_int_equal(model.heap.last_misuse.kind, HEAP_MISUSE_DOUBLE_FREE);
        heap_model_check(&model);
        assert_int_equal(heap_reserved_bytes(&model.heap), 0);
        unmake();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_becomes_wrong),
        cmocka_unit_test(test_page_goes_before_the_round_comes),
        cmocka_unit_test(test_rounds_of_no_slab_are_dropped),
        cmocka_unit_test(test_page_changes_before_a_claim_is_undone),
        cmocka_unit_test(test_free_of_a_large_block_and_an_old_round),
        cmocka_unit_test(test_large_block_is_freed_twice),
        cmocka_unit_test(test_double_free_in_a_slab_that_goes),
    };
    return cmocka_run_group_tests_name("heap slab races", tests, NULL, NULL);
}
