/*
 * A reader of flattened device trees (Devicetree Specification 0.4, chapter 5) that trusts nothing: every
 * offset and length is checked against the blob before it is followed, so a truncated or hostile tree ends
 * in an error, never in a read outside the blob. Reads in place, copies nothing, allocates nothing.
 */
#ifndef LIB_FDT_H
#define LIB_FDT_H

#include "lib/base.h"

#define FDT_DEPTH_MAX    16
#define FDT_HEADER_BYTES 40

struct fdt {
    const uint8_t *blob;
    uint32_t total_bytes;
    uint32_t struct_offset, struct_bytes;
    uint32_t strings_offset, strings_bytes;
    uint32_t reserve_offset; /* memory reservation block */
    uint32_t nreservations; /* its entries, the terminating one not counted */
};

/* A node: its offset in the structure block. */
struct fdt_node {
    uint32_t offset;
};

struct fdt_property {
    const char *name;
    const uint8_t *value;
    uint32_t bytes;
};

struct fdt_range {
    uint64_t base, bytes;
};

/** fdt_blob_bytes - the total size that a header claims, to learn how much to map; 0 if it is no tree.
 *  @header: at least FDT_HEADER_BYTES readable bytes */
uint32_t fdt_blob_bytes(const void *header);

/**
 * fdt_open - check the header and the whole structure block once: known tokens, names and strings
 * terminated, begin and end balanced, one root, properties before children, depth within FDT_DEPTH_MAX.
 * @available: bytes that may be read at @blob; the blob is 8-byte aligned
 *
 * Returns 0, ERR_FORMAT, ERR_TRUNCATED, ERR_UNSUPPORTED (version), ERR_INVALID (misaligned).
 */
int fdt_open(struct fdt *fdt, const void *blob, size_t available);

struct fdt_node fdt_root(const struct fdt *fdt);

/** fdt_first_child, fdt_next_sibling - 0 and *node, or ERR_NOT_FOUND. */
int fdt_first_child(const struct fdt *fdt, struct fdt_node parent, struct fdt_node *node);
int fdt_next_sibling(const struct fdt *fdt, struct fdt_node node, struct fdt_node *next);

/** fdt_name - the node's name with its unit address ("memory@80000000"); "" for the root. */
const char *fdt_name(const struct fdt *fdt, struct fdt_node node);

/** fdt_child - the child with this name; a name without `@` also matches any unit address. */
int fdt_child(const struct fdt *fdt, struct fdt_node parent, const char *name, struct fdt_node *node);

/** fdt_property - 0, or ERR_NOT_FOUND. */
int fdt_property(
    const struct fdt *fdt, struct fdt_node node, const char *name, struct fdt_property *property);

/** fdt_string - a property that is one NUL-terminated string; ERR_NOT_FOUND, ERR_FORMAT. */
int fdt_string(const struct fdt *fdt, struct fdt_node node, const char *name, const char **text);

/** fdt_is_compatible - whether the node's `compatible` list holds exactly this string. */
bool fdt_is_compatible(const struct fdt *fdt, struct fdt_node node, const char *text);

/** fdt_cells - a property of `cells` (1 or 2) big-endian words as one number; ERR_NOT_FOUND, ERR_FORMAT. */
int fdt_cells(const struct fdt *fdt, struct fdt_node node, const char *name, unsigned cells, uint64_t *value);

/**
 * fdt_reg - the i-th (base, size) pair of a node's `reg`.
 * @parent: the node's parent, whose #address-cells and #size-cells (default 2 and 1) give the format
 *
 * Returns 0, ERR_NOT_FOUND behind the last, ERR_FORMAT, ERR_UNSUPPORTED for cells other than 1 or 2
 * (size cells may be 0, as under /cpus; the size is 0 then).
 */
int fdt_reg(
    const struct fdt *fdt, struct fdt_node parent, struct fdt_node node, unsigned i, struct fdt_range *range);

/** fdt_reservation - the i-th entry of the memory reservation block; ERR_NOT_FOUND behind the last. */
int fdt_reservation(const struct fdt *fdt, unsigned i, struct fdt_range *range);

#endif
