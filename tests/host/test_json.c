/*
 * The JSON writer: exact texts for the small cases, and random documents that a strict parser of this
 * file's own reads back. The parser is driven by the same random sequence as the writer was, so it knows
 * at every point what has to come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/json.h"
#include "lib/rng.h"
#include "tests/host/unit.h"

#define DOCUMENT_BYTES 65536
#define DOCUMENTS      500
#define STRING_BYTES   12

static char text[DOCUMENT_BYTES];
static struct buffer_writer buffer;
static struct json json;

static void start(void)
{
    buffer_writer_init(&buffer, text, sizeof(text));
    json_init(&json, &buffer.writer);
}

static void containers_and_commas(void **state)
{
    (void)state;
    start();
    json_object_begin(&json, NULL);
    json_unsigned(&json, "a", 1);
    json_array_begin(&json, "b");
    json_array_begin(&json, NULL);
    json_array_end(&json);
    json_object_begin(&json, NULL);
    json_object_end(&json);
    json_signed(&json, NULL, -5);
    json_array_end(&json);
    json_null(&json, "c");
    json_bool(&json, "d", true);
    json_bool(&json, "e", false);
    json_string(&json, "f", "x");
    json_object_end(&json);
    assert_string_equal(text, "{\"a\":1,\"b\":[[],{},-5],\"c\":null,\"d\":true,\"e\":false,\"f\":\"x\"}");
}

static void numbers_at_their_ends(void **state)
{
    (void)state;
    start();
    json_array_begin(&json, NULL);
    json_unsigned(&json, NULL, UINT64_MAX);
    json_signed(&json, NULL, INT64_MIN);
    json_signed(&json, NULL, INT64_MAX);
    json_array_end(&json);
    assert_string_equal(text, "[18446744073709551615,-9223372036854775808,9223372036854775807]");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    start();
    json_string(&json, NULL, "q\" b\\ n\n r\r t\t \x01 \x1f \x7f / h\xc3\xa4rt");
    assert_string_equal(text, "\"q\\\" b\\\\ n\\n r\\r t\\t \\u0001 \\u001f \x7f / h\xc3\xa4rt\"");
    start();
    json_object_begin(&json, NULL);
    json_null(&json, "\"\n");
    json_object_end(&json);
    assert_string_equal(text, "{\"\\\"\\n\":null}");
}

static void ratios(void **state)
{
    static const struct {
        uint64_t numerator, denominator;
        unsigned decimals;
        const char *expected;
    } cases[] = {
        {1, 3, 0, "0"},
        {1, 2, 0, "1"},
        {1, 3, 3, "0.333"},
        {2, 3, 3, "0.667"},
        {1, 8, 2, "0.13"},
        {7930, 1000, 2, "7.93"},
        {1, 1000, 3, "0.001"},
        {1, 2000, 3, "0.001"},
        {1, 2001, 3, "0.000"},
        {999999, 1000000, 3, "1.000"},
        {0, 5, 4, "0.0000"},
        {5, 0, 3, "null"},
        {0, 0, 0, "null"},
        {UINT64_MAX, 1, 9, "18446744073709551615.000000000"},
        {1, UINT64_MAX, 9, "0.000000000"},
        {UINT64_MAX - 1, UINT64_MAX, 9, "1.000000000"},
        {UINT64_MAX, 2, 1, "9223372036854775807.5"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        start();
        json_ratio(&json, NULL, cases[i].numerator, cases[i].denominator, cases[i].decimals);
        assert_string_equal(text, cases[i].expected);
    }
}

static void containers_nest_to_the_limit(void **state)
{
    (void)state;
    start();
    for (unsigned depth = 0; depth < JSON_DEPTH_MAX; depth++) {
        json_array_begin(&json, NULL);
        json_unsigned(&json, NULL, depth);
    }
    for (unsigned depth = 0; depth < JSON_DEPTH_MAX; depth++)
        json_array_end(&json);
    assert_string_equal(text, "[0,[1,[2,[3,[4,[5,[6,[7,[8,[9,[10,[11,[12,[13,[14]]]]]]]]]]]]]]]");
}

enum kind { OBJECT, ARRAY, STRING, UNSIGNED, SIGNED, BOOL, NOTHING, RATIO, KINDS };

/* The next value of the sequence; containers only where there is depth left. */
static enum kind random_kind(struct rng *rng, unsigned depth)
{
    return depth < 5 ? rng_below(rng, KINDS) : STRING + rng_below(rng, KINDS - STRING);
}

static void random_string(struct rng *rng, char *string)
{
    size_t length = rng_below(rng, STRING_BYTES);

    for (size_t i = 0; i < length; i++)
        string[i] = (char)(1 + rng_below(rng, 255));
    string[length] = '\0';
}

static void write_value(struct rng *rng, const char *name, unsigned depth)
{
    enum kind kind = random_kind(rng, depth);
    char string[STRING_BYTES];

    switch (kind) {
    case OBJECT:
    case ARRAY:
        (kind == OBJECT ? json_object_begin : json_array_begin)(&json, name);
        for (uint64_t members = rng_below(rng, 6); members > 0; members--) {
            if (kind == OBJECT)
                random_string(rng, string);
            write_value(rng, kind == OBJECT ? string : NULL, depth + 1);
        }
        (kind == OBJECT ? json_object_end : json_array_end)(&json);
        break;
    case STRING:
        random_string(rng, string);
        json_string(&json, name, string);
        break;
    case UNSIGNED: json_unsigned(&json, name, rng_next(rng)); break;
    case SIGNED: json_signed(&json, name, (int64_t)rng_next(rng)); break;
    case BOOL: json_bool(&json, name, rng_below(rng, 2) == 1); break;
    case RATIO: json_ratio(&json, name, rng_below(rng, 1000000), 1000, 3); break;
    default: json_null(&json, name); break;
    }
}

static void read_back(const char **at, const char *token)
{
    assert_memory_equal(*at, token, strlen(token));
    *at += strlen(token);
}

/* Decodes a character of a string, escaped or not. */
static char parse_character(const char **at)
{
    static const char escapes[] = "\"\\nrt", meanings[] = "\"\\\n\r\t";

    assert_true((unsigned char)**at >= 0x20);
    if (**at != '\\')
        return *(*at)++;
    ++*at;
    if (**at == 'u') {
        char digits[5] = {0};
        memcpy(digits, *at + 1, 4);
        *at += 5;
        return (char)strtoul(digits, NULL, 16);
    }
    const char *escape = strchr(escapes, *(*at)++);
    assert_non_null(escape);
    return meanings[escape - escapes];
}

static void read_back_string(const char **at, const char *string)
{
    read_back(at, "\"");
    while (**at != '"') {
        assert_true(*string != '\0');
        assert_int_equal(parse_character(at), *string++);
    }
    assert_int_equal(*string, '\0');
    read_back(at, "\"");
}

static void read_back_value(struct rng *rng, const char **at, unsigned depth)
{
    enum kind kind = random_kind(rng, depth);
    char string[STRING_BYTES], number[32];

    switch (kind) {
    case OBJECT:
    case ARRAY:
        read_back(at, kind == OBJECT ? "{" : "[");
        for (uint64_t members = rng_below(rng, 6); members > 0; members--) {
            if (kind == OBJECT) {
                random_string(rng, string);
                read_back_string(at, string);
                read_back(at, ":");
            }
            read_back_value(rng, at, depth + 1);
            if (members > 1)
                read_back(at, ",");
        }
        read_back(at, kind == OBJECT ? "}" : "]");
        return;
    case STRING:
        random_string(rng, string);
        read_back_string(at, string);
        return;
    case UNSIGNED: snprintf(number, sizeof(number), "%" PRIu64, rng_next(rng)); break;
    case SIGNED: snprintf(number, sizeof(number), "%" PRId64, (int64_t)rng_next(rng)); break;
    case BOOL: snprintf(number, sizeof(number), "%s", rng_below(rng, 2) == 1 ? "true" : "false"); break;
    case RATIO: snprintf(number, sizeof(number), "%.3f", rng_below(rng, 1000000) / 1000.0); break;
    default: snprintf(number, sizeof(number), "null"); break;
    }
    read_back(at, number);
}

static void random_documents_read_back(void **state)
{
    (void)state;
    for (unsigned document = 0; document < DOCUMENTS; document++) {
        struct rng rng;
        const char *at = text;
        rng_seed(&rng, 14, document);
        start();
        write_value(&rng, NULL, 0);
        assert_false(buffer.truncated);

        rng_seed(&rng, 14, document);
        read_back_value(&rng, &at, 0);
        assert_int_equal(*at, '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_and_commas),
        cmocka_unit_test(numbers_at_their_ends),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(ratios),
        cmocka_unit_test(containers_nest_to_the_limit),
        cmocka_unit_test(random_documents_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
