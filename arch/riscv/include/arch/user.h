/*
 * Programs in U-mode: their registers, and the way there and back. A hart that runs one has nothing of it on its stack: a
 * trap saves everything in the context, is handled on the hart's stack, and either goes straight back or lets
 * user_enter() return to whoever chose the program. user_entry.S knows the offsets.
 */
#ifndef ARCH_USER_H
#define ARCH_USER_H

#include "arch/hart.h"
#include "lib/base.h"

struct user_context {
    uint64_t x[32]; /* x[0] holds the pc, whose slot x0 does not need */
    uint64_t sstatus; /* the floating-point unit's state is in it */
    uint64_t kernel_sp; /* of user_enter()'s frame, and the hart's tp, while the program runs */
    uint64_t kernel_tp;
};

#define USER_PC 0
#define USER_RA 1
#define USER_SP 2
#define USER_TP 4
#define USER_A0 10
#define USER_A7 17

/* Floating-point registers f0 … f31 and fcsr. */
struct user_fp {
    uint64_t f[32];
    uint64_t fcsr;
};

/** user_context_init - registers of a program that begins at @pc, all zero but the stack pointer. */
void user_context_init(struct user_context *context, uint64_t pc, uint64_t sp);

/**
 * user_enter - run a program until somebody wants attention from this hart.
 *
 * Each trap from U-mode calls user_trap(), which whoever schedules defines, and goes back to U-mode, unless
 * hart_attend() has been called on this hart by then: the context is whole then, and this returns. Also at once, if it
 * was called before. Interrupts on.
 */
void user_enter(struct user_context *context);

/** user_trap - from user_entry.S: handle the trap that the context is saved for. Interrupts are off. */
void user_trap(struct user_context *context, uint64_t cause);

/**
 * user_fp_unused, user_fp_dirty - whether the unit is off for the program, and whether it has written its registers since
 * user_fp_load() or user_fp_clean().
 */
bool user_fp_unused(const struct user_context *context);
bool user_fp_dirty(const struct user_context *context);

/** user_fp_off - the next use of the unit is an illegal instruction. */
void user_fp_off(struct user_context *context);

/** user_fp_clean - the unit holds the program's registers, and memory the same. */
void user_fp_clean(struct user_context *context);

/** user_fp_load, user_fp_store - this hart's unit from memory, and into it. */
void user_fp_load(const struct user_fp *fp);
void user_fp_store(struct user_fp *fp);

/** hart_attend - let user_enter() return on this hart. hart_attended - whether it would; forgets it. */
static inline void hart_attend(void)
{
    __atomic_store_n(&arch_hart_self()->attention, 1, __ATOMIC_RELAXED); /* read by this hart alone */
}

/** hart_is_wanted - the same, and does not forget it: for handlers that take long. */
static inline bool hart_is_wanted(void)
{
    return __atomic_load_n(&arch_hart_self()->attention, __ATOMIC_RELAXED) != 0;
}

static inline bool hart_attended(void)
{
    bool wanted = __atomic_load_n(&arch_hart_self()->attention, __ATOMIC_RELAXED) != 0;
    __atomic_store_n(&arch_hart_self()->attention, 0, __ATOMIC_RELAXED);
    return wanted;
}

/** user_fence_code - see what was written to memory when it is executed next: fence.i. */
static inline void user_fence_code(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

#endif
