/*
 * Races of "hartcache" and "caslist" made to happen, one at a time, in one thread. The failure points stand exactly where another
 * hart can come between: there it gets its turn. The linker sends inject_due() here (host.mk). What the threads
 * of tsan_frame.c meet once in a long while is met here every time.
 */
#include "unit.h"

#include "arch/panic.h"
#include "mm/frame/hartcache.h"
#include "intruder.h"
#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/inject.h"

#define HARTS   4
#define NFRAMES (HARTS * CHUNK_FRAMES)

static struct frame_model model;
static struct frame_stack stack;

bool __wrap_inject_due(enum inject point)
{
    intruder_enters(point);
    return false;
}

static void push(uint64_t frame)
{
    while (frame_stack_push(&stack, PFN(frame)) != STACK_PUSHED)
        ;
}

/* The timeline of frame_stack.h: the owner pops and pushes another while the thief holds its swap. */
static void pop_and_push_another(void)
{
    assert_int_equal(frame_stack_pop(&stack).value, 33);
    push(44);
}

static void test_thief_never_takes_a_rewritten_slot(void **state)
{
    (void)state;
    pfn_t taken[2];
    frame_stack_init(&stack, 5);
    push(11);
    push(22);
    push(33);
    set_intruder(INJECT_CAS, 1, pop_and_push_another);
    assert_int_equal(frame_stack_take(&stack, taken, 2), 2);
    assert_int_equal(taken[0].value, 44);
    assert_int_equal(taken[1].value, 22);
    assert_int_equal(frame_stack_pop(&stack).value, 11);
}

/* A thief empties the stack while the owner holds its push. */
static void steal_everything(void)
{
    pfn_t taken[5];
    assert_int_equal(frame_stack_take(&stack, taken, 5), 2);
}

static void test_push_survives_a_theft(void **state)
{
    (void)state;
    frame_stack_init(&stack, 5);
    push(11);
    push(22);
    set_intruder(INJECT_CAS, 1, steal_everything);
    push(33);
    assert_int_equal(frame_stack_pop(&stack).value, 33);
    assert_true(pfn_is_none(frame_stack_pop(&stack)));
}

/* All frames in use, each hart's in the chunk of its number. */
static void start(void)
{
    set_intruder(INJECT_CAS, 0, NULL);
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_tas, NFRAMES, HARTS);
    for (unsigned hart = 0; hart < HARTS; hart++) {
        host_become_hart(hart);
        for (unsigned i = 0; i < CHUNK_FRAMES; i++)
            assert_int_equal(frame_model_alloc(&model, 0).value, MODEL_BASE.value + hart * CHUNK_FRAMES + i);
    }
}

static void finish(void)
{
    assert_int_equal(intruder.at, 0);
    frame_model_finish(&model);
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

/* A pair of frames is free at every instant, but in another place before and after: a search that has passed the
 * one and not yet come to the other sees neither. The last two frames of a chunk are in the word that its owner
 * allocates from, so that all of this is on fast paths, which no lock keeps out. */
#define FIRST_PAIR (1 * CHUNK_FRAMES + 100)
#define LAST_PAIR  (3 * CHUNK_FRAMES - 2)

static void move_the_pair(void)
{
    free_as(1, FIRST_PAIR);
    free_as(1, FIRST_PAIR + 1);
    host_become_hart(2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(frame_model_alloc(&model, 0).value, MODEL_BASE.value + LAST_PAIR + i);
}

static void test_exhaustion_is_exact(void **state)
{
    (void)state;
    start();
    free_as(2, LAST_PAIR + 1);
    free_as(2, LAST_PAIR);
    /* Before the search looks at the third chunk, which is hart 2's. */
    set_intruder(INJECT_LOOK, 3, move_the_pair);
    host_become_hart(0);
    assert_int_equal(frame_model_alloc(&model, 1).value, MODEL_BASE.value + FIRST_PAIR);
    finish();
}

/* A frame in the middle of hart 0's chunk. */
#define STOLEN (4 * 64)

/* A thief takes the frame behind it, from the word that it uses without owning it: while the chunk is being closed, and
 * so behind the model's back. */
static void take_another(void)
{
    host_become_hart(3);
    assert_int_equal(frame_alloc(&model.fa, 0, 0).value, MODEL_BASE.value + STOLEN + 1);
}

static void test_closing_loses_to_a_thief(void **state)
{
    (void)state;
    start();
    free_as(0, STOLEN);
    host_become_hart(3);
    assert_int_equal(frame_model_alloc(&model, 0).value, MODEL_BASE.value + STOLEN);
    for (unsigned i = 0; i < CHUNK_FRAMES; i++)
        free_as(0, i);
    /* All of the chunk is free, and wanted as a whole. It is closed word by word; at the fifth, the thief is there. */
    host_become_hart(1);
    set_intruder(INJECT_CAS, STOLEN / 64 + 1, take_another);
    assert_true(pfn_is_none(frame_alloc(&model.fa, CHUNK_ORDER, 0)));
    assert_int_equal(frame_validate(&model.fa, model.nheld + 1), 0);
    frame_free(&model.fa, pfn_add(MODEL_BASE, STOLEN + 1), 0);
    frame_drain(&model.fa);
    finish();
}

/* A hart that allocates and frees the same frame again and again, on its fast paths: at every look of a search, until
 * its next allocation would need its lock, which the search holds. */
static unsigned churned;

static void churn_a_frame(void)
{
    assert_in_range(++churned, 1, 10 * HARTS);
    host_become_hart(1);
    struct hart_cache *cache = hart_cache_own(&model.fa);
    if (hart_word(cache) == &cache->no_word)
        return;
    frame_free(&model.fa, frame_alloc(&model.fa, 0, 0), 0);
    set_intruder(INJECT_LOOK, 1, churn_a_frame);
}

static void test_search_ends_while_others_churn(void **state)
{
    (void)state;
    start();
    /* In the word that hart 1 allocates from, alone. */
    free_as(1, 2 * CHUNK_FRAMES - 1);
    churned = 0;
    set_intruder(INJECT_LOOK, 1, churn_a_frame);
    host_become_hart(0);
    assert_true(pfn_is_none(frame_model_alloc(&model, 1)));
    assert_in_range(churned, 2, 10 * HARTS);
    finish();
}

/* Who has gathered and then fallen asleep costs those who ask in vain nothing but a look. */
static void test_vain_requests_take_no_locks_of_others(void **state)
{
    (void)state;
    start();
    free_as(1, 0);
    host_become_hart(2);
    assert_int_equal(frame_model_alloc(&model, 0).value, MODEL_BASE.value);
    uint64_t moves = atomic_load(&hart_cache_of(&model.fa, 1)->moves);
    assert_true(pfn_is_none(frame_model_alloc(&model, 0)));
    assert_int_equal(atomic_load(&hart_cache_of(&model.fa, 1)->moves), moves);
    finish();
}

/* A second free of a frame whose chunk a search is closing, and has closed that word of already. */
static void free_again(void)
{
    host_become_hart(0);
    frame_free(&model.fa, pfn_add(MODEL_BASE, 7), 0);
}

static void test_closing_finds_a_double_free(void **state)
{
    (void)state;
    start();
    /* Hart 0 keeps its chunk, as it allocates from there next. */
    for (unsigned i = 0; i < CHUNK_FRAMES; i++)
        free_as(0, i);
    host_console_capture();
    set_intruder(INJECT_CAS, 2, free_again);
    host_become_hart(1);
    assert_int_equal(frame_model_alloc(&model, FRAME_ORDER_HUGE).value, MODEL_BASE.value);
    assert_int_equal(model.fa.misuse_count, 1);
    assert_int_equal(model.fa.last_misuse.kind, FRAME_MISUSE_DOUBLE_FREE);
    assert_int_equal(model.fa.last_misuse.pfn.value, MODEL_BASE.value + 7);
    host_console_release();
    finish();
}

static void start_caslist(void)
{
    set_intruder(INJECT_CAS, 0, NULL);
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("caslist"), &lock_tas, NFRAMES, HARTS);
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
}

static void alloc_as(unsigned hart, uint64_t index)
{
    host_become_hart(hart);
    assert_int_equal(frame_model_alloc(&model, 0).value, MODEL_BASE.value + index);
}

/* The timeline of caslist.c, with A, B and C the frames 11, 22 and 33: what hart 0 has read of A is out of date,
 * but A is the head again. */
static void pop_two_and_push_the_first(void)
{
    alloc_as(1, 11);
    alloc_as(1, 22);
    free_as(1, 11);
}

static void test_pop_is_not_taken_in_by_the_same_head(void **state)
{
    (void)state;
    start_caslist();
    free_as(1, 33);
    free_as(1, 22);
    free_as(1, 11);
    set_intruder(INJECT_CAS, 1, pop_two_and_push_the_first);
    alloc_as(0, 11);
    frame_model_check(&model);
    /* C is left, and not B, which hart 1 holds. */
    alloc_as(0, 33);
    assert_true(pfn_is_none(frame_model_alloc(&model, 0)));
    finish();
}

/* The head changes while hart 0 holds its push, whose link is then to the wrong frame. */
static void push_two_and_pop_one(void)
{
    free_as(1, 33);
    free_as(1, 22);
    alloc_as(1, 22);
}

static void test_push_links_to_the_head_that_it_swaps(void **state)
{
    (void)state;
    start_caslist();
    free_as(1, 11);
    set_intruder(INJECT_CAS, 1, push_two_and_pop_one);
    /* Behind the model's back, which else would take the frame for free before the call has returned. */
    host_become_hart(0);
    frame_free(&model.fa, pfn_add(MODEL_BASE, 44), 0);
    for (unsigned index = 44; index > 0; index -= 11)
        if (index != 22)
            assert_int_equal(frame_alloc(&model.fa, 0, 0).value, MODEL_BASE.value + index);
    frame_free(&model.fa, pfn_add(MODEL_BASE, 11), 0);
    frame_free(&model.fa, pfn_add(MODEL_BASE, 33), 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thief_never_takes_a_rewritten_slot),
        cmocka_unit_test(test_push_survives_a_theft),
        cmocka_unit_test(test_exhaustion_is_exact),
        cmocka_unit_test(test_closing_loses_to_a_thief),
        cmocka_unit_test(test_search_ends_while_others_churn),
        cmocka_unit_test(test_vain_requests_take_no_locks_of_others),
        cmocka_unit_test(test_closing_finds_a_double_free),
        cmocka_unit_test(test_pop_is_not_taken_in_by_the_same_head),
        cmocka_unit_test(test_push_links_to_the_head_that_it_swaps),
    };
    return cmocka_run_group_tests_name("frame races", tests, NULL, NULL);
}
