/*
 * A page table of the low half that all harts change at once, under both `ptlock`s: each in 2 MiB of its own, where it knows
 * exactly what is mapped, and all in a range that they share. No hart ever has it in its satp.
 */
#include "lib/rng.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/table_edit.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

#define RIGHTS (PTE_R | PTE_W | PTE_U)
#define MIB2   ((size_t)PAGE_ENTRIES)
#define OWN    (MIB2 * MIB2) /* page of the harts' own parts */
#define COMMON (OWN - 3 * MIB2) /* of what they share: in two entries of the root */
#define ROUNDS 60
#define NPAGES 16

static struct page_table table;
static struct table_hint hints[HART_MAX];

enum what { RESERVE, LEAVE, CLEAR };

struct hart_edit {
    struct table_edit edit;
    enum what what;
    size_t changed;
};

static pte_t change(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    enum what what = ((struct hart_edit *)edit)->what;
    (void)page;
    if (what == RESERVE && old.bits == 0)
        return level > 0 ? PTE_DESCEND : pte_mark(PTE_MARK_ANON, RIGHTS, PFN(0));
    if (what == LEAVE && pte_is_leaf(old))
        return pte_mark(PTE_MARK_LEAVING, RIGHTS, pte_pfn(old));
    return what == CLEAR && pte_is_mark(old) ? PTE(0) : old;
}

static void count_changed(struct table_edit *edit, pte_t old, pte_t new, size_t page, unsigned level)
{
    (void)old;
    (void)new;
    (void)page;
    ((struct hart_edit *)edit)->changed += page_level_pages(level);
}

/* Returns how many pages it changed. */
static size_t edit_range(size_t first, size_t npages, enum what what, struct table_hint *hint)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    struct hart_edit own = {.edit = {.table = &table,
                                .first = first,
                                .end = first + npages,
                                .change = change,
                                .changed = count_changed,
                                .gather = &gather,
                                .hint = hint},
        .what = what};
    CHECK(table_edit_run(&own.edit) == 0);
    page_table_release(&table, &gather); /* no hart uses the table: there is nothing to flush */
    return own.changed;
}

static void fault(size_t page, struct table_hint *hint, pfn_t pfn)
{
    struct table_slot slot;
    CHECK(table_slot_lock(&table, page, SLOT_MAKE, hint, &slot) == 0);
    if (pte_mark_kind(slot.pte) == PTE_MARK_ANON)
        table_slot_set(&slot, pte_leaf(pfn, RIGHTS));
    table_slot_unlock(&slot);
}

static void drop_hint(struct table_hint *hint)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    table_hint_drop(&table, hint, &gather);
    page_table_release(&table, &gather);
}

static void map_touch_unmap(size_t first, struct table_hint *hint)
{
    struct table_leaf leaf;
    CHECK(edit_range(first, NPAGES, RESERVE, hint) == NPAGES);
    for (size_t i = 0; i < NPAGES; i++) {
        fault(first + i, hint, PFN(first + i));
        CHECK(page_table_find(&table, page_to_vaddr(first + i), &leaf) && leaf.pfn.value == first + i);
    }
    CHECK(edit_range(first, NPAGES, LEAVE, hint) == NPAGES);
    CHECK(!page_table_find(&table, page_to_vaddr(first), &leaf));
    CHECK(edit_range(first, NPAGES, CLEAR, hint) == NPAGES);
}

static void own_parts(void *unused)
{
    struct table_hint *hint = &hints[hart_index()];
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        map_touch_unmap(OWN + hart_index() * MIB2, round % 8 < 4 ? hint : NULL);
        if (round % 8 == 5)
            drop_hint(hint); /* the table comes and goes with each round */
    }
    drop_hint(hint);
}

static void common_part(void *unused)
{
    struct table_hint *hint = &hints[hart_index()];
    struct rng rng;
    (void)unused;
    rng_seed(&rng, 6, hart_index());
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t first = COMMON + rng_below(&rng, 6 * MIB2), npages = 1 + rng_below(&rng, 2 * MIB2);
        edit_range(first, npages, rng_below(&rng, 3), hint);
        for (unsigned i = 0; i < 8; i++)
            fault(first + rng_below(&rng, npages), rng_below(&rng, 2) ? hint : NULL, PFN(first));
        if (rng_below(&rng, 4) == 0)
            drop_hint(hint);
    }
    drop_hint(hint);
}

static void by_all_harts(enum table_locking locking, void (*function)(void *))
{
    struct table_gather gather = TABLE_GATHER_INIT;
    epoch_drain();
    size_t free = frame_free_count(&kernel_frames);
    CHECK(page_table_init(&table, &kernel_table_source, locking, &lock_ttas, &kernel_table) == 0);
    smp_call(hart_mask_first(hart_count()), function, NULL);
    CHECK(page_table_validate(&table, &kernel_table) == 0);
    CHECK(epoch_validate() == 0);
    CHECK(page_table_unmap(&table, page_to_vaddr(1), (OWN * 2 - 1) * PAGE_BYTES, &gather) == 0);
    page_table_release(&table, &gather);
    CHECK(page_table_count(&table) == 0);
    page_table_destroy(&table);
    epoch_drain();
    CHECK(frame_free_count(&kernel_frames) == free);
}

TEST(page_table_by_all_harts_each_in_its_own_part)
{
    by_all_harts(TABLE_LOCK_SPACE, own_parts);
    by_all_harts(TABLE_LOCK_NODE, own_parts);
}

TEST(page_table_by_all_harts_in_one_range)
{
    by_all_harts(TABLE_LOCK_SPACE, common_part);
    by_all_harts(TABLE_LOCK_NODE, common_part);
}
