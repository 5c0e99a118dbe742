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

#define HART_MAX 64

#endif
