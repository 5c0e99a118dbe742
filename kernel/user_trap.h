/* Traps from programs: user_trap(), which arch/user.h declares. */
#ifndef KERNEL_USER_TRAP_H
#define KERNEL_USER_TRAP_H

/** user_trap_init - boot hart, once. */
void user_trap_init(void);

#endif
