/* ASIDs: a number means one space at a time to every hart that has not been told to forget, over many generations. */
#include "unit.h"

#include <string.h>

#include "lib/rng.h"
#include "mm/vm/asid.h"
#include "shim/host.h"

#define HARTS    4u
#define CONTEXTS 64u
#define BITS     4

/* What each hart may remember under each number: of which context. */
static struct {
    unsigned owner[HARTS][1u << BITS]; /* context + 1; 0: nothing */
    unsigned running[HARTS]; /* context + 1 */
} known;

static asid_context_t contexts[CONTEXTS];
static unsigned step = 1; /* 2: numbers are pairs */

static void enter(unsigned hart, unsigned context)
{
    bool flush;
    host_become_hart(hart);
    uint16_t number = asid_enter(&contexts[context], &flush);
    assert_in_range(number, step, (1u << BITS) - step);
    assert_int_equal(number % step, 0);
    assert_int_equal(number, asid_of(&contexts[context]));
    if (flush)
        memset(known.owner[hart], 0, sizeof(known.owner[hart]));
    assert_true(known.owner[hart][number] == 0 || known.owner[hart][number] == context + 1);
    known.owner[hart][number] = context + 1;
    known.running[hart] = context + 1;
    for (unsigned i = 0; i < HARTS; i++) /* who is in it goes by the same number */
        assert_true(known.running[i] != context + 1 || known.owner[i][number] == context + 1);
}

static void reset(unsigned bits, unsigned nharts)
{
    memset(&known, 0, sizeof(known));
    memset(contexts, 0, sizeof(contexts));
    asid_init(bits, step == 2, nharts);
}

static void test_numbers_are_told_apart(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 8, 1);
    reset(BITS, HARTS);
    for (unsigned i = 0; i < 20000; i++)
        enter(rng_below(&rng, HARTS), rng_below(&rng, i % 1000 < 500 ? CONTEXTS : 6));
    assert_true(asid_rollovers() > 100);
    host_become_hart(0);
}

static void test_pairs_are_told_apart(void **state)
{
    step = 2;
    test_numbers_are_told_apart(state);
    step = 1;
}

static void test_a_switch_back_flushes_nothing(void **state)
{
    (void)state;
    reset(BITS, HARTS);
    enter(0, 0);
    enter(0, 1);
    uint16_t number = asid_of(&contexts[0]);
    for (unsigned i = 0; i < 100; i++)
        enter(0, i % 2);
    assert_int_equal(asid_of(&contexts[0]), number);
    assert_int_equal(asid_rollovers(), 0);
}

static void test_hardware_without_numbers(void **state)
{
    (void)state;
    asid_init(0, false, 1);
    assert_false(asid_available());
    asid_init(1, false, 1);
    assert_false(asid_available());
    asid_init(16, false, HART_MAX);
    assert_true(asid_available());
    asid_init(16, true, HART_MAX);
    assert_true(asid_available());
}

/* As few as do for two harts: each has one, and there is one more. */
static void check_fewest(unsigned bits)
{
    struct rng rng;
    rng_seed(&rng, 8, 2);
    reset(bits, 3);
    assert_false(asid_available());
    reset(bits, 2);
    assert_true(asid_available());
    for (unsigned i = 0; i < 5000; i++)
        enter(rng_below(&rng, 2), rng_below(&rng, CONTEXTS));
    host_become_hart(0);
}

static void test_fewer_numbers_than_harts_are_none(void **state)
{
    (void)state;
    check_fewest(2); /* 1, 2 and 3 */
    step = 2;
    check_fewest(3); /* 2, 4 and 6 */
    step = 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_told_apart),
        cmocka_unit_test(test_pairs_are_told_apart),
        cmocka_unit_test(test_a_switch_back_flushes_nothing),
        cmocka_unit_test(test_hardware_without_numbers),
        cmocka_unit_test(test_fewer_numbers_than_harts_are_none),
    };
    return cmocka_run_group_tests_name("asid", tests, NULL, NULL);
}
