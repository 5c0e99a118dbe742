/* Names of the kernel's own functions, from the table that the build embeds. */
#ifndef ARCH_SYMBOLS_H
#define ARCH_SYMBOLS_H

#include "lib/base.h"

/** symbol_find - the function that an address of .text lies in and the offset inside it; NULL outside. */
const char *symbol_find(uint64_t address, uint64_t *offset);

/** backtrace_print - the call chain from a pc and frame pointer, one line a frame, to the console.
 *  @return_address: ra of the trapped function, which may be a leaf; 0 when @pc is itself a return address.
 *  Follows frames only inside [stack_base, stack_base + HART_STACK_BYTES). */
void backtrace_print(uint64_t pc, uint64_t return_address, uint64_t frame_pointer, uint64_t stack_base);

#endif
