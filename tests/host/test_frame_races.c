/*
 * Races of "hartcache" made to happen, one at a time, in one thread. The failure points stand exactly between
 * reading a stack's word and swapping it, and at the beginning of each pass of a search: there another hart
 * gets its turn. The linker sends inject_due() here (host.mk). What the threads of tsan_frame.c meet once in
 * a long while is met here every time.
 */
#include "unit.h"

#include "arch/panic.h"
#include "mm/frame/hartcache.h"
#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/inject.h"

#define HARTS   4
#define NFRAMES 1024

bool __wrap_inject_due(enum inject point);

static struct frame_model model;

/* The intruder runs at the at-th passing of the point, once; 0 for never. */
static struct {
    enum inject point;
    unsigned at, passed;
    void (*function)(void);
} intruder;

bool __wrap_inject_due(enum inject point)
{
    if (intruder.at == 0 || point != intruder.point || ++intruder.passed != intruder.at)
        return false;
    unsigned interrupted = hart_index();
    intruder.at = 0;
    intruder.function();
    host_become_hart(interrupted);
    return false;
}

static void set_intruder(enum inject point, unsigned at, void (*function)(void))
{
    intruder.point = point;
    intruder.at = at;
    intruder.passed = 0;
    intruder.function = function;
}

static void start(void)
{
    host_become_hart(0);
    set_intruder(INJECT_CAS, 0, NULL);
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_tas, NFRAMES, HARTS);
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
}

static void finish(void)
{
    assert_int_equal(intruder.at, 0);
    frame_model_check(&model);
    host_become_hart(0);
    frame_model_free_all(&model);
    frame_model_check(&model);
    frame_model_destroy(&model);
}

/* Frees a frame by its number in the arena, as a hart. */
static void free_as(unsigned hart, uint64_t index)
{
    host_become_hart(hart);
    for (size_t i = 0; i < model.nblocks; i++) {
        if (model.blocks[i].pfn.value == MODEL_BASE.value + index) {
            frame_model_free(&model, i);
            return;
        }
    }
    panic("frame %lu is not held", (unsigned long)index);
}

static void alloc_as(unsigned hart)
{
    host_become_hart(hart);
    ASSERT(!pfn_is_none(frame_model_alloc(&model, 0)));
}

/* The timeline of frame_stack.h: the owner pops and pushes another frame while the thief holds its swap. */
static void pop_and_push_another(void)
{
    alloc_as(1);
    free_as(1, 44);
}

static void test_thief_never_takes_a_rewritten_slot(void **state)
{
    (void)state;
    start();
    free_as(1, 11);
    free_as(1, 22);
    free_as(1, 33);
    set_intruder(INJECT_CAS, 1, pop_and_push_another);
    alloc_as(0);
    assert_int_equal(intruder.passed, 1);
    assert_int_equal(model.nheld, NFRAMES - 2);
    finish();
}

/* A thief empties the stack while the owner holds its push. */
static void steal_everything(void)
{
    host_become_hart(0);
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
}

static void test_push_survives_a_theft(void **state)
{
    (void)state;
    start();
    free_as(1, 11);
    free_as(1, 22);
    /* By hand: the model would say that 33 is free as soon as it is asked for, which is right, but not
     * yet. */
    set_intruder(INJECT_CAS, 1, steal_everything);
    host_become_hart(1);
    frame_free(&model.fa, pfn_add(MODEL_BASE, 33), 0);
    assert_int_equal(frame_free_count(&model.fa), 1);
    assert_int_equal(frame_alloc(&model.fa, 0, 0).value, MODEL_BASE.value + 33);
    finish();
}

/*
 * A pair of frames is free at every instant, but in another place before and after: on hart 2's stack, then
 * on hart 0's. A scan in the order of the harts that is interrupted at hart 1 sees neither.
 */
static void move_the_pair(void)
{
    free_as(0, 100);
    free_as(0, 101);
    alloc_as(2);
    alloc_as(2);
}

static void test_exhaustion_is_exact(void **state)
{
    (void)state;
    start();
    free_as(2, 200);
    free_as(2, 201);
    free_as(1, 11);
    /* The first swap of the scan takes hart 1's only frame. */
    set_intruder(INJECT_CAS, 1, move_the_pair);
    host_become_hart(3);
    assert_int_equal(frame_model_alloc(&model, 1).value, MODEL_BASE.value + 100);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thief_never_takes_a_rewritten_slot),
        cmocka_unit_test(test_push_survives_a_theft),
        cmocka_unit_test(test_exhaustion_is_exact),
    };
    return cmocka_run_group_tests_name("frame races", tests, NULL, NULL);
}
