/* Globs beside fnmatch(3), and selections with their messages. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include "lib/error.h"
#include "lib/rng.h"
#include "lib/select.h"
#include "tests/host/unit.h"

#define RANDOM_GLOBS 100000

static const char *const names[] = {"frame.churn", "frame.burst", "lock.counter"};

static const char *name_at(size_t i)
{
    return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static void random_text(struct rng *rng, const char *alphabet, char *text, size_t length_max)
{
    size_t length = rng_below(rng, length_max + 1);

    for (size_t i = 0; i < length; i++)
        text[i] = alphabet[rng_below(rng, strlen(alphabet))];
    text[length] = '\0';
}

static void globs_equal_fnmatch(void **state)
{
    struct rng rng;
    unsigned matches = 0;

    (void)state;
    rng_seed(&rng, 3, 0);
    for (unsigned i = 0; i < RANDOM_GLOBS; i++) {
        char pattern[10], name[12];
        random_text(&rng, "ab**?", pattern, sizeof(pattern) - 1);
        random_text(&rng, "ab", name, sizeof(name) - 1);
        bool expected = fnmatch(pattern, name, 0) == 0;
        if (glob_match(pattern, strlen(pattern), name) != expected)
            print_error("pattern \"%s\" name \"%s\"\n", pattern, name);
        assert_int_equal(glob_match(pattern, strlen(pattern), name), expected);
        matches += expected;
    }
    assert_true(matches > RANDOM_GLOBS / 10 && matches < RANDOM_GLOBS / 10 * 9);
}

static void length_bounds_the_pattern(void **state)
{
    (void)state;
    assert_true(glob_match("ab,cd", 2, "ab"));
    assert_false(glob_match("ab,cd", 2, "abc"));
    assert_true(glob_match("a*,cd", 2, "abc"));
    assert_true(glob_match("ab*", 2, "ab"));
    assert_false(glob_match("ab*", 2, "abc"));
    assert_false(glob_match("ab?", 2, "abc"));
    assert_true(glob_match("abc", SIZE_MAX, "abc"));
    assert_true(glob_match("x", 0, ""));
}

/* The pattern that takes exponential time where every star is tried again. */
static void many_stars_are_cheap(void **state)
{
    char name[200], pattern[100];

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    pattern[sizeof(pattern) - 1] = 'b';
    assert_false(glob_match(pattern, sizeof(pattern), name));
}

static void selection_covers_a_name(void **state)
{
    (void)state;
    assert_true(select_match("frame.churn", "frame.churn"));
    assert_true(select_match("x,frame.*", "frame.churn"));
    assert_true(select_match("*", "frame.churn"));
    assert_true(select_match("frame.chur?,", "frame.churn"));
    assert_false(select_match("frame", "frame.churn"));
    assert_false(select_match("frame.churn.x", "frame.churn"));
    assert_false(select_match("", "frame.churn"));
    assert_false(select_match("", ""));
    assert_false(select_match(",", ""));
    assert_true(select_match_named("*,frame.churn", "frame.churn"));
    assert_true(select_match_named("lock.*,*,f*", "frame.churn"));
    assert_true(select_match_named("**", "frame.churn"));
    assert_false(select_match_named("*", "frame.churn"));
    assert_false(select_match_named("lock.*,*", "frame.churn"));
    assert_false(select_match_named("", ""));
}

static int check(const char *selection, char *text, size_t capacity)
{
    struct buffer_writer why;

    buffer_writer_init(&why, text, capacity);
    return select_check(selection, name_at, &why.writer);
}

static void every_item_matches(void **state)
{
    static const char *const valid[] = {
        "frame.churn", "frame.*", "*", "frame.*,lock.counter", "l*,f*", "*.?????"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(valid); i++) {
        assert_int_equal(check(valid[i], text, sizeof(text)), 0);
        assert_string_equal(text, "");
    }
}

static void an_error_names_the_item_and_what_is_valid(void **state)
{
    static const struct {
        const char *selection, *named;
        int error;
    } cases[] = {
        {"heap", "\"heap\" matches nothing", ERR_NOT_FOUND},
        {"frame.*,locks.*,x", "\"locks.*\" matches nothing", ERR_NOT_FOUND},
        {"Frame.churn", "\"Frame.churn\"", ERR_NOT_FOUND},
        {"", "empty", ERR_FORMAT},
        {"frame.*,", "empty", ERR_FORMAT},
        {",frame.*", "empty", ERR_FORMAT},
        {"frame.*,,lock.*", "empty", ERR_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[256];
        assert_int_equal(check(cases[i].selection, text, sizeof(text)), cases[i].error);
        assert_non_null(strstr(text, cases[i].named));
        for (size_t n = 0; n < ARRAY_SIZE(names); n++)
            assert_non_null(strstr(text, names[n]));
    }
}

static void numbers_keep_their_order(void **state)
{
    struct buffer_writer why;
    uint64_t numbers[4];
    size_t count;
    char text[256];

    (void)state;
    buffer_writer_init(&why, text, sizeof(text));
    assert_int_equal(select_numbers("8,1,0x4,2", 1, 8, numbers, 4, &count, &why.writer), 0);
    assert_int_equal(count, 4);
    assert_true(numbers[0] == 8 && numbers[1] == 1 && numbers[2] == 4 && numbers[3] == 2);
    assert_string_equal(text, "");
}

static void numbers_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *selection, *named;
        int error;
    } cases[] = {
        {"", "\"\" is not a number", ERR_FORMAT},
        {"1,,2", "\"\" is not a number", ERR_FORMAT},
        {"1,2x", "\"2x\" is not a number", ERR_FORMAT},
        {"1,2,1", "\"1\" is given twice", ERR_FORMAT},
        {"1,0x1", "\"0x1\" is given twice", ERR_FORMAT},
        {"0", "\"0\" is out of range", ERR_RANGE},
        {"65", "\"65\" is out of range", ERR_RANGE},
        {"18446744073709551617", "is out of range", ERR_RANGE},
        {"1,2,3,4,5", "\"5\" is one too many", ERR_NO_MEMORY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer_writer why;
        uint64_t numbers[4];
        size_t count = 99;
        char text[256];
        buffer_writer_init(&why, text, sizeof(text));
        assert_int_equal(
            select_numbers(cases[i].selection, 1, 64, numbers, 4, &count, &why.writer), cases[i].error);
        assert_int_equal(count, 99);
        assert_non_null(strstr(text, cases[i].named));
        assert_non_null(strstr(text, "from 1 to 64"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_equal_fnmatch),
        cmocka_unit_test(length_bounds_the_pattern),
        cmocka_unit_test(many_stars_are_cheap),
        cmocka_unit_test(selection_covers_a_name),
        cmocka_unit_test(every_item_matches),
        cmocka_unit_test(an_error_names_the_item_and_what_is_valid),
        cmocka_unit_test(numbers_keep_their_order),
        cmocka_unit_test(numbers_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
