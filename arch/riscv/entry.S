/*
 * First instructions of a hart in S-mode, and the table that lets it run at the kernel's addresses. A hart
 * arrives here with paging off and its pc physical: the boot hart from OpenSBI, the others from SBI's
 * hart_start. Both leave at the high address with paging on: the first in the table of this file, until the kernel has made
 * its own, the others in the kernel's.
 */
#include "arch/layout.h"
#include "offsets.h"

        .section .text.entry, "ax"
        .option norelax

/* \scratch: a register to use. Turns paging on and goes on at the high address of the next line. */
        .macro go_high scratch, offset
        la      \scratch, boot_page_table
        srli    \scratch, \scratch, PAGE_SHIFT
        li      \offset, 8 << 60
        or      \scratch, \scratch, \offset
        sfence.vma
        csrw    satp, \scratch
        sfence.vma
        li      \offset, KERNEL_VIRT_TO_PHYS_OFFSET
        la      \scratch, 1f
        add     \scratch, \scratch, \offset
        jr      \scratch
1:
        .endm

/* a0 = hart id, a1 = physical address of the device tree */
        .globl _start
_start:
        csrw    sie, zero
        csrw    sip, zero
        go_high t0, t1

        la      t0, _bss
        la      t1, _ebss
2:      sd      zero, 0(t0)
        addi    t0, t0, 8
        bltu    t0, t1, 2b

        la      tp, arch_boot_hart
        la      sp, boot_stack + HART_STACK_BYTES
        li      fp, 0
        la      t0, trap_entry
        csrw    stvec, t0
        call    kernel_main
        j       .

/* a0 = hart id, a1 = virtual address of the hart's struct arch_hart */
        .globl hart_entry
hart_entry:
        csrw    sie, zero
        csrw    sip, zero
        go_high t0, t1
        ld      t0, paging_satp
        csrw    satp, t0
        sfence.vma
        mv      tp, a1
        ld      sp, ARCH_HART_STACK_BASE(tp)
        li      t0, HART_STACK_BYTES
        add     sp, sp, t0
        li      fp, 0
        la      t0, trap_entry
        csrw    stvec, t0
        call    hart_main
        j       .

/*
 * Root of Sv39, 1 GiB leaves: index 2 the RAM at its own address, for the instruction that turns paging on;
 * 448–509 the direct map of physical 0–62 GiB; 510 the image; 511 the devices. Accessed and dirty are set in advance, so
 * that no hart has to. In use until the kernel has tables of its own, and then by each hart that starts, for a moment.
 */
#define PTE_RW  0xc7    /* D A W R V */
#define PTE_RWX 0xcf    /* and X */
#define PTE_GLOBAL 0x20
#define PTE_PPN(gib) ((gib) << 28)

        .section .data.page_aligned, "aw"
        .balign PAGE_BYTES
        .globl boot_page_table
boot_page_table:
        .zero   2 * 8
        .quad   PTE_PPN(2) | PTE_RWX
        .zero   (DIRECT_MAP_ROOT_INDEX - 3) * 8
        .set    gib, 0
        .rept   KERNEL_MAP_ROOT_INDEX - DIRECT_MAP_ROOT_INDEX
        .quad   PTE_PPN(gib) | PTE_RW | PTE_GLOBAL
        .set    gib, gib + 1
        .endr
        .quad   PTE_PPN(RAM_BASE >> 30) | PTE_RWX | PTE_GLOBAL
        .quad   PTE_PPN(0) | PTE_RW | PTE_GLOBAL

        .section .bss.boot_stack, "aw", @nobits
        .balign 16
        .globl boot_stack
boot_stack:
        .zero   HART_STACK_BYTES
