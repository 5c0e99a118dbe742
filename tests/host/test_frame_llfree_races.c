/*
 * Races of "llfree" made to happen, one at a time: in one thread, where another hart gets its turn at a failure point,
 * or in two, one of which is held up there. All are about the same promise: nobody is told that there is no frame while
 * there is one. The linker sends inject_due() here (host.mk).
 */
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "arch/panic.h"
#include "mm/frame/llfree.h"
#include "intruder.h"
#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/inject.h"

#define HARTS   2
#define TREE    (TREE_CHILDREN * CHILD_FRAMES)
#define NFRAMES (4 * TREE) /* two trees a hart */

static const char *const designs[] = {"llfree", "llfree_locked"};

static struct frame_model model;

/* While set, no tree yields anything: what is found is found by the last resort, which passes INJECT_LOOK. */
static bool only_last_resort;

bool __wrap_inject_due(enum inject point)
{
    if (point == INJECT_LOOK)
        only_last_resort = false;
    if (only_last_resort && point == INJECT_CHILD)
        return true;
    intruder_enters(point);
    return false;
}

static void start(const char *design, size_t nframes, unsigned nharts)
{
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find(design), &lock_tas, nframes, nharts);
}

static void finish(void)
{
    assert_int_equal(intruder.at, 0);
    frame_model_finish(&model);
}

static void take_all(unsigned hart, unsigned order)
{
    host_become_hart(hart);
    frame_model_take_all(&model, order);
}

/* Frees, as a hart, so many blocks of the last tree, of that order. */
static void free_in_last_tree(unsigned hart, unsigned order, unsigned count)
{
    host_become_hart(hart);
    for (size_t i = model.nblocks; i-- > 0 && count > 0;) {
        uint64_t index = model.blocks[i].pfn.value - MODEL_BASE.value;
        if (model.blocks[i].order == order && index / TREE == NFRAMES / TREE - 1) {
            frame_model_free(&model, i);
            count--;
        }
    }
    ASSERT(count == 0);
}

/* Blocks of each order, wherever the search begins. */
static void test_last_resort_finds_every_order(void **state)
{
    (void)state;
    static const unsigned nchildren = 6;
    for (size_t d = 0; d < ARRAY_SIZE(designs); d++) {
        start(designs[d], (size_t)nchildren * CHILD_FRAMES, HARTS);
        take_all(0, FRAME_ORDER_MAX);
        assert_int_equal(model.nblocks, 3);
        frame_model_free(&model, 1);
        for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
            for (unsigned child = 0; child < nchildren; child++) {
                frame_drain(&model.fa);
                llfree_of(&model.fa)->harts[0].row = child * CHILD_ROWS;
                only_last_resort = true;
                assert_false(pfn_is_none(frame_model_alloc(&model, order)));
                assert_false(only_last_resort);
                frame_model_check(&model);
                frame_model_free(&model, model.nblocks - 1);
            }
        }
        finish();
    }
}

static pfn_t stolen;

static void take_the_last(void)
{
    host_become_hart(1);
    stolen = frame_alloc(&model.fa, 0, 0);
}

/* Who has paid for the last frame, and has not taken it yet, does not hide it, and gets his money back. The other comes
 * in before the at-th swap of an allocation. */
static void take_what_is_paid_for(unsigned at)
{
    size_t nframes = model.fa.nframes;
    host_become_hart(0);
    set_intruder(INJECT_CAS, at, take_the_last);
    pfn_t pfn = frame_alloc(&model.fa, 0, 0);
    assert_int_equal(intruder.at, 0);
    assert_false(pfn_is_none(stolen));
    assert_true(pfn_is_none(pfn));
    assert_int_equal(frame_validate(&model.fa, nframes), 0);
    frame_free(&model.fa, stolen, 0);
}

static void test_who_has_paid_hides_nothing(void **state)
{
    (void)state;
    static const size_t sizes[] = {NFRAMES, 600}; /* with reservations, and without */
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        /* The swaps of the tree's count, of the child's, of the row. */
        for (unsigned at = 1; at <= 3; at++) {
            start("llfree", sizes[i], HARTS);
            take_all(0, 0);
            frame_model_free(&model, 100);
            take_what_is_paid_for(at);
            finish();
        }
    }
}

/* The same on the fast path: what is free is in the hart's own tree. The swap of its own count comes first. */
static void test_who_has_paid_by_himself_hides_nothing(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= 3; at++) {
        start("llfree", NFRAMES, HARTS);
        take_all(0, 0);
        frame_drain(&model.fa);
        free_in_last_tree(0, 0, 4);
        for (unsigned i = 0; i < 3; i++)
            frame_model_alloc(&model, 0);
        assert_int_equal(frame_stranded_count(&model.fa), 1);
        take_what_is_paid_for(at);
        finish();
    }
}

/* Frames by their number: x is free first; y, which lies in the child in front of it, is then. And how many children the
 * search has looked at when it has come to x's. */
static uint64_t x, y;
static unsigned looks;

/* One frame is free at every instant. From here on it is y, which hart 0 has looked for in vain. */
static void free_another_and_take_the_last(void)
{
    host_become_hart(2);
    frame_free(&model.fa, pfn_add(MODEL_BASE, y), 0);
    ASSERT(frame_alloc(&model.fa, 0, 0).value == MODEL_BASE.value + x);
}

static void ask_for_the_last(void)
{
    host_become_hart(0);
    set_intruder(INJECT_LOOK, looks, free_another_and_take_the_last);
    stolen = frame_alloc(&model.fa, 0, 0);
    ASSERT(intruder.at == 0);
}

/* The timeline of find_anywhere(): hart 1 has paid for x, so that no count shows it to hart 0. The model holds x and y
 * throughout, and in the end so do the harts. */
static void ask_while_it_moves(void)
{
    host_become_hart(1);
    set_intruder(INJECT_CAS, 2, ask_for_the_last);
    assert_true(pfn_is_none(frame_alloc(&model.fa, 0, 0)));
    assert_int_equal(stolen.value, MODEL_BASE.value + y);
    assert_int_equal(frame_validate(&model.fa, model.fa.nframes), 0);
    finish();
}

static void test_nothing_is_freed_behind_a_search(void **state)
{
    (void)state;
    start("llfree", 2 * CHILD_FRAMES, 3);
    take_all(1, 0);
    x = CHILD_FRAMES + 100;
    y = 100;
    looks = 2;
    frame_free(&model.fa, pfn_add(MODEL_BASE, x), 0);
    ask_while_it_moves();
}

/* The same in a tree that hart 2 has reserved: its children are 4 and 5; hart 0 begins at 11, its last. */
static void test_nothing_is_freed_behind_a_search_by_an_owner(void **state)
{
    (void)state;
    start("llfree", 6 * 2 * CHILD_FRAMES, 3);
    take_all(0, 0);
    frame_drain(&model.fa);
    x = 5 * CHILD_FRAMES + 103;
    y = 4 * CHILD_FRAMES;
    looks = 7;
    host_become_hart(2);
    for (unsigned i = 0; i < 4; i++)
        frame_free(&model.fa, pfn_add(MODEL_BASE, x - 3 + i), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(frame_alloc(&model.fa, 0, 0).value, MODEL_BASE.value + x - 3 + i);
    assert_int_equal(frame_stranded_count(&model.fa), 1);
    ask_while_it_moves();
}

static _Atomic bool asking, answered;
static pfn_t answer;

static void *ask(void *unused)
{
    host_become_hart(1);
    atomic_store(&asking, true);
    answer = frame_alloc(&model.fa, 0, 0);
    atomic_store(&answered, true);
    return unused;
}

static pthread_t thread;

/* Another hart takes the second of two free rows, on credit, while the first is hidden by the attempt at both, and
 * then asks for a frame more: it must not be told that there is none. */
static void take_second_row_and_ask(void)
{
    host_become_hart(1);
    for (unsigned i = 0; i < ROW_FRAMES; i++)
        ASSERT(frame_alloc(&model.fa, 0, 0).value == MODEL_BASE.value + ROW_FRAMES + i);
    ASSERT(pthread_create(&thread, NULL, ask, NULL) == 0);
    while (!atomic_load(&asking))
        usleep(100);
    usleep(20000);
    ASSERT(!atomic_load(&answered));
}

static void test_rows_of_an_attempt_are_waited_for(void **state)
{
    (void)state;
    for (size_t d = 0; d < ARRAY_SIZE(designs); d++) {
        atomic_store(&asking, false);
        atomic_store(&answered, false);
        start(designs[d], 2 * ROW_FRAMES, HARTS);
        set_intruder(INJECT_ROW, 1, take_second_row_and_ask);
        assert_true(pfn_is_none(frame_alloc(&model.fa, 7, 0)));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_in_range(answer.value, MODEL_BASE.value, MODEL_BASE.value + ROW_FRAMES - 1);
        assert_int_equal(frame_validate(&model.fa, ROW_FRAMES + 1), 0);
        for (unsigned i = 0; i < ROW_FRAMES; i++)
            frame_free(&model.fa, pfn_add(MODEL_BASE, ROW_FRAMES + i), 0);
        frame_free(&model.fa, answer, 0);
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_resort_finds_every_order),
        cmocka_unit_test(test_who_has_paid_hides_nothing),
        cmocka_unit_test(test_who_has_paid_by_himself_hides_nothing),
        cmocka_unit_test(test_nothing_is_freed_behind_a_search),
        cmocka_unit_test(test_nothing_is_freed_behind_a_search_by_an_owner),
        cmocka_unit_test(test_rows_of_an_attempt_are_waited_for),
    };
    return cmocka_run_group_tests_name("frame llfree races", tests, NULL, NULL);
}
