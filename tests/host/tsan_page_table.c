/*
 * Page tables with threads as harts, under ThreadSanitizer, with both `ptlock`s: ranges that overlap and ranges of each hart's
 * own, faults by slot, unmapping, protection, tables that come and go, memory that is short. What each page's entry has to be
 * stands in a plain array that is compared and changed under the locks: the sanitizer reports two harts who hold the same page.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/rng.h"
#include "mm/vm/table_edit.h"
#include "shim/host.h"
#include "trace/inject.h"

#define BASE PFN(0x80000)
#define TABLES                                                                                               \
    40 /* the window needs 11, each hart's hint may keep one; there are few, so frames are soon used again */
#define MIB2    ((size_t)512)
#define GIB     (MIB2 * 512)
#define PAGES   (8 * MIB2) /* the window, in two of the root's entries */
#define WINDOW  (3 * GIB - PAGES / 2)
#define STEPS   6000
#define FRAMES  100000 /* numbers of frames that are shown; nobody looks into them */
#define RIGHTS  (PTE_R | PTE_U)
#define RIGHTS2 (PTE_R | PTE_W | PTE_U)

static struct {
    struct table_source source;
    struct table_page pages[TABLES];
    pthread_mutex_t lock; /* of what follows */
    bool used[TABLES];
    unsigned in_use;
} frames;

static struct {
    struct page_table table;
    unsigned nharts;
    uint64_t entry[PAGES]; /* of each page, as pte_piece() gives it */
    struct table_hint hint[HART_MAX];
    bool apart; /* each hart in pages of its own */
} shared;

bool __wrap_inject_due(enum inject point);

/* At its places a hart loses its turn now and then, and one table in 64 cannot be had. */
bool __wrap_inject_due(enum inject point)
{
    static _Thread_local unsigned passed;
    if (point == INJECT_LOOK && ++passed % 4 == 0)
        cpu_relax();
    return point == INJECT_TABLE && ++passed % 64 == 0;
}

/* --- frames, overwritten when they are free ------------------------------------------------------------ */

static pfn_t take(struct table_source *source)
{
    unsigned i = 0;
    (void)source;
    pthread_mutex_lock(&frames.lock);
    while (i < TABLES && frames.used[i])
        i++;
    if (i < TABLES) {
        frames.used[i] = true;
        frames.in_use++;
    }
    pthread_mutex_unlock(&frames.lock);
    if (i == TABLES)
        return PFN_NONE;
    memset(pfn_to_direct(pfn_add(BASE, i)), 0, PAGE_BYTES);
    return pfn_add(BASE, i);
}

static void give(struct table_source *source, pfn_t pfn)
{
    size_t i = pfn.value - BASE.value;
    (void)source;
    ASSERT(i < TABLES && frames.pages[i].live == 0);
    memset(pfn_to_direct(pfn), 0xa5, PAGE_BYTES);
    pthread_mutex_lock(&frames.lock);
    ASSERT(frames.used[i]);
    frames.used[i] = false;
    frames.in_use--;
    pthread_mutex_unlock(&frames.lock);
}

/* --- what harts do --------------------------------------------------------------------------------------- */

enum what { RESERVE, UNMAP, PROTECT, LEAVE, CLEAR, KINDS };

struct hart_edit {
    struct table_edit edit;
    enum what what;
};

static pte_t change(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    (void)page;
    switch (((struct hart_edit *)edit)->what) {
    case RESERVE:
        if (old.bits == 0)
            return level > 1 ? PTE_DESCEND : pte_mark(PTE_MARK_ANON, RIGHTS, PFN(0));
        break;
    case PROTECT:
        if (pte_is_leaf(old))
            return pte_leaf(pte_pfn(old), old.bits & PTE_W ? RIGHTS : RIGHTS2);
        break;
    case LEAVE:
        if (pte_is_leaf(old))
            return pte_mark(PTE_MARK_LEAVING, old.bits & PTE_RIGHTS, pte_pfn(old));
        break;
    case CLEAR:
        if (pte_mark_kind(old) == PTE_MARK_LEAVING)
            return PTE(0);
        break;
    default: return PTE(0);
    }
    return old;
}

static void changed(struct table_edit *edit, pte_t old, pte_t new, size_t page, unsigned level)
{
    (void)edit;
    for (size_t i = 0; i < page_level_pages(level); i++) {
        uint64_t *entry = &shared.entry[page - WINDOW + i];
        ASSERT(*entry == pte_piece(old, page + i, level).bits);
        *entry = pte_piece(new, page + i, level).bits;
    }
}

static bool edit_range(size_t first, size_t end, enum what what, bool hinted)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    struct hart_edit own = {{.table = &shared.table,
                                .first = WINDOW + first,
                                .end = WINDOW + end,
                                .change = change,
                                .changed = changed,
                                .gather = &gather},
        what};
    own.edit.hint = hinted ? &shared.hint[hart_index()] : NULL;
    int error = table_edit_run(&own.edit);
    ASSERT(error == 0 || error == ERR_NO_MEMORY);
    page_table_release(&shared.table, &gather);
    return error == 0;
}

static void fault(size_t page, bool hinted, uint64_t frame)
{
    struct table_slot slot;
    struct table_hint *hint = hinted ? &shared.hint[hart_index()] : NULL;
    int error = table_slot_lock(&shared.table, WINDOW + page, SLOT_MAKE, hint, &slot);
    ASSERT(error == 0 || error == ERR_NO_MEMORY);
    if (error)
        return;
    ASSERT(shared.entry[page] == pte_piece(slot.pte, page, slot.level).bits);
    if (pte_mark_kind(slot.pte) == PTE_MARK_ANON) {
        table_slot_set(&slot, pte_leaf(PFN(frame), slot.pte.bits & PTE_RIGHTS));
        shared.entry[page] = slot.pte.bits;
    }
    table_slot_unlock(&slot);
}

static void drop_hint(void)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    table_hint_drop(&shared.table, &shared.hint[hart_index()], &gather);
    page_table_release(&shared.table, &gather);
}

static void find(size_t page)
{
    struct table_leaf leaf;
    if (!page_table_find(&shared.table, page_to_vaddr(WINDOW + page), &leaf))
        return;
    ASSERT(leaf.pfn.value < FRAMES && leaf.level == 0 && vaddr_to_page(leaf.vaddr) == WINDOW + page);
    ASSERT(leaf.rights == RIGHTS || leaf.rights == RIGHTS2);
}

static void step(struct rng *rng)
{
    size_t first = rng_below(rng, PAGES), npages = 1 + rng_below(rng, rng_below(rng, 4) ? 6 : 2 * MIB2);
    if (shared.apart) { /* in 2 MiB of its own */
        first = hart_index() * MIB2 + rng_below(rng, 8);
        npages = 1 + rng_below(rng, 8);
    } else if (rng_below(rng, 2)) {
        first = rng_below(rng, 8) * MIB2 - rng_below(rng, 3);
        first = first < PAGES ? first : 0;
    }
    size_t end = MIN(first + npages, PAGES);
    bool hinted = rng_below(rng, 4) != 0;
    switch (rng_below(rng, 16)) {
    case 0 ... 4: fault(first, hinted, rng_below(rng, FRAMES)); break;
    case 5: drop_hint(); break;
    case 6: find(first); break;
    case 7 ... 8: edit_range(first, end, RESERVE, hinted); break;
    default: edit_range(first, end, rng_below(rng, KINDS), hinted); break;
    }
}

static void harts_run(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    for (unsigned i = 0; i < STEPS; i++)
        step(&rng);
    drop_hint();
}

/* --- the tests ------------------------------------------------------------------------------------------- */

struct comparison {
    struct table_visitor visitor;
    size_t next;
};

static void compare(struct table_visitor *visitor, const struct table_leaf *leaf)
{
    struct comparison *comparison = (struct comparison *)visitor;
    size_t page = vaddr_to_page(leaf->vaddr) - WINDOW;
    for (; comparison->next < page; comparison->next++)
        ASSERT(shared.entry[comparison->next] == 0);
    for (size_t i = 0; i < page_level_pages(leaf->level); i++)
        ASSERT(shared.entry[comparison->next++] == pte_piece(leaf->pte, i, leaf->level).bits);
}

static void run(enum table_locking locking, unsigned nharts, bool apart, uint64_t seed)
{
    struct page_table kernel;
    struct comparison comparison = {.visitor = {compare, .marks = true}};
    memset(shared.entry, 0, sizeof(shared.entry));
    shared.apart = apart;
    assert_int_equal(page_table_init(&kernel, &frames.source, TABLE_LOCK_SPACE, &lock_ttas, NULL), 0);
    page_table_seal(&kernel);
    assert_int_equal(page_table_init(&shared.table, &frames.source, locking, &lock_ttas, &kernel), 0);
    host_run_harts(nharts, harts_run, &seed);
    assert_int_equal(page_table_validate(&shared.table, &kernel), 0);
    assert_int_equal(epoch_validate(), 0);
    page_table_walk(&shared.table, &comparison.visitor);
    for (; comparison.next < PAGES; comparison.next++)
        assert_int_equal(shared.entry[comparison.next], 0);
    host_become_hart(0);
    while (!edit_range(0, PAGES, UNMAP, false))
        ;
    epoch_drain();
    assert_int_equal(page_table_count(&shared.table), 0);
    page_table_destroy(&shared.table);
    page_table_destroy(&kernel);
    assert_int_equal(frames.in_use, 0);
}

static void on_both(unsigned nharts, bool apart, uint64_t seed)
{
    void *memory = aligned_alloc(PAGE_BYTES, TABLES * PAGE_BYTES);
    host_map_frames(memory, BASE);
    frames.source = (struct table_source){take, give, frames.pages, BASE};
    run(TABLE_LOCK_SPACE, nharts, apart, seed);
    run(TABLE_LOCK_NODE, nharts, apart, seed + 1);
    free(memory);
}

static void test_overlapping_ranges(void **state)
{
    (void)state;
    on_both(2, false, 10);
    on_both(8, false, 20);
}

static void test_ranges_apart(void **state)
{
    (void)state;
    on_both(2, true, 30);
    on_both(8, true, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlapping_ranges),
        cmocka_unit_test(test_ranges_apart),
    };
    pthread_mutex_init(&frames.lock, NULL);
    return cmocka_run_group_tests_name("page tables under threads", tests, NULL, NULL);
}
