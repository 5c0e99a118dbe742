/*
 * The virtual address space (Sv39), as constants that C, assembler and the linker script share. User and
 * kernel live in one table: user in the low half, kernel in the high half. By split=separate U-mode has a table
 * without the kernel, but for the trampoline.
 *
 *   user image    0x0000_0000_0001_0000   below it nothing is ever mapped
 *   user heap     0x0000_0000_4000_0000   brk
 *   user stacks   0x0000_0001_0000_0000
 *   user mmap     0x0000_0002_0000_0000   up to 0x0000_0004_0000_0000, where the user's part ends
 *
 *   direct map    0xffff_fff0_0000_0000   physical address p at DIRECT_MAP_BASE + p, RW, no X
 *   window        0xffff_ffc0_0000_0000   for measurements: whatever they want to see there
 *   trampoline    0xffff_ffc0_4000_0000   a page of code and one of data, in every table
 *   kernel image  0xffff_ffff_8000_0000   physical RAM base at KERNEL_MAP_BASE; text RX, rodata R, data RW
 *   stacks        0xffff_ffff_bfe0_0000   of the harts, at the end of the image's GiB, each above a guard
 *   MMIO          0xffff_ffff_c000_0000   physical address p at MMIO_MAP_BASE + p, RW, no X
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#define PAGE_SHIFT 12
#define PAGE_BYTES (1 << PAGE_SHIFT)

#define USER_BASE        0x10000
#define USER_HEAP_BASE   0x40000000
#define USER_HEAP_END    0x80000000
#define USER_STACKS_BASE 0x100000000
#define USER_STACKS_END  0x200000000
#define USER_MMAP_BASE   0x200000000
#define USER_MMAP_END    0x400000000
#define USER_END         USER_MMAP_END

#define WINDOW_BASE  0xffffffc000000000
#define WINDOW_BYTES 0x40000000

/* Alone in its GiB, so that one entry of a root shows it and nothing else. */
#define TRAMPOLINE_BASE  0xffffffc040000000
#define TRAMPOLINE_SLOTS (TRAMPOLINE_BASE + PAGE_BYTES)

#define DIRECT_MAP_BASE 0xfffffff000000000
#define DIRECT_MAP_END  0xffffffff80000000
#define KERNEL_MAP_BASE 0xffffffff80000000

#define MMIO_MAP_BASE  0xffffffffc0000000
#define MMIO_MAP_BYTES 0x30000000 /* the window ends at 0xfffffffff0000000 */

/* Where RAM begins on QEMU's virt machine and on every board of the family; KERNEL_MAP_BASE maps it. */
#define RAM_BASE 0x80000000

/* The image is loaded behind OpenSBI's 2 MiB. */
#define KERNEL_VIRT_BASE           0xffffffff80200000
#define KERNEL_VIRT_TO_PHYS_OFFSET (KERNEL_MAP_BASE - RAM_BASE)

#define HART_MAX 64

/* A hart's kernel stack: the deepest path (a fault in a refill under the harness, reported with a backtrace) takes
 * about 5 KiB by the sum of its frames. */
#define HART_STACK_SHIFT 14
#define HART_STACK_BYTES (1 << HART_STACK_SHIFT)

/* What a trap runs on that finds no stack: to report that takes 1.2 KiB. */
#define HART_EMERGENCY_BYTES PAGE_BYTES

/*
 * Where a hart has its stacks. No frame of a function is larger than the smaller guard (-Wframe-larger-than), so none
 * reaches over it. The entries of a slot's eight pages are one cache line, no other hart's.
 *
 *   0      4 KiB   guard
 *   4 KiB  4 KiB   emergency stack
 *   8 KiB  8 KiB   guard
 *   16 KiB 16 KiB  stack
 */
#define HART_SLOT_BYTES       (2 * HART_STACK_BYTES)
#define HART_SLOTS_BASE       (MMIO_MAP_BASE - HART_MAX * HART_SLOT_BYTES)
#define HART_STACK_OFFSET     HART_STACK_BYTES
#define HART_EMERGENCY_OFFSET PAGE_BYTES

#endif
