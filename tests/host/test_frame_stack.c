/* The stacks of "hartcache" alone, in the states that a race is needed for elsewhere. */
#include "unit.h"

#include "mm/frame/frame_stack.h"

static struct frame_stack stack;

static void push(uint64_t frame)
{
    enum stack_push push;
    do /* the host's compare-and-swap is weak, too */
        push = frame_stack_push(&stack, PFN(frame));
    while (push == STACK_LOST_RACE);
    assert_int_equal(push, STACK_PUSHED);
}

static void test_last_in_first_out(void **state)
{
    (void)state;
    frame_stack_init(&stack, STACK_FRAMES_MAX);
    for (uint64_t frame = 0; frame < STACK_FRAMES_MAX; frame++) {
        assert_int_equal(frame_stack_count(&stack), frame);
        push(frame);
        assert_int_equal(frame_stack_at(&stack, 0).value, frame);
    }
    assert_int_equal(frame_stack_push(&stack, PFN(1)), STACK_FULL);
    for (uint64_t frame = STACK_FRAMES_MAX; frame-- > 0;)
        assert_int_equal(frame_stack_pop(&stack).value, frame);
    assert_true(pfn_is_none(frame_stack_pop(&stack)));
    assert_int_equal(frame_stack_count(&stack), 0);
}

static void test_bulk_keeps_the_order(void **state)
{
    (void)state;
    pfn_t in[] = {PFN(1), PFN(2), PFN(3), PFN(4), PFN(5)}, out[5];
    frame_stack_init(&stack, 5);
    frame_stack_fill(&stack, in, 5);
    assert_int_equal(frame_stack_take(&stack, out, 2), 2);
    assert_int_equal(out[0].value, 5);
    assert_int_equal(out[1].value, 4);
    assert_int_equal(frame_stack_pop(&stack).value, 3);
    push(6);
    assert_int_equal(frame_stack_take(&stack, out, 5), 3);
    assert_int_equal(out[0].value, 6);
    assert_int_equal(out[2].value, 1);
    assert_int_equal(frame_stack_take(&stack, out, 5), 0);
}

static void test_no_capacity_is_both_empty_and_full(void **state)
{
    (void)state;
    pfn_t out[1];
    frame_stack_init(&stack, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(pfn_is_none(frame_stack_pop(&stack)));
        assert_int_equal(frame_stack_push(&stack, PFN(1)), STACK_FULL);
        assert_int_equal(frame_stack_take(&stack, out, 1), 0);
        assert_int_equal(frame_stack_count(&stack), 0);
    }
}

/* A thief that looks while the owner pops from the empty stack, having taken room but not yet put it back. */
static void test_pop_in_flight_looks_empty(void **state)
{
    (void)state;
    const unsigned capacities[] = {0, 1, 7, STACK_FRAMES_MAX};
    for (unsigned i = 0; i < ARRAY_SIZE(capacities); i++) {
        pfn_t out[STACK_FRAMES_MAX];
        frame_stack_init(&stack, capacities[i]);
        stack.word -= STACK_VERSION - STACK_SLOT_BYTES;
        assert_int_equal(frame_stack_count(&stack), 0);
        assert_int_equal(frame_stack_take(&stack, out, STACK_FRAMES_MAX), 0);
        stack.word -= STACK_SLOT_BYTES;
        assert_true(pfn_is_none(frame_stack_pop(&stack)));
        assert_int_equal(frame_stack_count(&stack), 0);
    }
}

/* Whatever is done, the word becomes smaller: this is what defeats ABA and makes two equal scans a proof. */
static void test_word_never_comes_back(void **state)
{
    (void)state;
    pfn_t frames[STACK_FRAMES_MAX];
    frame_stack_init(&stack, STACK_FRAMES_MAX);
    /* Far from wrapping, where smaller means later. */
    stack.word += STACK_VERSION << 20;
    uint64_t before = frame_stack_word(&stack);
#define SMALLER(operation)                                                                                   \
    do {                                                                                                     \
        operation;                                                                                           \
        assert_true(frame_stack_word(&stack) < before);                                                      \
        before = frame_stack_word(&stack);                                                                   \
    } while (0)
    for (unsigned round = 0; round < 3; round++) {
        SMALLER(frame_stack_pop(&stack));
        for (unsigned i = 0; i < STACK_FRAMES_MAX; i++)
            SMALLER(push(i));
        SMALLER(frame_stack_pop(&stack));
        SMALLER(push(7));
        SMALLER(frame_stack_take(&stack, frames, 1));
        SMALLER(frame_stack_take(&stack, frames, STACK_FRAMES_MAX));
        SMALLER(frame_stack_fill(&stack, frames, 10));
        SMALLER(frame_stack_take(&stack, frames, 10));
    }
#undef SMALLER
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_in_first_out),
        cmocka_unit_test(test_bulk_keeps_the_order),
        cmocka_unit_test(test_no_capacity_is_both_empty_and_full),
        cmocka_unit_test(test_pop_in_flight_looks_empty),
        cmocka_unit_test(test_word_never_comes_back),
    };
    return cmocka_run_group_tests_name("frame stack", tests, NULL, NULL);
}
