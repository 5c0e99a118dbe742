#include "tests/host/elf_walk.h"
#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
    if (!condition)
        abort();
}

static uint8_t sum; /* so that the reads stay */

static void check_segments(const struct elf *elf, uint64_t low, uint64_t high)
{
    uint64_t end = low;
    bool entry = false;
    for (unsigned i = 0; i < elf->nsegments; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        uint64_t last = segment->address + (segment->memory_bytes - 1);
        require(segment->memory_bytes > 0 && segment->file_bytes <= segment->memory_bytes);
        require(segment->address / ELF_PAGE_BYTES * ELF_PAGE_BYTES >= end && last >= segment->address &&
                last < high);
        require(segment->address % ELF_PAGE_BYTES == segment->offset % ELF_PAGE_BYTES);
        require(!(segment->writable && segment->executable));
        for (uint64_t k = 0; k < segment->file_bytes; k++)
            sum ^= elf->file[segment->offset + k];
        entry |= segment->executable && elf->entry >= segment->address && elf->entry <= last;
        end = (last / ELF_PAGE_BYTES + 1) * ELF_PAGE_BYTES;
    }
    require(entry && elf->high == end && elf->low <= elf->segments[0].address);
}

int elf_walk(
    struct elf *elf, const uint8_t *bytes, size_t count, uint64_t low, uint64_t high, struct writer *why)
{
    uint8_t *copy = malloc(count + (count == 0));
    require(copy != NULL);
    memcpy(copy, bytes, count);
    int error = elf_open(elf, copy, count, low, high, why);
    if (!error) {
        require(elf->nsegments > 0 && elf->nsegments <= ELF_SEGMENTS_MAX);
        check_segments(elf, elf->relocatable ? 0 : low, elf->relocatable ? high - low : high);
    }
    free(copy);
    return error;
}
