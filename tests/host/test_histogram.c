/* Buckets that tile the whole range, and quantiles within 1/64 of those of the sorted values. */
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/histogram.h"
#include "lib/rng.h"
#include "tests/host/unit.h"

#define VALUES 5000

static struct histogram h, other;

/* The least value of each bucket follows the greatest of the one before: no gap, no overlap. */
static void buckets_tile_the_range(void **state)
{
    uint64_t low = 0;

    (void)state;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t width = low < 64 ? 1 : 1ull << (bits_highest(low) - HISTOGRAM_SUB_BITS);
        assert_int_equal(histogram_bucket(low), bucket);
        assert_int_equal(histogram_bucket(low + width - 1), bucket);
        low += width;
    }
    assert_int_equal(low, 0); /* wrapped: the last bucket ends with UINT64_MAX */
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 64; value++) {
        histogram_reset(&h);
        histogram_record(&h, 0);
        histogram_record(&h, value);
        histogram_record(&h, 1000);
        assert_int_equal(histogram_quantile(&h, 2, 3), value);
    }
}

static void empty_and_single(void **state)
{
    (void)state;
    histogram_reset(&h);
    assert_int_equal(h.min, UINT64_MAX);
    assert_int_equal(h.max, 0);
    assert_int_equal(histogram_quantile(&h, 1, 2), 0);
    histogram_record(&h, 123456789);
    assert_int_equal(h.total, 1);
    /* One value is its own minimum and maximum, which clamp the bucket's middle to it. */
    assert_int_equal(histogram_quantile(&h, 0, 100), 123456789);
    assert_int_equal(histogram_quantile(&h, 999, 1000), 123456789);
    histogram_record(&h, UINT64_MAX);
    assert_int_equal(h.max, UINT64_MAX);
    assert_true(histogram_quantile(&h, 1, 1) >= UINT64_MAX - UINT64_MAX / 64);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void check_quantile(const uint64_t *sorted, size_t count, unsigned numerator, unsigned denominator)
{
    size_t rank = (size_t)DIV_CEIL((unsigned __int128)count * numerator, denominator);
    uint64_t exact = sorted[MAX(rank, (size_t)1) - 1];
    uint64_t found = histogram_quantile(&h, numerator, denominator);
    uint64_t error = found > exact ? found - exact : exact - found;

    assert_true(error <= exact / 64);
}

static void quantiles_are_within_a_64th(void **state)
{
    static const unsigned quantiles[][2] = {{0, 1}, {1, 10000}, {1, 2}, {9, 10}, {99, 100}, {999, 1000},
        {9999, 10000}, {1, 1}, {UINT32_MAX - 1, UINT32_MAX}};
    static uint64_t values[VALUES];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 9, 0);
    for (unsigned spread = 1; spread <= 64; spread += 7) {
        histogram_reset(&h);
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = rng_next(&rng) >> (64 - spread) >> rng_below(&rng, spread);
            histogram_record(&h, values[i]);
        }
        qsort(values, VALUES, sizeof(values[0]), compare);
        assert_int_equal(h.min, values[0]);
        assert_int_equal(h.max, values[VALUES - 1]);
        for (size_t q = 0; q < ARRAY_SIZE(quantiles); q++)
            check_quantile(values, VALUES, quantiles[q][0], quantiles[q][1]);
    }
}

/* Two buckets and a total near 2^64: the rank must come out right where total * numerator overflows. */
static void rank_is_exact_for_large_totals(void **state)
{
    const uint64_t total = UINT64_MAX - 12345;
    const unsigned numerator = 4294967290u, denominator = 4294967291u;
    uint64_t rank = (uint64_t)DIV_CEIL((unsigned __int128)total * numerator, denominator);

    (void)state;
    for (unsigned below = 0; below < 2; below++) {
        histogram_reset(&h);
        h.min = 1;
        h.max = 2;
        h.total = total;
        h.count[1] = rank - below;
        h.count[2] = total - h.count[1];
        assert_int_equal(histogram_quantile(&h, numerator, denominator), below == 0 ? 1 : 2);
    }
}

static void merge_takes_the_outer_bounds(void **state)
{
    (void)state;
    for (unsigned larger = 0; larger < 2; larger++) {
        histogram_reset(&h);
        histogram_reset(&other);
        histogram_record(larger == 0 ? &h : &other, 1000);
        histogram_record(larger == 0 ? &other : &h, 10);
        histogram_merge(&h, &other);
        assert_int_equal(h.min, 10);
        assert_int_equal(h.max, 1000);
        assert_int_equal(h.total, 2);
    }
}

static void merge_equals_recording_both(void **state)
{
    static struct histogram both;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 10, 0);
    histogram_reset(&h);
    histogram_reset(&other);
    histogram_reset(&both);
    histogram_merge(&h, &other);
    assert_int_equal(h.min, UINT64_MAX);
    for (unsigned i = 0; i < VALUES; i++) {
        uint64_t value = rng_next(&rng) >> rng_below(&rng, 64);
        histogram_record(i % 3 == 0 ? &h : &other, value);
        histogram_record(&both, value);
    }
    histogram_merge(&h, &other);
    assert_memory_equal(&h, &both, sizeof(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_tile_the_range),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(empty_and_single),
        cmocka_unit_test(quantiles_are_within_a_64th),
        cmocka_unit_test(rank_is_exact_for_large_totals),
        cmocka_unit_test(merge_takes_the_outer_bounds),
        cmocka_unit_test(merge_equals_recording_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
