/*
 * Builds flattened device trees in memory for the tests, right ones and, through the raw cells, wrong ones.
 * Independent of lib/fdt: the two agree on the specification or a test fails.
 */
#ifndef TESTS_HOST_FDT_BUILDER_H
#define TESTS_HOST_FDT_BUILDER_H

#include "lib/base.h"

#define FDT_BUILDER_BYTES 16384

struct fdt_builder {
    uint8_t reservations[256], structure[FDT_BUILDER_BYTES], strings[512];
    size_t reservations_bytes, structure_bytes, strings_bytes;
    uint8_t blob[FDT_BUILDER_BYTES + 1024] ALIGNED(8); /* fdt_build_finish() puts the tree together here */
    size_t blob_bytes;
};

/* Where the header keeps what a test may want to spoil. */
enum fdt_header_offset {
    FDT_AT_MAGIC = 0,
    FDT_AT_TOTAL_BYTES = 4,
    FDT_AT_STRUCT_OFFSET = 8,
    FDT_AT_STRINGS_OFFSET = 12,
    FDT_AT_RESERVE_OFFSET = 16,
    FDT_AT_VERSION = 20,
    FDT_AT_LAST_COMPATIBLE_VERSION = 24,
    FDT_AT_STRINGS_BYTES = 32,
    FDT_AT_STRUCT_BYTES = 36,
};

void fdt_build_start(struct fdt_builder *builder);
void fdt_build_reservation(struct fdt_builder *builder, uint64_t base, uint64_t bytes);
void fdt_build_begin(struct fdt_builder *builder, const char *name);
void fdt_build_end(struct fdt_builder *builder);
void fdt_build_bytes(struct fdt_builder *builder, const char *name, const void *value, size_t bytes);
void fdt_build_string(struct fdt_builder *builder, const char *name, const char *text);

/* A property of one cell, of two, and of any number of them. */
void fdt_build_u32(struct fdt_builder *builder, const char *name, uint32_t value);
void fdt_build_u64(struct fdt_builder *builder, const char *name, uint64_t value);
void fdt_build_cells(struct fdt_builder *builder, const char *name, const uint32_t *cells, size_t count);

/** fdt_build_token - a cell of the structure block as it is: a NOP (4), or what should not be there. */
void fdt_build_token(struct fdt_builder *builder, uint32_t token);

/** fdt_build_finish - write the end token and lay out the blob. */
void fdt_build_finish(struct fdt_builder *builder);

/** fdt_patch - overwrite a big-endian word of a finished blob. */
void fdt_patch(struct fdt_builder *builder, size_t offset, uint32_t value);

#endif
