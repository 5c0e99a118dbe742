/*
 * The generator against its authors' vectors, and rough statistics that would show a wrong shift. The
 * seeded vectors were computed from the published algorithms by a separate program.
 */
#include <string.h>
#include "lib/rng.h"
#include "tests/host/unit.h"

#define DRAWS 60000

static void equals_the_published_sequence(void **state)
{
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240, 1216172134540287360,
        607988272756665600, 16172922978634559625ull, 8476171486693032832, 10595114339597558777ull,
        2904607092377533576};
    struct rng rng = {{1, 2, 3, 4}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(rng_next(&rng), expected[i]);
}

static void seeding_is_fixed_for_all_time(void **state)
{
    static const struct {
        uint64_t seed, stream, next[3];
    } cases[] = {
        {0, 0, {0x8c4986f3f0e565d5ull, 0xf4547fdf5c2f56b6ull, 0x6a9e0d6a14f022fbull}},
        {1, 0, {0x6082e9993631e7d5ull, 0xe9acc0d447272233ull, 0x05fef1147bb626b9ull}},
        {1, 1, {0xb797de902293ad79ull, 0xb38ccb56832f3ca3ull, 0x33bdd4da75e8ecbbull}},
        {UINT64_MAX, 63, {0xdc331ec28ad28f09ull, 0x2eea41a19506c68aull, 0x3c35ca517d7b3e5cull}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rng rng;
        rng_seed(&rng, cases[i].seed, cases[i].stream);
        for (size_t j = 0; j < ARRAY_SIZE(cases[i].next); j++)
            assert_int_equal(rng_next(&rng), cases[i].next[j]);
    }
}

/* No two of 64 seeds x 64 streams share a word in the first state, let alone a state. */
static void streams_differ(void **state)
{
    static struct rng rngs[64 * 64];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rngs); i++)
        rng_seed(&rngs[i], i / 64, i % 64);
    for (unsigned i = 0; i < ARRAY_SIZE(rngs); i++) {
        for (unsigned j = 0; j < i; j++)
            assert_true(rngs[i].s[0] != rngs[j].s[0] && rngs[i].s[1] != rngs[j].s[1]);
    }
}

static void below_stays_below(void **state)
{
    static const uint64_t bounds[] = {1, 2, 3, 10, 64, 1ull << 32, (1ull << 63) + 1, UINT64_MAX};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 4, 0);
    for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
        for (unsigned draw = 0; draw < 1000; draw++)
            assert_true(rng_below(&rng, bounds[i]) < bounds[i]);
    }
}

/* Each face of a die within 3 % of its share: ten standard deviations would be 10 %, one is 1 %. */
static void below_is_even(void **state)
{
    unsigned count[6] = {0};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5, 0);
    for (unsigned draw = 0; draw < DRAWS; draw++)
        count[rng_below(&rng, 6)]++;
    for (size_t i = 0; i < ARRAY_SIZE(count); i++)
        assert_in_range(count[i], DRAWS / 6 * 97 / 100, DRAWS / 6 * 103 / 100);
}

/*
 * For a bound of 3/4 of 2^64 every third value without rejection would come up twice as often as the others;
 * value mod 3 has those three kinds evenly only with it.
 */
static void below_rejects_the_surplus(void **state)
{
    unsigned count[3] = {0};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 6, 0);
    for (unsigned draw = 0; draw < DRAWS; draw++)
        count[rng_below(&rng, 3ull << 62) % 3]++;
    for (size_t i = 0; i < ARRAY_SIZE(count); i++)
        assert_in_range(count[i], DRAWS / 3 * 97 / 100, DRAWS / 3 * 103 / 100);
}

static void shuffle_permutes(void **state)
{
    uint32_t items[100];
    bool seen[100] = {false};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7, 0);
    for (uint32_t i = 0; i < 100; i++)
        items[i] = i;
    rng_shuffle(&rng, items, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_false(seen[items[i]]);
        seen[items[i]] = true;
    }
    rng_shuffle(&rng, items, 0);
    rng_shuffle(&rng, items, 1);
}

static void shuffle_is_fixed_for_all_time(void **state)
{
    static const uint32_t expected[] = {5, 4, 9, 1, 6, 2, 7, 0, 8, 3};
    uint32_t items[10];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1, 0);
    for (uint32_t i = 0; i < ARRAY_SIZE(items); i++)
        items[i] = i;
    rng_shuffle(&rng, items, ARRAY_SIZE(items));
    assert_memory_equal(items, expected, sizeof(items));
    assert_int_equal(rng_next(&rng), 0x8551f644f6d46022ull); /* and takes no more draws than it needs */
}

static void shuffle_reaches_every_order_evenly(void **state)
{
    unsigned count[27] = {0};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 8, 0);
    for (unsigned draw = 0; draw < DRAWS; draw++) {
        uint32_t items[3] = {0, 1, 2};
        rng_shuffle(&rng, items, 3);
        count[items[0] * 9 + items[1] * 3 + items[2]]++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(count); i++) {
        if (count[i] > 0)
            assert_in_range(count[i], DRAWS / 6 * 95 / 100, DRAWS / 6 * 105 / 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_published_sequence),
        cmocka_unit_test(seeding_is_fixed_for_all_time),
        cmocka_unit_test(streams_differ),
        cmocka_unit_test(below_stays_below),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(below_rejects_the_surplus),
        cmocka_unit_test(shuffle_permutes),
        cmocka_unit_test(shuffle_is_fixed_for_all_time),
        cmocka_unit_test(shuffle_reaches_every_order_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
