/* Programs: ELF files of the initrd (kernel/initrd.h), loaded into a new family's first space and made ready to run. */
#ifndef KERNEL_PROGRAM_H
#define KERNEL_PROGRAM_H

#include "kernel/process.h"
#include "lib/writer.h"

/* Of all arguments together, with their ends. */
#define PROGRAM_ARGUMENT_BYTES 1024
#define PROGRAM_ARGUMENTS      16

/**
 * program_load - a family whose one process has the program as Linux would have started it: its segments, a stack with its
 * arguments, its auxiliary vector, and a thread at its entry that is ready.
 * @name: of the file in the initrd, and argv[0]
 * @argc, @argv: all arguments, with argv[0]
 * @why: on error gets the reason
 *
 * Boot hart's thread of control. Returns NULL on error. family_run(), then family_destroy().
 */
struct family *program_load(const char *name, unsigned argc, const char *const *argv, struct writer *why);

/** program_load_file - the same from a file in memory. */
struct family *program_load_file(
    const void *file, size_t bytes, unsigned argc, const char *const *argv, struct writer *why);

/**
 * program_run - load it, run it to its end, forget it.
 * @status: what wait4() would tell
 *
 * Returns 0, or an error with the reason in @why.
 */
int program_run(unsigned argc, const char *const *argv, int *status, struct writer *why);

#endif
