/*
 * Physical addresses and frame numbers as types of their own, so that neither can be taken for the other or
 * for a pointer, and the conversions between them. Virtual addresses of the kernel are plain pointers where it uses
 * them, and a type of their own where it maps them or they are a user's.
 */
#ifndef ARCH_ADDR_H
#define ARCH_ADDR_H

#include "lib/base.h"
#include "arch/layout.h"

/* A physical address in bytes. */
typedef struct {
    uint64_t value;
} paddr_t;

/* A physical frame number: physical address / PAGE_BYTES. */
typedef struct {
    uint64_t value;
} pfn_t;

/* A virtual address in bytes, of any address space. */
typedef struct {
    uint64_t value;
} vaddr_t;

#define PADDR(v) ((paddr_t){.value = (v)})
#define PFN(v)   ((pfn_t){.value = (v)})
#define VADDR(v) ((vaddr_t){.value = (v)})

/* No frame. Not 0, which is a frame on some machines. */
#define PFN_NONE PFN(UINT64_MAX)

static inline bool pfn_is_none(pfn_t pfn)
{
    return pfn.value == UINT64_MAX;
}

static inline bool pfn_equal(pfn_t a, pfn_t b)
{
    return a.value == b.value;
}

static inline pfn_t pfn_add(pfn_t pfn, size_t frames)
{
    return PFN(pfn.value + frames);
}

static inline paddr_t pfn_to_paddr(pfn_t pfn)
{
    return PADDR(pfn.value << PAGE_SHIFT);
}

/** paddr_to_pfn_floor - the frame that holds the address. */
static inline pfn_t paddr_to_pfn_floor(paddr_t paddr)
{
    return PFN(paddr.value >> PAGE_SHIFT);
}

/** paddr_to_direct, pfn_to_direct - where the direct map shows it; valid for RAM only. */
static inline void *paddr_to_direct(paddr_t paddr)
{
    return (void *)(uintptr_t)(DIRECT_MAP_BASE + paddr.value);
}

static inline void *pfn_to_direct(pfn_t pfn)
{
    return paddr_to_direct(pfn_to_paddr(pfn));
}

/** direct_to_paddr - the inverse, for a pointer into the direct map. */
static inline paddr_t direct_to_paddr(const void *pointer)
{
    return PADDR((uintptr_t)pointer - DIRECT_MAP_BASE);
}

#endif
