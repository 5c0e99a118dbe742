/* See initrd.h. Boot hart. */
#include "kernel/initrd.h"
#include "arch/image.h"
#include "lib/cpio.h"
#include "lib/error.h"
#include "lib/string.h"

static const void *archive;
static size_t archive_bytes;

static bool overlap(struct fdt_range a, struct fdt_range b)
{
    return a.base < b.base + b.bytes && b.base < a.base + a.bytes;
}

static bool is_ram(const struct machine *machine, struct fdt_range wanted)
{
    for (unsigned i = 0; i < machine->nram; i++) {
        const struct fdt_range *ram = &machine->ram[i];
        if (wanted.base >= ram->base && wanted.bytes <= ram->bytes &&
            wanted.base - ram->base <= ram->bytes - wanted.bytes)
            return true;
    }
    return false;
}

static bool is_free(const struct machine *machine, struct fdt_range wanted)
{
    for (unsigned i = 0; i < machine->nreserved; i++)
        if (overlap(wanted, machine->reserved[i]))
            return false;
    return is_ram(machine, wanted);
}

void initrd_settle(struct machine *machine, struct fdt_range fdt)
{
    struct fdt_range from = machine->initrd;
    struct fdt_range to = {ALIGN_UP(image_to_paddr(_image_end).value, (uint64_t)PAGE_BYTES), from.bytes};
    if (from.bytes == 0 || !is_ram(machine, from) || !is_free(machine, to) || overlap(to, fdt))
        return;
    memmove(paddr_to_direct(PADDR(to.base)), paddr_to_direct(PADDR(from.base)), to.bytes);
    machine->initrd = to;
}

int initrd_open(const struct machine *machine, struct writer *why)
{
    struct fdt_range range = machine->initrd;
    struct cpio cpio;
    struct cpio_file file;
    const char *what = NULL;
    int found = range.bytes != 0;
    if (found && !is_ram(machine, range)) {
        writer_format(why, "the initrd at %#lx is not in RAM", range.base);
        return ERR_RANGE;
    }
    cpio_open(&cpio, paddr_to_direct(PADDR(range.base)), range.bytes);
    while (found == 1)
        found = cpio_next(&cpio, &file, &what);
    if (found < 0) {
        writer_format(why, "the initrd is no right archive: byte %zu: %s", cpio.wrong, what);
        return found;
    }
    archive = cpio.archive;
    archive_bytes = cpio.bytes;
    return 0;
}

const void *initrd_find(const char *name, size_t *bytes)
{
    struct cpio_file file;
    const char *what;
    if (archive_bytes == 0 || cpio_find(archive, archive_bytes, name, &file, &what))
        return NULL;
    *bytes = file.bytes;
    return file.data;
}
