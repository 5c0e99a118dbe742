/*
 * Bit arithmetic on 64-bit words. rv64gc has no count-zeros instruction and the compiler would call
 * libgcc for the builtins, so the searches are a multiply and a table look-up of our own.
 */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include "lib/base.h"

/* Side by side, for one address to reach both. */
extern const struct bits_debruijn {
    uint64_t sequence;
    uint8_t index[64];
} bits_debruijn;

/**
 * bits_lowest_of_one - index (0..63) of the one bit that is set.
 * Source: Leiserson, Prokop, Randall, "Using de Bruijn Sequences to Index a 1 in a Computer Word", 1998.
 */
static inline unsigned bits_lowest_of_one(uint64_t bit)
{
    return bits_debruijn.index[(bit * bits_debruijn.sequence) >> 58];
}

/** bits_lowest - index (0..63) of the least significant set bit of a non-zero word. */
static inline unsigned bits_lowest(uint64_t word)
{
    return bits_lowest_of_one(word & -word);
}

/** bits_aligned_runs - the positions where an aligned run of 2^order set bits begins; order <= 5. */
uint64_t bits_aligned_runs(uint64_t word, unsigned order);

/** bits_highest - index (0..63) of the most significant set bit of a non-zero word: floor(log2). */
static inline unsigned bits_highest(uint64_t word)
{
    /* Smear the highest bit over all below it, then leave it alone by itself. */
    word |= word >> 1;
    word |= word >> 2;
    word |= word >> 4;
    word |= word >> 8;
    word |= word >> 16;
    word |= word >> 32;
    return bits_lowest_of_one(word - (word >> 1));
}

/** bits_order - the smallest order for which 2^order is not below n, 1 … 2^63. */
static inline unsigned bits_order(uint64_t n)
{
    return bits_highest(2 * n - 1);
}

/** bits_count - number of set bits (0..64). */
unsigned bits_count(uint64_t word);

/** bits_mask - a word with bits [first, first + count) set; first < 64, first + count <= 64. */
static inline uint64_t bits_mask(unsigned first, unsigned count)
{
    return count == 0 ? 0 : (~0ull >> (64 - count)) << first;
}

#endif
