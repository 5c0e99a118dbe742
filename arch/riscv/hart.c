/* The area that `tp` points to before the boot hart knows which hart it is, and proofs of entry.S's offsets. */
#include "arch/hart.h"
#include "arch/layout.h"
#include "arch/trap.h"
#include "offsets.h"
#include "arch_private.h"

extern uint8_t boot_stack[];

struct arch_hart arch_boot_hart = {.stack_base = boot_stack};

_Static_assert(offsetof(struct arch_hart, stack_base) == ARCH_HART_STACK_BASE, "entry.S");
_Static_assert(sizeof(struct trap_frame) == TRAP_FRAME_BYTES, "trap_entry.S");
_Static_assert(offsetof(struct trap_frame, sstatus) == TRAP_FRAME_SSTATUS, "trap_entry.S");
_Static_assert(offsetof(struct trap_frame, scause) == TRAP_FRAME_SCAUSE, "trap_entry.S");
_Static_assert(offsetof(struct trap_frame, stval) == TRAP_FRAME_STVAL, "trap_entry.S");
_Static_assert((DIRECT_MAP_BASE >> 30 & 511) == DIRECT_MAP_ROOT_INDEX, "entry.S");
_Static_assert((KERNEL_MAP_BASE >> 30 & 511) == KERNEL_MAP_ROOT_INDEX, "entry.S");
_Static_assert(KERNEL_MAP_BASE + 0x200000 == KERNEL_VIRT_BASE, "the image is in the kernel map");
_Static_assert(sizeof(((struct arch_hart *)0)->id) == 8, "entry.S passes ids whole");
