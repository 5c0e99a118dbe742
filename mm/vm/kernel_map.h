/*
 * The kernel's own page table, made at boot and used by every hart from then on: the direct map, the image with its
 * rights, devices, and the harts' stacks with guards. Its root is complete and sealed, so every address space
 * can have a copy of its entries. docs/boot.md shows it.
 */
#ifndef MM_VM_KERNEL_MAP_H
#define MM_VM_KERNEL_MAP_H

#include "lib/machine.h"
#include "mm/vm/page_table.h"

extern struct page_table kernel_table;

/* Frames of page tables, from the kernel's allocator. */
extern struct table_source kernel_table_source;

/**
 * kernel_map_init - make the kernel's table, with stacks for all harts of the machine.
 *
 * Boot hart, once, after memory_init() and before another hart runs. Returns 0, or an error with its reason on the console.
 */
int kernel_map_init(const struct machine *machine, const struct lock_ops *lock_kind);

/** kernel_map_region - what a virtual address of the kernel's half belongs to, in words; "" for no region. */
const char *kernel_map_region(vaddr_t vaddr);

/** kernel_to_paddr - the physical address of anything of the kernel's, stacks too; it is mapped. */
paddr_t kernel_to_paddr(const void *object);

#endif
