/* The kernel's own image: where its parts lie, and physical addresses of what is inside. */
#ifndef ARCH_IMAGE_H
#define ARCH_IMAGE_H

#include "arch/addr.h"

/* From linker/kernel.ld: code from _text on, what is only read from _rodata on, what is written from _data on. */
extern char _image_start[], _image_end[], _text[], _etext[], _rodata[], _data[];

/** image_to_paddr - the physical address of a kernel object: in the image or in the direct map. Not of what is on a
 *  stack: mm/vm/kernel_map.h. */
static inline paddr_t image_to_paddr(const void *object)
{
    uintptr_t address = (uintptr_t)object;
    return address >= KERNEL_MAP_BASE ? PADDR(address - KERNEL_VIRT_TO_PHYS_OFFSET) : direct_to_paddr(object);
}

#endif
