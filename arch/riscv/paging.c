/* satp, and what goes with it. The boot page table is in entry.S, and those of the kernel are mm/vm's. */
#include "arch/paging.h"
#include "arch/csr.h"

#define SATP_SV39     (8ul << 60)
#define SATP_PFN_MASK ((1ul << 44) - 1)

extern uint64_t paging_satp;

uint64_t paging_satp; /* read by hart_entry */

void paging_use(pfn_t root)
{
    paging_satp = SATP_SV39 | root.value;
    /* The first fence orders the table's entries before the walks that will find them, the second is the flush. */
    __asm__ volatile("sfence.vma\n csrw satp, %0\n sfence.vma" : : "r"(paging_satp) : "memory");
}

pfn_t paging_root(void)
{
    uint64_t satp = csr_read(satp);
    return PFN(satp & SATP_PFN_MASK);
}

void paging_flush(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

paddr_t paging_direct_limit(void)
{
    return PADDR(DIRECT_MAP_END - DIRECT_MAP_BASE);
}
