/*
 * The ELF reader on a program that is right, on each way of being wrong that its header names, on that program cut at every
 * byte and with every bit flipped.
 */
#include <stdlib.h>
#include <string.h>
#include "lib/elf.h"
#include "lib/error.h"
#include "tests/host/elf_walk.h"
#include "tests/host/unit.h"

#define LOW        0x10000ull
#define HIGH       0x40000000ull
#define TEXT       0x10000ull
#define DATA       0x12e00ull
#define HEADERS    64
#define NHEADERS   4
#define FILE_BYTES 0x1000

/* Offsets of fields, as in the specification. */
#define AT_HEADER(i)  (HEADERS + (i)*ELF_HEADER_BYTES)
#define AT_FLAGS(i)   (AT_HEADER(i) + 4)
#define AT_OFFSET(i)  (AT_HEADER(i) + 8)
#define AT_ADDRESS(i) (AT_HEADER(i) + 16)
#define AT_FILE(i)    (AT_HEADER(i) + 32)
#define AT_MEMORY(i)  (AT_HEADER(i) + 40)

static uint8_t file[FILE_BYTES];
static struct elf elf;
static char reason[256];

static void put(size_t at, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        file[at + i] = (uint8_t)(value >> 8 * i);
}

static void put_header(unsigned i, uint32_t type, uint32_t rights, uint64_t offset, uint64_t address,
    uint64_t bytes, uint64_t memory)
{
    put(AT_HEADER(i), 4, type);
    put(AT_FLAGS(i), 4, rights);
    put(AT_OFFSET(i), 8, offset);
    put(AT_ADDRESS(i), 8, address);
    put(AT_ADDRESS(i) + 8, 8, address);
    put(AT_FILE(i), 8, bytes);
    put(AT_MEMORY(i), 8, memory);
    put(AT_MEMORY(i) + 8, 8, ELF_PAGE_BYTES);
}

/* Text with the headers in front, data with zeros behind, an empty segment, a stack that is not executable. */
static void build_sample(void)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    memset(file, 0, sizeof(file));
    memcpy(file, ident, sizeof(ident));
    put(16, 2, 2); /* a program at fixed addresses */
    put(18, 2, 243);
    put(20, 4, 1);
    put(24, 8, TEXT + 0x200);
    put(32, 8, HEADERS);
    put(48, 4, 5); /* compressed instructions, double precision */
    put(52, 2, 64);
    put(54, 2, ELF_HEADER_BYTES);
    put(56, 2, NHEADERS);
    put_header(0, 1, 5, 0, TEXT, 0xe00, 0xe00);
    put_header(1, 1, 6, 0xe00, DATA, 0x100, 0x3000);
    put_header(2, 1, 4, 0, 0, 0, 0);
    put_header(3, 0x6474e551, 6, 0, 0, 0, 0);
}

static int open_file(size_t bytes)
{
    struct buffer_writer why;
    buffer_writer_init(&why, reason, sizeof(reason));
    int error = elf_walk(&elf, file, bytes, LOW, HIGH, &why.writer);
    assert_int_equal(error == 0, why.length == 0);
    return error;
}

static void test_a_right_program(void **state)
{
    (void)state;
    build_sample();
    assert_int_equal(open_file(sizeof(file)), 0);
    assert_int_equal(elf.nsegments, 2);
    assert_int_equal(elf.entry, TEXT + 0x200);
    assert_int_equal(elf.headers, TEXT + HEADERS);
    assert_int_equal(elf.nheaders, NHEADERS);
    assert_int_equal(elf.low, TEXT);
    assert_int_equal(elf.high, 0x16000);
    assert_false(elf.relocatable);
    assert_true(elf.segments[0].executable && elf.segments[0].readable && !elf.segments[0].writable);
    assert_true(elf.segments[1].writable && !elf.segments[1].executable);
    assert_int_equal(elf.segments[1].address, DATA);
    assert_int_equal(elf.segments[1].offset, 0xe00);
    assert_int_equal(elf.segments[1].file_bytes, 0x100);
    assert_int_equal(elf.segments[1].memory_bytes, 0x3000);
}

/* One that may be moved begins at 0, and fits if what it covers does. */
static void test_position_independent(void **state)
{
    (void)state;
    build_sample();
    put(16, 2, 3);
    put(24, 8, 0x200);
    put(AT_ADDRESS(0), 8, 0);
    put(AT_ADDRESS(1), 8, DATA - TEXT);
    assert_int_equal(open_file(sizeof(file)), 0);
    assert_true(elf.relocatable);
    assert_int_equal(elf.low, 0);
    assert_int_equal(elf.high, 0x6000);

    put(AT_MEMORY(1), 8, HIGH - LOW - (DATA - TEXT));
    assert_int_equal(open_file(sizeof(file)), 0);
    put(AT_MEMORY(1), 8, HIGH - LOW - (DATA - TEXT) + 1);
    assert_int_equal(open_file(sizeof(file)), ERR_RANGE);
}

/* Program headers that no segment brings into memory have no address. */
static void test_headers_that_are_not_loaded(void **state)
{
    (void)state;
    build_sample();
    memmove(file + 0xf10, file + HEADERS, 2 * ELF_HEADER_BYTES);
    put(32, 8, 0xf10);
    put(56, 2, 2);
    assert_int_equal(open_file(sizeof(file)), 0);
    assert_int_equal(elf.headers, 0);

    build_sample();
    put(AT_FILE(0), 8, HEADERS + NHEADERS * ELF_HEADER_BYTES - 1);
    assert_int_equal(open_file(sizeof(file)), 0);
    assert_int_equal(elf.headers, 0);
    put(AT_FILE(0), 8, HEADERS + NHEADERS * ELF_HEADER_BYTES);
    assert_int_equal(open_file(sizeof(file)), 0);
    assert_int_equal(elf.headers, TEXT + HEADERS);
}

/* A field of the sample that is overwritten, and the answer. */
static const struct wrong {
    size_t at;
    unsigned bytes;
    uint64_t value;
    int error;
    const char *reason;
} wrongs[] = {
    {0, 1, 0, ERR_FORMAT, "not an ELF file"},
    {4, 1, 1, ERR_UNSUPPORTED, "not a 64-bit little-endian program"},
    {5, 1, 2, ERR_UNSUPPORTED, "not a 64-bit little-endian program"},
    {6, 1, 2, ERR_UNSUPPORTED, "not version 1 of ELF"},
    {20, 4, 0, ERR_UNSUPPORTED, "not version 1 of ELF"},
    {7, 1, 9, ERR_UNSUPPORTED, "made for another operating system"},
    {18, 2, 62, ERR_UNSUPPORTED, "not made for RISC-V"},
    {16, 2, 1, ERR_UNSUPPORTED, "not a program, but an object or a core dump"},
    {48, 4, 8, ERR_UNSUPPORTED, "made for RV64E or for total store order"},
    {48, 4, 16, ERR_UNSUPPORTED, "made for RV64E or for total store order"},
    {52, 2, 52, ERR_FORMAT, "headers of another size than ELF's for 64 bits"},
    {54, 2, 32, ERR_FORMAT, "headers of another size than ELF's for 64 bits"},
    {56, 2, 0, ERR_FORMAT, "no program headers"},
    {56, 2, 0xffff, ERR_TRUNCATED, "the file ends before its program headers do"},
    {32, 8, UINT64_MAX, ERR_TRUNCATED, "the file ends before its program headers do"},
    {32, 8, FILE_BYTES - 100, ERR_TRUNCATED, "the file ends before its program headers do"},
    {24, 8, 0, ERR_FORMAT, "the entry point is not in an executable segment"},
    {24, 8, TEXT + 1, ERR_FORMAT, "the entry point is not in an executable segment"},
    {24, 8, TEXT + 0xe00, ERR_FORMAT, "the entry point is not in an executable segment"},
    {24, 8, DATA, ERR_FORMAT, "the entry point is not in an executable segment"},
    {AT_HEADER(2), 4, 3, ERR_UNSUPPORTED,
        "program header 2: the program needs a dynamic linker; link it statically"},
    {AT_FLAGS(3), 4, 7, ERR_UNSUPPORTED, "program header 3: wants an executable stack"},
    {AT_FLAGS(0), 4, 7, ERR_UNSUPPORTED, "program header 0: both writable and executable"},
    {AT_FILE(0), 8, 0xe01, ERR_FORMAT, "program header 0: more bytes in the file than in memory"},
    {AT_FILE(2), 8, 1, ERR_FORMAT, "program header 2: more bytes in the file than in memory"},
    {AT_OFFSET(1), 8, FILE_BYTES + 0xe00, ERR_TRUNCATED,
        "program header 1: the file ends before the segment does"},
    {AT_OFFSET(1), 8, UINT64_MAX - 0x1ff, ERR_TRUNCATED,
        "program header 1: the file ends before the segment does"},
    {AT_FILE(1), 8, 0x201, ERR_TRUNCATED, "program header 1: the file ends before the segment does"},
    {AT_OFFSET(1), 8, 0xe08, ERR_FORMAT,
        "program header 1: the file's offset and the address differ within a page"},
    {AT_ADDRESS(0), 8, 0, ERR_RANGE, "program header 0: addresses that a program may not have"},
    {AT_ADDRESS(0), 8, LOW - 0x1000, ERR_RANGE, "program header 0: addresses that a program may not have"},
    {AT_ADDRESS(1), 8, HIGH + 0xe00, ERR_RANGE, "program header 1: addresses that a program may not have"},
    {AT_ADDRESS(1), 8, 0xffffffff80000e00, ERR_RANGE,
        "program header 1: addresses that a program may not have"},
    {AT_MEMORY(1), 8, HIGH - DATA + 1, ERR_RANGE, "program header 1: addresses that a program may not have"},
    {AT_MEMORY(1), 8, UINT64_MAX, ERR_RANGE, "program header 1: addresses that a program may not have"},
    {AT_ADDRESS(1), 8, TEXT + 0xe00, ERR_FORMAT,
        "program header 1: shares a page with a segment before it, or lies in front of it"},
    {AT_ADDRESS(0), 8, 0x20000, ERR_FORMAT,
        "program header 1: shares a page with a segment before it, or lies in front of it"},
};

static void test_what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
        build_sample();
        put(wrongs[i].at, wrongs[i].bytes, wrongs[i].value);
        int error = open_file(sizeof(file));
        assert_string_equal(reason, wrongs[i].reason);
        assert_int_equal(error, wrongs[i].error);
    }
}

/* The last byte of memory that is allowed may be used. */
static void test_the_edge_of_what_is_allowed(void **state)
{
    (void)state;
    build_sample();
    put(AT_MEMORY(1), 8, HIGH - DATA);
    assert_int_equal(open_file(sizeof(file)), 0);
    assert_int_equal(elf.high, HIGH);
    put(AT_FILE(1), 8, 0x200); /* and of the file */
    assert_int_equal(open_file(sizeof(file)), 0);
}

static void test_nothing_to_load(void **state)
{
    (void)state;
    build_sample();
    put(AT_HEADER(0), 4, 0);
    put(AT_HEADER(1), 4, 0);
    assert_int_equal(open_file(sizeof(file)), ERR_FORMAT);
    assert_string_equal(reason, "nothing to load");
}

static void test_too_many_segments(void **state)
{
    (void)state;
    build_sample();
    put(56, 2, ELF_SEGMENTS_MAX + 1);
    for (unsigned i = 0; i <= ELF_SEGMENTS_MAX; i++)
        put_header(i, 1, i == 0 ? 5 : 4, 0, TEXT + i * 0x1000ull, 0xe00, 0xe00);
    assert_int_equal(open_file(sizeof(file)), ERR_UNSUPPORTED);
    assert_string_equal(reason, "program header 16: one segment more than a program may have");
    put(56, 2, ELF_SEGMENTS_MAX);
    assert_int_equal(open_file(sizeof(file)), 0);
}

/* Only the bytes behind the last that is used may be missing. */
static void test_cut_at_every_byte(void **state)
{
    (void)state;
    build_sample();
    for (size_t bytes = 0; bytes < 0xf00; bytes++) {
        int error = open_file(bytes);
        assert_int_equal(error, bytes < 4 ? ERR_FORMAT : ERR_TRUNCATED);
    }
    assert_int_equal(open_file(0xf00), 0);
}

/* Whatever is accepted keeps the promises: elf_walk() looks. */
static void test_every_bit_flipped(void **state)
{
    (void)state;
    unsigned refused = 0;
    build_sample();
    for (size_t bit = 0; bit < 8 * (size_t)AT_HEADER(NHEADERS); bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused += open_file(sizeof(file)) != 0;
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > 500);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_right_program),
        cmocka_unit_test(test_position_independent),
        cmocka_unit_test(test_headers_that_are_not_loaded),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_the_edge_of_what_is_allowed),
        cmocka_unit_test(test_nothing_to_load),
        cmocka_unit_test(test_too_many_segments),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_every_bit_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
