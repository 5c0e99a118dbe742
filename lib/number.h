/* Strict parsing of numbers in configuration: the whole text is the number, or it is an error. */
#ifndef LIB_NUMBER_H
#define LIB_NUMBER_H

#include "lib/base.h"

/**
 * number_parse - decimal or 0x hexadecimal, with an optional binary suffix K, M or G.
 * @text, @length: the text, which need not be NUL-terminated
 * @value: the result; untouched on error
 *
 * Returns 0; ERR_FORMAT where the text is not one number; ERR_RANGE where it exceeds 64 bits.
 */
int number_parse(const char *text, size_t length, uint64_t *value);

/** number_parse_range - the same for a NUL-terminated text, and ERR_RANGE outside [low, high]. */
int number_parse_range(const char *text, uint64_t low, uint64_t high, uint64_t *value);

#endif
