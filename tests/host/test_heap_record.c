/* The recorder of heap calls: what its trace says is what was done, on every heap, whatever failed or was refused on the way. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/bits.h"
#include "shim/recording.h"
#include "shim/heap_model.h"
#include "shim/host.h"
#include "trace/inject.h"

#define FRAMES 2048
#define STEPS  4000
#define ROOM   (HEAP_RECORD_CHUNK_EVENTS + 77u)

static void expect_calls(const struct recording *recording, const struct heap_call *calls, size_t count)
{
    struct heap_trace_reader reader;
    struct heap_trace_fault fault;
    struct heap_call call;
    assert_int_equal(recording->trace.calls, count);
    heap_trace_start(&reader, &recording->trace);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(heap_trace_next(&reader, &call, &fault), 1);
        assert_int_equal(call.kind, calls[i].kind);
        assert_int_equal(call.thread, calls[i].thread);
        assert_int_equal(call.bytes, calls[i].bytes);
        assert_int_equal(call.align, calls[i].align);
        if (heap_call_ends(call.kind))
            assert_int_equal(call.old, calls[i].old);
    }
}

/* Each call once, by two harts, with those between them that leave nothing. */
static void script(struct heap *heap)
{
    void *zero = heap_alloc(heap, 0);
    void *zeros = heap_zalloc(heap, 50);
    void *aligned = heap_alloc_aligned(heap, 100, 64);
    heap_free(heap, NULL);
    assert_null(heap_alloc(heap, HEAP_BYTES_MAX + 1));
    assert_null(heap_realloc(heap, zeros, HEAP_BYTES_MAX + 1));
    host_become_hart(1);
    zeros = heap_realloc(heap, zeros, 5000);
    zeros = heap_realloc(heap, zeros, 4900); /* where it is, in most designs */
    void *plain = heap_alloc_aligned(heap, 7, 8);
    void *fresh = heap_realloc(heap, NULL, 9);
    heap_free(heap, zero);
    host_become_hart(0);
    host_console_capture();
    heap_free(heap, (uint8_t *)plain + 1);
    assert_null(heap_realloc(heap, (uint8_t *)fresh + 1, 5));
    host_console_release();
    assert_int_equal(heap_usable_size(heap, aligned) >= 100, 1);
    heap_free(heap, aligned);
    heap_free(heap, fresh);
    heap_free(heap, zeros);
    heap_free(heap, plain);
}

static const struct heap_call script_calls[] = {
    {.kind = HEAP_CALL_ALLOC, .bytes = 1},
    {.kind = HEAP_CALL_ALLOC, .bytes = 50},
    {.kind = HEAP_CALL_ALIGNED, .bytes = 100, .align = 64},
    {.kind = HEAP_CALL_REALLOC, .thread = 1, .bytes = 5000, .old = 1},
    {.kind = HEAP_CALL_REALLOC, .thread = 1, .bytes = 4900, .old = 3},
    {.kind = HEAP_CALL_ALLOC, .thread = 1, .bytes = 7},
    {.kind = HEAP_CALL_ALLOC, .thread = 1, .bytes = 9},
    {.kind = HEAP_CALL_FREE, .thread = 1, .old = 0},
    {.kind = HEAP_CALL_FREE, .old = 2},
    {.kind = HEAP_CALL_FREE, .old = 6},
    {.kind = HEAP_CALL_FREE, .old = 4},
    {.kind = HEAP_CALL_FREE, .old = 5},
};

static void test_each_call_is_recorded_once(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        for (unsigned flags = 0; flags <= HEAP_GUARD; flags += HEAP_GUARD) {
            struct heap_model model;
            heap_model_init(&model, ops, FRAMES, 2, flags);
            const struct heap_ops *front = model.heap.front;
            void *before = heap_alloc(&model.heap, 33); /* nobody knows of it */
            struct recording *recording = recording_start(&model.heap, 100);
            script(&model.heap);
            heap_free(&model.heap, before);
            recording_stop(recording, &model.heap);
            assert_ptr_equal(model.heap.front, front);
            expect_calls(recording, script_calls, ARRAY_SIZE(script_calls));
            recording_free(recording);
            heap_model_destroy(&model);
        }
    }
}

/* A heap that gives memory to another hart before the call that has freed it returns: the worst that a race can do. */
static struct heap_ops eager;
static void (*real_free)(struct heap *heap, void *pointer);
static void *snatched;

static void eager_free(struct heap *heap, void *pointer)
{
    unsigned self = hart_index();
    real_free(heap, pointer);
    host_become_hart(1);
    snatched = snatched ? snatched : heap_alloc(heap, 500);
    host_become_hart(self);
}

/* Frees 500 bytes, or gives them another size: they are hart 1's before that returns. */
static void snatch(struct heap *heap, bool resize)
{
    snatched = heap; /* not yet */
    void *block = heap_alloc(heap, 500), *behind = heap_alloc(heap, 64);
    snatched = NULL;
    if (resize) {
        void *moved = heap_realloc(heap, block, 9000);
        assert_ptr_not_equal(moved, block);
        heap_free(heap, moved);
    } else {
        heap_free(heap, block);
    }
    assert_ptr_equal(snatched, block);
    heap_free(heap, snatched);
    heap_free(heap, behind);
}

static void test_memory_that_is_given_out_at_once(void **state)
{
    static const struct heap_call freed[] = {
        {.kind = HEAP_CALL_ALLOC, .bytes = 500},
        {.kind = HEAP_CALL_ALLOC, .bytes = 64},
        {.kind = HEAP_CALL_FREE, .old = 0},
        {.kind = HEAP_CALL_ALLOC, .thread = 1, .bytes = 500},
        {.kind = HEAP_CALL_FREE, .old = 2},
        {.kind = HEAP_CALL_FREE, .old = 1},
        {.kind = HEAP_CALL_ALLOC, .bytes = 500},
        {.kind = HEAP_CALL_ALLOC, .bytes = 64},
        {.kind = HEAP_CALL_ALLOC, .thread = 1, .bytes = 500},
        {.kind = HEAP_CALL_REALLOC, .bytes = 9000, .old = 3},
        {.kind = HEAP_CALL_FREE, .old = 6},
        {.kind = HEAP_CALL_FREE, .old = 5},
        {.kind = HEAP_CALL_FREE, .old = 4},
    };
    struct heap_model model;
    (void)state;
    eager = *heap_design_find("bestfit");
    real_free = eager.free;
    eager.free = eager_free;
    heap_model_init(&model, &eager, FRAMES, 2, 0);
    struct recording *recording = recording_start(&model.heap, 100);
    snatch(&model.heap, false);
    snatch(&model.heap, true);
    recording_stop(recording, &model.heap);
    expect_calls(recording, freed, ARRAY_SIZE(freed));
    recording_free(recording);
    heap_model_destroy(&model);
}

static void step(struct heap_model *model, struct rng *rng)
{
    size_t bytes = heap_model_size(rng, 60000);
    host_become_hart(rng_below(rng, model->heap.nharts));
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
    case 2: heap_model_alloc(model, bytes, rng_below(rng, 4) ? 1 : 32u << rng_below(rng, 9)); break;
    case 3:
        if (model->nblocks)
            heap_model_realloc(model, rng_below(rng, model->nblocks), bytes);
        break;
    case 4: heap_model_misuse_any(model, rng); break;
    case 5: inject_arm(INJECT_GROW, 1 + rng_below(rng, 3)); break;
    default:
        if (model->nblocks)
            heap_model_free(model, rng_below(rng, model->nblocks));
    }
}

/* What is live by the trace is what the model holds: as many, and of the same sizes. */
static void compare(const struct recording *recording, const struct heap_model *model)
{
    uint64_t traced[2] = {0, 0}, held[2] = {0, 0};
    assert_int_equal(recording->nlive, model->nblocks);
    for (uint32_t i = 0; i < recording->trace.objects; i++) {
        uint64_t bytes = recording->live[i] ? recording->live[i] - 1 : 0;
        traced[0] += bytes;
        traced[1] += bytes * bytes;
    }
    for (size_t i = 0; i < model->nblocks; i++) {
        uint64_t bytes = MAX(model->blocks[i].bytes, (size_t)1); /* as 0 is served */
        held[0] += bytes;
        held[1] += bytes * bytes;
    }
    assert_int_equal(traced[0], held[0]);
    assert_int_equal(traced[1], held[1]);
}

static void test_random_calls(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        for (unsigned flags = 0; flags <= HEAP_GUARD; flags += HEAP_GUARD) {
            struct heap_model model;
            struct rng rng;
            rng_seed(&rng, 11, flags);
            heap_model_init(&model, ops, FRAMES, 3, flags);
            heap_model_alloc(&model, 24, 1); /* with something held an allocation may fail */
            struct recording *recording = recording_start(&model.heap, 2 * STEPS);
            void *first = model.blocks[0].pointer;
            host_console_capture();
            for (unsigned i = 0; i < STEPS; i++)
                step(&model, &rng);
            host_console_release();
            inject_arm(INJECT_GROW, 0);
            host_become_hart(0);
            /* The one from before the recording, if it is still there and was not resized, is not in the trace. */
            for (size_t i = 0; i < model.nblocks; i++)
                if (model.blocks[i].pointer == first && model.blocks[i].bytes == 24)
                    heap_model_free(&model, i);
            recording_stop(recording, &model.heap);
            assert_true(heap_record_lost(&recording->recorder) == 0);
            assert_true(recording->calls[HEAP_CALL_REALLOC] > 50 && recording->calls[HEAP_CALL_ALIGNED] > 50);
            compare(recording, &model);
            recording_free(recording);
            heap_model_free_all(&model);
            heap_model_drained(&model);
            heap_model_destroy(&model);
        }
    }
}

/* With no more room the trace ends, wherever that is. */
static void test_what_finds_no_room_is_counted(void **state)
{
    struct heap_model model;
    (void)state;
    heap_model_init(&model, heap_design_at(0), FRAMES, 1, 0);
    struct recording *recording = recording_start(&model.heap, ROOM);
    void *held = heap_alloc(&model.heap, 5);
    for (unsigned i = 1; i < ROOM + 500; i++) {
        if (i % 3 == 1)
            heap_free(&model.heap, heap_alloc(&model.heap, 64));
        else
            held = heap_realloc(&model.heap, held, i);
    }
    recording_stop(recording, &model.heap);
    assert_true(heap_record_lost(&recording->recorder) > ROOM / 2);
    assert_true(recording->nlive <= 2);
    assert_in_range(recording->trace.calls, ROOM / 2, ROOM);
    heap_free(&model.heap, held);
    recording_free(recording);
    heap_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_is_recorded_once),
        cmocka_unit_test(test_memory_that_is_given_out_at_once),
        cmocka_unit_test(test_random_calls),
        cmocka_unit_test(test_what_finds_no_room_is_counted),
    };
    return cmocka_run_group_tests_name("the recorder of heap calls", tests, NULL, NULL);
}
