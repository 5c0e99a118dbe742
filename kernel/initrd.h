/* The files that QEMU's -initrd brings: an archive of cpio's (lib/cpio.h) that stays in memory as long as the kernel runs. */
#ifndef KERNEL_INITRD_H
#define KERNEL_INITRD_H

#include "lib/machine.h"
#include "lib/writer.h"

/**
 * initrd_settle - move the archive to the image's end, if it fits there.
 * QEMU puts it into the middle of the RAM, where it would halve the largest free range.
 * @fdt: the device tree, which must stay
 *
 * Boot hart, before anything of the RAM is given out. machine->initrd is where it lies afterwards.
 */
void initrd_settle(struct machine *machine, struct fdt_range fdt);

/** initrd_open - look at the archive, if there is one. 0, or ERR_RANGE or an error of cpio_next() with the reason in @why. */
int initrd_open(const struct machine *machine, struct writer *why);

/** initrd_find - a file by its name. Returns NULL if there is none; else its data, of *bytes bytes. */
const void *initrd_find(const char *name, size_t *bytes);

#endif
