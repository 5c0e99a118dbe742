/*
 * Accesses to a program's memory. A fault at a pc between uaccess_begin and uaccess_end that nobody mends goes on at
 * uaccess_fault: see uaccess.c. No stack is used here, and ra is the caller's.
 */
#include "offsets.h"

#define SSTATUS_SUM_UPPER 0x40 /* bit 18, for lui */

        .section .text
        .balign 4
        .globl uaccess_begin, uaccess_end, uaccess_fault
        .globl uaccess_copy, uaccess_load_word, uaccess_store_word
uaccess_begin:

/* a0 = to, a1 = from, a2 = bytes. Doublewords where both sides are aligned to them, else bytes. Returns 0. */
uaccess_copy:
        lui     t0, SSTATUS_SUM_UPPER
        csrs    sstatus, t0
        or      t1, a0, a1
        andi    t1, t1, 7
        bnez    t1, 2f
        andi    t2, a2, -8
        add     t2, a0, t2
        bgeu    a0, t2, 2f
1:      ld      t1, 0(a1)
        addi    a1, a1, 8
        sd      t1, 0(a0)
        addi    a0, a0, 8
        bltu    a0, t2, 1b
        andi    a2, a2, 7
2:      add     t2, a0, a2
        bgeu    a0, t2, 4f
3:      lbu     t1, 0(a1)
        addi    a1, a1, 1
        sb      t1, 0(a0)
        addi    a0, a0, 1
        bltu    a0, t2, 3b
4:      csrc    sstatus, t0
        li      a0, 0
        ret

/* a0 = from, a1 = to, the kernel's. Returns 0. */
uaccess_load_word:
        lui     t0, SSTATUS_SUM_UPPER
        csrs    sstatus, t0
        lw      t1, 0(a0)
        csrc    sstatus, t0
        sw      t1, 0(a1)
        li      a0, 0
        ret

/* a0 = to, a1 = word. Returns 0. */
uaccess_store_word:
        lui     t0, SSTATUS_SUM_UPPER
        csrs    sstatus, t0
        sw      a1, 0(a0)
        csrc    sstatus, t0
        li      a0, 0
        ret

uaccess_end:

/* Returns ERR_RANGE for the function in which the fault was. */
uaccess_fault:
        lui     t0, SSTATUS_SUM_UPPER
        csrc    sstatus, t0
        li      a0, UACCESS_ERROR
        ret
