/* Numbers as people write them in configuration: everything that is not exactly one is refused. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/error.h"
#include "lib/number.h"
#include "lib/rng.h"
#include "tests/host/unit.h"

#define UNTOUCHED      0x5555555555555555ull
#define RANDOM_NUMBERS 5000

static int parse(const char *text, uint64_t *value)
{
    *value = UNTOUCHED;
    return number_parse(text, strlen(text), value);
}

static void accepted(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"007", 7},
        {"42", 42},
        {"0x0", 0},
        {"0xdeadBEEF", 0xdeadbeef},
        {"18446744073709551615", UINT64_MAX},
        {"0xffffffffffffffff", UINT64_MAX},
        {"0x0000000000000000001", 1},
        {"1K", 1024},
        {"3M", 3ull << 20},
        {"2G", 2ull << 30},
        {"0x10K", 16384},
        {"17179869183G", 17179869183ull << 30},
        {"18014398509481983K", 18014398509481983ull << 10},
        {"0G", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t value;
        assert_int_equal(parse(cases[i].text, &value), 0);
        assert_int_equal(value, cases[i].value);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {"", ERR_FORMAT},
        {"K", ERR_FORMAT},
        {"0x", ERR_FORMAT},
        {"0xK", ERR_FORMAT},
        {"x1", ERR_FORMAT},
        {"1k", ERR_FORMAT},
        {"1KK", ERR_FORMAT},
        {"1KB", ERR_FORMAT},
        {" 1", ERR_FORMAT},
        {"1 ", ERR_FORMAT},
        {"-1", ERR_FORMAT},
        {"+1", ERR_FORMAT},
        {"1.5", ERR_FORMAT},
        {"1e3", ERR_FORMAT},
        {"0b1", ERR_FORMAT},
        {"0X10", ERR_FORMAT},
        {"a", ERR_FORMAT},
        {"1/2", ERR_FORMAT},
        {"1:", ERR_FORMAT},
        {"0xg", ERR_FORMAT},
        {"0x1@", ERR_FORMAT},
        {"0x1`", ERR_FORMAT},
        {"18446744073709551616", ERR_RANGE},
        {"0x10000000000000000", ERR_RANGE},
        {"99999999999999999999999", ERR_RANGE}, /* the next two wrap to 0 before their last digit */
        {"184467440737095516160", ERR_RANGE},
        {"0x100000000000000000", ERR_RANGE},
        {"17179869184G", ERR_RANGE},
        {"18014398509481984K", ERR_RANGE},
        {"18446744073709551615K", ERR_RANGE},
        {"99999999999999999999999x", ERR_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t value;
        assert_int_equal(parse(cases[i].text, &value), cases[i].error);
        assert_int_equal(value, UNTOUCHED);
    }
}

static void length_bounds_the_text(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(number_parse("123,4", 3, &value), 0);
    assert_int_equal(value, 123);
    assert_int_equal(number_parse("12K4", 3, &value), 0);
    assert_int_equal(value, 12288);
    assert_int_equal(number_parse("0x1", 2, &value), ERR_FORMAT);
    assert_int_equal(number_parse("0x1", 1, &value), 0);
    assert_int_equal(value, 0);
}

static void printed_numbers_read_back(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 2, 0);
    for (unsigned i = 0; i < RANDOM_NUMBERS; i++) {
        uint64_t number = rng_next(&rng) >> rng_below(&rng, 64), value;
        char text[32];
        snprintf(text, sizeof(text), i % 2 == 0 ? "%" PRIu64 : "0x%" PRIx64, number);
        assert_int_equal(parse(text, &value), 0);
        assert_int_equal(value, number);
    }
}

static void range_includes_its_ends(void **state)
{
    uint64_t value = UNTOUCHED;

    (void)state;
    assert_int_equal(number_parse_range("1", 1, 64, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(number_parse_range("64", 1, 64, &value), 0);
    assert_int_equal(value, 64);
    assert_int_equal(number_parse_range("0", 1, 64, &value), ERR_RANGE);
    assert_int_equal(number_parse_range("65", 1, 64, &value), ERR_RANGE);
    assert_int_equal(number_parse_range("x", 1, 64, &value), ERR_FORMAT);
    assert_int_equal(value, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(length_bounds_the_text),
        cmocka_unit_test(printed_numbers_read_back),
        cmocka_unit_test(range_includes_its_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
