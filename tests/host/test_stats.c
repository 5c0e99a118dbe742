/* Sorting, medians, fairness and exact quotients against wider arithmetic. */
#include <stdlib.h>
#include <string.h>
#include "lib/ratio.h"
#include "lib/rng.h"
#include "lib/stats.h"
#include "tests/host/unit.h"

#define SAMPLES_MAX   70
#define RANDOM_RATIOS 20000

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void sort_equals_qsort(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11, 0);
    for (size_t count = 0; count <= SAMPLES_MAX; count++) {
        for (unsigned bits = 1; bits <= 64; bits += 9) {
            uint64_t ours[SAMPLES_MAX], theirs[SAMPLES_MAX];
            for (size_t i = 0; i < count; i++)
                ours[i] = theirs[i] = rng_next(&rng) >> (64 - bits);
            stats_sort(ours, count);
            qsort(theirs, count, sizeof(theirs[0]), compare);
            assert_memory_equal(ours, theirs, count * sizeof(ours[0]));
        }
    }
}

static void median_is_the_lower_middle(void **state)
{
    static const uint64_t sorted[] = {10, 20, 30, 40, 50};

    (void)state;
    assert_int_equal(stats_median(sorted, 1), 10);
    assert_int_equal(stats_median(sorted, 2), 10);
    assert_int_equal(stats_median(sorted, 3), 20);
    assert_int_equal(stats_median(sorted, 4), 20);
    assert_int_equal(stats_median(sorted, 5), 30);
}

static void fairness_at_its_ends(void **state)
{
    static const uint64_t huge[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    uint64_t values[64] = {0};

    (void)state;
    assert_int_equal(stats_jain_millionths(values, 0), 1000000);
    assert_int_equal(stats_jain_millionths(values, 64), 1000000);
    assert_int_equal(stats_jain_millionths(huge, 3), 1000000);
    values[5] = UINT64_MAX;
    assert_int_equal(stats_jain_millionths(values, 64), 15625);
    values[5] = 1;
    assert_int_equal(stats_jain_millionths(values, 64), 15625);
    assert_int_equal(stats_jain_millionths(values, 6), 166667);
    assert_int_equal(stats_jain_millionths((const uint64_t[]){1, 2, 3}, 3), 857143);
}

/* Small values exactly, large ones to the accuracy that scaling leaves: one millionth. */
static void fairness_equals_the_definition(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 12, 0);
    for (unsigned bits = 1; bits <= 56; bits++) {
        uint64_t values[64];
        unsigned __int128 sum = 0;
        long double squares = 0;
        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
            values[i] = (rng_next(&rng) >> (64 - bits)) + 1;
            sum += values[i];
            squares += (long double)values[i] * values[i];
        }
        long double exact = (long double)sum * sum / (ARRAY_SIZE(values) * squares) * 1e6L;
        long double error = stats_jain_millionths(values, ARRAY_SIZE(values)) - exact;
        assert_true(error >= -1.5L && error <= 1.5L);
    }
}

/* Rounds half up in 128 bits: 2^64 * 10^9 * 2 takes 95 of them. */
static void check_ratio(uint64_t numerator, uint64_t denominator, unsigned decimals)
{
    uint32_t unit = 1;

    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    unsigned __int128 scaled = ((unsigned __int128)numerator * unit * 2 + denominator) / denominator / 2;
    struct decimal ratio = ratio_decimal(numerator, denominator, decimals);
    assert_int_equal(ratio.whole, (uint64_t)(scaled / unit));
    assert_int_equal(ratio.fraction, (uint64_t)(scaled % unit));
}

static void ratios_are_exact_at_the_edges(void **state)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 7, 9, 10, 11, 99, 100, 101, 199, 999999999, 1000000000,
        1ull << 32, (1ull << 60) - 1, 1ull << 63, (1ull << 63) + 1, UINT64_MAX / 10, UINT64_MAX / 10 + 1,
        UINT64_MAX / 3, UINT64_MAX - 1, UINT64_MAX};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(edges); n++) {
        for (size_t d = 1; d < ARRAY_SIZE(edges); d++) {
            for (unsigned decimals = 0; decimals <= 9; decimals++)
                check_ratio(edges[n], edges[d], decimals);
        }
    }
}

static void random_ratios_are_exact(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 13, 0);
    for (unsigned i = 0; i < RANDOM_RATIOS; i++) {
        uint64_t numerator = rng_next(&rng) >> rng_below(&rng, 64);
        uint64_t denominator = rng_next(&rng) >> rng_below(&rng, 64);
        check_ratio(numerator, MAX(denominator, (uint64_t)1), i % 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sort_equals_qsort),
        cmocka_unit_test(median_is_the_lower_middle),
        cmocka_unit_test(fairness_at_its_ends),
        cmocka_unit_test(fairness_equals_the_definition),
        cmocka_unit_test(ratios_are_exact_at_the_edges),
        cmocka_unit_test(random_ratios_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
