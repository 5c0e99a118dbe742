/*
 * The searches of lib/bits.h that do not fit on one line. They sit under every allocator and the
 * histogram, so none of them branches on its data.
 */
#include "lib/bits.h"

/* Entry i: the index of the set bit whose product with the de Bruijn sequence has i in its top six bits. */
const struct bits_debruijn bits_debruijn = {
    .sequence = 0x03f79d71b4cb0a89,
    .index =
        {
            0,
            1,
            48,
            2,
            57,
            49,
            28,
            3,
            61,
            58,
            50,
            42,
            38,
            29,
            17,
            4,
            62,
            55,
            59,
            36,
            53,
            51,
            43,
            22,
            45,
            39,
            33,
            30,
            24,
            18,
            12,
            5,
            63,
            47,
            56,
            27,
            60,
            41,
            37,
            16,
            54,
            35,
            52,
            21,
            44,
            32,
            23,
            11,
            46,
            26,
            40,
            15,
            34,
            20,
            31,
            10,
            25,
            14,
            19,
            9,
            13,
            8,
            7,
            6,
        },
};

/* Sums in ever wider fields: pairs, nibbles, bytes; the multiply adds the bytes up in the top one. */
unsigned bits_count(uint64_t word)
{
    word -= (word >> 1) & 0x5555555555555555ull;
    word = (word & 0x3333333333333333ull) + ((word >> 2) & 0x3333333333333333ull);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (word * 0x0101010101010101ull) >> 56;
}

uint64_t bits_aligned_runs(uint64_t word, unsigned order)
{
    static const uint64_t aligned[] = {
        0xffffffffffffffff,
        0x5555555555555555,
        0x1111111111111111,
        0x0101010101010101,
        0x0001000100010001,
        0x0000000100000001,
    };
    /* Each fold doubles the run that a set bit stands for. */
    for (unsigned fold = 0; fold < order; fold++)
        word &= word >> (1u << fold);
    return word & aligned[order];
}
