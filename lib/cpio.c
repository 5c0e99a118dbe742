/* See cpio.h. The format: cpio(5) of the BSDs, and Documentation/driver-api/early-userspace/buffer-format.rst of Linux. */
#include "lib/cpio.h"
#include "lib/error.h"
#include "lib/string.h"

#define MAGIC_BYTES 6
#define FIELD_CHARS 8
#define FIELDS      13

/* The header is the magic and thirteen numbers of eight hexadecimal digits; then come the name and the data, each padded so
 * that what follows lies at a multiple of four bytes from the archive's beginning. */
#define HEADER_BYTES ((size_t)MAGIC_BYTES + FIELDS * FIELD_CHARS)
#define PADDING      4

enum field {
    INODE,
    MODE,
    UID,
    GID,
    LINKS,
    TIME,
    FILE_BYTES,
    MAJOR,
    MINOR,
    RMAJOR,
    RMINOR,
    NAME_BYTES,
    CHECK
};

static const char trailer[] = "TRAILER!!!";

void cpio_open(struct cpio *cpio, const void *archive, size_t bytes)
{
    *cpio = (struct cpio){.archive = archive, .bytes = bytes};
}

static int fail(struct cpio *cpio, size_t offset, int error, const char *what, const char **why)
{
    cpio->wrong = offset;
    *why = what;
    return error;
}

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns false where a character is no digit; *offset is then where it is. */
static bool read_fields(const struct cpio *cpio, size_t *offset, uint32_t *fields)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        fields[i] = 0;
        for (unsigned k = 0; k < FIELD_CHARS; k++, (*offset)++) {
            int digit = digit_of(cpio->archive[*offset]);
            if (digit < 0)
                return false;
            fields[i] = fields[i] << 4 | (uint32_t)digit;
        }
    }
    return true;
}

static int check_magic(struct cpio *cpio, const char **what)
{
    const uint8_t *magic = cpio->archive + cpio->offset;
    size_t left = cpio->bytes - cpio->offset;
    if (left >= MAGIC_BYTES && memcmp(magic, "070701", MAGIC_BYTES) == 0)
        return 0;
    if (left >= MAGIC_BYTES && memcmp(magic, "070702", MAGIC_BYTES) == 0)
        return fail(cpio, cpio->offset, ERR_UNSUPPORTED, "an archive with checksums; newc is wanted", what);
    if (left >= MAGIC_BYTES && memcmp(magic, "070707", MAGIC_BYTES) == 0)
        return fail(
            cpio, cpio->offset, ERR_UNSUPPORTED, "an archive of the old format; newc is wanted", what);
    if (left < HEADER_BYTES)
        return fail(cpio, cpio->offset, ERR_TRUNCATED, "the archive ends before its trailer", what);
    return fail(cpio, cpio->offset, ERR_FORMAT, "no header of a file", what);
}

/* A name of so many bytes lies whole in the archive, ends with its NUL and has no other. */
static int check_name(struct cpio *cpio, size_t name, uint32_t bytes, const char **what)
{
    if (bytes < 2 || bytes > CPIO_NAME_BYTES_MAX)
        return fail(cpio, cpio->offset, ERR_FORMAT, "a name that is empty or too long", what);
    if (bytes > cpio->bytes - name)
        return fail(cpio, cpio->offset, ERR_TRUNCATED, "a name that reaches out of the archive", what);
    for (size_t i = 0; i < bytes; i++)
        if ((cpio->archive[name + i] == '\0') != (i + 1 == bytes))
            return fail(cpio, name + i, ERR_FORMAT, "a name that does not end where it says", what);
    return 0;
}

int cpio_next(struct cpio *cpio, struct cpio_file *file, const char **what)
{
    uint32_t fields[FIELDS];
    size_t offset = cpio->offset + MAGIC_BYTES;
    int error = check_magic(cpio, what);
    if (error)
        return error;
    if (cpio->bytes - cpio->offset < HEADER_BYTES)
        return fail(cpio, cpio->offset, ERR_TRUNCATED, "a header that reaches out of the archive", what);
    if (!read_fields(cpio, &offset, fields))
        return fail(cpio, offset, ERR_FORMAT, "no hexadecimal digit where a header has one", what);
    error = check_name(cpio, offset, fields[NAME_BYTES], what);
    if (error)
        return error;
    const char *name = (const char *)cpio->archive + offset;
    if (strcmp(name, trailer) == 0)
        return 0;
    size_t data = ALIGN_UP(offset + fields[NAME_BYTES], (size_t)PADDING);
    if (data > cpio->bytes || fields[FILE_BYTES] > cpio->bytes - data)
        return fail(cpio, cpio->offset, ERR_TRUNCATED, "a file that reaches out of the archive", what);
    *file = (struct cpio_file){name, cpio->archive + data, fields[FILE_BYTES], fields[MODE]};
    cpio->offset = MIN(ALIGN_UP(data + fields[FILE_BYTES], (size_t)PADDING), cpio->bytes);
    return 1;
}

int cpio_find(const void *archive, size_t bytes, const char *name, struct cpio_file *file, const char **what)
{
    struct cpio cpio;
    int found;
    cpio_open(&cpio, archive, bytes);
    while ((found = cpio_next(&cpio, file, what)) == 1)
        if (strcmp(file->name, name) == 0)
            return 0;
    return found ? found : ERR_NOT_FOUND;
}
