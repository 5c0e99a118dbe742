/*
 * What the fuzzers of a registry of designs share: the first byte of an input chooses the design, so that the fuzzer looks
 * for the paths of each by itself. Included by one file of a program.
 */
#ifndef TESTS_HOST_FUZZ_DESIGNS_H
#define TESTS_HOST_FUZZ_DESIGNS_H

#include "lib/base.h"

/* The design of an input is its first byte modulo their number; this value is all of them, one after the other, for
 * the inputs that are kept in the repository. */
#define EVERY_DESIGN 255

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/** fuzz_chooses - whether an input's first byte chooses the i-th of so many designs. */
static inline bool fuzz_chooses(uint8_t byte, size_t i, size_t count)
{
    return byte == EVERY_DESIGN || byte % count == i;
}

/* What the fuzzer makes of an input goes to one design, every other time to another one: left to itself it would
 * change the first byte too rarely for all of them to have their turn. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, size_max);
    if (size > 0 && (data[0] == EVERY_DESIGN || seed % 2))
        data[0] = seed / 2 % EVERY_DESIGN;
    return size;
}

#endif
