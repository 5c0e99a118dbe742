/* satp, and what goes with it. The boot page table is in entry.S, and those of the kernel are mm/vm's. */
#include "arch/paging.h"
#include "arch/csr.h"
#include "arch_private.h"

#define SATP_SV39     (8ul << 60)
#define SATP_PFN_MASK ((1ul << 44) - 1)

#define SATP_ASID_SHIFT 44
#define SATP_ASID_MASK  0xfffful

extern uint64_t paging_satp;

uint64_t paging_satp; /* read by hart_entry */

void paging_use(pfn_t root)
{
    paging_satp = SATP_SV39 | root.value;
    /* The first fence orders the table's entries before the walks that will find them, the second is the flush. */
    __asm__ volatile("sfence.vma\n csrw satp, %0\n sfence.vma" : : "r"(paging_satp) : "memory");
}

pfn_t paging_root_of(uint64_t satp)
{
    return PFN(satp & SATP_PFN_MASK);
}

pfn_t paging_root(void)
{
    return paging_root_of(csr_read(satp));
}

uint64_t paging_satp_of(pfn_t root, uint16_t asid)
{
    return SATP_SV39 | (uint64_t)asid << SATP_ASID_SHIFT | root.value;
}

void paging_enter(pfn_t root, uint16_t asid)
{
    __asm__ volatile("csrw satp, %0" : : "r"(paging_satp_of(root, asid)) : "memory");
}

void paging_flush_asid(uint16_t asid)
{
    /* In a register that is not x0, be it zero: x0 would mean all of them, and the global ones. */
    __asm__ volatile("sfence.vma x0, %0" : : "r"((uint64_t)asid) : "memory");
}

void paging_flush_page(vaddr_t vaddr, uint16_t asid)
{
    __asm__ volatile("sfence.vma %0, %1" : : "r"(vaddr.value), "r"((uint64_t)asid) : "memory");
}

unsigned paging_asid_bits(void)
{
    /* Bits that are not there read as zero. Nothing is cached under the other ASID meanwhile but what is global: the
     * table is the same, and the low half of the kernel's is empty. */
    uint64_t satp = csr_read(satp);
    __asm__ volatile("csrw satp, %0" : : "r"(satp | SATP_ASID_MASK << SATP_ASID_SHIFT) : "memory");
    uint64_t asid = csr_read(satp) >> SATP_ASID_SHIFT & SATP_ASID_MASK;
    __asm__ volatile("csrw satp, %0" : : "r"(satp) : "memory");
    unsigned bits = 0;
    while (asid >> bits & 1)
        bits++;
    return bits;
}

void paging_flush(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

void paging_flush_page_of_all(vaddr_t vaddr)
{
    __asm__ volatile("sfence.vma %0" ::"r"(vaddr.value) : "memory");
}

paddr_t paging_direct_limit(void)
{
    return PADDR(DIRECT_MAP_END - DIRECT_MAP_BASE);
}
