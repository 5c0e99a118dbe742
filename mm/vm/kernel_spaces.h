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

/** kernel_spaces_drain - finish what harts have put off: shootdowns, and frees that wait for readers. The caller is as that of
 *  smp_call(), and the harts are quiet. */
void kernel_spaces_drain(void);

/**
 * kernel_spaces_renew - after memory_move(): what spaces are made of begins anew, in the memory that the kernel has now: the pages that
 * all share, notes on tables, ASIDs, epochs, what `lazy` counts. kernel_spaces_end - before memory_return(): as it was before. The
 * caller is as that of smp_call(), the harts are quiet and have drained before memory_move(), and there is no space. 0 or ERR_NO_MEMORY,
 * behind which comes kernel_spaces_end(), too.
 */
int kernel_spaces_renew(void);
void kernel_spaces_end(void);

#endif
