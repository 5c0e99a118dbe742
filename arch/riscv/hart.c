/* The area that `tp` points to before the boot hart knows which hart it is, the way to a hart's own stack, and proofs of
 * entry.S's offsets. */
#include "arch/hart.h"
#include "arch/cpu.h"
#include "arch/layout.h"
#include "arch/trap.h"
#include "arch/user.h"
#include "offsets.h"
#include "arch_private.h"

extern uint8_t boot_stack[];

/* Without guard or emergency stack: nothing deep happens before there are both. */
struct arch_hart arch_boot_hart = {.stack_base = boot_stack, .emergency_top = boot_stack + HART_STACK_BYTES};

_Static_assert(offsetof(struct arch_hart, stack_base) == ARCH_HART_STACK_BASE, "entry.S");
_Static_assert(offsetof(struct arch_hart, emergency_top) == ARCH_HART_EMERGENCY_TOP, "trap_entry.S");
_Static_assert(offsetof(struct arch_hart, user_slot) == ARCH_HART_USER_SLOT, "user_entry.S");
_Static_assert(sizeof(struct trap_frame) == TRAP_FRAME_BYTES, "trap_entry.S");
_Static_assert(offsetof(struct trap_frame, sstatus) == TRAP_FRAME_SSTATUS, "trap_entry.S");
_Static_assert(offsetof(struct trap_frame, scause) == TRAP_FRAME_SCAUSE, "trap_entry.S");
_Static_assert(offsetof(struct trap_frame, stval) == TRAP_FRAME_STVAL, "trap_entry.S");
_Static_assert(offsetof(struct arch_hart, attention) == ARCH_HART_ATTENTION, "user_entry.S");
_Static_assert(offsetof(struct user_context, sstatus) == USER_CONTEXT_SSTATUS, "user_entry.S");
_Static_assert(offsetof(struct user_context, kernel_sp) == USER_CONTEXT_KERNEL_SP, "user_entry.S");
_Static_assert(offsetof(struct user_context, kernel_tp) == USER_CONTEXT_KERNEL_TP, "user_entry.S");
_Static_assert((DIRECT_MAP_BASE >> 30 & 511) == DIRECT_MAP_ROOT_INDEX, "entry.S");
_Static_assert((KERNEL_MAP_BASE >> 30 & 511) == KERNEL_MAP_ROOT_INDEX, "entry.S");
_Static_assert((WINDOW_BASE >> 30 & 511) >= 256, "the kernel's half");
_Static_assert(HART_SLOTS_BASE % 0x200000 == 0, "one table, and lines of it that are the harts' own");
_Static_assert(KERNEL_MAP_BASE + 0x200000 == KERNEL_VIRT_BASE, "the image is in the kernel map");
_Static_assert(sizeof(((struct arch_hart *)0)->id) == 8, "entry.S passes ids whole");

void hart_move_to_stacks(void (*next)(void))
{
    struct arch_hart *self = arch_hart_self();
    interrupts_disable(); /* a trap on the way would not know which stack it is on */
    hart_set_stacks(self);
    __asm__ volatile("mv sp, %0\n li fp, 0\n csrsi sstatus, %2\n jalr %1"
                     :
                     : "r"((uintptr_t)self->stack_base + HART_STACK_BYTES), "r"(next), "i"(SSTATUS_SIE)
                     : "memory");
    __builtin_unreachable();
}
