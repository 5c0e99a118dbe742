/*
 * Traps from S-mode: save every register on the current stack as a struct trap_frame, call trap_handle(),
 * restore. The frame is linked like a called function's, so a backtrace walks through it. If it has no place on the hart's
 * stack it goes to the emergency stack, from where nothing returns.
 */
#include "arch/layout.h"
#include "offsets.h"

#define SSTATUS_SUM_UPPER 0x40 /* bit 18, for lui: a handler has no access to a program's memory that it interrupts */

        .altmacro
        .macro save reg
        sd      x\reg, \reg * 8(sp)
        .endm
        .macro restore reg
        ld      x\reg, \reg * 8(sp)
        .endm

        .section .text
        .balign 4
        .globl trap_entry
trap_entry:
        addi    sp, sp, -TRAP_FRAME_BYTES
        csrw    sscratch, t0
        ld      t0, ARCH_HART_STACK_BASE(tp)
        sub     t0, sp, t0
        srli    t0, t0, HART_STACK_SHIFT
        bnez    t0, no_stack
        addi    t0, sp, TRAP_FRAME_BYTES
1:      sd      t0, TRAP_FRAME_SP(sp)
        csrr    t0, sscratch
        sd      ra, 1 * 8(sp)
        sd      gp, 3 * 8(sp)
        sd      tp, 4 * 8(sp)
        .set    i, 5
        .rept   27
        save    %i
        .set    i, i + 1
        .endr
        csrr    t0, sepc
        lui     t1, SSTATUS_SUM_UPPER
        csrrc   t1, sstatus, t1
        csrr    t2, scause
        csrr    t3, stval
        sd      t0, 0(sp)
        sd      t1, TRAP_FRAME_SSTATUS(sp)
        sd      t2, TRAP_FRAME_SCAUSE(sp)
        sd      t3, TRAP_FRAME_STVAL(sp)
        mv      a0, sp
        call    trap_handle
        ld      t0, 0(sp)
        ld      t1, TRAP_FRAME_SSTATUS(sp)
        csrw    sepc, t0
        csrw    sstatus, t1
        ld      ra, 1 * 8(sp)
        ld      gp, 3 * 8(sp)
        .set    i, 5
        .rept   27
        restore %i
        .set    i, i + 1
        .endr
        addi    sp, sp, TRAP_FRAME_BYTES
        sret

no_stack:
        addi    t0, sp, TRAP_FRAME_BYTES
        ld      sp, ARCH_HART_EMERGENCY_TOP(tp)
        addi    sp, sp, -TRAP_FRAME_BYTES
        j       1b
