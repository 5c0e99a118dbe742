/*
 * Bit arithmetic on 64-bit words. rv64gc has no count-zeros instruction and the compiler would call
 * libgcc for the builtins, so the searches are a multiply and a table look-up of our own.
 */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include "lib/base.h"

extern const uint8_t bits_debruijn_index[64];

/**
 * bits_lowest - index (0..63) of the least significant set bit of a non-zero word.
 * Source: Leiserson, Prokop, Randall, "Using de Bruijn Sequences to Index a 1 in a Computer Word", 1998.
 */
static inline unsigned bits_lowest(uint64_t word)
{
    return bits_debruijn_index[((word & -word) * 0x03f79d71b4cb0a89ull) >> 58];
}

/** bits_highest - index (0..63) of the most significant set bit of a non-zero word: floor(log2). */
unsigned bits_highest(uint64_t word);

/** bits_count - number of set bits (0..64). */
unsigned bits_count(uint64_t word);

/** bits_mask - a word with bits [first, first + count) set; first < 64, first + count <= 64. */
static inline uint64_t bits_mask(unsigned first, unsigned count)
{
    return count == 0 ? 0 : (~0ull >> (64 - count)) << first;
}

#endif
