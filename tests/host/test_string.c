/*
 * The kernel's string functions beside the C library's. They are compiled into this file under other
 * names, and tried at every alignment and every length around the word and line sizes of their loops.
 */
#define memcpy  kernel_memcpy
#define memmove kernel_memmove
#define memset  kernel_memset
#define memcmp  kernel_memcmp
#define memchr  kernel_memchr
#define strlen  kernel_strlen
#define strnlen kernel_strnlen
#define strcmp  kernel_strcmp
#define strncmp kernel_strncmp
#define strchr  kernel_strchr
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr

#include <string.h>
#include "lib/rng.h"
#include "tests/host/unit.h"

#define BUFFER_BYTES 512
#define LENGTH_MAX   200 /* three turns of the unrolled loops, and a tail */

static void fill(uint8_t *bytes, size_t count, uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)rng_next(&rng);
}

/* Runs a case on the whole buffer, so that a byte written outside the range shows as well. */
static void memcpy_equals_the_c_library(void **state)
{
    static uint8_t from[BUFFER_BYTES] ALIGNED(64), ours[BUFFER_BYTES] ALIGNED(64), theirs[BUFFER_BYTES];

    (void)state;
    fill(from, sizeof(from), 1);
    for (size_t to_at = 0; to_at < 9; to_at++) {
        for (size_t from_at = 0; from_at < 9; from_at++) {
            for (size_t length = 0; length <= LENGTH_MAX; length++) {
                fill(ours, sizeof(ours), length);
                memcpy(theirs, ours, sizeof(ours));
                assert_ptr_equal(kernel_memcpy(ours + to_at, from + from_at, length), ours + to_at);
                memcpy(theirs + to_at, from + from_at, length);
                assert_memory_equal(ours, theirs, sizeof(ours));
            }
        }
    }
}

static void memmove_handles_every_overlap(void **state)
{
    static uint8_t ours[BUFFER_BYTES] ALIGNED(64), theirs[BUFFER_BYTES], original[BUFFER_BYTES];

    (void)state;
    fill(original, sizeof(original), 2);
    for (size_t from_at = 0; from_at < 80; from_at++) {
        for (size_t to_at = 0; to_at < 80; to_at++) {
            for (size_t length = 0; length <= LENGTH_MAX; length += length < 24 ? 1 : 13) {
                memcpy(ours, original, sizeof(ours));
                memcpy(theirs, original, sizeof(ours));
                assert_ptr_equal(kernel_memmove(ours + to_at, ours + from_at, length), ours + to_at);
                memmove(theirs + to_at, theirs + from_at, length);
                assert_memory_equal(ours, theirs, sizeof(ours));
            }
        }
    }
}

static void memset_writes_the_range_and_nothing_else(void **state)
{
    static uint8_t ours[BUFFER_BYTES] ALIGNED(64), theirs[BUFFER_BYTES];
    static const int values[] = {0, 1, 0x7f, 0x80, 0xff, -1, 0x1234};

    (void)state;
    for (size_t at = 0; at < 17; at++) {
        for (size_t length = 0; length <= LENGTH_MAX; length++) {
            int value = values[length % ARRAY_SIZE(values)];
            fill(ours, sizeof(ours), length);
            memcpy(theirs, ours, sizeof(ours));
            assert_ptr_equal(kernel_memset(ours + at, value, length), ours + at);
            memset(theirs + at, value, length);
            assert_memory_equal(ours, theirs, sizeof(ours));
        }
    }
}

static void memset_clears_a_frame(void **state)
{
    static uint8_t frame[4096 + 2] ALIGNED(4096);

    (void)state;
    memset(frame, 0xa5, sizeof(frame));
    kernel_memset(frame, 0, 4096);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(frame[i], 0);
    assert_int_equal(frame[4096], 0xa5);
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void comparisons_have_the_sign_of_the_first_difference(void **state)
{
    static const char *const words[] = {
        "", "a", "b", "ab", "abc", "abd", "\x7f", "\x80", "\xff", "a\xff", "A"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(words); j++) {
            const char *a = words[i], *b = words[j];
            assert_int_equal(sign(kernel_strcmp(a, b)), sign(strcmp(a, b)));
            for (size_t limit = 0; limit < 5; limit++)
                assert_int_equal(sign(kernel_strncmp(a, b, limit)), sign(strncmp(a, b, limit)));
            size_t shorter = MIN(strlen(a), strlen(b));
            assert_int_equal(sign(kernel_memcmp(a, b, shorter)), sign(memcmp(a, b, shorter)));
        }
    }
    assert_int_equal(sign(kernel_memcmp("a\0b", "a\0c", 3)), -1);
}

static void lengths_stop_at_the_limit(void **state)
{
    (void)state;
    assert_int_equal(kernel_strlen(""), 0);
    assert_int_equal(kernel_strlen("four"), 4);
    assert_int_equal(kernel_strnlen("four", 0), 0);
    assert_int_equal(kernel_strnlen("four", 3), 3);
    assert_int_equal(kernel_strnlen("four", 4), 4);
    assert_int_equal(kernel_strnlen("four", SIZE_MAX), 4);
}

static void searches_find_the_first(void **state)
{
    static const char text[] = "abcabc\xff";

    (void)state;
    assert_ptr_equal(kernel_strchr(text, 'b'), text + 1);
    assert_ptr_equal(kernel_strchr(text, '\0'), text + 7);
    assert_ptr_equal(kernel_strchr(text, 0xff), text + 6);
    assert_null(kernel_strchr(text, 'x'));
    assert_ptr_equal(kernel_memchr(text, 'c', 7), text + 2);
    assert_null(kernel_memchr(text, 'c', 2));
    assert_null(kernel_memchr(text, 'a', 0));
    assert_ptr_equal(kernel_memchr(text, 0x1ff, 7), text + 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memcpy_equals_the_c_library),
        cmocka_unit_test(memmove_handles_every_overlap),
        cmocka_unit_test(memset_writes_the_range_and_nothing_else),
        cmocka_unit_test(memset_clears_a_frame),
        cmocka_unit_test(comparisons_have_the_sign_of_the_first_difference),
        cmocka_unit_test(lengths_stop_at_the_limit),
        cmocka_unit_test(searches_find_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
