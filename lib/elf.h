/*
 * A reader of ELF programs (System V ABI, chapters 4 and 5; RISC-V ELF psABI 1.0) that trusts nothing: what it hands out lies
 * inside the file and inside the addresses that the caller allows, or it refuses with the reason. Reads in place, copies
 * nothing, allocates nothing, never looks at sections.
 *
 * It takes static programs for rv64, at fixed addresses or position-independent.
 */
#ifndef LIB_ELF_H
#define LIB_ELF_H

#include "lib/base.h"
#include "lib/writer.h"

/* Linkers make four or five. */
#define ELF_SEGMENTS_MAX 16

/* Segments are mapped by pages of this size. */
#define ELF_PAGE_BYTES 4096

/* A piece of the program in memory: bytes of the file, then zeros. */
struct elf_segment {
    uint64_t address, memory_bytes; /* memory_bytes > 0 */
    uint64_t offset, file_bytes; /* in the file; congruent to the address modulo a page */
    bool readable, writable, executable; /* never the latter two together */
};

struct elf {
    const uint8_t *file;
    uint64_t entry; /* inside an executable segment */
    uint64_t headers; /* address of the program headers in memory; 0: no segment has them */
    uint64_t low, high; /* of all segments, whole pages; high is exclusive */
    unsigned nheaders; /* program headers, of ELF_HEADER_BYTES each */
    unsigned nsegments;
    bool relocatable; /* may be moved as a whole by a multiple of a page: position-independent */
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* by rising address, none shares a page with another */
};

/* Bytes of a program header, as a program's auxiliary vector tells it. */
#define ELF_HEADER_BYTES 56

/**
 * elf_open - check a program and find its segments.
 * @file: any alignment
 * @low, @high: where it may lie, whole pages, high exclusive; a relocatable one must fit below high − low instead
 * @why: on error gets a sentence that says what is wrong, and where
 *
 * Returns 0, ERR_TRUNCATED (the file ends before what it announces), ERR_FORMAT (no ELF file, or one that contradicts
 * itself), ERR_UNSUPPORTED (a right one, but not for here), ERR_RANGE (addresses that it may not have).
 */
int elf_open(
    struct elf *elf, const void *file, size_t bytes, uint64_t low, uint64_t high, struct writer *why);

#endif
