/* Drives every function of lib/fdt and lib/machine over a blob that may be anything; for tests and fuzzers. */
#ifndef TESTS_HOST_FDT_WALK_H
#define TESTS_HOST_FDT_WALK_H

#include "lib/base.h"

/**
 * fdt_walk - open a blob, visit everything in it, and read a machine out of it.
 * @bytes, @count: the blob. It is copied to a heap block of exactly this size first, so that the address
 *                 sanitizer sees any read behind its end.
 *
 * Returns what fdt_open() said. Aborts where a result breaks the contract of the headers.
 */
int fdt_walk(const uint8_t *bytes, size_t count);

#endif
