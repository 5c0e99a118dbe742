/*
 * What a device tree says about the machine, as plain data: RAM, what of it is taken, harts, timebase,
 * boot arguments. Hart ids may be sparse and need not start at 0; harts come out in ascending order of id.
 */
#ifndef LIB_MACHINE_H
#define LIB_MACHINE_H

#include "lib/fdt.h"

#define MACHINE_HARTS_MAX    64
#define MACHINE_RAM_MAX      8
#define MACHINE_RESERVED_MAX 16
#define MACHINE_BOOTARGS_MAX 1024

struct machine {
    struct fdt_range ram[MACHINE_RAM_MAX];
    unsigned nram;
    struct fdt_range reserved[MACHINE_RESERVED_MAX]; /* reservation block and /reserved-memory */
    unsigned nreserved;
    struct fdt_range initrd; /* bytes 0: none */
    uint64_t hartids[MACHINE_HARTS_MAX];
    unsigned nharts;
    uint64_t imsic
        [MACHINE_HARTS_MAX]; /* of each of them the page of its S-level interrupt file; all 0: there is no IMSIC */
    uint64_t timebase_hz;
    struct fdt_range
        exit_device; /* of SiFive's test finisher, by which QEMU's exit status is set; bytes 0: none */
    char model[64];
    char bootargs[MACHINE_BOOTARGS_MAX];
};

/**
 * machine_read - fill in a machine from a checked tree.
 * Nodes whose status is neither absent, "okay" nor "ok" are skipped, as are cpus without an "mmu-type" or with
 * "riscv,none", and ranges of no bytes.
 * @what: on error, a static string that names what is wrong ("more than 64 harts")
 *
 * Returns 0, or ERR_NOT_FOUND (no RAM, harts or timebase), ERR_RANGE (too many of something, a range that
 * wraps, bootargs or model too long), ERR_FORMAT (malformed, two harts with one id, overlapping RAM),
 * ERR_UNSUPPORTED (cells other than 1 or 2). The exit device is read first, so that it is known after errors
 * of all the others.
 */
int machine_read(struct machine *machine, const struct fdt *fdt, const char **what);

#endif
