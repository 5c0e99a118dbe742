/*
 * The device tree reader on trees that are right, on each way of being wrong that its header names, and on a
 * tree cut at every byte and with every bit flipped.
 */
#include <stdlib.h>
#include <string.h>
#include "lib/error.h"
#include "lib/fdt.h"
#include "lib/rng.h"
#include "tests/host/fdt_builder.h"
#include "tests/host/fdt_walk.h"
#include "tests/host/unit.h"

#define RANDOM_BLOBS 20000

static struct fdt_builder builder;
static struct fdt fdt;

static int open_built(void)
{
    fdt_build_finish(&builder);
    return fdt_open(&fdt, builder.blob, builder.blob_bytes);
}

/* A tree with each feature once; NOPs stand wherever they may. */
static void build_sample(void)
{
    static const uint32_t reg[] = {0, 0x1000, 0x10, 1, 2, 0x20};

    fdt_build_start(&builder);
    fdt_build_reservation(&builder, 0x80000000, 0x20000);
    fdt_build_reservation(&builder, 0, 0x1000);
    fdt_build_token(&builder, 4);
    fdt_build_begin(&builder, "");
    fdt_build_token(&builder, 4);
    fdt_build_string(&builder, "model", "sample");
    fdt_build_u32(&builder, "#address-cells", 2);
    fdt_build_token(&builder, 4);
    fdt_build_u32(&builder, "#size-cells", 1);
    fdt_build_bytes(&builder, "empty", "", 0);
    fdt_build_begin(&builder, "soc");
    fdt_build_begin(&builder, "deep");
    fdt_build_u64(&builder, "number", 0x123456789abcdef0);
    fdt_build_end(&builder);
    fdt_build_token(&builder, 4);
    fdt_build_end(&builder);
    fdt_build_token(&builder, 4);
    fdt_build_begin(&builder, "memory@1000");
    fdt_build_cells(&builder, "reg", reg, ARRAY_SIZE(reg));
    fdt_build_end(&builder);
    fdt_build_begin(&builder, "memory@2000");
    fdt_build_end(&builder);
    fdt_build_end(&builder);
    fdt_build_token(&builder, 4);
}

static void open_sample(void)
{
    build_sample();
    assert_int_equal(open_built(), 0);
}

static void nodes_are_walked_in_order(void **state)
{
    struct fdt_node node, deep;

    (void)state;
    open_sample();
    assert_string_equal(fdt_name(&fdt, fdt_root(&fdt)), "");
    assert_int_equal(fdt_first_child(&fdt, fdt_root(&fdt), &node), 0);
    assert_string_equal(fdt_name(&fdt, node), "soc");
    assert_int_equal(fdt_first_child(&fdt, node, &deep), 0);
    assert_string_equal(fdt_name(&fdt, deep), "deep");
    assert_int_equal(fdt_first_child(&fdt, deep, &deep), ERR_NOT_FOUND);
    assert_int_equal(fdt_next_sibling(&fdt, deep, &deep), ERR_NOT_FOUND);
    assert_int_equal(fdt_next_sibling(&fdt, node, &node), 0);
    assert_string_equal(fdt_name(&fdt, node), "memory@1000");
    assert_int_equal(fdt_next_sibling(&fdt, node, &node), 0);
    assert_string_equal(fdt_name(&fdt, node), "memory@2000");
    assert_int_equal(fdt_next_sibling(&fdt, node, &node), ERR_NOT_FOUND);
    assert_int_equal(fdt_next_sibling(&fdt, fdt_root(&fdt), &node), ERR_NOT_FOUND);
}

static void children_are_found_by_name(void **state)
{
    struct fdt_node node;

    (void)state;
    open_sample();
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "memory", &node), 0);
    assert_string_equal(fdt_name(&fdt, node), "memory@1000");
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "memory@2000", &node), 0);
    assert_string_equal(fdt_name(&fdt, node), "memory@2000");
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "soc", &node), 0);
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "so", &node), ERR_NOT_FOUND);
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "memory@", &node), ERR_NOT_FOUND);
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "memory@200", &node), ERR_NOT_FOUND);
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "deep", &node), ERR_NOT_FOUND);
}

static void properties_are_read(void **state)
{
    struct fdt_property property;
    struct fdt_node root, node;
    const char *text;
    uint64_t value;

    (void)state;
    open_sample();
    root = fdt_root(&fdt);
    assert_int_equal(fdt_string(&fdt, root, "model", &text), 0);
    assert_string_equal(text, "sample");
    assert_int_equal(fdt_string(&fdt, root, "mode", &text), ERR_NOT_FOUND);
    assert_int_equal(fdt_property(&fdt, root, "empty", &property), 0);
    assert_int_equal(property.bytes, 0);
    assert_int_equal(fdt_string(&fdt, root, "empty", &text), ERR_FORMAT);
    assert_int_equal(fdt_cells(&fdt, root, "#size-cells", 1, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(fdt_cells(&fdt, root, "#size-cells", 2, &value), ERR_FORMAT);
    assert_int_equal(fdt_string(&fdt, root, "#size-cells", &text), ERR_FORMAT);
    /* A property of a child is not one of its parent. */
    assert_int_equal(fdt_property(&fdt, root, "number", &property), ERR_NOT_FOUND);
    assert_int_equal(fdt_child(&fdt, root, "soc", &node), 0);
    assert_int_equal(fdt_property(&fdt, node, "number", &property), ERR_NOT_FOUND);
    assert_int_equal(fdt_child(&fdt, node, "deep", &node), 0);
    assert_int_equal(fdt_cells(&fdt, node, "number", 2, &value), 0);
    assert_int_equal(value, 0x123456789abcdef0);
}

static void a_string_has_one_nul_at_its_end(void **state)
{
    const char *text;

    (void)state;
    fdt_build_start(&builder);
    fdt_build_begin(&builder, "");
    fdt_build_bytes(&builder, "list", "a\0b", 4);
    fdt_build_bytes(&builder, "open", "abcd", 4);
    fdt_build_bytes(&builder, "nothing", "", 1);
    fdt_build_end(&builder);
    assert_int_equal(open_built(), 0);
    assert_int_equal(fdt_string(&fdt, fdt_root(&fdt), "list", &text), ERR_FORMAT);
    assert_int_equal(fdt_string(&fdt, fdt_root(&fdt), "open", &text), ERR_FORMAT);
    assert_int_equal(fdt_string(&fdt, fdt_root(&fdt), "nothing", &text), 0);
    assert_string_equal(text, "");
}

static void reg_follows_the_parent(void **state)
{
    struct fdt_node root, node;
    struct fdt_range range;

    (void)state;
    open_sample();
    root = fdt_root(&fdt);
    assert_int_equal(fdt_child(&fdt, root, "memory@1000", &node), 0);
    assert_int_equal(fdt_reg(&fdt, root, node, 0, &range), 0);
    assert_true(range.base == 0x1000 && range.bytes == 0x10);
    assert_int_equal(fdt_reg(&fdt, root, node, 1, &range), 0);
    assert_true(range.base == 0x100000002 && range.bytes == 0x20);
    assert_int_equal(fdt_reg(&fdt, root, node, 2, &range), ERR_NOT_FOUND);
    assert_int_equal(fdt_child(&fdt, root, "memory@2000", &node), 0);
    assert_int_equal(fdt_reg(&fdt, root, node, 0, &range), ERR_NOT_FOUND);
}

/* Cells given as ~0 are left out. */
static int reg_with_cells(
    uint32_t address_cells, uint32_t size_cells, size_t reg_cells, struct fdt_range *range)
{
    static const uint32_t reg[] = {1, 2, 3, 4, 5, 6};
    struct fdt_node node;

    fdt_build_start(&builder);
    fdt_build_begin(&builder, "");
    if (address_cells != ~0u)
        fdt_build_u32(&builder, "#address-cells", address_cells);
    if (size_cells != ~0u)
        fdt_build_u32(&builder, "#size-cells", size_cells);
    fdt_build_begin(&builder, "node");
    fdt_build_cells(&builder, "reg", reg, reg_cells);
    fdt_build_end(&builder);
    fdt_build_end(&builder);
    assert_int_equal(open_built(), 0);
    assert_int_equal(fdt_child(&fdt, fdt_root(&fdt), "node", &node), 0);
    return fdt_reg(&fdt, fdt_root(&fdt), node, 0, range);
}

static void reg_takes_every_width(void **state)
{
    struct fdt_range range;

    (void)state;
    assert_int_equal(reg_with_cells(1, 1, 2, &range), 0);
    assert_true(range.base == 1 && range.bytes == 2);
    assert_int_equal(reg_with_cells(2, 2, 4, &range), 0);
    assert_true(range.base == 0x100000002 && range.bytes == 0x300000004);
    assert_int_equal(reg_with_cells(1, 0, 1, &range), 0);
    assert_true(range.base == 1 && range.bytes == 0);
    assert_int_equal(reg_with_cells(~0u, ~0u, 3, &range), 0); /* the defaults are 2 and 1 */
    assert_true(range.base == 0x100000002 && range.bytes == 3);
    assert_int_equal(reg_with_cells(2, 1, 4, &range), ERR_FORMAT);
    assert_int_equal(reg_with_cells(2, 1, 0, &range), ERR_NOT_FOUND);
    assert_int_equal(reg_with_cells(0, 1, 1, &range), ERR_UNSUPPORTED);
    assert_int_equal(reg_with_cells(3, 1, 4, &range), ERR_UNSUPPORTED);
    assert_int_equal(reg_with_cells(1, 3, 4, &range), ERR_UNSUPPORTED);
    assert_int_equal(reg_with_cells(1, 0xfffffffe, 4, &range), ERR_UNSUPPORTED);
}

static void reservations_end_at_the_zeros(void **state)
{
    struct fdt_range range;

    (void)state;
    open_sample();
    assert_int_equal(fdt_reservation(&fdt, 0, &range), 0);
    assert_true(range.base == 0x80000000 && range.bytes == 0x20000);
    assert_int_equal(fdt_reservation(&fdt, 1, &range), 0);
    assert_true(range.base == 0 && range.bytes == 0x1000);
    assert_int_equal(fdt_reservation(&fdt, 2, &range), ERR_NOT_FOUND);
    assert_int_equal(fdt_reservation(&fdt, 3, &range), ERR_NOT_FOUND);
    assert_int_equal(fdt_reservation(&fdt, UINT32_MAX, &range), ERR_NOT_FOUND);
}

static void bad_headers_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
        int error;
    } cases[] = {
        {FDT_AT_MAGIC, 0xedfe0dd0, ERR_FORMAT},
        {FDT_AT_TOTAL_BYTES, 39, ERR_FORMAT},
        {FDT_AT_TOTAL_BYTES, 0, ERR_FORMAT},
        {FDT_AT_TOTAL_BYTES, 0x7fffffff, ERR_TRUNCATED},
        {FDT_AT_TOTAL_BYTES, 0xffffffff, ERR_TRUNCATED},
        {FDT_AT_VERSION, 16, ERR_UNSUPPORTED},
        {FDT_AT_LAST_COMPATIBLE_VERSION, 18, ERR_UNSUPPORTED},
        {FDT_AT_STRUCT_OFFSET, 0xfffffffc, ERR_TRUNCATED},
        {FDT_AT_STRUCT_OFFSET, 4, ERR_TRUNCATED},
        {FDT_AT_STRUCT_BYTES, 0xffffffff, ERR_TRUNCATED},
        {FDT_AT_STRUCT_BYTES, 0, ERR_TRUNCATED},
        {FDT_AT_STRINGS_OFFSET, 0xffffffff, ERR_TRUNCATED},
        {FDT_AT_STRINGS_BYTES, 0xffffffff, ERR_TRUNCATED},
        {FDT_AT_STRINGS_BYTES, 0, ERR_FORMAT},
        {FDT_AT_RESERVE_OFFSET, 0xfffffff8, ERR_TRUNCATED},
        {FDT_AT_RESERVE_OFFSET, 44, ERR_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        build_sample();
        fdt_build_finish(&builder);
        fdt_patch(&builder, cases[i].offset, cases[i].value);
        assert_int_equal(fdt_open(&fdt, builder.blob, builder.blob_bytes), cases[i].error);
    }
    build_sample();
    fdt_build_finish(&builder);
    for (size_t shift = 1; shift < 8; shift++)
        assert_int_equal(fdt_open(&fdt, builder.blob + shift, builder.blob_bytes - shift), ERR_INVALID);
    assert_int_equal(fdt_blob_bytes(builder.blob), builder.blob_bytes);
    fdt_patch(&builder, FDT_AT_MAGIC, 0);
    assert_int_equal(fdt_blob_bytes(builder.blob), 0);
}

static void newer_compatible_versions_are_read(void **state)
{
    (void)state;
    build_sample();
    fdt_build_finish(&builder);
    fdt_patch(&builder, FDT_AT_VERSION, 18);
    fdt_patch(&builder, FDT_AT_LAST_COMPATIBLE_VERSION, 17);
    assert_int_equal(fdt_open(&fdt, builder.blob, builder.blob_bytes), 0);
}

/* Structure blocks by their tokens; b and e begin and end a node, p is a property, n a NOP, 9 the end. */
static int open_tokens(const char *tokens)
{
    fdt_build_start(&builder);
    for (; *tokens != '\0'; tokens++) {
        switch (*tokens) {
        case 'b': fdt_build_begin(&builder, "n"); break;
        case 'e': fdt_build_end(&builder); break;
        case 'p': fdt_build_u32(&builder, "p", 1); break;
        default: fdt_build_token(&builder, (uint32_t)(*tokens == 'n' ? 4 : *tokens - '0')); break;
        }
    }
    return open_built();
}

static void bad_nesting_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_tokens("be"), 0);
    assert_int_equal(open_tokens("nbnpnbnenen"), 0);
    assert_int_equal(open_tokens("bppbpeee"), ERR_FORMAT);
    assert_int_equal(open_tokens(""), ERR_FORMAT);
    assert_int_equal(open_tokens("b"), ERR_FORMAT);
    assert_int_equal(open_tokens("e"), ERR_FORMAT);
    assert_int_equal(open_tokens("pbe"), ERR_FORMAT);
    assert_int_equal(open_tokens("bep"), ERR_FORMAT);
    assert_int_equal(open_tokens("bbepe"), ERR_FORMAT); /* a property behind a child */
    assert_int_equal(open_tokens("bebe"), ERR_FORMAT); /* a second root */
    assert_int_equal(open_tokens("b9e"), ERR_FORMAT);
    assert_int_equal(open_tokens("b5e"), ERR_FORMAT);
    assert_int_equal(open_tokens("b0e"), ERR_FORMAT);
}

static int open_nested(unsigned depth)
{
    char tokens[2 * FDT_DEPTH_MAX + 3];

    memset(tokens, 'b', depth);
    memset(tokens + depth, 'e', depth);
    tokens[2 * depth] = '\0';
    return open_tokens(tokens);
}

static void depth_is_limited(void **state)
{
    (void)state;
    assert_int_equal(open_nested(FDT_DEPTH_MAX), 0);
    assert_int_equal(open_nested(FDT_DEPTH_MAX + 1), ERR_FORMAT);
}

/* The strings block ends without a NUL: names that end before are fine, the last one is not. */
static void unterminated_names_are_refused(void **state)
{
    (void)state;
    build_sample();
    builder.strings_bytes--;
    fdt_build_finish(&builder);
    assert_int_equal(fdt_open(&fdt, builder.blob, builder.blob_bytes), ERR_FORMAT);
    build_sample();
    memcpy(builder.strings + builder.strings_bytes, "tail", 4);
    builder.strings_bytes += 4;
    fdt_build_finish(&builder);
    assert_int_equal(fdt_open(&fdt, builder.blob, builder.blob_bytes), 0);
}

static void unterminated_reservations_are_refused(void **state)
{
    (void)state;
    build_sample();
    fdt_build_finish(&builder);
    /* Moved to where no pair of zero words follows any more. */
    fdt_patch(&builder, FDT_AT_RESERVE_OFFSET, (uint32_t)ALIGN_DOWN(builder.blob_bytes - 8, (size_t)8));
    assert_int_equal(fdt_open(&fdt, builder.blob, builder.blob_bytes), ERR_TRUNCATED);
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    build_sample();
    fdt_build_finish(&builder);
    assert_int_equal(fdt_walk(builder.blob, builder.blob_bytes), 0);
    for (size_t available = 0; available < builder.blob_bytes; available++)
        assert_int_equal(fdt_walk(builder.blob, available), ERR_TRUNCATED);
}

/* The same with a header that claims the cut size: then only the blocks' own checks can notice. */
static void cut_at_every_byte_with_a_matching_header(void **state)
{
    (void)state;
    build_sample();
    fdt_build_finish(&builder);
    for (uint32_t total = FDT_HEADER_BYTES; total < builder.blob_bytes; total++) {
        fdt_patch(&builder, FDT_AT_TOTAL_BYTES, total);
        assert_int_equal(fdt_walk(builder.blob, total), ERR_TRUNCATED);
    }
}

/* And with a structure block that claims less than it holds. */
static void structure_cut_at_every_byte(void **state)
{
    (void)state;
    build_sample();
    fdt_build_finish(&builder);
    for (uint32_t bytes = 0; bytes < builder.structure_bytes; bytes++) {
        fdt_patch(&builder, FDT_AT_STRUCT_BYTES, bytes);
        assert_int_equal(fdt_walk(builder.blob, builder.blob_bytes), ERR_TRUNCATED);
    }
}

static void every_bit_flipped(void **state)
{
    size_t refused = 0;

    (void)state;
    build_sample();
    fdt_build_finish(&builder);
    for (size_t bit = 0; bit < builder.blob_bytes * 8; bit++) {
        builder.blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused += fdt_walk(builder.blob, builder.blob_bytes) != 0;
        builder.blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* Most bits are values and names, where any pattern is right; but tokens, lengths and offsets are not. */
    assert_true(refused > builder.blob_bytes && refused < builder.blob_bytes * 6);
}

static void several_bytes_changed(void **state)
{
    static const uint8_t tempting[] = {0, 1, 2, 3, 4, 9, 0x7f, 0x80, 0xff};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 16, 0);
    for (unsigned i = 0; i < RANDOM_BLOBS; i++) {
        build_sample();
        fdt_build_finish(&builder);
        for (uint64_t changes = 1 + rng_below(&rng, 6); changes > 0; changes--)
            builder.blob[rng_below(&rng, builder.blob_bytes)] =
                tempting[rng_below(&rng, ARRAY_SIZE(tempting))];
        (void)fdt_walk(builder.blob, builder.blob_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_walked_in_order),
        cmocka_unit_test(children_are_found_by_name),
        cmocka_unit_test(properties_are_read),
        cmocka_unit_test(a_string_has_one_nul_at_its_end),
        cmocka_unit_test(reg_follows_the_parent),
        cmocka_unit_test(reg_takes_every_width),
        cmocka_unit_test(reservations_end_at_the_zeros),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(newer_compatible_versions_are_read),
        cmocka_unit_test(bad_nesting_is_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(unterminated_names_are_refused),
        cmocka_unit_test(unterminated_reservations_are_refused),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(cut_at_every_byte_with_a_matching_header),
        cmocka_unit_test(structure_cut_at_every_byte),
        cmocka_unit_test(every_bit_flipped),
        cmocka_unit_test(several_bytes_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
