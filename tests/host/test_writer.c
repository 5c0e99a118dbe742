/*
 * writer_format() beside the C library's snprintf over the product of flags, widths, precisions, lengths
 * and conversions, and what is this project's own: the sinks, truncation, unknown conversions.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "lib/writer.h"
#include "tests/host/unit.h"

#define TEXT_BYTES 256

static const char *const flag_sets[] = {
    "", "-", "0", "+", " ", "#", "-0", "+0", " 0", "#0", "-+", "-#", "+ ", "#+0", "-+ #0"};
static const char *const widths[] = {"", "1", "5", "21", "40"};
static const char *const precisions[] = {"", ".", ".0", ".1", ".7", ".30"};

static const int64_t integers[] = {0, 1, -1, 7, 8, 9, 10, 42, -42, 127, 128, -128, 255, 32767, -32768, 65535,
    INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, 0x123456789abcdef};

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

/* The argument in the type that the length asks for. */
#define BOTH(type)                                                                                           \
    do {                                                                                                     \
        expected_length = snprintf(expected, sizeof(expected), format, (type)value);                         \
        length = buffer_format(text, sizeof(text), format, (type)value);                                     \
    } while (0)

static void check_integer(const char *format, const char *length_modifier, int64_t value)
{
    char expected[TEXT_BYTES], text[TEXT_BYTES];
    int expected_length, length;

    if (strcmp(length_modifier, "") == 0 || length_modifier[0] == 'h')
        BOTH(int);
    else
        BOTH(long long); /* l, ll, z, t, j: all of 64 bits on the machines at hand */

    if (strcmp(text, expected) != 0)
        print_error("format \"%s\" value %lld\n", format, (long long)value);
    assert_string_equal(text, expected);
    assert_int_equal(length, expected_length);
}

static void check_conversion(char conversion, const char *flags, const char *width, const char *precision)
{
    static const char *const lengths[] = {"", "hh", "h", "l", "ll", "z", "t", "j"};

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        char format[32];
        snprintf(format, sizeof(format), "<%%%s%s%s%s%c>", flags, width, precision, lengths[i], conversion);
        for (size_t j = 0; j < ARRAY_SIZE(integers); j++)
            check_integer(format, lengths[i], integers[j]);
    }
}

static void integers_equal_the_c_library(void **state)
{
    (void)state;
    for (const char *conversion = "diuoxX"; *conversion != '\0'; conversion++) {
        for (size_t f = 0; f < ARRAY_SIZE(flag_sets); f++) {
            for (size_t w = 0; w < ARRAY_SIZE(widths); w++) {
                for (size_t p = 0; p < ARRAY_SIZE(precisions); p++)
                    check_conversion(*conversion, flag_sets[f], widths[w], precisions[p]);
            }
        }
    }
}

static void strings_equal_the_c_library(void **state)
{
    static const char *const formats[] = {
        "%s", "%8s", "%-8s|", "%.2s", "%.0s", "%8.2s", "%-8.2s|", "%.s", "%.99s"};
    static const char *const values[] = {"", "a", "abc", "a long string that exceeds the width"};

    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
        for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
            char expected[TEXT_BYTES], text[TEXT_BYTES];
            snprintf(expected, sizeof(expected), formats[f], values[v]);
            assert_int_equal(buffer_format(text, sizeof(text), formats[f], values[v]), strlen(expected));
            assert_string_equal(text, expected);
        }
    }
}

/* A precision makes it legal to give bytes that no NUL follows. */
static void precision_bounds_the_read(void **state)
{
    char unterminated[3] = {'a', 'b', 'c'}, text[TEXT_BYTES];

    (void)state;
    buffer_format(text, sizeof(text), "%.*s|%.3s", 2, unterminated, unterminated);
    assert_string_equal(text, "ab|abc");
}

static void characters_pointers_and_percent(void **state)
{
    const char *volatile nothing = NULL; /* volatile: the compiler refuses a NULL that it can see */
    char text[TEXT_BYTES], expected[TEXT_BYTES];

    (void)state;
    buffer_format(text, sizeof(text), "%c|%3c|%-3c|%%|100%%", 'x', 'y', 'z');
    assert_string_equal(text, "x|  y|z  |%|100%");
    assert_int_equal(buffer_format(text, sizeof(text), "%c", '\0'), 1);
    buffer_format(text, sizeof(text), "%p %20p", (void *)text, (void *)0x80200000);
    snprintf(expected, sizeof(expected), "%p %20p", (void *)text, (void *)0x80200000);
    assert_string_equal(text, expected);
    buffer_format(text, sizeof(text), "%p", (void *)0);
    assert_string_equal(text, "0x0");
    buffer_format(text, sizeof(text), "%s", nothing);
    assert_string_equal(text, "(null)");
}

static void stars_take_arguments(void **state)
{
    char text[TEXT_BYTES], expected[TEXT_BYTES];
    static const int stars[] = {0, 1, 6, -6, 30, -30};

    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(stars); w++) {
        for (size_t p = 0; p < ARRAY_SIZE(stars); p++) {
            snprintf(expected, sizeof(expected), "%*.*d|%0*x", stars[w], stars[p], 42, stars[w], 0xbeef);
            buffer_format(text, sizeof(text), "%*.*d|%0*x", stars[w], stars[p], 42, stars[w], 0xbeef);
            assert_string_equal(text, expected);
        }
    }
}

static void unknown_conversion_ends_the_formatting(void **state)
{
    static const char *const formats[] = {
        "%f %d", "%", "%5", "%q", "%-08.3lf", "%ls %d", "%lc", "%hhs", "%n", "%.", "%l"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        char format[64], text[TEXT_BYTES], expected[TEXT_BYTES];
        snprintf(format, sizeof(format), "%%u then %s", formats[i]);
        snprintf(expected, sizeof(expected), "7 then %s", formats[i]);
        buffer_format(text, sizeof(text), format, 7u);
        assert_string_equal(text, expected);
    }
}

static void buffer_keeps_what_fits(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 20; capacity++) {
        char text[24];
        memset(text, '#', sizeof(text));
        int length = buffer_format(text, capacity, "%s-%05d", "hart", 42);
        assert_int_equal(length, 10);
        if (capacity > 0) {
            assert_int_equal(strlen(text), MIN(capacity - 1, (size_t)10));
            assert_memory_equal(text, "hart-00042", strlen(text));
        }
        for (size_t i = capacity; i < sizeof(text); i++)
            assert_int_equal(text[i], '#');
    }
}

static void buffer_remembers_truncation(void **state)
{
    struct buffer_writer buffer;
    char text[4];

    (void)state;
    buffer_writer_init(&buffer, text, sizeof(text));
    writer_puts(&buffer.writer, "abc");
    assert_false(buffer.truncated);
    assert_int_equal(buffer.length, 3);
    writer_puts(&buffer.writer, "");
    assert_false(buffer.truncated);
    writer_puts(&buffer.writer, "d");
    assert_true(buffer.truncated);
    assert_string_equal(text, "abc");
}

static void buffer_of_no_bytes_needs_no_memory(void **state)
{
    struct buffer_writer buffer;

    (void)state;
    buffer_writer_init(&buffer, NULL, 0);
    assert_int_equal(writer_format(&buffer.writer, "%d", 12345), 5);
    assert_true(buffer.truncated);
    assert_int_equal(buffer.length, 0);
}

/* A sink that only counts: large paddings must arrive in full. */
struct counter {
    struct writer writer;
    size_t count;
};

static void count_put(struct writer *writer, const char *bytes, size_t count)
{
    (void)bytes;
    CONTAINER_OF(writer, struct counter, writer)->count += count;
}

static void large_widths_and_precisions(void **state)
{
    struct counter counter = {.writer.put = count_put};

    (void)state;
    assert_int_equal(writer_format(&counter.writer, "%70000d%-70001s%.70002x", 1, "x", 1u), 210003);
    assert_int_equal(counter.count, 210003);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_equal_the_c_library),
        cmocka_unit_test(strings_equal_the_c_library),
        cmocka_unit_test(precision_bounds_the_read),
        cmocka_unit_test(characters_pointers_and_percent),
        cmocka_unit_test(stars_take_arguments),
        cmocka_unit_test(unknown_conversion_ends_the_formatting),
        cmocka_unit_test(buffer_keeps_what_fits),
        cmocka_unit_test(buffer_remembers_truncation),
        cmocka_unit_test(buffer_of_no_bytes_needs_no_memory),
        cmocka_unit_test(large_widths_and_precisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
