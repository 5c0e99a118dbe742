/*
 * Fuzzes the ELF reader. The seeds in corpus_elf are a static program of a few instructions and a byte of data, as GNU ld links
 * it for a fixed address and for any.
 */
#include "tests/host/elf_walk.h"

#define LOW  0x10000ull
#define HIGH 0x40000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct elf elf;
    static char text[256];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    int error = elf_walk(&elf, data, size, LOW, HIGH, &why.writer);
    if ((error == 0) != (why.length == 0) || why.truncated)
        __builtin_trap();
    return 0;
}
