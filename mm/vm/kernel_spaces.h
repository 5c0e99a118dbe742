/* Where the address spaces of the kernel's processes come from. */
#ifndef MM_VM_KERNEL_SPACES_H
#define MM_VM_KERNEL_SPACES_H

#include "mm/vm/space.h"

extern struct space_pool kernel_spaces;

/** kernel_spaces_init - boot hart, once, when the kernel's table is sealed and in use. 0 or ERR_NO_MEMORY. */
int kernel_spaces_init(unsigned nharts);

#endif
