/* Opens an ELF file that may be anything, and holds the reader to its promises; for tests and fuzzers. */
#ifndef TESTS_HOST_ELF_WALK_H
#define TESTS_HOST_ELF_WALK_H

#include "lib/elf.h"

/**
 * elf_walk - elf_open() on a copy of exactly this size, so that the address sanitizer sees any read behind its end; reads
 * every byte of every segment.
 *
 * Returns what elf_open() said; elf->file is not valid any more. Aborts where a result breaks the contract of lib/elf.h.
 */
int elf_walk(
    struct elf *elf, const uint8_t *bytes, size_t count, uint64_t low, uint64_t high, struct writer *why);

#endif
