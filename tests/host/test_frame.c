/*
 * The frame allocators against a model, from one thread that plays all harts in turn: everything that does
 * not need real concurrency (tsan_frame.c has that) or faults on purpose (test_frame_faults.c).
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/counter.h"

/* Arenas around the sizes of a word of the bitmap, of the largest block, and of nothing in particular. */
static const size_t arena_frames[] = {1, 2, 63, 64, 65, 127, 511, 512, 513, 1023, 1024, 1025, 5000, 16384};
static const unsigned hart_counts[] = {1, 2, 3, 8, 64};

/* Runs a test on every design, arena and number of harts. */
static void on_all(void (*test)(struct frame_model *model))
{
    DESIGN_FOR_EACH (ops) {
        for (size_t i = 0; i < ARRAY_SIZE(arena_frames); i++) {
            for (size_t k = 0; k < ARRAY_SIZE(hart_counts); k++) {
                struct frame_model model;
                frame_model_init(&model, ops, &lock_ticket, arena_frames[i], hart_counts[k]);
                test(&model);
                host_become_hart(0);
                frame_model_free_all(&model);
                frame_model_check(&model);
                frame_model_destroy(&model);
            }
        }
    }
}

static void test_registry(void **state)
{
    (void)state;
    size_t count = 0;
    DESIGN_FOR_EACH (ops) {
        assert_ptr_equal(frame_allocator_find(ops->name), ops);
        assert_string_equal(frame_allocator_name_at(count), ops->name);
        count++;
    }
    assert_true(count >= 2);
    assert_null(frame_allocator_name_at(count));
    assert_null(frame_allocator_find("nosuch"));
    assert_null(frame_allocator_find(""));
}

static void test_init_refuses_bad_arguments(void **state)
{
    (void)state;
    void *frames = aligned_alloc(PAGE_BYTES, 64 * PAGE_BYTES);
    host_map_frames(frames, PFN(0));
    DESIGN_FOR_EACH (ops) {
        struct frame_allocator fa;
        uint8_t *metadata = aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(ops->metadata_size(64, 2), 64));
#define INIT(metadata, base, nframes, nharts)                                                                \
    frame_allocator_init(&fa, ops, &lock_tas, "test", metadata, base, nframes, nharts)
        assert_int_equal(INIT(metadata, PFN(1), 64, 2), ERR_INVALID);
        assert_int_equal(INIT(metadata, PFN(512), 64, 2), ERR_INVALID);
        assert_int_equal(INIT(metadata + 8, PFN(0), 64, 2), ERR_INVALID);
        assert_int_equal(INIT(metadata, PFN(0), 0, 2), ERR_RANGE);
        assert_int_equal(INIT(metadata, PFN(0), FRAME_COUNT_MAX + 1, 2), ERR_RANGE);
        assert_int_equal(INIT(metadata, PFN(FRAME_COUNT_MAX), 64, 2), ERR_RANGE);
        assert_int_equal(INIT(metadata, PFN(0), 64, 0), ERR_RANGE);
        assert_int_equal(INIT(metadata, PFN(0), 64, HART_MAX + 1), ERR_RANGE);
        assert_int_equal(INIT(metadata, PFN(0), 64, 2), 0);
#undef INIT
        free(metadata);
    }
    free(frames);
}

/* Every frame can be had, by any hart, in blocks of every order; the model checks the last PFN_NONE. */
static void exhaust(struct frame_model *model)
{
    for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
        const struct frame_allocator_ops *ops = model->fa.ops;
        bool served = order <= ops->order_max && (order == 0 || ops->finds_every_block);
        host_become_hart(order % model->fa.nharts);
        while (!pfn_is_none(frame_model_alloc(model, order)))
            ;
        if (served)
            assert_int_equal(model->nblocks, model->fa.nframes >> order);
        frame_model_check(model);
        /* The frees land on another hart's stack, where the next order must find them. */
        host_become_hart((order + 1) % model->fa.nharts);
        frame_model_free_all(model);
        frame_model_check(model);
    }
}

static void test_exhaustion(void **state)
{
    (void)state;
    on_all(exhaust);
}

/* The last frame is found wherever it is: freed by each hart in turn and asked for by the next. */
static void pass_last_frame(struct frame_model *model)
{
    while (!pfn_is_none(frame_model_alloc(model, 0)))
        ;
    for (unsigned hart = 0; hart < model->fa.nharts; hart++) {
        host_become_hart(hart);
        frame_model_free(model, 0);
        frame_model_check(model);
        host_become_hart((hart + 1) % model->fa.nharts);
        assert_false(pfn_is_none(frame_model_alloc(model, 0)));
        assert_true(pfn_is_none(frame_model_alloc(model, 0)));
    }
}

static void test_last_frame(void **state)
{
    (void)state;
    on_all(pass_last_frame);
}

/* With every second frame held nothing of order 1 exists; with those free again, everything does. */
static void fragment(struct frame_model *model)
{
    while (!pfn_is_none(frame_model_alloc(model, 0)))
        ;
    for (size_t i = model->nblocks; i-- > 0;)
        if ((model->blocks[i].pfn.value & 1) == 0)
            frame_model_free(model, i);
    if (model->fa.nframes > 1)
        assert_true(pfn_is_none(frame_model_alloc(model, 1)));
    frame_model_check(model);
    frame_model_free_all(model);
    for (unsigned order = FRAME_ORDER_MAX + 1; order-- > 0;)
        while (!pfn_is_none(frame_model_alloc(model, order)))
            ;
    if (model->fa.ops->finds_every_block || model->fa.ops->order_max == 0)
        assert_int_equal(model->nheld, model->fa.nframes);
}

static void test_fragmentation(void **state)
{
    (void)state;
    on_all(fragment);
}

static void random_walk(struct frame_model *model)
{
    struct rng rng;
    rng_seed(&rng, 1, model->fa.nframes * HART_MAX + model->fa.nharts);
    for (unsigned step = 0; step < 600; step++) {
        host_become_hart(rng_below(&rng, model->fa.nharts));
        unsigned what = rng_below(&rng, 100);
        if (what < 55)
            frame_model_alloc(model, rng_below(&rng, 3) ? 0 : rng_below(&rng, FRAME_ORDER_MAX + 1));
        else if (what < 92 && model->nblocks)
            frame_model_free(model, rng_below(&rng, model->nblocks));
        else if (what < 97)
            frame_model_misuse_any(model, &rng);
        else if (what < 99)
            frame_model_check(model);
        else
            frame_drain(&model->fa);
    }
    frame_model_check(model);
    frame_drain(&model->fa);
    assert_int_equal(frame_stranded_count(&model->fa), 0);
}

static void test_random_walk(void **state)
{
    (void)state;
    host_console_capture();
    on_all(random_walk);
    host_console_release();
}

/* Each way to free wrongly, by name. */
static void misuse(struct frame_model *model)
{
    pfn_t base = model->fa.base;
    frame_model_misuse(model, base, 0, FRAME_MISUSE_DOUBLE_FREE);
    frame_model_misuse(model, base, FRAME_ORDER_MAX + 1, FRAME_MISUSE_WRONG_ORDER);
    frame_model_misuse(model, base, 64, FRAME_MISUSE_WRONG_ORDER);
    frame_model_misuse(model, pfn_add(base, model->fa.nframes), 0, FRAME_MISUSE_OUT_OF_RANGE);
    frame_model_misuse(model, PFN_NONE, 0, FRAME_MISUSE_OUT_OF_RANGE);
    pfn_t single = frame_model_alloc(model, 0);
    if (single.value + 2 <= base.value + model->fa.nframes && IS_ALIGNED(single.value, 2))
        frame_model_misuse(model, single, 1, FRAME_MISUSE_WRONG_ORDER);
    frame_model_free_all(model);
    frame_model_misuse(model, single, 0, FRAME_MISUSE_DOUBLE_FREE);
    if (model->fa.nframes < 2048 || model->fa.ops->order_max < FRAME_ORDER_HUGE)
        return;

    pfn_t block = frame_model_alloc(model, 3);
    assert_false(pfn_is_none(block));
    frame_model_misuse(model, block, 0, FRAME_MISUSE_WRONG_ORDER);
    frame_model_misuse(model, block, 2, FRAME_MISUSE_WRONG_ORDER);
    frame_model_misuse(model, pfn_add(block, 1), 0, FRAME_MISUSE_WRONG_ORDER);
    frame_model_misuse(model, pfn_add(block, 4), 2, FRAME_MISUSE_WRONG_ORDER);
    frame_model_misuse(model, pfn_add(block, 1), 1, FRAME_MISUSE_MISALIGNED);
    frame_model_free_all(model);
    frame_model_misuse(model, block, 3, FRAME_MISUSE_DOUBLE_FREE);

    /* Four singles are not a block of four, and a huge block that was freed is not in use, inside either. */
    for (unsigned i = 0; i < 256; i++)
        frame_model_alloc(model, 0);
    frame_model_misuse(model, PFN(ALIGN_UP(model->blocks[0].pfn.value, 4)), 2, FRAME_MISUSE_WRONG_ORDER);
    pfn_t huge = frame_model_alloc(model, FRAME_ORDER_HUGE);
    frame_model_misuse(model, pfn_add(huge, 100), 0, FRAME_MISUSE_WRONG_ORDER);
    frame_model_free(model, model->nblocks - 1);
    frame_model_misuse(model, huge, FRAME_ORDER_HUGE, FRAME_MISUSE_DOUBLE_FREE);
    frame_model_misuse(model, pfn_add(huge, 100), 0, FRAME_MISUSE_DOUBLE_FREE);
    frame_model_free_all(model);

    /* Half of the largest block is no block, whichever half. */
    pfn_t largest = frame_model_alloc(model, FRAME_ORDER_MAX);
    if (!pfn_is_none(largest)) {
        frame_model_misuse(model, largest, FRAME_ORDER_HUGE, FRAME_MISUSE_WRONG_ORDER);
        frame_model_misuse(
            model, pfn_add(largest, 1u << FRAME_ORDER_HUGE), FRAME_ORDER_HUGE, FRAME_MISUSE_WRONG_ORDER);
    }
    frame_model_check(model);
}

static void test_misuse(void **state)
{
    (void)state;
    host_console_capture();
    on_all(misuse);
    host_console_release();
}

static void test_misuse_is_reported(void **state)
{
    (void)state;
    DESIGN_FOR_EACH (ops) {
        struct frame_model model;
        frame_model_init(&model, ops, &lock_tas, 64, 1);
        host_console_capture();
        for (unsigned i = 0; i < 100; i++)
            frame_free(&model.fa, pfn_add(model.fa.base, 5), 0);
        frame_drain(&model.fa);
        const char *report = host_console_release();
        assert_non_null(strstr(report, "0x80005000"));
        assert_non_null(strstr(report, "double free"));
        assert_non_null(strstr(report, ops->name));
        unsigned lines = 0;
        for (const char *end = report; (end = strchr(end, '\n')); end++)
            lines++;
        assert_in_range(lines, 1, 10);
        assert_int_equal(model.fa.misuse_count, 100);
        frame_model_check(&model);
        frame_model_destroy(&model);
    }
}

static bool is_filled(pfn_t pfn, unsigned order, uint8_t value)
{
    const uint8_t *bytes = pfn_to_direct(pfn);
    for (size_t i = 0; i < (size_t)PAGE_BYTES << order; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* All of a block that was dirty comes zeroed, and nothing of those around it. */
static void test_zero(void **state)
{
    (void)state;
    DESIGN_FOR_EACH (ops) {
        struct frame_model model;
        frame_model_init(&model, ops, &lock_tas, 64, 1);
        unsigned order = ops->finds_every_block ? MIN(1u, ops->order_max) : 0;
        while (!pfn_is_none(frame_model_alloc(&model, order)))
            ;
        for (size_t i = 0; i < model.nblocks; i++)
            memset(pfn_to_direct(model.blocks[i].pfn), 0xee, (size_t)PAGE_BYTES << order);
        pfn_t dirty = model.blocks[model.nblocks / 2].pfn;
        frame_model_free(&model, model.nblocks / 2);
        assert_int_equal(frame_alloc(&model.fa, order, FRAME_ZERO).value, dirty.value);
        assert_true(is_filled(dirty, order, 0));
        for (size_t i = 0; i < model.nblocks; i++)
            assert_true(is_filled(model.blocks[i].pfn, order, 0xee));
        frame_model_destroy(&model);
    }
}

/* Once warm, neither one frame out and back nor 64 touch the lock: that is what the stacks are for. */
static void test_steady_state_takes_no_lock(void **state)
{
    (void)state;
    struct frame_model model;
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_mcs, 16384, 8);
    uint64_t locked = 0;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 64; i++)
            assert_false(pfn_is_none(frame_model_alloc(&model, 0)));
        frame_model_free_all(&model);
        if (round == 0)
            locked = counter_sum(COUNTER_LOCK_ACQUIRE);
    }
    assert_int_equal(counter_sum(COUNTER_LOCK_ACQUIRE), locked);
    frame_model_destroy(&model);
}

/* A hart that had everything and gave it back keeps the chunk that it allocates from and a stack of two: its share of
 * half of these 32 chunks. */
static void test_free_chunks_go_back(void **state)
{
    (void)state;
    struct frame_model model;
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_mcs, 16384, 8);
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
    frame_model_free_all(&model);
    frame_model_check(&model);
    assert_in_range(frame_stranded_count(&model.fa), 1, 3 << FRAME_ORDER_HUGE);
    frame_model_destroy(&model);
}

/* What another hart owns goes back in batches that double up to a hart's share of an eighth: here 16, 32, 64, 128, then
 * 256. The owner finds all of it again. */
static void test_remote_frees_are_gathered(void **state)
{
    (void)state;
    struct frame_model model;
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_mcs, 16384, 8);
    for (unsigned i = 0; i < 16 + 32 + 64 + 128 + 3 * 256; i++)
        frame_model_alloc(&model, 0);
    host_become_hart(1);
    uint64_t drained = counter_sum(COUNTER_FRAME_DRAIN), locked = counter_sum(COUNTER_LOCK_ACQUIRE);
    uint64_t remote = counter_sum(COUNTER_FRAME_REMOTE);
    frame_model_free_all(&model);
    assert_int_equal(counter_sum(COUNTER_FRAME_DRAIN), drained + 7);
    assert_in_range(counter_sum(COUNTER_LOCK_ACQUIRE), locked + 7, locked + 20);
    assert_int_equal(counter_sum(COUNTER_FRAME_REMOTE), remote + 1008);
    host_become_hart(0);
    frame_model_check(&model);
    frame_model_destroy(&model);
}

/* Checks each part of an instance: @inside counts those in the metadata. */
struct inspector {
    struct parts parts; /* first: the visitor is given this */
    const struct frame_allocator *fa;
    unsigned inside;
};

static void inspect(struct parts *parts, const struct part *part)
{
    struct inspector *inspector = (struct inspector *)parts;
    const struct frame_allocator *fa = inspector->fa;
    const uint8_t *metadata = fa->metadata, *base = part->base;
    assert_string_equal(part->owner, "owner");
    assert_true(part->name[0] != '\0' && part->bytes > 0);
    assert_true(part->count == 0 || part->stride >= part->bytes);
    if (base == (const uint8_t *)fa || base == pfn_to_direct(fa->base))
        return;
    size_t bytes = part->bytes + (part->count ? (part->count - 1) * part->stride : 0);
    assert_true(
        base >= metadata && base + bytes <= metadata + fa->ops->metadata_size(fa->nframes, fa->nharts));
    inspector->inside++;
}

static void describe(struct frame_model *model)
{
    struct inspector inspector = {.parts = {.visit = inspect, .owner = "owner"}, .fa = &model->fa};
    frame_describe(&model->fa, &inspector.parts);
    assert_true(inspector.inside >= (model->fa.ops->describe ? 2 : 1));
}

static void test_described_parts_are_its_own(void **state)
{
    (void)state;
    on_all(describe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_init_refuses_bad_arguments),
        cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_last_frame),
        cmocka_unit_test(test_fragmentation),
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_misuse_is_reported),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_steady_state_takes_no_lock),
        cmocka_unit_test(test_free_chunks_go_back),
        cmocka_unit_test(test_remote_frees_are_gathered),
        cmocka_unit_test(test_described_parts_are_its_own),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
