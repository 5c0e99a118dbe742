/* What changes in the boot page table after boot: entries that go away once the kernel runs high, and a window for
 * measurements. See entry.S for the whole table. */
#include "arch/paging.h"
#include "arch/cpu.h"
#include "offsets.h"

#define GIB (1ull << 30)

/* Sv39: 512 entries of 8 bytes a table, 9 bits of address a level. */
#define TABLE_ENTRIES ((size_t)512)
#define MEGA_SHIFT    21
#define PTE_V         0x01u
#define PTE_LEAF_RW   0xe7u /* D A G W R V: set in advance, so that no hart has to */

/* The first slot of the high half; the direct map begins at 448. */
#define WINDOW_ROOT_INDEX 256
#define WINDOW_BASE       0xffffffc000000000

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

static size_t leaf_tables(size_t bytes)
{
    return (bytes >> MEGA_SHIFT) + (bytes % (1u << MEGA_SHIFT) != 0);
}

size_t paging_window_tables(size_t bytes, unsigned leaf_shift)
{
    return (1 + (leaf_shift == MEGA_SHIFT ? 0 : leaf_tables(bytes))) * PAGE_BYTES;
}

static uint64_t pte(uint64_t paddr, uint64_t flags)
{
    return paddr >> PAGE_SHIFT << 10 | flags;
}

void *paging_window_map(paddr_t base, size_t bytes, unsigned leaf_shift, void *tables)
{
    uint64_t *mega = tables, *leaves = mega + TABLE_ENTRIES;
    uint64_t tables_base = direct_to_paddr(tables).value;
    for (size_t i = 0; i < bytes >> leaf_shift; i++)
        (leaf_shift == MEGA_SHIFT ? mega : leaves)[i] = pte(base.value + (i << leaf_shift), PTE_LEAF_RW);
    for (size_t i = 0; leaf_shift != MEGA_SHIFT && i < leaf_tables(bytes); i++)
        mega[i] = pte(tables_base + (1 + i) * PAGE_BYTES, PTE_V);
    boot_page_table[WINDOW_ROOT_INDEX] = pte(tables_base, PTE_V);
    return (void *)WINDOW_BASE; /* nothing remembers that it was not there: the harts flushed when it went */
}

void paging_window_unmap(void)
{
    boot_page_table[WINDOW_ROOT_INDEX] = 0;
}
