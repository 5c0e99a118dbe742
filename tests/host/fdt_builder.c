/* The tree builder of the tests: three growing blocks, put behind a header at the end. */
#include "tests/host/fdt_builder.h"
#include <stdlib.h>
#include <string.h>

enum { BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, END = 9 };

static void append(uint8_t *block, size_t capacity, size_t *length, const void *bytes, size_t count)
{
    if (count > capacity - *length)
        abort(); /* a test asks for more than the builder has room for */
    if (count > 0)
        memcpy(block + *length, bytes, count);
    *length += count;
}

static void append_structure(struct fdt_builder *builder, const void *bytes, size_t count)
{
    static const uint8_t zeros[4];

    append(builder->structure, sizeof(builder->structure), &builder->structure_bytes, bytes, count);
    append(builder->structure, sizeof(builder->structure), &builder->structure_bytes, zeros,
        -builder->structure_bytes % 4);
}

static void store_be32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

/* The offset of a name in the strings block, where equal names share one place. */
static uint32_t string_offset(struct fdt_builder *builder, const char *name)
{
    size_t at = 0;

    while (at < builder->strings_bytes && strcmp((char *)builder->strings + at, name) != 0)
        at += strlen((char *)builder->strings + at) + 1;
    if (at == builder->strings_bytes)
        append(builder->strings, sizeof(builder->strings), &builder->strings_bytes, name, strlen(name) + 1);
    return (uint32_t)at;
}

void fdt_build_start(struct fdt_builder *builder)
{
    memset(builder, 0, sizeof(*builder));
}

void fdt_build_reservation(struct fdt_builder *builder, uint64_t base, uint64_t bytes)
{
    uint8_t entry[16];

    store_be32(entry, (uint32_t)(base >> 32));
    store_be32(entry + 4, (uint32_t)base);
    store_be32(entry + 8, (uint32_t)(bytes >> 32));
    store_be32(entry + 12, (uint32_t)bytes);
    append(builder->reservations, sizeof(builder->reservations), &builder->reservations_bytes, entry,
        sizeof(entry));
}

void fdt_build_token(struct fdt_builder *builder, uint32_t token)
{
    uint8_t cell[4];

    store_be32(cell, token);
    append_structure(builder, cell, sizeof(cell));
}

void fdt_build_begin(struct fdt_builder *builder, const char *name)
{
    fdt_build_token(builder, BEGIN_NODE);
    append_structure(builder, name, strlen(name) + 1);
}

void fdt_build_end(struct fdt_builder *builder)
{
    fdt_build_token(builder, END_NODE);
}

void fdt_build_bytes(struct fdt_builder *builder, const char *name, const void *value, size_t bytes)
{
    fdt_build_token(builder, PROPERTY);
    fdt_build_token(builder, (uint32_t)bytes);
    fdt_build_token(builder, string_offset(builder, name));
    append_structure(builder, value, bytes);
}

void fdt_build_string(struct fdt_builder *builder, const char *name, const char *text)
{
    fdt_build_bytes(builder, name, text, strlen(text) + 1);
}

void fdt_build_cells(struct fdt_builder *builder, const char *name, const uint32_t *cells, size_t count)
{
    fdt_build_token(builder, PROPERTY);
    fdt_build_token(builder, (uint32_t)(count * 4));
    fdt_build_token(builder, string_offset(builder, name));
    for (size_t i = 0; i < count; i++)
        fdt_build_token(builder, cells[i]);
}

void fdt_build_u32(struct fdt_builder *builder, const char *name, uint32_t value)
{
    fdt_build_cells(builder, name, &value, 1);
}

void fdt_build_u64(struct fdt_builder *builder, const char *name, uint64_t value)
{
    fdt_build_cells(builder, name, (const uint32_t[]){(uint32_t)(value >> 32), (uint32_t)value}, 2);
}

void fdt_patch(struct fdt_builder *builder, size_t offset, uint32_t value)
{
    store_be32(builder->blob + offset, value);
}

/* Header, reservations, structure, strings: the order that the specification recommends. */
void fdt_build_finish(struct fdt_builder *builder)
{
    size_t reservations_at = 40, structure_at, strings_at;

    fdt_build_reservation(builder, 0, 0);
    fdt_build_token(builder, END);
    structure_at = reservations_at + builder->reservations_bytes;
    strings_at = structure_at + builder->structure_bytes;
    builder->blob_bytes = strings_at + builder->strings_bytes;
    memcpy(builder->blob + reservations_at, builder->reservations, builder->reservations_bytes);
    memcpy(builder->blob + structure_at, builder->structure, builder->structure_bytes);
    memcpy(builder->blob + strings_at, builder->strings, builder->strings_bytes);

    fdt_patch(builder, FDT_AT_MAGIC, 0xd00dfeed);
    fdt_patch(builder, FDT_AT_TOTAL_BYTES, (uint32_t)builder->blob_bytes);
    fdt_patch(builder, FDT_AT_STRUCT_OFFSET, (uint32_t)structure_at);
    fdt_patch(builder, FDT_AT_STRINGS_OFFSET, (uint32_t)strings_at);
    fdt_patch(builder, FDT_AT_RESERVE_OFFSET, (uint32_t)reservations_at);
    fdt_patch(builder, FDT_AT_VERSION, 17);
    fdt_patch(builder, FDT_AT_LAST_COMPATIBLE_VERSION, 16);
    fdt_patch(builder, FDT_AT_STRINGS_BYTES, (uint32_t)builder->strings_bytes);
    fdt_patch(builder, FDT_AT_STRUCT_BYTES, (uint32_t)builder->structure_bytes);
}
