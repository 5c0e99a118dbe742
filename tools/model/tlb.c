/*
 * Address translation: a small fully associative DTLB and a larger second level, both first in first out, over
 * the guest's own Sv39 tables. QEMU hides its walks and flushes everything on any sfence.vma, so both are done
 * here, with page-table reads as coherent reads of the L2. A table of recent pages in front makes hits cheap to
 * simulate and has no effect of its own: its entries are valid while the DTLB's are.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define PTE_V 1u
#define PTE_R 2u
#define PTE_X 8u

void tlb_init(struct hart *hart)
{
    hart->dtlb = calloc(profile.dtlb_entries, sizeof(*hart->dtlb));
    hart->stlb = calloc(profile.stlb_entries ? profile.stlb_entries : 1, sizeof(*hart->stlb));
    if (!hart->dtlb || !hart->stlb)
        abort();
}

static void forget(struct tlb_entry *entry)
{
    entry->shift = 0;
    entry->generation++;
}

void tlb_flush_all(struct hart *hart)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++)
        forget(&hart->dtlb[i]);
    for (unsigned i = 0; i < profile.stlb_entries; i++)
        forget(&hart->stlb[i]);
}

void tlb_reset(struct hart *hart)
{
    tlb_flush_all(hart);
    hart->dtlb_next = 0;
}

static bool covers(const struct tlb_entry *entry, uint64_t vaddr)
{
    return entry->shift && vaddr >> entry->shift == entry->vbase >> entry->shift;
}

void tlb_flush_page(struct hart *hart, uint64_t vaddr)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++) {
        if (covers(&hart->dtlb[i], vaddr))
            forget(&hart->dtlb[i]);
    }
    for (unsigned i = 0; i < profile.stlb_entries; i++) {
        if (covers(&hart->stlb[i], vaddr))
            forget(&hart->stlb[i]);
    }
}

/* Direct-mapped by page number of the leaf's own size. */
static struct tlb_entry *stlb_slot(struct hart *hart, uint64_t vaddr, unsigned shift)
{
    return &hart->stlb[(vaddr >> shift) % profile.stlb_entries];
}

static struct tlb_entry *stlb_find(struct hart *hart, uint64_t vaddr)
{
    static const unsigned shifts[] = {12, 21, 30};
    for (unsigned i = 0; profile.stlb_entries && i < 3; i++) {
        struct tlb_entry *entry = stlb_slot(hart, vaddr, shifts[i]);
        if (entry->shift == shifts[i] && covers(entry, vaddr))
            return entry;
    }
    return NULL;
}

static bool walk(struct hart *hart, uint64_t vaddr, struct tlb_entry *found)
{
    uint64_t table = hart->root;
    hart->stat[MODEL_STAT_TLB_MISSES]++;
    for (int level = 2; level >= 0; level--) {
        unsigned shift = 12 + 9 * (unsigned)level;
        uint64_t address = table + (vaddr >> shift & 511) * 8, pte;
        if (address < RAM_BASE || address - RAM_BASE >= ram_bytes)
            return false;
        sched_order(hart); /* or it books its bank for a time that others have yet to come to */
        charge(hart, MODEL_STAT_TLB, cache_walk_read(hart, address));
        memcpy(&pte, ram + (address - RAM_BASE), sizeof(pte));
        if (!(pte & PTE_V))
            return false;
        table = pte << 2 & 0x00fffffffffff000ull;
        if (pte & (PTE_R | PTE_X)) {
            found->vbase = vaddr >> shift << shift;
            found->pbase = table;
            found->shift = (uint8_t)shift;
            return true;
        }
    }
    return false;
}

static struct tlb_entry *dtlb_find(struct hart *hart, uint64_t vaddr)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++) {
        if (covers(&hart->dtlb[i], vaddr))
            return &hart->dtlb[i];
    }
    return NULL;
}

static struct tlb_entry *dtlb_fill(struct hart *hart, const struct tlb_entry *from)
{
    struct tlb_entry *slot = &hart->dtlb[hart->dtlb_next];
    hart->dtlb_next = (hart->dtlb_next + 1) % (unsigned)profile.dtlb_entries;
    uint32_t generation = slot->generation + 1;
    *slot = *from;
    slot->generation = generation;
    return slot;
}

static struct tlb_entry *miss(struct hart *hart, uint64_t vaddr)
{
    struct tlb_entry *second = stlb_find(hart, vaddr), fresh = {0};
    hart->spin_missed = true;
    if (second) {
        charge(hart, MODEL_STAT_TLB, profile.stlb_latency);
        return dtlb_fill(hart, second);
    }
    if (!walk(hart, vaddr, &fresh))
        return NULL;
    if (profile.stlb_entries)
        *stlb_slot(hart, vaddr, fresh.shift) = fresh;
    return dtlb_fill(hart, &fresh);
}

uint64_t tlb_probe(const struct hart *hart, uint64_t vaddr)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++) {
        const struct tlb_entry *entry = &hart->dtlb[i];
        if (covers(entry, vaddr))
            return entry->pbase | (vaddr & ((1ull << entry->shift) - 1));
    }
    return ~0ull;
}

uint64_t tlb_translate(struct hart *hart, uint64_t vaddr)
{
    uint64_t vpage = vaddr >> PAGE_SHIFT;
    __typeof__(&hart->micro[0]) micro = &hart->micro[vpage % MICRO_TLB];
    if (micro->vpage == vpage && micro->generation == hart->dtlb[micro->slot].generation &&
        hart->dtlb[micro->slot].shift)
        return micro->ppage << PAGE_SHIFT | (vaddr & ((1u << PAGE_SHIFT) - 1));
    struct tlb_entry *entry = dtlb_find(hart, vaddr);
    if (!entry)
        entry = miss(hart, vaddr);
    if (!entry)
        return ~0ull;
    uint64_t paddr = entry->pbase | (vaddr & ((1ull << entry->shift) - 1));
    micro->vpage = vpage;
    micro->ppage = paddr >> PAGE_SHIFT;
    micro->slot = (uint32_t)(entry - hart->dtlb);
    micro->generation = entry->generation;
    return paddr;
}
