/*
 * Address translation: a small fully associative DTLB and a larger second level, both first in first out, over
 * the guest's own Sv39 tables. QEMU hides its walks and flushes everything on any sfence.vma or change of satp, so both
 * are done here, with page-table reads as coherent reads of the L2. Entries are tagged with the address space id
 * unless they are global; a walk that finds nothing leaves nothing behind, and there is no cache of the levels above.
 * A table of recent pages in front makes hits cheap to simulate and has no effect of its own: its entries are valid while
 * the DTLB's have the generation that they had.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define PTE_V         0x01u
#define PTE_R         0x02u
#define PTE_X         0x08u
#define PTE_RIGHTS    0x1eull /* R, W, X, U */
#define PTE_G         0x20u
#define PTE_BASE(pte) ((pte) << 2 & 0x00fffffffffff000ull)

static uint64_t walks;

uint64_t tlb_walks(void)
{
    return walks;
}

static void *table_of(uint64_t entries, size_t bytes)
{
    void *table = calloc(entries ? entries : 1, bytes);
    if (!table)
        abort();
    return table;
}

void tlb_init(struct hart *hart)
{
    hart->dtlb = table_of(profile.dtlb_entries, sizeof(*hart->dtlb));
    hart->stlb = table_of(profile.stlb_entries, sizeof(*hart->stlb));
    hart->dtlb_origin = table_of(profile.dtlb_entries, sizeof(*hart->dtlb_origin));
    hart->stlb_origin = table_of(profile.stlb_entries, sizeof(*hart->stlb_origin));
}

static void forget(struct tlb_entry *entry)
{
    entry->shift = 0;
    entry->generation++;
}

static bool covers(const struct hart *hart, const struct tlb_entry *entry, uint64_t vaddr)
{
    return entry->shift && vaddr >> entry->shift == entry->vbase >> entry->shift &&
           (entry->global || entry->asid == hart->asid);
}

static bool named(const struct tlb_flush *flush, const struct tlb_entry *entry)
{
    return (!flush->one_page || flush->vaddr >> entry->shift == entry->vbase >> entry->shift) &&
           (!flush->one_asid || (!entry->global && flush->asid == entry->asid));
}

void tlb_flush(struct hart *hart, const struct tlb_flush *flush)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++) {
        if (named(flush, &hart->dtlb[i]))
            forget(&hart->dtlb[i]);
    }
    for (unsigned i = 0; i < profile.stlb_entries; i++) {
        if (named(flush, &hart->stlb[i]))
            forget(&hart->stlb[i]);
    }
}

void tlb_reset(struct hart *hart)
{
    tlb_flush(hart, &(struct tlb_flush){0});
    hart->dtlb_next = 0;
}

/* Recent pages of other address spaces have to be looked for again, and so those of another table under the same id:
 * whether that is right is the oracle's to say. */
void tlb_use(struct hart *hart, uint64_t root, uint16_t asid)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++) {
        struct tlb_entry *entry = &hart->dtlb[i];
        if (!entry->global && (entry->asid != asid || hart->dtlb_origin[i].root != root))
            entry->generation++;
    }
    hart->root = root;
    hart->asid = asid;
    hart->switched = true;
}

/* Direct-mapped by page number of the leaf's own size, and the address space's id: the same page of several spaces is
 * spread by the golden section. */
static unsigned stlb_slot(uint64_t vaddr, unsigned shift, uint16_t asid)
{
    uint64_t offset = (uint64_t)(uint32_t)(asid * 0x9e3779b9u) * profile.stlb_entries >> 32;
    return (unsigned)(((vaddr >> shift) + offset) % profile.stlb_entries);
}

#define NOT_FOUND (~0u)

static unsigned stlb_find(const struct hart *hart, uint64_t vaddr)
{
    static const unsigned shifts[] = {12, 21, 30};
    for (unsigned i = 0; profile.stlb_entries && i < 6; i++) {
        unsigned shift = shifts[i % 3], slot = stlb_slot(vaddr, shift, i < 3 ? 0 : hart->asid);
        const struct tlb_entry *entry = &hart->stlb[slot];
        if (entry->shift == shift && covers(hart, entry, vaddr))
            return slot;
    }
    return NOT_FOUND;
}

/* The entry of a level, or false where the table is not in RAM. */
static bool entry_of(uint64_t table, uint64_t vaddr, unsigned shift, uint64_t *address)
{
    *address = table + (vaddr >> shift & 511) * 8;
    return *address >= RAM_BASE && *address - RAM_BASE < ram_bytes;
}

static uint64_t read_entry(uint64_t address)
{
    uint64_t pte;
    memcpy(&pte, ram + (address - RAM_BASE), sizeof(pte));
    return pte;
}

uint64_t tlb_look(uint64_t root, uint64_t vaddr, unsigned *shift)
{
    uint64_t table = root, address;
    for (*shift = 30; *shift >= PAGE_SHIFT; *shift -= 9) {
        uint64_t pte = entry_of(table, vaddr, *shift, &address) ? read_entry(address) : 0;
        if (!(pte & PTE_V))
            return 0;
        if (pte & (PTE_R | PTE_X))
            return pte;
        table = PTE_BASE(pte);
    }
    *shift = PAGE_SHIFT;
    return 0;
}

bool tlb_agrees(const struct tlb_entry *entry, const struct tlb_origin *origin, uint64_t root, uint64_t vaddr)
{
    unsigned shift;
    uint64_t pte = tlb_look(root, vaddr, &shift);
    return pte && !(origin->pte & ~pte & PTE_RIGHTS) &&
           (PTE_BASE(pte) | (vaddr & ((1ull << shift) - 1))) ==
               (entry->pbase | (vaddr & ((1ull << entry->shift) - 1)));
}

void tlb_each(struct hart *hart, uint64_t first, uint64_t end,
    void (*visit)(struct tlb_entry *entry, struct tlb_origin *origin, void *context), void *context)
{
    unsigned count = (unsigned)(profile.dtlb_entries + profile.stlb_entries);
    for (unsigned i = 0; i < count; i++) {
        unsigned k = i < profile.dtlb_entries ? i : i - (unsigned)profile.dtlb_entries;
        struct tlb_entry *entry = k == i ? &hart->dtlb[k] : &hart->stlb[k];
        uint64_t page = page_number(entry->vbase);
        if (entry->shift && page < end && first < page + (1ull << (entry->shift - PAGE_SHIFT)))
            visit(entry, k == i ? &hart->dtlb_origin[k] : &hart->stlb_origin[k], context);
    }
}

struct translation {
    struct tlb_entry entry;
    struct tlb_origin origin;
};

/* Its reads take their time whether or not there is something at the end. */
static bool walk(struct hart *hart, uint64_t vaddr, struct translation *found)
{
    uint64_t table = hart->root, address, flags = 0;
    found->origin = (struct tlb_origin){.root = table, .walk = ++walks};
    hart->stat[MODEL_STAT_TLB_MISSES]++;
    hart->stat[MODEL_STAT_TLB_MISSES_USER] += !(vaddr >> 63);
    for (unsigned shift = 30; shift >= PAGE_SHIFT; shift -= 9) {
        if (!entry_of(table, vaddr, shift, &address))
            return false;
        sched_order(hart); /* or it books its bank for a time that others have yet to come to */
        uint64_t cycles = cache_walk_read(hart, address), pte = read_entry(address);
        charge(hart, MODEL_STAT_TLB, cycles);
        hart->stat[MODEL_STAT_WALK_CYCLES] += cycles;
        if (!(pte & PTE_V))
            return false;
        table = PTE_BASE(pte);
        flags |= pte; /* a pointer that is global makes global what is below it */
        if (pte & (PTE_R | PTE_X)) {
            found->origin.pte = pte;
            found->entry = (struct tlb_entry){.vbase = vaddr >> shift << shift,
                .pbase = table,
                .asid = hart->asid,
                .shift = (uint8_t)shift,
                .global = (flags & PTE_G) != 0};
            return true;
        }
    }
    return false;
}

static unsigned dtlb_find(const struct hart *hart, uint64_t vaddr)
{
    for (unsigned i = 0; i < profile.dtlb_entries; i++) {
        if (covers(hart, &hart->dtlb[i], vaddr))
            return i;
    }
    return NOT_FOUND;
}

static unsigned dtlb_fill(struct hart *hart, const struct tlb_entry *entry, const struct tlb_origin *origin)
{
    unsigned slot = hart->dtlb_next;
    hart->dtlb_next = (slot + 1) % (unsigned)profile.dtlb_entries;
    uint32_t generation = hart->dtlb[slot].generation + 1;
    hart->dtlb[slot] = *entry;
    hart->dtlb[slot].generation = generation;
    hart->dtlb_origin[slot] = *origin;
    return slot;
}

static unsigned miss(struct hart *hart, uint64_t vaddr)
{
    unsigned second = stlb_find(hart, vaddr);
    struct translation fresh;
    hart->spin_missed = true;
    if (second != NOT_FOUND) {
        charge(hart, MODEL_STAT_TLB, profile.stlb_latency);
        return dtlb_fill(hart, &hart->stlb[second], &hart->stlb_origin[second]);
    }
    if (!walk(hart, vaddr, &fresh))
        return NOT_FOUND;
    if (profile.stlb_entries) {
        unsigned slot = stlb_slot(vaddr, fresh.entry.shift, fresh.entry.global ? 0 : hart->asid);
        hart->stlb[slot] = fresh.entry;
        hart->stlb_origin[slot] = fresh.origin;
    }
    return dtlb_fill(hart, &fresh.entry, &fresh.origin);
}

static bool is_recent(const struct hart *hart, uint64_t vpage)
{
    __typeof__(&hart->micro[0]) micro = &hart->micro[vpage % MICRO_TLB];
    const struct tlb_entry *entry = &hart->dtlb[micro->slot];
    return micro->vpage == vpage && micro->generation == entry->generation && entry->shift;
}

static uint64_t address_by(const struct tlb_entry *entry, uint64_t vaddr)
{
    return entry->pbase | (vaddr & ((1ull << entry->shift) - 1));
}

uint64_t tlb_probe(const struct hart *hart, uint64_t vaddr)
{
    uint64_t vpage = vaddr >> PAGE_SHIFT;
    unsigned slot = is_recent(hart, vpage) ? hart->micro[vpage % MICRO_TLB].slot : dtlb_find(hart, vaddr);
    return slot == NOT_FOUND ? ~0ull : address_by(&hart->dtlb[slot], vaddr);
}

uint64_t tlb_translate(struct hart *hart, uint64_t vaddr, uint64_t pc)
{
    uint64_t vpage = vaddr >> PAGE_SHIFT;
    __typeof__(&hart->micro[0]) micro = &hart->micro[vpage % MICRO_TLB];
    if (is_recent(hart, vpage))
        return micro->ppage << PAGE_SHIFT | (vaddr & ((1u << PAGE_SHIFT) - 1));
    unsigned slot = dtlb_find(hart, vaddr);
    if (slot == NOT_FOUND)
        slot = miss(hart, vaddr);
    if (slot == NOT_FOUND)
        return ~0ull;
    if (stale_is_suspect(hart, &hart->dtlb[slot], &hart->dtlb_origin[slot]))
        stale_use(hart, &hart->dtlb[slot], &hart->dtlb_origin[slot], vaddr, pc);
    uint64_t paddr = address_by(&hart->dtlb[slot], vaddr);
    micro->vpage = vpage;
    micro->ppage = paddr >> PAGE_SHIFT;
    micro->slot = slot;
    micro->generation = hart->dtlb[slot].generation;
    return paddr;
}

/*
 * QEMU has found no right to an access. A hart whose entry lacked it traps by that, without a walk. One whose entry
 * is older than what the tables say now would not have trapped: let it have lost the entry just before, as any hart
 * may, but a use that the oracle waits for it is.
 */
void tlb_fault(struct hart *hart, uint64_t vaddr, uint64_t pc)
{
    struct translation unused;
    unsigned slot = dtlb_find(hart, vaddr), second = stlb_find(hart, vaddr);
    bool known = slot != NOT_FOUND || second != NOT_FOUND;
    const struct tlb_entry *entry = slot != NOT_FOUND ? &hart->dtlb[slot]
                                    : known           ? &hart->stlb[second]
                                                      : NULL;
    struct tlb_origin *origin = slot != NOT_FOUND ? &hart->dtlb_origin[slot]
                                : known           ? &hart->stlb_origin[second]
                                                  : NULL;
    if (known && stale_is_suspect(hart, entry, origin))
        stale_use(hart, entry, origin, vaddr, pc);
    if (known && tlb_agrees(entry, origin, hart->root, vaddr))
        return;
    tlb_flush(hart, &(struct tlb_flush){.one_page = true, .vaddr = vaddr});
    walk(hart, vaddr, &unused);
}
