/*
 * A reader of cpio archives in the "newc" format (magic 070701), as `cpio -o -H newc` writes them and an initrd is one. It
 * trusts nothing: every length is checked against the archive before it is followed. Reads in place, copies
 * nothing, allocates nothing.
 */
#ifndef LIB_CPIO_H
#define LIB_CPIO_H

#include "lib/base.h"

/* Bytes of a name, its NUL included. */
#define CPIO_NAME_BYTES_MAX 256

/* What a file's header says, and its data, in the archive. */
struct cpio_file {
    const char *name; /* ends with a NUL, and has no other */
    const uint8_t *data;
    size_t bytes;
    uint32_t mode; /* its type and permissions, as in stat(2) */
};

/* A place in an archive; cpio_open() puts it before the first file. */
struct cpio {
    const uint8_t *archive;
    size_t bytes;
    size_t offset; /* of the next header */
    size_t wrong; /* after an error: the offset of what is */
};

void cpio_open(struct cpio *cpio, const void *archive, size_t bytes);

/**
 * cpio_next - the next file.
 * @what: on error, a static string that names what is wrong at cpio->wrong
 *
 * Returns 1 with the file; 0 at the trailer, behind which anything may lie; ERR_TRUNCATED where the archive ends
 * before the trailer; ERR_UNSUPPORTED for another of cpio's formats; ERR_FORMAT for what is none, or a header that cannot be.
 * After 0 and after an error it stays where it is.
 */
int cpio_next(struct cpio *cpio, struct cpio_file *file, const char **what);

/** cpio_find - the first file of that name. Returns 0, ERR_NOT_FOUND, or the error that cpio_next() met before it. */
int cpio_find(const void *archive, size_t bytes, const char *name, struct cpio_file *file, const char **what);

#endif
