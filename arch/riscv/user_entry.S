/*
 * Into U-mode and out of it. While a program runs, stvec points here and sscratch to its context, so the entry of traps
 * from the kernel's own code, trap_entry, is never asked which of the two it is: nothing is added to it.
 * All registers are saved at every trap: a thread can then be left, copied or looked at wherever it is.
 *
 * A hart with a slot (arch/split.h) goes by the trampoline, which switches satp: user_return_split and user_entry_split
 * are the same two with that. Who has none comes by no line of it after user_enter().
 */
#include "offsets.h"

        .altmacro
        .macro save reg
        sd      x\reg, \reg * 8(a0)
        .endm
        .macro restore reg
        ld      x\reg, \reg * 8(a0)
        .endm

        .macro fpmove instruction, reg
        \instruction f\reg, \reg * 8(a0)
        .endm

#define FRAME_BYTES (14 * 8)
#define SSTATUS_FS  (3 << 13)

        /* x1 … x9 and x\first … x31: all but a0, or all but a0 and a1. */
        .macro save_others first
        .set    i, 1
        .rept   9
        save    %i
        .set    i, i + 1
        .endr
        .set    i, \first
        .rept   32 - \first
        save    %i
        .set    i, i + 1
        .endr
        .endm
        .macro restore_others first
        .set    i, 1
        .rept   9
        restore %i
        .set    i, i + 1
        .endr
        .set    i, \first
        .rept   32 - \first
        restore %i
        .set    i, i + 1
        .endr
        .endm

        /* a0 = context, sscratch = the program's a0. */
        .macro handle
        save_others 11
        csrr    t0, sscratch
        csrr    t1, sepc
        csrr    t2, sstatus
        sd      t0, 10 * 8(a0)
        sd      t1, 0(a0)
        sd      t2, USER_CONTEXT_SSTATUS(a0)
        ld      sp, USER_CONTEXT_KERNEL_SP(a0)
        ld      tp, USER_CONTEXT_KERNEL_TP(a0)
        la      t0, trap_entry
        csrw    stvec, t0
        addi    s0, sp, FRAME_BYTES
        mv      s1, a0
        csrr    a1, scause
        call    user_trap
        .endm

        .section .text
        .balign 4
/* a0 = context. A C function's frame: a backtrace walks through it. */
        .globl user_enter
user_enter:
        addi    sp, sp, -FRAME_BYTES
        sd      ra, FRAME_BYTES - 8(sp)
        sd      s0, FRAME_BYTES - 16(sp)
        sd      s1, FRAME_BYTES - 24(sp)
        .set    i, 0
        .irp    reg, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11
        sd      \reg, i * 8(sp)
        .set    i, i + 1
        .endr
        addi    s0, sp, FRAME_BYTES
        sd      sp, USER_CONTEXT_KERNEL_SP(a0)
        sd      tp, USER_CONTEXT_KERNEL_TP(a0)
        mv      s1, a0
        ld      t0, ARCH_HART_USER_SLOT(tp)
        bnez    t0, user_enter_split

/* s1 = context. An interrupt that comes after interrupts are off is taken in U-mode: no wish for attention is lost. */
user_return:
        csrci   sstatus, 2
        lw      t0, ARCH_HART_ATTENTION(tp)
        bnez    t0, user_leave
        mv      a0, s1
        csrw    sscratch, a0
        la      t0, user_entry
        csrw    stvec, t0
        ld      t1, 0(a0)
        ld      t2, USER_CONTEXT_SSTATUS(a0)
        csrw    sepc, t1
        csrw    sstatus, t2
        restore_others 11
        ld      a0, 10 * 8(a0)
        sret

        .balign 4
user_entry:
        csrrw   a0, sscratch, a0
        handle
        j       user_return

/* t0 = the slot as the trampoline sees it. */
user_enter_split:
        sd      a0, SPLIT_SLOT_CONTEXT(t0)

/* s1 = context. As user_return; the last two registers go by the slot. */
user_return_split:
        csrci   sstatus, 2
        lw      t0, ARCH_HART_ATTENTION(tp)
        bnez    t0, user_leave
        ld      t0, ARCH_HART_USER_SLOT(tp)
        mv      a0, s1
        csrw    sscratch, t0
        ld      t1, SPLIT_SLOT_USER_ENTRY(t0)
        csrw    stvec, t1
        ld      t1, 0(a0)
        ld      t2, USER_CONTEXT_SSTATUS(a0)
        csrw    sepc, t1
        csrw    sstatus, t2
        ld      t1, 10 * 8(a0)
        ld      t2, 11 * 8(a0)
        sd      t1, SPLIT_SLOT_A0(t0)
        sd      t2, SPLIT_SLOT_A1(t0)
        restore_others 12
        csrr    a0, sscratch
        ld      a1, SPLIT_SLOT_USER_EXIT(a0)
        jr      a1

/* From the trampoline. */
        .globl user_entry_split
user_entry_split:
        ld      a1, SPLIT_SLOT_A1(a0)
        ld      a0, SPLIT_SLOT_CONTEXT(a0)
        handle
        j       user_return_split

/* The context is not touched any more: it may be another hart's soon. */
user_leave:
        csrsi   sstatus, 2
        .set    i, 0
        .irp    reg, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11
        ld      \reg, i * 8(sp)
        .set    i, i + 1
        .endr
        ld      ra, FRAME_BYTES - 8(sp)
        ld      s0, FRAME_BYTES - 16(sp)
        ld      s1, FRAME_BYTES - 24(sp)
        addi    sp, sp, FRAME_BYTES
        ret

/*
 * The floating-point registers. The kernel is built without any; programs may have them.
 * a0 = struct user_fp
 */
        .option push
        .option arch, +d
        .globl user_fp_store
user_fp_store:
        li      t0, SSTATUS_FS
        csrs    sstatus, t0
        .set    i, 0
        .rept   32
        fpmove  fsd, %i
        .set    i, i + 1
        .endr
        csrr    t0, fcsr
        sd      t0, 32 * 8(a0)
        ret

        .globl user_fp_load
user_fp_load:
        li      t0, SSTATUS_FS
        csrs    sstatus, t0
        .set    i, 0
        .rept   32
        fpmove  fld, %i
        .set    i, i + 1
        .endr
        ld      t0, 32 * 8(a0)
        csrw    fcsr, t0
        ret
        .option pop
