/*
 * The ELF reader. Three passes, each of which may rely on the one before: the file header; each program header by itself; the
 * segments against each other. A number of the file is compared before it is added to anything.
 */
#include "lib/elf.h"
#include "lib/error.h"
#include "lib/string.h"

#define FILE_HEADER_BYTES 64

/* Offsets in the file header, and what has to be there. */
#define IDENT_CLASS    4
#define IDENT_DATA     5
#define IDENT_VERSION  6
#define IDENT_OSABI    7
#define FILE_TYPE      16
#define FILE_MACHINE   18
#define FILE_VERSION   20
#define FILE_ENTRY     24
#define FILE_HEADERS   32
#define FILE_FLAGS     48
#define FILE_SIZE      52
#define FILE_ENTRYSIZE 54
#define FILE_NHEADERS  56

#define CLASS_64      2
#define DATA_LITTLE   1
#define VERSION_1     1
#define OSABI_SYSV    0
#define OSABI_GNU     3
#define TYPE_EXEC     2
#define TYPE_DYN      3
#define MACHINE_RISCV 243
#define FLAG_RVE      0x8 /* half the registers: another ABI */
#define FLAG_TSO      0x10 /* wants a stronger memory order than there is */

/* Offsets in a program header. */
#define PROGRAM_TYPE    0
#define PROGRAM_FLAGS   4
#define PROGRAM_OFFSET  8
#define PROGRAM_ADDRESS 16
#define PROGRAM_FILE    32
#define PROGRAM_MEMORY  40

#define TYPE_LOAD      1
#define TYPE_INTERP    3
#define TYPE_GNU_STACK 0x6474e551

#define RIGHT_EXECUTE 1
#define RIGHT_WRITE   2
#define RIGHT_READ    4

/* A file being opened. */
struct reading {
    struct elf *elf;
    size_t bytes;
    uint64_t headers_offset;
    uint64_t low, high;
    struct writer *why;
};

static uint64_t field(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | at[bytes];
    return value;
}

static uint64_t page_down(uint64_t address)
{
    return ALIGN_DOWN(address, (uint64_t)ELF_PAGE_BYTES);
}

static uint64_t page_up(uint64_t address)
{
    return ALIGN_UP(address, (uint64_t)ELF_PAGE_BYTES);
}

static int refuse(const struct reading *reading, int error, const char *reason)
{
    writer_puts(reading->why, reason);
    return error;
}

static int refuse_header(const struct reading *reading, int error, unsigned i, const char *reason)
{
    writer_format(reading->why, "program header %u: %s", i, reason);
    return error;
}

static int read_ident(const struct reading *reading)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F'};
    const uint8_t *file = reading->elf->file;
    if (reading->bytes < sizeof(magic) || memcmp(file, magic, sizeof(magic)) != 0)
        return refuse(reading, ERR_FORMAT, "not an ELF file");
    if (reading->bytes < FILE_HEADER_BYTES)
        return refuse(reading, ERR_TRUNCATED, "the file ends inside its header");
    if (file[IDENT_CLASS] != CLASS_64 || file[IDENT_DATA] != DATA_LITTLE)
        return refuse(reading, ERR_UNSUPPORTED, "not a 64-bit little-endian program");
    if (file[IDENT_VERSION] != VERSION_1 || field(file + FILE_VERSION, 4) != VERSION_1)
        return refuse(reading, ERR_UNSUPPORTED, "not version 1 of ELF");
    if (file[IDENT_OSABI] != OSABI_SYSV && file[IDENT_OSABI] != OSABI_GNU)
        return refuse(reading, ERR_UNSUPPORTED, "made for another operating system");
    return 0;
}

static int read_file_header(struct reading *reading)
{
    struct elf *elf = reading->elf;
    const uint8_t *file = elf->file;
    uint64_t type = field(file + FILE_TYPE, 2);
    if (field(file + FILE_MACHINE, 2) != MACHINE_RISCV)
        return refuse(reading, ERR_UNSUPPORTED, "not made for RISC-V");
    if (type != TYPE_EXEC && type != TYPE_DYN)
        return refuse(reading, ERR_UNSUPPORTED, "not a program, but an object or a core dump");
    if (field(file + FILE_FLAGS, 4) & (FLAG_RVE | FLAG_TSO))
        return refuse(reading, ERR_UNSUPPORTED, "made for RV64E or for total store order");
    if (field(file + FILE_SIZE, 2) != FILE_HEADER_BYTES ||
        field(file + FILE_ENTRYSIZE, 2) != ELF_HEADER_BYTES)
        return refuse(reading, ERR_FORMAT, "headers of another size than ELF's for 64 bits");

    elf->relocatable = type == TYPE_DYN;
    elf->entry = field(file + FILE_ENTRY, 8);
    elf->nheaders = field(file + FILE_NHEADERS, 2);
    reading->headers_offset = field(file + FILE_HEADERS, 8);
    if (elf->nheaders == 0)
        return refuse(reading, ERR_FORMAT, "no program headers");
    if (reading->headers_offset > reading->bytes ||
        reading->bytes - reading->headers_offset < (size_t)elf->nheaders * ELF_HEADER_BYTES)
        return refuse(reading, ERR_TRUNCATED, "the file ends before its program headers do");
    return 0;
}

/* A segment by itself. */
static int check_segment(const struct reading *reading, unsigned i, const struct elf_segment *segment)
{
    if (segment->file_bytes > segment->memory_bytes)
        return refuse_header(reading, ERR_FORMAT, i, "more bytes in the file than in memory");
    if (segment->offset > reading->bytes || segment->file_bytes > reading->bytes - segment->offset)
        return refuse_header(reading, ERR_TRUNCATED, i, "the file ends before the segment does");
    if ((segment->offset ^ segment->address) % ELF_PAGE_BYTES != 0)
        return refuse_header(
            reading, ERR_FORMAT, i, "the file's offset and the address differ within a page");
    if (segment->writable && segment->executable)
        return refuse_header(reading, ERR_UNSUPPORTED, i, "both writable and executable");
    if (segment->address < reading->low || segment->address >= reading->high ||
        segment->memory_bytes > reading->high - segment->address)
        return refuse_header(reading, ERR_RANGE, i, "addresses that a program may not have");
    return 0;
}

static int take_segment(struct reading *reading, unsigned i, const uint8_t *header)
{
    struct elf *elf = reading->elf;
    uint64_t rights = field(header + PROGRAM_FLAGS, 4);
    struct elf_segment segment = {
        .address = field(header + PROGRAM_ADDRESS, 8),
        .memory_bytes = field(header + PROGRAM_MEMORY, 8),
        .offset = field(header + PROGRAM_OFFSET, 8),
        .file_bytes = field(header + PROGRAM_FILE, 8),
        .readable = rights & RIGHT_READ,
        .writable = rights & RIGHT_WRITE,
        .executable = rights & RIGHT_EXECUTE,
    };
    if (segment.memory_bytes == 0 && segment.file_bytes == 0)
        return 0;
    int error = check_segment(reading, i, &segment);
    if (error)
        return error;
    if (elf->nsegments == ELF_SEGMENTS_MAX)
        return refuse_header(reading, ERR_UNSUPPORTED, i, "one segment more than a program may have");
    if (elf->nsegments > 0) {
        const struct elf_segment *before = &elf->segments[elf->nsegments - 1];
        if (page_down(segment.address) < page_up(before->address + before->memory_bytes))
            return refuse_header(
                reading, ERR_FORMAT, i, "shares a page with a segment before it, or lies in front of it");
    }
    elf->segments[elf->nsegments++] = segment;
    return 0;
}

static int read_program_header(struct reading *reading, unsigned i)
{
    const uint8_t *header = reading->elf->file + reading->headers_offset + (size_t)i * ELF_HEADER_BYTES;
    switch (field(header + PROGRAM_TYPE, 4)) {
    case TYPE_LOAD: return take_segment(reading, i, header);
    case TYPE_INTERP:
        return refuse_header(
            reading, ERR_UNSUPPORTED, i, "the program needs a dynamic linker; link it statically");
    case TYPE_GNU_STACK:
        if (field(header + PROGRAM_FLAGS, 4) & RIGHT_EXECUTE)
            return refuse_header(reading, ERR_UNSUPPORTED, i, "wants an executable stack");
        return 0;
    default: return 0; /* of no meaning for a static program's start */
    }
}

/* Where the program headers are once the segments are mapped. */
static uint64_t headers_address(const struct reading *reading)
{
    const struct elf *elf = reading->elf;
    uint64_t first = reading->headers_offset, bytes = (uint64_t)elf->nheaders * ELF_HEADER_BYTES;
    for (unsigned i = 0; i < elf->nsegments; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        if (first >= segment->offset && first - segment->offset <= segment->file_bytes &&
            bytes <= segment->file_bytes - (first - segment->offset))
            return segment->address + (first - segment->offset);
    }
    return 0;
}

static bool entry_is_right(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->nsegments; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        /* Instructions are aligned to 2. */
        if (elf->entry >= segment->address && elf->entry - segment->address < segment->memory_bytes)
            return segment->executable && elf->entry % 2 == 0;
    }
    return false;
}

int elf_open(struct elf *elf, const void *file, size_t bytes, uint64_t low, uint64_t high, struct writer *why)
{
    struct reading reading = {.elf = elf, .bytes = bytes, .low = low, .high = high, .why = why};
    memset(elf, 0, sizeof(*elf));
    elf->file = file;
    int error = read_ident(&reading);
    if (!error)
        error = read_file_header(&reading);
    if (error)
        return error;
    if (elf->relocatable) { /* its addresses are offsets from where it will lie */
        reading.low = 0;
        reading.high = high - low;
    }
    for (unsigned i = 0; i < elf->nheaders; i++) {
        error = read_program_header(&reading, i);
        if (error)
            return error;
    }
    if (elf->nsegments == 0)
        return refuse(&reading, ERR_FORMAT, "nothing to load");
    if (!entry_is_right(elf))
        return refuse(&reading, ERR_FORMAT, "the entry point is not in an executable segment");
    const struct elf_segment *last = &elf->segments[elf->nsegments - 1];
    elf->low = page_down(elf->segments[0].address);
    elf->high = page_up(last->address + last->memory_bytes);
    elf->headers = headers_address(&reading);
    return 0;
}
