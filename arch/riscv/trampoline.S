/*
 * What the kernel shows of itself to U-mode where that has a table of its own: see arch/split.h. The code runs at TRAMPOLINE_BASE, where
 * both tables show it, and changes from one to the other under its own feet; it reaches nothing but the hart's slot.
 * Each way is there twice: without ASIDs, what was cached under the old table is flushed behind the switch.
 */
#include "arch/layout.h"
#include "offsets.h"

        /* All of ASID 0, the only one; x0 in place of the register would mean the global ones, too. */
        .macro flush
        li      a1, 0
        sfence.vma zero, a1
        .endm

        /* U-mode's stvec. sscratch = the slot. On with a0 = the slot, sscratch = the program's a0, its a1 in the slot. */
        .macro enter flush
        csrrw   a0, sscratch, a0
        sd      a1, SPLIT_SLOT_A1(a0)
        ld      a1, SPLIT_SLOT_KERNEL_SATP(a0)
        csrw    satp, a1
        \flush
        ld      a1, SPLIT_SLOT_KERNEL_ENTRY(a0)
        jr      a1
        .endm

        /* a0 = the slot, which has the program's a0 and a1; the other registers are the program's. */
        .macro exit flush
        ld      a1, SPLIT_SLOT_USER_SATP(a0)
        csrw    satp, a1
        \flush
        ld      a1, SPLIT_SLOT_A1(a0)
        ld      a0, SPLIT_SLOT_A0(a0)
        sret
        .endm

        .section .text.trampoline, "ax"
        .option norelax
        .balign PAGE_BYTES
        .globl trampoline
trampoline:
        .globl trampoline_entry
trampoline_entry:
        enter
        .balign 4
        .globl trampoline_entry_flush
trampoline_entry_flush:
        enter   flush
        .globl trampoline_exit
trampoline_exit:
        exit
        .globl trampoline_exit_flush
trampoline_exit_flush:
        exit    flush
        .balign PAGE_BYTES /* and nothing else is on the page */
