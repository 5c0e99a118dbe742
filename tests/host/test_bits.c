/* The bit searches against loops that cannot be wrong, and the arithmetic macros at their edges. */
#include "lib/bits.h"
#include "lib/rng.h"
#include "tests/host/unit.h"

#define RANDOM_WORDS 20000

static unsigned naive_lowest(uint64_t word)
{
    unsigned i = 0;

    while ((word >> i & 1) == 0)
        i++;
    return i;
}

static unsigned naive_highest(uint64_t word)
{
    unsigned i = 63;

    while ((word >> i & 1) == 0)
        i--;
    return i;
}

static unsigned naive_order(uint64_t word)
{
    unsigned order = 0;

    while (1ull << order < word)
        order++;
    return order;
}

static unsigned naive_count(uint64_t word)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 64; i++)
        count += word >> i & 1;
    return count;
}

static void check_word(uint64_t word)
{
    assert_int_equal(bits_count(word), naive_count(word));
    if (word == 0)
        return;
    assert_int_equal(bits_lowest(word), naive_lowest(word));
    assert_int_equal(bits_highest(word), naive_highest(word));
    if (word <= 1ull << 63)
        assert_int_equal(bits_order(word), naive_order(word));
}

static void single_bits_and_runs(void **state)
{
    (void)state;
    check_word(0);
    for (unsigned i = 0; i < 64; i++) {
        check_word(1ull << i);
        check_word((1ull << i) - 1);
        check_word(~0ull << i);
    }
}

static void random_words(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1, 0);
    for (unsigned i = 0; i < RANDOM_WORDS; i++) {
        uint64_t word = rng_next(&rng);
        check_word(word);
        check_word(word >> (i % 64));
        check_word(word << (i % 64));
    }
}

static void mask_sets_exactly_the_range(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 64; first++) {
        for (unsigned count = 0; first + count <= 64; count++) {
            uint64_t expected = 0;
            for (unsigned i = first; i < first + count; i++)
                expected |= 1ull << i;
            assert_int_equal(bits_mask(first, count), expected);
        }
    }
}

static void rounding_macros(void **state)
{
    (void)state;
    assert_int_equal(ALIGN_UP(0ul, 4096ul), 0);
    assert_int_equal(ALIGN_UP(1ul, 4096ul), 4096);
    assert_int_equal(ALIGN_UP(4096ul, 4096ul), 4096);
    assert_int_equal(ALIGN_DOWN(4095ul, 4096ul), 0);
    assert_int_equal(ALIGN_DOWN(4097ul, 4096ul), 4096);
    assert_int_equal(DIV_CEIL(0u, 3u), 0);
    assert_int_equal(DIV_CEIL(1u, 3u), 1);
    assert_int_equal(DIV_CEIL(3u, 3u), 1);
    assert_int_equal(DIV_CEIL(4u, 3u), 2);
    assert_true(IS_ALIGNED(8192ul, 4096ul));
    assert_false(IS_ALIGNED(8193ul, 4096ul));
    assert_true(IS_POWER_OF_TWO(1u));
    assert_true(IS_POWER_OF_TWO(1ull << 63));
    assert_false(IS_POWER_OF_TWO(0u));
    assert_false(IS_POWER_OF_TWO(6u));
    assert_int_equal(CLAMP(5, 1, 3), 3);
    assert_int_equal(CLAMP(0, 1, 3), 1);
    assert_int_equal(CLAMP(2, 1, 3), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_bits_and_runs),
        cmocka_unit_test(random_words),
        cmocka_unit_test(mask_sets_exactly_the_range),
        cmocka_unit_test(rounding_macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
