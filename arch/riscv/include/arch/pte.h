/*
 * Page-table entries of Sv39, and the arithmetic of its three levels. Pure: the host's tests use the same.
 * Source: The RISC-V Instruction Set Manual, Volume II: Privileged Architecture, 20240411, "Sv32" (the bits) and "Sv39".
 */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#include "arch/addr.h"
#include "lib/base.h"

#define PTE_V 0x001ul /* valid */
#define PTE_R 0x002ul
#define PTE_W 0x004ul
#define PTE_X 0x008ul
#define PTE_U 0x010ul /* for U-mode, and not for S-mode */
#define PTE_G 0x020ul /* in every address space */
#define PTE_A 0x040ul /* has been accessed */
#define PTE_D 0x080ul /* has been written */
/* The first of two bits that the hardware ignores. Of an entry that points to a table: it stays when it is empty. */
#define PTE_KEPT 0x100ul

/* What whoever maps a page chooses. */
#define PTE_RIGHTS (PTE_R | PTE_W | PTE_X | PTE_U)

/* Of a leaf in the low half, the same two bits: the area may be written, but this page has to be copied, or found to be
 * nobody else's, before; and: the frame is not the space's, who holds no reference to it. */
#define PTE_COW     0x100ul
#define PTE_FOREIGN 0x200ul

/*
 * An entry that is not valid and not zero is a mark: what is mapped there, and not present. It is of PTE_RIGHTS what the
 * area allows (none of them: nothing), with PTE_COW and PTE_FOREIGN as of a leaf, a kind, and for all kinds but one the frame.
 */
#define PTE_MARK_SHIFT 5
#define PTE_MARK_BITS  (7ul << PTE_MARK_SHIFT)

/* Of marks that are LEAVING or BUSY, whose change it is: bits that no frame's number reaches. */
#define PTE_MARK_OWNER_SHIFT 54

enum pte_mark {
    PTE_MARK_NONE, /* of a hole, and of what is valid */
    PTE_MARK_ANON, /* not touched yet: zeros, without a frame */
    PTE_MARK_HIDDEN, /* has a frame, and no rights for now */
    PTE_MARK_LEAVING, /* unmapped, but harts may still know the translation: a fault is a fault, the address is taken */
    PTE_MARK_BUSY, /* a hart is changing it: look again */
    PTE_MARK_COUNT
};

#define PTE_PFN_SHIFT 10
#define PTE_PFN_BITS  44
/* Every bit that is none of the above is reserved and must be zero, or belongs to an extension that is not used. */
#define PTE_KNOWN (((1ul << PTE_PFN_BITS) - 1) << PTE_PFN_SHIFT | 0x1fful)

/* Levels as the specification numbers them: 2 is the root, 0 has leaves of 4 KiB only. */
#define PAGE_LEVELS      3
#define PAGE_LEVEL_BITS  9
#define PAGE_LEVEL_ROOT  (PAGE_LEVELS - 1)
#define PAGE_LEVEL_2M    1
#define PAGE_ENTRIES     512u
#define PAGE_VPN_BITS    (PAGE_LEVELS * PAGE_LEVEL_BITS)
#define PAGE_VADDR_BITS  (PAGE_SHIFT + PAGE_VPN_BITS)
#define PAGE_COUNT_TOTAL (1ul << PAGE_VPN_BITS)

typedef struct {
    uint64_t bits;
} pte_t;

#define PTE(v) ((pte_t){.bits = (v)})

/** page_level_pages, page_level_shift - pages of 4 KiB in a leaf of a level, and the logarithm of its bytes. */
static inline size_t page_level_pages(unsigned level)
{
    return (size_t)1 << (level * PAGE_LEVEL_BITS);
}

static inline unsigned page_level_shift(unsigned level)
{
    return PAGE_SHIFT + level * PAGE_LEVEL_BITS;
}

static inline bool pte_is_valid(pte_t pte)
{
    return pte.bits & PTE_V;
}

/** pte_is_leaf - valid, and shows a page. pte_is_table - valid, and points to the next level. */
static inline bool pte_is_leaf(pte_t pte)
{
    return (pte.bits & PTE_V) && (pte.bits & (PTE_R | PTE_X));
}

static inline bool pte_is_table(pte_t pte)
{
    return (pte.bits & (PTE_V | PTE_R | PTE_X)) == PTE_V;
}

/** pte_pfn - the frame that is shown, or the table's. */
static inline pfn_t pte_pfn(pte_t pte)
{
    return PFN(pte.bits >> PTE_PFN_SHIFT & ((1ul << PTE_PFN_BITS) - 1));
}

/**
 * pte_leaf - an entry that shows a frame with these bits of PTE_RIGHTS and PTE_G. A and, where it can be written, D are set in advance: no hart traps to have
 * them set, and none that sets them itself (Svadu) ever writes to an entry that software is about to change.
 */
static inline pte_t pte_leaf(pfn_t pfn, uint64_t bits)
{
    return PTE(pfn.value << PTE_PFN_SHIFT | bits | PTE_V | PTE_A | (bits & PTE_W ? PTE_D : 0));
}

static inline pte_t pte_table(pfn_t pfn)
{
    return PTE(pfn.value << PTE_PFN_SHIFT | PTE_V);
}

/** pte_mark - a mark. @bits: of PTE_RIGHTS, PTE_COW and PTE_FOREIGN. @pfn: its frame; PFN(0) for PTE_MARK_ANON */
static inline pte_t pte_mark(enum pte_mark kind, uint64_t bits, pfn_t pfn)
{
    return PTE(pfn.value << PTE_PFN_SHIFT | bits | (uint64_t)kind << PTE_MARK_SHIFT);
}

/** pte_mark_kind - PTE_MARK_NONE for what is valid, and for a hole. */
static inline enum pte_mark pte_mark_kind(pte_t pte)
{
    return pte.bits & PTE_V ? PTE_MARK_NONE : (enum pte_mark)((pte.bits & PTE_MARK_BITS) >> PTE_MARK_SHIFT);
}

static inline bool pte_is_mark(pte_t pte)
{
    return pte.bits != 0 && !(pte.bits & PTE_V);
}

/** pte_has_frame - whether pte_pfn() is a frame that is mapped there, present or not. */
static inline bool pte_has_frame(pte_t pte)
{
    return pte_is_leaf(pte) || pte_mark_kind(pte) > PTE_MARK_ANON;
}

/** pte_rights_valid - whether a leaf may have them: it can be read or executed, what can be written can be read
 *  (else reserved), and nothing can be both written and executed. */
static inline bool pte_rights_valid(uint64_t rights)
{
    return !(rights & ~PTE_RIGHTS) && (rights & (PTE_R | PTE_X)) &&
           (!(rights & PTE_W) || (rights & (PTE_R | PTE_X)) == PTE_R);
}

/** vaddr_is_canonical - whether bits 63 … 39 are all as bit 38: else every access faults. */
static inline bool vaddr_is_canonical(vaddr_t vaddr)
{
    unsigned unused = 64 - PAGE_VADDR_BITS;
    return (uint64_t)((int64_t)(vaddr.value << unused) >> unused) == vaddr.value;
}

/** vaddr_to_page - the number of its page, 0 … PAGE_COUNT_TOTAL − 1: the low half, then the high. */
static inline size_t vaddr_to_page(vaddr_t vaddr)
{
    return vaddr.value >> PAGE_SHIFT & (PAGE_COUNT_TOTAL - 1);
}

static inline vaddr_t page_to_vaddr(size_t page)
{
    unsigned unused = 64 - PAGE_VADDR_BITS;
    return VADDR((uint64_t)((int64_t)((uint64_t)page << (PAGE_SHIFT + unused)) >> unused));
}

/** page_index - which entry of a table of that level is the page's. */
static inline size_t page_index(size_t page, unsigned level)
{
    return page >> (level * PAGE_LEVEL_BITS) & (PAGE_ENTRIES - 1);
}

/** pte_piece - the entry of the level of single pages that shows what a leaf or mark of @level (or a hole) shows of @page. */
static inline pte_t pte_piece(pte_t pte, size_t page, unsigned level)
{
    size_t index = page & (page_level_pages(level) - 1);
    return pte_has_frame(pte) ? PTE(pte.bits + ((uint64_t)index << PTE_PFN_SHIFT)) : pte;
}

#endif
