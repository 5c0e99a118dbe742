/*
 * The reader of cpio archives on ones that are right, one that Debian's cpio has written, each way of being wrong that its
 * header names, and on an archive cut at every byte and with every bit flipped; and the checksum that traces have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cpio.h"
#include "lib/crc32.h"
#include "lib/error.h"
#include "tests/host/unit.h"

#define ARCHIVE_BYTES 4096

static uint8_t archive[ARCHIVE_BYTES];
static size_t archive_bytes;

static void put(const void *bytes, size_t count)
{
    assert_true(archive_bytes + count <= sizeof(archive));
    memcpy(archive + archive_bytes, bytes, count);
    archive_bytes += count;
}

static void pad(void)
{
    while (archive_bytes % 4 != 0)
        put("", 1);
}

/* A header that may lie about the sizes. */
static void add(const char *name, size_t name_bytes, const char *data, size_t data_bytes)
{
    char header[111];
    snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 7u,
        0100644u, 0u, 0u, 1u, 0u, data_bytes, 0u, 0u, 0u, 0u, name_bytes, 0u);
    put(header, 110);
    put(name, strlen(name) + 1);
    pad();
    put(data, strlen(data));
    pad();
}

static void add_file(const char *name, const char *data)
{
    add(name, strlen(name) + 1, data, strlen(data));
}

static void build_sample(void)
{
    archive_bytes = 0;
    add_file("a", "hello");
    add_file("dir/empty", "");
    add_file("b", "1234");
    add_file("TRAILER!!!", "");
}

/* Reads a copy of exactly that size, so that the address sanitizer sees what is read behind it. Returns how many files
 * it has, or the error. */
static int walk(size_t bytes, size_t *offset, const char **what)
{
    struct cpio cpio;
    struct cpio_file file;
    uint8_t *copy = malloc(bytes + !bytes);
    int found, count = 0;
    memcpy(copy, archive, bytes);
    cpio_open(&cpio, copy, bytes);
    while ((found = cpio_next(&cpio, &file, what)) == 1) {
        assert_true(file.data >= copy && file.data + file.bytes <= copy + bytes);
        assert_true((const uint8_t *)file.name + strlen(file.name) < copy + bytes);
        count++;
    }
    *offset = cpio.wrong;
    assert_int_equal(cpio_next(&cpio, &file, what), found);
    free(copy);
    return found ? found : count;
}

static void expect(int error, size_t offset, const char *what)
{
    size_t at;
    const char *said = NULL;
    assert_int_equal(walk(archive_bytes, &at, &said), error);
    assert_int_equal(at, offset);
    assert_string_equal(said, what);
}

static void files_are_found(void **state)
{
    struct cpio_file file;
    const char *what = NULL;

    (void)state;
    build_sample();
    assert_int_equal(cpio_find(archive, archive_bytes, "b", &file, &what), 0);
    assert_int_equal(file.bytes, 4);
    assert_memory_equal(file.data, "1234", 4);
    assert_int_equal(file.mode, 0100644);
    assert_int_equal(cpio_find(archive, archive_bytes, "dir/empty", &file, &what), 0);
    assert_int_equal(file.bytes, 0);
    assert_int_equal(cpio_find(archive, archive_bytes, "di", &file, &what), ERR_NOT_FOUND);
    assert_int_equal(cpio_find(archive, archive_bytes, "TRAILER!!!", &file, &what), ERR_NOT_FOUND);
}

static void what_follows_the_trailer_is_nothing(void **state)
{
    size_t offset;
    const char *what = NULL;

    (void)state;
    build_sample();
    put("\1\2\3", 3);
    assert_int_equal(walk(archive_bytes, &offset, &what), 3);
}

static void debians_cpio_is_read(void **state)
{
    FILE *stream = fopen("tests/host/corpus_cpio/debian", "rb");
    struct cpio_file file;
    const char *what = NULL;

    (void)state;
    assert_non_null(stream);
    archive_bytes = fread(archive, 1, sizeof(archive), stream);
    fclose(stream);
    assert_int_equal(cpio_find(archive, archive_bytes, "d/b", &file, &what), 0);
    assert_int_equal(file.bytes, 4);
    assert_memory_equal(file.data, "1234", 4);
    assert_int_equal(cpio_find(archive, archive_bytes, "d", &file, &what), 0);
    assert_int_equal(file.mode & 0170000, 0040000);
}

static void each_way_of_being_wrong(void **state)
{
    (void)state;
    build_sample();
    memcpy(archive, "070702", 6);
    expect(ERR_UNSUPPORTED, 0, "an archive with checksums; newc is wanted");
    memcpy(archive, "070707", 6);
    expect(ERR_UNSUPPORTED, 0, "an archive of the old format; newc is wanted");
    memcpy(archive, "\177ELF\2\1", 6);
    expect(ERR_FORMAT, 0, "no header of a file");
    build_sample();
    archive[6 + 11] = 'g';
    expect(ERR_FORMAT, 17, "no hexadecimal digit where a header has one");
    archive_bytes = 0;
    expect(ERR_TRUNCATED, 0, "the archive ends before its trailer");
    add_file("a", "hello");
    expect(ERR_TRUNCATED, archive_bytes, "the archive ends before its trailer");

    archive_bytes = 0;
    add("a", 1, "", 0);
    expect(ERR_FORMAT, 0, "a name that is empty or too long");
    archive_bytes = 0;
    add("a", CPIO_NAME_BYTES_MAX + 1, "", 0);
    expect(ERR_FORMAT, 0, "a name that is empty or too long");
    archive_bytes = 0;
    add("a", 100, "", 0);
    expect(ERR_TRUNCATED, 0, "a name that reaches out of the archive");
    archive_bytes = 0;
    add("name", 3, "", 0);
    expect(ERR_FORMAT, 112, "a name that does not end where it says");
    archive_bytes = 0;
    add("n", 3, "data", 4);
    expect(ERR_FORMAT, 111, "a name that does not end where it says");
    archive_bytes = 0;
    add("a", 2, "data", 5);
    expect(ERR_TRUNCATED, 0, "a file that reaches out of the archive");
    archive_bytes = 0;
    add("a", 2, "data", UINT32_MAX);
    expect(ERR_TRUNCATED, 0, "a file that reaches out of the archive");
}

static void cut_at_every_byte(void **state)
{
    size_t offset;
    const char *what = NULL;

    (void)state;
    build_sample();
    size_t whole = archive_bytes;
    size_t trailer = whole - 124; /* the header, its name and a byte of padding */
    for (size_t bytes = 0; bytes < trailer + 110 + 11; bytes++) {
        assert_int_equal(walk(bytes, &offset, &what), ERR_TRUNCATED);
        assert_true(offset <= bytes);
    }
}

static void every_bit_flipped(void **state)
{
    size_t offset;
    const char *what = NULL;

    (void)state;
    build_sample();
    for (size_t bit = 0; bit < archive_bytes * 8; bit++) {
        archive[bit / 8] ^= 1u << bit % 8;
        int files = walk(archive_bytes, &offset, &what);
        assert_true(files >= 0 ? files <= 3 : what != NULL && offset <= archive_bytes);
        archive[bit / 8] ^= 1u << bit % 8;
    }
}

static void checksums_are_those_of_zlib(void **state)
{
    (void)state;
    assert_int_equal(crc32(0, "", 0), 0);
    assert_int_equal(crc32(0, "123456789", 9), 0xcbf43926); /* the check value of CRC-32/ISO-HDLC */
    assert_int_equal(crc32(crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    assert_int_not_equal(crc32(0, "123456788", 9), 0xcbf43926);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_found),
        cmocka_unit_test(what_follows_the_trailer_is_nothing),
        cmocka_unit_test(debians_cpio_is_read),
        cmocka_unit_test(each_way_of_being_wrong),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(every_bit_flipped),
        cmocka_unit_test(checksums_are_those_of_zlib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
