/* The splitter of the command line, by examples and against every text of a small alphabet. */
#include <string.h>
#include "lib/args.h"
#include "lib/error.h"
#include "tests/host/unit.h"

#define TEXT_BYTES 64

/* Splits a text and writes the words as [key] or [key|value], and ! for an error, for comparison. */
static const char *split(const char *text)
{
    static char words[4 * TEXT_BYTES];
    char copy[TEXT_BYTES], *cursor = copy;
    struct arg arg;
    int result;

    strcpy(copy, text);
    words[0] = '\0';
    while ((result = args_next(&cursor, &arg)) == 1) {
        strcat(strcat(words, "["), arg.key);
        if (arg.has_value)
            strcat(strcat(words, "|"), arg.value);
        else
            assert_string_equal(arg.value, "");
        strcat(words, "]");
    }
    if (result != 0)
        assert_int_equal(result, ERR_FORMAT);
    return result == 0 ? words : strcat(words, "!");
}

static void words_are_split(void **state)
{
    (void)state;
    assert_string_equal(split(""), "");
    assert_string_equal(split(" \t\r\n "), "");
    assert_string_equal(split("quiet"), "[quiet]");
    assert_string_equal(split("a=1 b  c="), "[a|1][b][c|]");
    assert_string_equal(split("  bench=frame.*\tharts=1,2,4\n"), "[bench|frame.*][harts|1,2,4]");
    assert_string_equal(split("a=b=c"), "[a|b=c]");
    assert_string_equal(split("a=="), "[a|=]");
}

static void quotes_hold_blanks(void **state)
{
    (void)state;
    assert_string_equal(split("a=\"x y\" b"), "[a|x y][b]");
    assert_string_equal(split("a=\"\""), "[a|]");
    assert_string_equal(split("a=\"x=y\"\tb=\" \""), "[a|x=y][b| ]");
}

static void slips_are_errors(void **state)
{
    (void)state;
    assert_string_equal(split("=1"), "!");
    assert_string_equal(split("a=1 =2"), "[a|1]!");
    assert_string_equal(split("a=\"x"), "!");
    assert_string_equal(split("a=\""), "!");
    assert_string_equal(split("a=\"x\"y"), "!");
    assert_string_equal(split("a=x\"y\""), "!");
    assert_string_equal(split("\"a\"=1"), "!");
    assert_string_equal(split("b a\"=1"), "[b]!");
}

static void an_error_leaves_the_word_uncut(void **state)
{
    char text[] = "a=1 b=\"x y";
    char *cursor = text;
    struct arg arg;

    (void)state;
    assert_int_equal(args_next(&cursor, &arg), 1);
    assert_int_equal(args_next(&cursor, &arg), ERR_FORMAT);
    assert_string_equal(cursor, "b=\"x y");
}

/*
 * Every text of up to seven characters over an alphabet that has each kind of character: the cursor never
 * leaves the text, and what comes out is made of the text's own characters without blanks outside quotes.
 */
static void every_short_text_ends(void **state)
{
    static const char alphabet[] = "a=\" ";
    char text[8];

    (void)state;
    for (size_t length = 0; length < sizeof(text); length++) {
        for (size_t code = 0; code < (size_t)1 << (2 * length); code++) {
            for (size_t i = 0; i < length; i++)
                text[i] = alphabet[code >> (2 * i) & 3];
            text[length] = '\0';

            char *cursor = text;
            struct arg arg;
            unsigned words = 0;
            while (args_next(&cursor, &arg) == 1) {
                assert_true(cursor <= text + length && arg.key >= text && arg.key < cursor);
                assert_true(arg.key[0] != '\0' && strpbrk(arg.key, "=\" ") == NULL);
                assert_null(strchr(arg.value, '"'));
                assert_true(++words <= length);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_split),
        cmocka_unit_test(quotes_hold_blanks),
        cmocka_unit_test(slips_are_errors),
        cmocka_unit_test(an_error_leaves_the_word_uncut),
        cmocka_unit_test(every_short_text_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
