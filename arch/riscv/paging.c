/* The boot page table's entries that go away once the kernel runs high; see entry.S for the whole table. */
#include "arch/paging.h"
#include "arch/cpu.h"
#include "offsets.h"

#define GIB (1ull << 30)

extern uint64_t boot_page_table[512];

paddr_t paging_direct_limit(void)
{
    return PADDR(DIRECT_MAP_END - DIRECT_MAP_BASE);
}

void paging_drop_boot_mappings(paddr_t ram_first, paddr_t ram_end)
{
    for (unsigned i = 0; i < 256; i++) /* the low half: the identity map */
        boot_page_table[i] = 0;
    for (unsigned i = DIRECT_MAP_ROOT_INDEX; i < KERNEL_MAP_ROOT_INDEX; i++) {
        uint64_t first = (i - DIRECT_MAP_ROOT_INDEX) * GIB;
        if (first + GIB <= ram_first.value || first >= ram_end.value)
            boot_page_table[i] = 0;
    }
    paging_flush();
}

void paging_flush(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}
