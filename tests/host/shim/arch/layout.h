/* The host's stand-in for arch/layout.h: frame numbers reach memory of the process by a base that tests
 * set. */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_BYTES (1 << PAGE_SHIFT)

/* What physical address 0 would be mapped to; host_map_frames() sets it. */
extern uint64_t host_direct_map_base;
#define DIRECT_MAP_BASE host_direct_map_base

/* As in the kernel's. */
#define USER_BASE        0x10000
#define USER_HEAP_BASE   0x40000000
#define USER_HEAP_END    0x80000000
#define USER_STACKS_BASE 0x100000000
#define USER_STACKS_END  0x200000000
#define USER_MMAP_BASE   0x200000000
#define USER_MMAP_END    0x400000000
#define USER_END         USER_MMAP_END

#define HART_MAX 64

#endif
