/*
 * What only "slab" has: magazines on their way through the depot, the slab layer behind it, memory in other harts' magazines
 * that is had all the same, and rounds that are wrong from then on.
 */
#include "unit.h"

#include "mm/heap/slab.h"
#include "shim/heap_model.h"
#include "shim/host.h"
#include "trace/counter.h"

#define BLOCK      ((size_t)64)
#define CLASS_OF   3 /* of such blocks */
#define A_SLAB     (PAGE_BYTES / BLOCK)
#define A_MAGAZINE (2 * A_SLAB)
#define ENOUGH     100000 /* more blocks than any arena here has */
#define HARTS      4

static struct heap_model model;

static struct slab_heap *all(void)
{
    return slab_heap_of(&model.heap);
}

static struct slab_depot *depot(void)
{
    return all()->class[CLASS_OF].depot;
}

static void make(size_t nframes)
{
    heap_model_init(&model, heap_design_find("slab"), nframes, HARTS, 0);
    host_become_hart(0);
}

static void unmake(void)
{
    host_become_hart(0);
    heap_model_free_all(&model);
    heap_model_check(&model);
    heap_model_drained(&model);
    heap_model_destroy(&model);
}

/* Up to so many blocks by a hart; how many there were. */
static size_t fill(unsigned hart, size_t bytes, size_t count)
{
    size_t got = 0;
    host_become_hart(hart);
    while (got < count && !heap_model_is_full(&model) && heap_model_alloc(&model, bytes, 1))
        got++;
    return got;
}

static void free_all_by(unsigned hart)
{
    host_become_hart(hart);
    heap_model_free_all(&model);
}

static void test_sizes_have_the_smallest_class(void **state)
{
    (void)state;
    make(64);
    for (size_t bytes = 1; bytes <= SLAB_BYTES_MAX; bytes++) {
        unsigned shape = slab_hart_of(&model.heap, 0)->shape_for[(bytes - 1) / HEAP_ALIGN];
        assert_in_range(shape, 1, SLAB_CLASSES);
        assert_true(slab_shapes[shape].bytes >= bytes && slab_shapes[shape - 1].bytes < bytes);
        assert_true(slab_shapes[shape].bytes < 2 * bytes || bytes <= HEAP_ALIGN);
    }
    for (unsigned shape = 1; shape < SLAB_SHAPES; shape++) {
        assert_true(slab_shapes[slab_shapes[shape].class + 1].bytes == slab_shapes[shape].bytes);
        assert_true(slab_count(&slab_shapes[shape]) > 0);
    }
    unmake();
}

/* What the fast paths count on: in a smaller slab blocks begin where they do in one of the class's first shape. */
static void test_rounds_of_smaller_slabs_fit(void **state)
{
    (void)state;
    make(64);
    for (unsigned number = SLAB_CLASSES + 1; number < SLAB_SHAPES; number++) {
        const struct slab_shape *shape = &slab_shapes[number], *first = &slab_shapes[shape->class + 1];
        bool fits = true;
        for (uint32_t frame = 0; frame < 1u << first->order; frame += 1u << shape->order)
            SLAB_BLOCK_FOR_EACH(&model.heap, frame, shape, block)
        fits = fits && slab_is_block(&model.heap, first, block);
        assert_int_equal(fits, number != SLAB_UNSAFE_SMALLER);
        assert_true(number != SLAB_UNSAFE_SMALLER || first == &slab_shapes[SLAB_UNSAFE]);
    }
    unmake();
}

/* One hart allocates, another frees: full magazines go one way, empty ones the other, and no page is taken. */
static void test_magazines_are_exchanged(void **state)
{
    (void)state;
    make(512);
    assert_int_equal(all()->class[CLASS_OF].capacity, A_MAGAZINE);
    uint64_t before = counter_sum(COUNTER_HEAP_EXCHANGE);
    fill(0, BLOCK, 5 * A_MAGAZINE);
    assert_int_equal(counter_sum(COUNTER_HEAP_EXCHANGE), before);
    size_t reserved = heap_reserved_bytes(&model.heap);
    free_all_by(1); /* two magazines are its own */
    assert_int_equal(depot()->nfull, 3);
    assert_int_equal(counter_sum(COUNTER_HEAP_EXCHANGE), before + 3);
    heap_model_check(&model);
    fill(0, BLOCK, 3 * A_MAGAZINE);
    assert_int_equal(depot()->nfull, 0);
    assert_int_equal(counter_sum(COUNTER_HEAP_EXCHANGE), before + 6);
    assert_int_equal(heap_reserved_bytes(&model.heap), reserved);
    heap_model_check(&model);
    unmake();
}

/* At the edge of a magazine a hart goes to the depot once in a magazine's worth of operations. */
static void test_previous_magazine_keeps_from_thrashing(void **state)
{
    (void)state;
    make(512);
    fill(0, BLOCK, 8 * A_MAGAZINE);
    free_all_by(0);
    fill(0, BLOCK, 2 * A_MAGAZINE);
    uint64_t before = counter_sum(COUNTER_HEAP_EXCHANGE);
    for (unsigned i = 0; i < 20 * A_MAGAZINE; i++) {
        fill(0, BLOCK, 3);
        for (unsigned k = 0; k < 3; k++)
            heap_model_free(&model, model.nblocks - 1);
    }
    assert_true(counter_sum(COUNTER_HEAP_EXCHANGE) <= before + 1);
    unmake();
}

/* What the depot has no room for goes home, and pages of which nothing is left in use go back. */
static void test_depot_is_bounded(void **state)
{
    (void)state;
    make(2048);
    size_t most = (all()->class[CLASS_OF].ndepot + 2) * A_MAGAZINE * BLOCK + 2 * PAGE_BYTES;
    fill(0, BLOCK, 500 * A_SLAB);
    assert_true(heap_reserved_bytes(&model.heap) >= 500 * PAGE_BYTES);
    uint64_t before = counter_sum(COUNTER_HEAP_FLUSH);
    free_all_by(0);
    assert_true(counter_sum(COUNTER_HEAP_FLUSH) > before);
    assert_true(heap_reserved_bytes(&model.heap) <= most);
    assert_false(all()->reclaimed);
    heap_model_check(&model);
    unmake();
}

/* Blocks in the magazines of harts that do nothing are to be had, all of them. */
static void test_blocks_of_idle_harts(void **state)
{
    (void)state;
    make(64);
    size_t count = fill(0, BLOCK, ENOUGH);
    assert_int_equal(count, 64 * A_SLAB);
    for (unsigned i = 0; model.nblocks; i++) {
        host_become_hart(i % HARTS);
        heap_model_free(&model, model.nblocks / 2);
    }
    heap_model_check(&model);
    assert_int_equal(fill(3, BLOCK, ENOUGH), count);
    assert_true(all()->reclaimed); /* the others' rounds are wrong */
    heap_model_check(&model);
    for (unsigned hart = 0; hart < HARTS; hart++)
        assert_int_equal(fill(hart, BLOCK, 1), 0);
    heap_model_check(&model);
    free_all_by(1);
    heap_model_check(&model);
    assert_int_equal(fill(2, BLOCK, ENOUGH), count);
    unmake();
}

/* So are the pages of blocks of another size, and in one piece. The harts' rounds then are about anything. */
static void test_pages_of_idle_harts(void **state)
{
    (void)state;
    static const size_t others[] = {16, 80, 1000, 2048, 2720, 4096, 8000, 60000};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        make(64);
        size_t first = fill(0, others[i], ENOUGH);
        free_all_by(0);
        heap_model_drained(&model);
        for (unsigned round = 0; round < 3; round++) {
            assert_int_equal(fill(1 + round, BLOCK, ENOUGH), 64 * A_SLAB);
            free_all_by(1 + round);
            /* Frames that lie apart are made use of before anything is reclaimed, and hold fewer of some. */
            assert_in_range(fill(0, others[i], ENOUGH), others[i] == 2720 ? 64 : first, first);
            heap_model_check(&model);
            for (unsigned hart = 1; hart < HARTS; hart++)
                assert_int_equal(fill(hart, others[i] / 2 + 33, 1), 0);
            free_all_by(0);
            heap_model_check(&model);
        }
        unmake();
    }
}

/* Every other frame of 200 is somebody else's. */
static void fragment(pfn_t frames[200])
{
    make(200);
    for (size_t k = 0; k < 200; k++)
        frames[k] = frame_alloc(&model.frames, 0, 0);
    for (size_t k = 0; k < 200; k += 2)
        frame_free(&model.frames, frames[k], 0);
}

/* Larger blocks make do with the frames that there are. */
static void test_smaller_slabs(void **state)
{
    (void)state;
    static const size_t some[] = {2000, 2720, 4096};
    for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
        pfn_t frames[200];
        fragment(frames);
        assert_true(fill(0, some[i], ENOUGH) >= 100);
        assert_int_equal(heap_validate(&model.heap, model.nblocks), 0);
        free_all_by(1);
        assert_true(fill(1, some[i], ENOUGH) >= 100);
        for (size_t k = 1; k < 200; k += 2)
            frame_free(&model.frames, frames[k], 0);
        heap_model_check(&model);
        free_all_by(0);
        /* Both shapes side by side. */
        assert_true(fill(0, some[i], ENOUGH) >= 190);
        heap_model_check(&model);
        unmake();
    }
}

/* Hart 0 has rounds of blocks of slabs of a frame each, where larger slabs of the class are now: of 2720 bytes only one in
 * four of those begins where a block does. */
static void test_rounds_of_smaller_slabs(void **state)
{
    (void)state;
    pfn_t frames[200];
    for (unsigned way = 0; way < 2; way++) {
        fragment(frames);
        assert_true(fill(0, 2720, ENOUGH) >= 100);
        free_all_by(0);
        assert_true(slab_reclaim_pages(&model.heap));
        for (size_t k = 1; k < 200; k += 2)
            frame_free(&model.frames, frames[k], 0);
        assert_int_equal(heap_reserved_bytes(&model.heap), 0);
        if (way == 0) { /* they are taken for blocks */
            fill(1, 2720, 16);
            fill(0, 2720, ENOUGH);
        } else { /* they go home: there is a depot full of right ones */
            assert_true(fill(1, 2720, ENOUGH) >= 300);
            host_become_hart(2);
            while (model.nblocks > 100)
                heap_model_free(&model, model.nblocks - 1);
            host_become_hart(0);
            while (model.nblocks > 50)
                heap_model_free(&model, model.nblocks - 1);
        }
        heap_model_check(&model);
        unmake();
    }
}

/* The reverse. */
static void test_rounds_of_larger_slabs(void **state)
{
    (void)state;
    pfn_t frames[200];
    make(200);
    assert_true(fill(0, 2720, ENOUGH) >= 300);
    free_all_by(0);
    assert_true(slab_reclaim_pages(&model.heap));
    assert_int_equal(heap_reserved_bytes(&model.heap), 0);
    for (size_t k = 0; k < 200; k++)
        frames[k] = frame_alloc(&model.frames, 0, 0);
    for (size_t k = 0; k < 200; k++)
        if (frames[k].value % 4 != 3)
            frame_free(&model.frames, frames[k], 0);
    assert_true(fill(1, 2720, ENOUGH) >= 150);
    host_become_hart(2);
    while (model.nblocks > 70)
        heap_model_free(&model, 0);
    host_become_hart(0);
    while (model.nblocks > 20)
        heap_model_free(&model, 0);
    for (size_t k = 0; k < 200; k++)
        if (frames[k].value % 4 == 3)
            frame_free(&model.frames, frames[k], 0);
    heap_model_check(&model);
    unmake();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_have_the_smallest_class),
        cmocka_unit_test(test_rounds_of_smaller_slabs_fit),
        cmocka_unit_test(test_magazines_are_exchanged),
        cmocka_unit_test(test_previous_magazine_keeps_from_thrashing),
        cmocka_unit_test(test_depot_is_bounded),
        cmocka_unit_test(test_blocks_of_idle_harts),
        cmocka_unit_test(test_pages_of_idle_harts),
        cmocka_unit_test(test_smaller_slabs),
        cmocka_unit_test(test_rounds_of_smaller_slabs),
        cmocka_unit_test(test_rounds_of_larger_slabs),
    };
    return cmocka_run_group_tests_name("heap slab", tests, NULL, NULL);
}
