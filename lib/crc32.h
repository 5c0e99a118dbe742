/* CRC-32 as zlib, Ethernet and gzip have it: the reflected polynomial 0xedb88320, ones before and after. */
#ifndef LIB_CRC32_H
#define LIB_CRC32_H

#include "lib/base.h"

/** crc32 - the checksum of bytes that follow others. @before: of those others, 0 for none. */
uint32_t crc32(uint32_t before, const void *bytes, size_t count);

#endif
