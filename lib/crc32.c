/* Four bits at a time: the table of eight bits would be a KiB, for data that is read once. */
#include "lib/crc32.h"

static const uint32_t of_nibble[16] = {
    0x00000000,
    0x1db71064,
    0x3b6e20c8,
    0x26d930ac,
    0x76dc4190,
    0x6b6b51f4,
    0x4db26158,
    0x5005713c,
    0xedb88320,
    0xf00f9344,
    0xd6d6a3e8,
    0xcb61b38c,
    0x9b64c2b0,
    0x86d3d2d4,
    0xa00ae278,
    0xbdbdf21c,
};

uint32_t crc32(uint32_t before, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    uint32_t crc = ~before;
    for (size_t i = 0; i < count; i++) {
        crc = crc >> 4 ^ of_nibble[(crc ^ at[i]) & 15];
        crc = crc >> 4 ^ of_nibble[(crc ^ at[i] >> 4) & 15];
    }
    return ~crc;
}
