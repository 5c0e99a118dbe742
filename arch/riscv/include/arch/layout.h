/*
 * The virtual address space (Sv39), as constants that C, assembler and the linker script share. User and
 * kernel live in one table: user in the low half, kernel in the high half.
 *
 *   direct map    0xffff_fff0_0000_0000   physical address p at DIRECT_MAP_BASE + p, RW, no X
 *   kernel image  0xffff_ffff_8000_0000   physical RAM base at KERNEL_MAP_BASE
 *   MMIO          0xffff_ffff_c000_0000   physical address p at MMIO_MAP_BASE + p, RW, no X
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#define PAGE_SHIFT 12
#define PAGE_BYTES (1 << PAGE_SHIFT)

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
#define HART_STACK_BYTES 16384

#endif
