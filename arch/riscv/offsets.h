/* Offsets into C structures that the assembler files use; hart.c proves them. */
#ifndef ARCH_RISCV_OFFSETS_H
#define ARCH_RISCV_OFFSETS_H

#define ARCH_HART_ATTENTION     4
#define ARCH_HART_STACK_BASE    24
#define ARCH_HART_EMERGENCY_TOP 32
#define ARCH_HART_USER_SLOT     40

#define SPLIT_SLOT_SHIFT        6
#define SPLIT_SLOT_KERNEL_SATP  0
#define SPLIT_SLOT_USER_SATP    8
#define SPLIT_SLOT_CONTEXT      16
#define SPLIT_SLOT_A0           24
#define SPLIT_SLOT_A1           32
#define SPLIT_SLOT_KERNEL_ENTRY 40
#define SPLIT_SLOT_USER_ENTRY   48
#define SPLIT_SLOT_USER_EXIT    56

#define TRAP_FRAME_BYTES   (36 * 8)
#define TRAP_FRAME_SP      (2 * 8)
#define TRAP_FRAME_SSTATUS (32 * 8)
#define TRAP_FRAME_SCAUSE  (33 * 8)
#define TRAP_FRAME_STVAL   (34 * 8)

#define USER_CONTEXT_SSTATUS   (32 * 8)
#define USER_CONTEXT_KERNEL_SP (33 * 8)
#define USER_CONTEXT_KERNEL_TP (34 * 8)

#define UACCESS_ERROR (-2)

/* Indices into the root table: bits 38 … 30 of the address. */
#define DIRECT_MAP_ROOT_INDEX 448
#define KERNEL_MAP_ROOT_INDEX 510

#endif
