/*
 * The oracle of stale translations. Shootdown code says when it begins and when it has returned, and for which pages.
 * What a hart's TLB says of those from before the beginning, and the tables do not say any more, should be gone by
 * then; it is marked, and reported when it is used. Marking does not drop it: hardware would not, either.
 *
 *   hart 0                                        hart 1
 *                                                 has a translation of the page
 *   clears the entry, begins
 *   forgets to interrupt hart 1, returns: the translation is marked
 *   gives the frame to somebody else
 *                                                 stores to the page: reported
 *
 * What was read after the beginning is not this shootdown's: another hart may have changed the entry once more, and
 * be about to flush that. The other way to a stale translation is another table under an address space id that
 * somebody else had, without a flush between. And a table that has no kernel is to be gone to with none in the TLB: that nobody
 * could use it there is no matter, for what that table is for is that hardware cannot look either.
 */
#include "model.h"

#include <stdio.h>

/* At most so many lines of a region: one would do. */
#define REPORTS_MAX 10

/* Shootdowns that have begun. One beyond these is taken for one that never said so. */
#define UNDER_WAY_MAX 4096

static struct {
    uint64_t shootdown, walks;
} under_way[UNDER_WAY_MAX];
static unsigned nunder_way, reports;

void stale_reset(void)
{
    nunder_way = reports = 0;
}

static unsigned find(uint64_t shootdown)
{
    unsigned i = 0;
    while (i < nunder_way && under_way[i].shootdown != shootdown)
        i++;
    return i;
}

void stale_flushing(uint64_t shootdown)
{
    unsigned i = find(shootdown);
    if (i == UNDER_WAY_MAX)
        return;
    nunder_way += i == nunder_way;
    under_way[i].shootdown = shootdown;
    under_way[i].walks = tlb_walks();
}

/* Ends it. Returns the last walk that it has to have undone. */
static uint64_t walks_before(uint64_t shootdown)
{
    unsigned i = find(shootdown);
    if (i == nunder_way)
        return ~0ull;
    uint64_t last = under_way[i].walks;
    under_way[i] = under_way[--nunder_way];
    return last;
}

struct flushed {
    const struct hart *by;
    uint64_t pc, walks, asid, first, end;
};

static void mark(struct tlb_entry *entry, struct tlb_origin *origin, void *context)
{
    const struct flushed *flushed = context;
    uint64_t pages = 1ull << (entry->shift - PAGE_SHIFT), page = page_number(entry->vbase);
    uint64_t first = flushed->first > page ? flushed->first - page : 0;
    uint64_t end = flushed->end < page + pages ? flushed->end - page : pages;
    if (origin->walk > flushed->walks || origin->reported || flushed->end <= page)
        return;
    if (flushed->asid != MODEL_ASID_ALL && (entry->global || entry->asid != flushed->asid))
        return;
    while (first < end) {
        uint64_t vaddr = entry->vbase + (first << PAGE_SHIFT);
        unsigned shift;
        if (!tlb_agrees(entry, origin, origin->root, vaddr)) {
            origin->flushed_pc = flushed->pc;
            origin->flushed_by = (uint8_t)flushed->by->index;
            entry->generation++; /* it is looked at when it is used next */
            return;
        }
        tlb_look(origin->root, vaddr, &shift);
        first = (first | ((1ull << (shift - PAGE_SHIFT)) - 1)) + 1;
    }
}

void stale_flushed(
    struct hart *hart, uint64_t shootdown, uint64_t asid, uint64_t first, uint64_t end, uint64_t pc)
{
    struct flushed flushed = {hart, pc, walks_before(shootdown), asid, first, end};
    for (unsigned i = 0; first < end && i < nharts; i++) {
        if (hart_modelled(&harts[i]))
            tlb_each(&harts[i], first, end, mark, &flushed);
    }
}

/* The copy of an entry in the other level is the same translation. */
static void settle(struct tlb_entry *entry, struct tlb_origin *origin, void *context)
{
    const struct tlb_entry *used = context;
    if (entry->vbase != used->vbase || entry->shift != used->shift || entry->asid != used->asid)
        return;
    origin->reported = true;
    origin->flushed_pc = 0;
}

void stale_use(
    struct hart *hart, const struct tlb_entry *entry, struct tlb_origin *origin, uint64_t vaddr, uint64_t pc)
{
    char why[160];
    if (origin->flushed_pc) {
        if (entry->shift != PAGE_SHIFT && tlb_agrees(entry, origin, origin->root, vaddr))
            return; /* of this page it is right still */
        snprintf(why, sizeof(why), "the shootdown had returned on hart %u at pc %#llx", origin->flushed_by,
            (unsigned long long)origin->flushed_pc);
    } else {
        bool right = tlb_agrees(entry, origin, hart->root, vaddr);
        origin->root = hart->root;
        if (right || origin->reported)
            return;
        snprintf(why, sizeof(why), "address space id %u had another table and was not flushed", entry->asid);
    }
    struct tlb_entry used = *entry;
    tlb_each(hart, page_number(vaddr), page_number(vaddr) + 1, settle, &used);
    hart->stale++;
    if (reports++ < REPORTS_MAX)
        fprintf(stderr, "error: model: hart %u at pc %#llx in %s uses a stale translation of %#llx: %s\n",
            hart->index, (unsigned long long)pc, symbol_at(hart->score->pc), (unsigned long long)vaddr, why);
}

#define HIGH_HALF (1ull << 26) /* in pages */

struct left {
    struct hart *hart;
    uint64_t pc;
};

static void report_left(struct tlb_entry *entry, struct tlb_origin *origin, void *context)
{
    const struct left *left = context;
    struct hart *hart = left->hart;
    if ((!entry->global && entry->asid != hart->asid) || origin->reported ||
        tlb_agrees(entry, origin, hart->root, entry->vbase))
        return;
    origin->reported = true;
    hart->stale++;
    if (reports++ < REPORTS_MAX)
        fprintf(stderr,
            "error: model: hart %u at pc %#llx returns with a translation of %#llx that its page table does "
            "not have\n",
            hart->index, (unsigned long long)left->pc, (unsigned long long)entry->vbase);
}

void stale_returns(struct hart *hart, uint64_t pc)
{
    struct left left = {hart, pc};
    if (!hart->switched || !hart->root)
        return;
    hart->switched = false;
    tlb_each(hart, HIGH_HALF, 2 * HIGH_HALF, report_left, &left);
}
