/*
 * Fuzzes what reads text: the command line's splitter, globs and selections, numbers, and printf formats.
 * The first byte of an input picks the reader; the rest is its text. Where there is a C library function
 * of the same meaning, the two have to agree.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/args.h"
#include "lib/error.h"
#include "lib/number.h"
#include "lib/select.h"
#include "lib/writer.h"

#define TEXT_BYTES 4096

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void fuzz_args(char *text)
{
    const char *end = text + strlen(text);
    char *cursor = text;
    struct arg arg;
    int result;

    while ((result = args_next(&cursor, &arg)) == 1) {
        require(cursor > arg.key && cursor <= end);
        require(arg.key[0] != '\0' && strpbrk(arg.key, "= \t\r\n\"") == NULL);
        require(strchr(arg.value, '"') == NULL);
        require(arg.has_value || arg.value[0] == '\0');
    }
    require(result == 0 ? cursor == end : result == ERR_FORMAT && cursor < end);
}

static void fuzz_number(char *text)
{
    size_t length = strlen(text);
    uint64_t value;
    int error = number_parse(text, length, &value);
    char *rest;

    if (error != 0 || strchr("KMG", text[length - 1]) != NULL) {
        require(error == 0 || error == ERR_FORMAT || error == ERR_RANGE);
        return;
    }
    errno = 0;
    unsigned long long expected = strtoull(text, &rest, text[1] == 'x' ? 16 : 10);
    require(errno == 0 && *rest == '\0' && expected == value);
}

/* Splits the text at its first blank into a pattern and a name. */
static void fuzz_glob(char *text)
{
    char *name = strchr(text, ' ');

    if (name == NULL)
        return;
    *name++ = '\0';
    bool matches = glob_match(text, SIZE_MAX, name);
    /* fnmatch has brackets and escapes, and takes time exponential in the number of stars. */
    if (strlen(text) <= 16 && strlen(name) <= 32 && strpbrk(text, "[\\") == NULL)
        require(matches == (fnmatch(text, name, 0) == 0));
}

static const char *name_at(size_t i)
{
    static const char *const names[] = {"frame.churn", "frame.burst", "lock.counter"};

    return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static void fuzz_select(char *text)
{
    static char words[2 * TEXT_BYTES];
    struct buffer_writer why;
    uint64_t numbers[8];
    size_t count;

    buffer_writer_init(&why, words, sizeof(words));
    int error = select_check(text, name_at, &why.writer);
    require((error == 0) == (why.length == 0) && !why.truncated);
    require(error != 0 || select_match(text, "frame.churn") || select_match(text, "frame.burst") ||
            select_match(text, "lock.counter"));

    buffer_writer_init(&why, words, sizeof(words));
    error = select_numbers(text, 1, 64, numbers, ARRAY_SIZE(numbers), &count, &why.writer);
    require((error == 0) == (why.length == 0) && !why.truncated);
    for (size_t i = 0; error == 0 && i < count; i++)
        require(numbers[i] >= 1 && numbers[i] <= 64);
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

/*
 * One conversion made of the text's characters, beside the C library. Digits are cut to two, so that no run
 * writes gigabytes, and a format whose meaning C leaves open is skipped: flags that do not go with the
 * conversion, and conversions that the project does not have.
 */
static void fuzz_integer_format(char *text)
{
    char format[16] = "%", ours[256], theirs[256];
    size_t flags = strspn(text, "-+ #0"), length = 1;
    size_t width = strspn(text + flags, "0123456789");

    if (flags > 4 || width > 2)
        return;
    memcpy(format + length, text, flags + width);
    length += flags + width;
    text += flags + width;
    if (*text == '.' && strspn(text + 1, "0123456789") <= 2) {
        size_t precision = 1 + strspn(text + 1, "0123456789");
        memcpy(format + length, text, precision);
        length += precision;
        text += precision;
    }
    if (*text == '\0' || strchr("diuoxX", *text) == NULL || strlen(text) < 9)
        return;
    format[length] = 'l';
    format[length + 1] = *text;

    long value;
    memcpy(&value, text + 1, sizeof(value));
    int result = buffer_format(ours, sizeof(ours), format, value);
    require(result == snprintf(theirs, sizeof(theirs), format, value));
    require(strcmp(ours, theirs) == 0);
}

/* Any text at all as a format, as long as it takes no argument that is not there and no huge width. */
static void fuzz_format(char *text)
{
    static char words[2 * TEXT_BYTES];

    if (strpbrk(text, "*sdiuoxXcp0123456789") != NULL)
        return;
    require(buffer_format(words, sizeof(words), text, 0) <= (int)strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(char *) = {
        fuzz_args, fuzz_number, fuzz_glob, fuzz_select, fuzz_integer_format, fuzz_format};

    if (size < 1 || size > TEXT_BYTES)
        return 0;
    char *text = malloc(size);
    require(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    readers[data[0] % ARRAY_SIZE(readers)](text);
    free(text);
    return 0;
}
