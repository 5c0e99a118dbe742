/* Where the address spaces of the kernel's processes come from. */
#ifndef MM_VM_KERNEL_SPACES_H
#define MM_VM_KERNEL_SPACES_H

#include "mm/vm/space.h"

extern struct space_pool kernel_spaces;

/** kernel_spaces_init - boot hart, once, when the kernel's table is sealed and in use. 0 or ERR_NO_MEMORY. */
int kernel_spaces_init(unsigned nharts);

/**
 * kernel_spaces_settle - after vm_design has changed: make the kernel's table and the ASIDs fit its split. The caller is as that of
 * smp_call(), the harts are quiet, and there is no space. Cheap when the split is as it was.
 */
void kernel_spaces_settle(void);

#endif
