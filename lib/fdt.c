/*
 * The flattened device tree reader. The blob comes from firmware or from a fuzzer, so nothing of it is
 * believed: token_at() is the only function that interprets the structure block, it checks each length
 * against what is left of the block, and everything else walks through it. fdt_open() walks the whole
 * tree once; after that the walks can rely on the nesting, and still stop on whatever token_at() refuses.
 */
#include "lib/fdt.h"
#include "lib/error.h"
#include "lib/string.h"

#define FDT_MAGIC   0xd00dfeed
#define FDT_VERSION 17 /* the first with the size of the structure block; the one that everybody writes */

#define CELL_BYTES        4
#define RESERVATION_BYTES 16

enum token_kind {
    TOKEN_BEGIN_NODE = 1,
    TOKEN_END_NODE = 2,
    TOKEN_PROPERTY = 3,
    TOKEN_NOP = 4,
    TOKEN_END = 9,
};

/* A decoded token of the structure block. */
struct token {
    uint32_t kind;
    uint32_t offset;
    uint32_t next; /* offset of the token behind it */
    const char *name; /* TOKEN_BEGIN_NODE */
    struct fdt_property property; /* TOKEN_PROPERTY */
};

/* The header's fields, big-endian words at 4 * index. */
enum header_field {
    HEADER_MAGIC,
    HEADER_TOTAL_BYTES,
    HEADER_STRUCT_OFFSET,
    HEADER_STRINGS_OFFSET,
    HEADER_RESERVE_OFFSET,
    HEADER_VERSION,
    HEADER_LAST_COMPATIBLE_VERSION,
    HEADER_BOOT_HART,
    HEADER_STRINGS_BYTES,
    HEADER_STRUCT_BYTES,
    HEADER_FIELDS,
};

_Static_assert(HEADER_FIELDS *CELL_BYTES == FDT_HEADER_BYTES, "header of version 17");

static uint64_t read_cells(const uint8_t *at, unsigned cells)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < cells * CELL_BYTES; i++)
        value = value << 8 | at[i];
    return value;
}

static uint32_t read_cell(const uint8_t *at)
{
    return (uint32_t)read_cells(at, 1);
}

static uint32_t header_field(const uint8_t *blob, enum header_field field)
{
    return read_cell(blob + field * CELL_BYTES);
}

static struct fdt_range reservation_at(const struct fdt *fdt, uint32_t i)
{
    const uint8_t *entry = fdt->blob + fdt->reserve_offset + (size_t)i * RESERVATION_BYTES;

    return (struct fdt_range){.base = read_cells(entry, 2), .bytes = read_cells(entry + 8, 2)};
}

static const uint8_t *struct_at(const struct fdt *fdt, uint32_t offset)
{
    return fdt->blob + fdt->struct_offset + offset;
}

/* Sets token->next `bytes` on, rounded up to the next token; false if that leaves the block. */
static bool advance(const struct fdt *fdt, struct token *token, uint64_t bytes)
{
    uint64_t next = token->next + ALIGN_UP(bytes, (uint64_t)CELL_BYTES);

    if (next > fdt->struct_bytes)
        return false;
    token->next = (uint32_t)next;
    return true;
}

static int begin_node_at(const struct fdt *fdt, struct token *token)
{
    uint32_t left = fdt->struct_bytes - token->next;
    const char *name = (const char *)struct_at(fdt, token->next);
    size_t length = strnlen(name, left);

    if (length == left || !advance(fdt, token, length + 1))
        return ERR_TRUNCATED;
    token->name = name;
    return 0;
}

static int property_at(const struct fdt *fdt, struct token *token)
{
    const uint8_t *header = struct_at(fdt, token->next);

    if (!advance(fdt, token, 2 * CELL_BYTES))
        return ERR_TRUNCATED;
    uint32_t bytes = read_cell(header);
    uint32_t name_offset = read_cell(header + CELL_BYTES);

    /* The strings block was cut behind its last NUL, so what begins inside it ends inside it. */
    if (name_offset >= fdt->strings_bytes)
        return ERR_FORMAT;
    token->property = (struct fdt_property){
        .name = (const char *)fdt->blob + fdt->strings_offset + name_offset,
        .value = struct_at(fdt, token->next),
        .bytes = bytes,
    };
    return advance(fdt, token, bytes) ? 0 : ERR_TRUNCATED;
}

/* Decodes the token at an offset of the structure block. */
static int token_at(const struct fdt *fdt, uint32_t offset, struct token *token)
{
    *token = (struct token){.offset = offset, .next = offset};
    if (!IS_ALIGNED(offset, CELL_BYTES))
        return ERR_INVALID;
    if (offset > fdt->struct_bytes || !advance(fdt, token, CELL_BYTES))
        return ERR_TRUNCATED;

    token->kind = read_cell(struct_at(fdt, offset));
    switch (token->kind) {
    case TOKEN_BEGIN_NODE: return begin_node_at(fdt, token);
    case TOKEN_PROPERTY: return property_at(fdt, token);
    case TOKEN_END_NODE:
    case TOKEN_NOP:
    case TOKEN_END: return 0;
    default: return ERR_FORMAT;
    }
}

/* Moves on to the next token that is no NOP. */
static int next_token(const struct fdt *fdt, struct token *token)
{
    int error;

    do {
        error = token_at(fdt, token->next, token);
    } while (error == 0 && token->kind == TOKEN_NOP);
    return error;
}

/* Proves the nesting: one root, properties before children, every node closed, an end at the end. */
static int check_structure(const struct fdt *fdt)
{
    unsigned depth = 0;
    bool properties_allowed = false, root_seen = false;
    struct token token = {.next = 0};

    for (;;) {
        int error = next_token(fdt, &token);
        if (error != 0)
            return error;

        switch (token.kind) {
        case TOKEN_BEGIN_NODE:
            if (depth == FDT_DEPTH_MAX || (depth == 0 && root_seen))
                return ERR_FORMAT;
            depth++;
            root_seen = true;
            properties_allowed = true;
            break;
        case TOKEN_PROPERTY:
            if (!properties_allowed)
                return ERR_FORMAT;
            break;
        case TOKEN_END_NODE:
            if (depth == 0)
                return ERR_FORMAT;
            depth--;
            properties_allowed = false;
            break;
        default: return depth == 0 && root_seen ? 0 : ERR_FORMAT;
        }
    }
}

/* The list ends in an entry of zeros, which has to come before the end of the blob. */
static int count_reservations(struct fdt *fdt)
{
    uint32_t room = (fdt->total_bytes - fdt->reserve_offset) / RESERVATION_BYTES;

    for (fdt->nreservations = 0; fdt->nreservations < room; fdt->nreservations++) {
        struct fdt_range range = reservation_at(fdt, fdt->nreservations);
        if (range.base == 0 && range.bytes == 0)
            return 0;
    }
    return ERR_TRUNCATED;
}

/* The length of the strings block up to and with its last NUL: the part where every string ends. */
static uint32_t terminated_bytes(const uint8_t *strings, uint32_t bytes)
{
    while (bytes > 0 && strings[bytes - 1] != '\0')
        bytes--;
    return bytes;
}

static bool block_fits(const struct fdt *fdt, uint32_t offset, uint32_t bytes)
{
    return offset >= FDT_HEADER_BYTES && offset <= fdt->total_bytes && bytes <= fdt->total_bytes - offset;
}

static int check_header(const uint8_t *blob, size_t available)
{
    if (!IS_ALIGNED((uintptr_t)blob, 8))
        return ERR_INVALID;
    if (available < FDT_HEADER_BYTES)
        return ERR_TRUNCATED;
    if (fdt_blob_bytes(blob) == 0)
        return ERR_FORMAT;
    if (header_field(blob, HEADER_VERSION) < FDT_VERSION ||
        header_field(blob, HEADER_LAST_COMPATIBLE_VERSION) > FDT_VERSION)
        return ERR_UNSUPPORTED;
    return fdt_blob_bytes(blob) > available ? ERR_TRUNCATED : 0;
}

uint32_t fdt_blob_bytes(const void *header)
{
    uint32_t total_bytes = header_field(header, HEADER_TOTAL_BYTES);

    return header_field(header, HEADER_MAGIC) == FDT_MAGIC && total_bytes >= FDT_HEADER_BYTES ? total_bytes
                                                                                              : 0;
}

int fdt_open(struct fdt *fdt, const void *blob, size_t available)
{
    int error = check_header(blob, available);

    if (error != 0)
        return error;
    *fdt = (struct fdt){
        .blob = blob,
        .total_bytes = fdt_blob_bytes(blob),
        .struct_offset = header_field(blob, HEADER_STRUCT_OFFSET),
        .struct_bytes = header_field(blob, HEADER_STRUCT_BYTES),
        .strings_offset = header_field(blob, HEADER_STRINGS_OFFSET),
        .strings_bytes = header_field(blob, HEADER_STRINGS_BYTES),
        .reserve_offset = header_field(blob, HEADER_RESERVE_OFFSET),
    };
    if (!block_fits(fdt, fdt->struct_offset, fdt->struct_bytes) ||
        !block_fits(fdt, fdt->strings_offset, fdt->strings_bytes) || !block_fits(fdt, fdt->reserve_offset, 0))
        return ERR_TRUNCATED;
    if (!IS_ALIGNED(fdt->struct_offset, CELL_BYTES) || !IS_ALIGNED(fdt->reserve_offset, 8))
        return ERR_FORMAT;

    fdt->strings_bytes = terminated_bytes(fdt->blob + fdt->strings_offset, fdt->strings_bytes);
    error = count_reservations(fdt);
    return error != 0 ? error : check_structure(fdt);
}

struct fdt_node fdt_root(const struct fdt *fdt)
{
    struct token token = {.next = 0};

    /* Cannot fail: fdt_open() found a root. */
    (void)next_token(fdt, &token);
    return (struct fdt_node){token.offset};
}

/* Decodes the token that begins a node. */
static bool enter_node(const struct fdt *fdt, struct fdt_node node, struct token *token)
{
    return token_at(fdt, node.offset, token) == 0 && token->kind == TOKEN_BEGIN_NODE;
}

static int node_of_token(const struct token *token, struct fdt_node *node)
{
    if (token->kind != TOKEN_BEGIN_NODE)
        return ERR_NOT_FOUND;
    *node = (struct fdt_node){token->offset};
    return 0;
}

int fdt_first_child(const struct fdt *fdt, struct fdt_node parent, struct fdt_node *node)
{
    struct token token;

    if (!enter_node(fdt, parent, &token))
        return ERR_NOT_FOUND;
    do {
        if (next_token(fdt, &token) != 0)
            return ERR_NOT_FOUND;
    } while (token.kind == TOKEN_PROPERTY);
    return node_of_token(&token, node);
}

int fdt_next_sibling(const struct fdt *fdt, struct fdt_node node, struct fdt_node *next)
{
    struct token token;
    unsigned depth = 1;

    if (!enter_node(fdt, node, &token))
        return ERR_NOT_FOUND;
    while (depth > 0) {
        if (next_token(fdt, &token) != 0)
            return ERR_NOT_FOUND;
        if (token.kind == TOKEN_BEGIN_NODE)
            depth++;
        else if (token.kind == TOKEN_END_NODE)
            depth--;
    }
    return next_token(fdt, &token) == 0 ? node_of_token(&token, next) : ERR_NOT_FOUND;
}

const char *fdt_name(const struct fdt *fdt, struct fdt_node node)
{
    struct token token;

    return enter_node(fdt, node, &token) ? token.name : "";
}

static bool name_matches(const char *full_name, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(full_name, name, length) != 0)
        return false;
    return full_name[length] == '\0' || (full_name[length] == '@' && strchr(name, '@') == NULL);
}

int fdt_child(const struct fdt *fdt, struct fdt_node parent, const char *name, struct fdt_node *node)
{
    int error = fdt_first_child(fdt, parent, node);

    while (error == 0 && !name_matches(fdt_name(fdt, *node), name))
        error = fdt_next_sibling(fdt, *node, node);
    return error;
}

int fdt_property(const struct fdt *fdt, struct fdt_node node, const char *name, struct fdt_property *property)
{
    struct token token;

    if (!enter_node(fdt, node, &token))
        return ERR_NOT_FOUND;
    while (next_token(fdt, &token) == 0 && token.kind == TOKEN_PROPERTY) {
        if (strcmp(token.property.name, name) == 0) {
            *property = token.property;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

int fdt_string(const struct fdt *fdt, struct fdt_node node, const char *name, const char **text)
{
    struct fdt_property property;
    int error = fdt_property(fdt, node, name, &property);

    if (error != 0)
        return error;
    if (property.bytes == 0 ||
        memchr(property.value, '\0', property.bytes) != property.value + property.bytes - 1)
        return ERR_FORMAT;
    *text = (const char *)property.value;
    return 0;
}

bool fdt_is_compatible(const struct fdt *fdt, struct fdt_node node, const char *text)
{
    struct fdt_property list;
    size_t bytes = strlen(text) + 1;

    if (fdt_property(fdt, node, "compatible", &list) != 0)
        return false;
    for (uint32_t at = 0; at < list.bytes;) {
        const uint8_t *end = memchr(&list.value[at], '\0', list.bytes - at);
        if (!end)
            return false;
        uint32_t length = (uint32_t)(end - &list.value[at]) + 1;
        if (length == bytes && memcmp(&list.value[at], text, bytes) == 0)
            return true;
        at += length;
    }
    return false;
}

int fdt_cells(const struct fdt *fdt, struct fdt_node node, const char *name, unsigned cells, uint64_t *value)
{
    struct fdt_property property;
    int error = fdt_property(fdt, node, name, &property);

    if (error != 0)
        return error;
    if (property.bytes != cells * CELL_BYTES)
        return ERR_FORMAT;
    *value = read_cells(property.value, cells);
    return 0;
}

/* The number of cells that a bus gives an address or a size, with the specification's default. */
static int bus_cells(const struct fdt *fdt, struct fdt_node bus, const char *name, unsigned standard,
    unsigned least, unsigned *cells)
{
    uint64_t value = standard;
    int error = fdt_cells(fdt, bus, name, 1, &value);

    if (error != 0 && error != ERR_NOT_FOUND)
        return error;
    if (value < least || value > 2)
        return ERR_UNSUPPORTED;
    *cells = (unsigned)value;
    return 0;
}

int fdt_reg(
    const struct fdt *fdt, struct fdt_node parent, struct fdt_node node, unsigned i, struct fdt_range *range)
{
    struct fdt_property reg;
    unsigned address_cells, size_cells;
    int error = fdt_property(fdt, node, "reg", &reg);

    if (error == 0)
        error = bus_cells(fdt, parent, "#address-cells", 2, 1, &address_cells);
    if (error == 0)
        error = bus_cells(fdt, parent, "#size-cells", 1, 0, &size_cells);
    if (error != 0)
        return error;

    uint32_t entry_bytes = (address_cells + size_cells) * CELL_BYTES;
    if (reg.bytes % entry_bytes != 0)
        return ERR_FORMAT;
    if (i >= reg.bytes / entry_bytes)
        return ERR_NOT_FOUND;

    const uint8_t *entry = reg.value + (size_t)i * entry_bytes;
    range->base = read_cells(entry, address_cells);
    range->bytes = read_cells(entry + address_cells * CELL_BYTES, size_cells);
    return 0;
}

int fdt_reservation(const struct fdt *fdt, unsigned i, struct fdt_range *range)
{
    if (i >= fdt->nreservations)
        return ERR_NOT_FOUND;
    *range = reservation_at(fdt, i);
    return 0;
}
