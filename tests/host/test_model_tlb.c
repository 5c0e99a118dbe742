/*
 * The machine model's translation, over page tables made here: which level answers, what it costs, what
 * sfence.vma makes it forget, and which uses of what it did not are reported.
 */
#include "unit.h"

#include "tools/model/tlb.c"
#include "tools/model/stale.c"

#define RAM_PAGES 16
#define EPOCH     1000000000ull
#define READ      7 /* what a page-table read costs here */
#define STLB      9
#define CODE      0xffffffff80201000ull

#define LEAF_FLAGS 0xcfu
#define TABLE_FLAG 0x01u
#define GLOBAL     0x20u
#define WRITABLE   0x04u
#define DIRTY      0x80u

/* Root, middle and leaf table are the first three pages. */
#define ROOT   RAM_BASE
#define MIDDLE (RAM_BASE + 0x1000)
#define LEAVES (RAM_BASE + 0x2000)
/* And those of another space. */
#define ROOT_2   (RAM_BASE + 0x3000)
#define MIDDLE_2 (RAM_BASE + 0x4000)
#define LEAVES_2 (RAM_BASE + 0x5000)

#define GIGA ((uint64_t)1 << 30)
#define MEGA ((uint64_t)1 << 21)
#define PAGE ((uint64_t)1 << 12)

/* Slots 0 and 1 of the root: tables, and a leaf of 1 GiB. */
#define VADDR_PAGES ((uint64_t)0)
#define VADDR_MEGA  MEGA
#define VADDR_GIGA  GIGA

struct profile profile;
uint8_t *ram;
uint64_t ram_bytes = RAM_PAGES * 4096;

static uint64_t memory[RAM_PAGES * 512];
struct hart harts[HARTS_MAX];
unsigned nharts = 1;
static struct hart *const hart = &harts[0];
static struct score score;
static unsigned reads;

const char *symbol_at(uint64_t pc)
{
    (void)pc;
    return "code";
}

void sched_order(struct hart *running)
{
    assert_ptr_equal(running, hart);
}

uint64_t cache_walk_read(struct hart *running, uint64_t paddr)
{
    assert_ptr_equal(running, hart);
    assert_in_range(paddr, RAM_BASE, RAM_BASE + ram_bytes - 8);
    reads++;
    return READ;
}

static void entry(uint64_t table, unsigned slot, uint64_t paddr, unsigned flags)
{
    memory[(table - RAM_BASE) / 8 + slot] = paddr >> 12 << 10 | flags;
}

static int setup(void **state)
{
    (void)state;
    profile = (struct profile){.dtlb_entries = 4, .stlb_entries = 8, .stlb_latency = STLB};
    ram = (uint8_t *)memory;
    memset(memory, 0, sizeof(memory));
    entry(ROOT, 0, MIDDLE, TABLE_FLAG);
    entry(ROOT, 1, 5 * GIGA, LEAF_FLAGS);
    entry(MIDDLE, 0, LEAVES, TABLE_FLAG);
    entry(MIDDLE, 1, 7 * MEGA, LEAF_FLAGS);
    entry(ROOT_2, 0, MIDDLE_2, TABLE_FLAG);
    entry(MIDDLE_2, 0, LEAVES_2, TABLE_FLAG);
    for (unsigned i = 0; i < 100; i++) {
        entry(LEAVES, i, (1000 + i) * PAGE, LEAF_FLAGS);
        entry(LEAVES_2, i, (3000 + i) * PAGE, LEAF_FLAGS);
    }
    memset(hart, 0, sizeof(*hart));
    hart->state = HART_READY;
    stale_reset();
    hart->score = &score;
    hart->limit = EPOCH;
    score.credit = CREDIT_LIMIT - EPOCH;
    tlb_init(hart);
    tlb_reset(hart);
    tlb_use(hart, ROOT, 1);
    reads = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(hart->dtlb);
    free(hart->stlb);
    free(hart->dtlb_origin);
    free(hart->stlb_origin);
    return 0;
}

/* The cycles that translating takes; the result is checked. */
static uint64_t cost(uint64_t vaddr, uint64_t paddr)
{
    uint64_t before = hart_now(hart);
    assert_int_equal(tlb_translate(hart, vaddr, CODE), paddr);
    return hart_now(hart) - before;
}

static uint64_t page(unsigned i)
{
    return cost(VADDR_PAGES + i * PAGE + 8, (1000 + i) * PAGE + 8);
}

static uint64_t page_2(unsigned i)
{
    return cost(VADDR_PAGES + i * PAGE + 8, (3000 + i) * PAGE + 8);
}

static void flush_page(uint64_t vaddr)
{
    tlb_flush(hart, &(struct tlb_flush){.one_page = true, .vaddr = vaddr});
}

static void flush_asid(uint16_t asid)
{
    tlb_flush(hart, &(struct tlb_flush){.one_asid = true, .asid = asid});
}

static void flush_all(void)
{
    tlb_flush(hart, &(struct tlb_flush){0});
}

static void a_walk_reads_an_entry_a_level(void **state)
{
    (void)state;
    assert_int_equal(page(0), 3 * READ);
    assert_int_equal(page(0), 0);
    assert_int_equal(cost(VADDR_MEGA + 0x12345, 7 * MEGA + 0x12345), 2 * READ);
    assert_int_equal(cost(VADDR_MEGA + MEGA - 8, 7 * MEGA + MEGA - 8), 0);
    assert_int_equal(cost(VADDR_GIGA + 5 * MEGA, 5 * GIGA + 5 * MEGA), READ);
    assert_int_equal(cost(VADDR_GIGA + GIGA - 8, 5 * GIGA + GIGA - 8), 0);
    assert_int_equal(hart->stat[MODEL_STAT_TLB_MISSES], 3);
    assert_int_equal(hart->stat[MODEL_STAT_TLB], 6 * READ);
}

static void the_second_level_answers_beyond_the_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) /* one more than the first level holds */
        assert_int_equal(page(i), 3 * READ);
    assert_int_equal(page(0), STLB);
    assert_int_equal(page(0), 0);
    assert_int_equal(page(4), 0);
}

static void the_second_level_is_direct_mapped(void **state)
{
    (void)state;
    page(0);
    page(8); /* the same place */
    for (unsigned i = 1; i < 5; i++)
        page(i); /* both out of the first level */
    assert_int_equal(page(8), STLB);
    assert_int_equal(page(0), 3 * READ);
}

static void without_a_second_level_every_miss_walks(void **state)
{
    teardown(NULL);
    (void)state;
    profile.stlb_entries = 0;
    tlb_init(hart);
    tlb_reset(hart);
    for (unsigned i = 0; i < 5; i++)
        page(i);
    assert_int_equal(page(0), 3 * READ);
}

static void a_flush_of_a_page_forgets_that_page(void **state)
{
    (void)state;
    page(0);
    page(1);
    cost(VADDR_MEGA, 7 * MEGA);
    flush_page(VADDR_PAGES + PAGE + 100);
    assert_int_equal(page(0), 0);
    assert_int_equal(page(1), 3 * READ);
    flush_page(VADDR_MEGA + 5 * PAGE); /* anywhere inside the larger page */
    assert_int_equal(cost(VADDR_MEGA, 7 * MEGA), 2 * READ);
}

static void a_flush_of_all_forgets_all(void **state)
{
    (void)state;
    page(0);
    cost(VADDR_GIGA, 5 * GIGA);
    flush_all();
    assert_int_equal(page(0), 3 * READ);
    assert_int_equal(cost(VADDR_GIGA, 5 * GIGA), READ);
}

static void what_was_flushed_is_translated_anew(void **state)
{
    (void)state;
    page(3);
    entry(LEAVES, 3, 2000 * PAGE, LEAF_FLAGS);
    assert_int_equal(cost(3 * PAGE, 1003 * PAGE), 0); /* as hardware: stale until it is told */
    flush_page(3 * PAGE);
    assert_int_equal(cost(3 * PAGE, 2000 * PAGE), 3 * READ);
}

static void what_is_not_mapped_has_no_address(void **state)
{
    (void)state;
    assert_int_equal(tlb_translate(hart, VADDR_PAGES + 300 * PAGE, CODE), ~0ull);
    assert_int_equal(tlb_translate(hart, 2 * GIGA, CODE), ~0ull);
    entry(ROOT, 3, RAM_BASE + ram_bytes, TABLE_FLAG); /* a table outside of RAM */
    assert_int_equal(tlb_translate(hart, 3 * GIGA, CODE), ~0ull);
    assert_int_equal(page(0), 3 * READ);
}

/* The table of recent pages is for speed: with many pages in any order, in two spaces, it must answer as the levels do. */
static void recent_pages_change_nothing(void **state)
{
    unsigned draw = 1;
    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        draw = draw * 1103515245 + 12345;
        unsigned i = (draw >> 16) % 100;
        uint16_t asid = 1 + (draw >> 28) % 2;
        tlb_use(hart, asid == 1 ? ROOT : ROOT_2, asid);
        bool first = false;
        for (unsigned k = 0; k < profile.dtlb_entries; k++)
            first |=
                hart->dtlb[k].shift == 12 && hart->dtlb[k].vbase == i * PAGE && hart->dtlb[k].asid == asid;
        const struct tlb_entry *other = &hart->stlb[stlb_slot(i * PAGE, 12, asid)];
        bool second = other->shift == 12 && other->vbase == i * PAGE && other->asid == asid;
        assert_int_equal(asid == 1 ? page(i) : page_2(i), first ? 0 : second ? STLB : 3 * READ);
        if ((draw >> 8) % 64 == 0)
            flush_page(i * PAGE);
    }
    assert_int_equal(hart->stale, 0);
}

/* --- address spaces --- */

static void spaces_keep_their_entries(void **state)
{
    (void)state;
    page(0);
    page(1);
    tlb_use(hart, ROOT_2, 2);
    assert_int_equal(page_2(0), 3 * READ);
    assert_int_equal(page_2(1), 3 * READ);
    for (unsigned i = 0; i < 10; i++) {
        tlb_use(hart, ROOT, 1);
        assert_int_equal(page(0) + page(1), 0);
        tlb_use(hart, ROOT_2, 2);
        assert_int_equal(page_2(0) + page_2(1), 0);
    }
    assert_int_equal(hart->stat[MODEL_STAT_TLB_MISSES], 4);
    assert_int_equal(hart->stat[MODEL_STAT_TLB_MISSES_USER], 4);
}

static void the_second_level_has_places_for_both(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        page(i);
    tlb_use(hart, ROOT_2, 2);
    for (unsigned i = 0; i < 3; i++)
        page_2(i);
    tlb_use(hart, ROOT, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(page(i), STLB);
}

static void what_is_global_is_in_every_space(void **state)
{
    (void)state;
    entry(LEAVES, 0, 1000 * PAGE, LEAF_FLAGS | GLOBAL);
    page(0);
    tlb_use(hart, ROOT_2, 2);
    assert_int_equal(page(0), 0);
    flush_asid(2);
    flush_asid(1);
    tlb_flush(hart, &(struct tlb_flush){.one_page = true, .one_asid = true, .asid = 2});
    assert_int_equal(page(0), 0);
    flush_page(0);
    assert_int_equal(page_2(0), 3 * READ);
}

static void a_global_pointer_makes_what_is_below_it_global(void **state)
{
    (void)state;
    entry(ROOT, 0, MIDDLE, TABLE_FLAG | GLOBAL);
    page(0);
    tlb_use(hart, ROOT_2, 2);
    assert_int_equal(page(0), 0);
}

static void a_flush_of_a_space_forgets_that_space(void **state)
{
    (void)state;
    page(0);
    page(1);
    tlb_use(hart, ROOT_2, 2);
    page_2(0);
    flush_asid(1);
    assert_int_equal(page_2(0), 0);
    tlb_use(hart, ROOT, 1);
    assert_int_equal(page(0), 3 * READ);
    tlb_flush(hart, &(struct tlb_flush){.one_page = true, .one_asid = true, .asid = 2});
    assert_int_equal(page(0), 0);
    tlb_flush(hart, &(struct tlb_flush){.one_page = true, .one_asid = true, .asid = 1});
    assert_int_equal(page(1), 3 * READ);
    assert_int_equal(page(0), 3 * READ);
    tlb_use(hart, ROOT_2, 2);
    assert_int_equal(page_2(0), 3 * READ);
    flush_page(0); /* in all */
    assert_int_equal(page_2(0), 3 * READ);
}

/* --- faults --- */

static uint64_t fault(uint64_t vaddr)
{
    uint64_t before = hart_now(hart);
    tlb_fault(hart, vaddr, CODE);
    return hart_now(hart) - before;
}

static void a_fault_costs_the_walk_that_found_nothing(void **state)
{
    (void)state;
    assert_int_equal(fault(VADDR_PAGES + 300 * PAGE), 3 * READ);
    assert_int_equal(fault(VADDR_PAGES + 300 * PAGE), 3 * READ); /* nothing is remembered */
    assert_int_equal(fault(2 * GIGA), READ);
    page(0);
    assert_int_equal(fault(0), 0); /* of rights, which the entry lacked */
    assert_int_equal(page(0), 0);
    entry(LEAVES, 0, 2000 * PAGE, LEAF_FLAGS);
    assert_int_equal(fault(0), 3 * READ); /* the entry was not there any more */
    assert_int_equal(cost(0, 2000 * PAGE), 3 * READ);
    assert_int_equal(hart->stale, 0);
}

/* --- the oracle --- */

#define SHOOTDOWN 77

static void returned(uint64_t asid, uint64_t first, uint64_t end)
{
    stale_flushed(hart, SHOOTDOWN, asid, first, end, CODE);
}

static void use(uint64_t vaddr, unsigned uses)
{
    uint64_t before = hart->stale;
    tlb_translate(hart, vaddr, CODE);
    assert_int_equal(hart->stale - before, uses);
}

static void a_use_behind_the_return_is_reported_once(void **state)
{
    (void)state;
    page(0);
    page(1);
    entry(LEAVES, 0, 2000 * PAGE, LEAF_FLAGS);
    entry(LEAVES, 1, 2001 * PAGE, 0);
    stale_flushing(SHOOTDOWN);
    use(0, 0);
    returned(1, 0, 1);
    use(0, 1);
    use(0, 0);
    use(PAGE, 0); /* of which nothing was said */
    for (unsigned i = 2; i < 6; i++) /* the copy in the second level */
        page(i);
    use(0, 0);
    returned(1, 0, 10);
    use(0, 0);
    use(PAGE, 1);
    flush_all();
    use(0, 0);
}

static void what_was_flushed_is_not_reported(void **state)
{
    (void)state;
    page(0);
    stale_flushing(SHOOTDOWN);
    entry(LEAVES, 0, 2000 * PAGE, LEAF_FLAGS);
    flush_page(0);
    returned(1, 0, 1);
    use(0, 0);
}

static void a_change_counts_that_takes_something_away(void **state)
{
    static const struct {
        unsigned before, after, uses;
    } cases[] = {
        {LEAF_FLAGS, LEAF_FLAGS & ~WRITABLE, 1},
        {LEAF_FLAGS & ~WRITABLE, LEAF_FLAGS, 0},
        {LEAF_FLAGS, LEAF_FLAGS & ~DIRTY, 0},
        {LEAF_FLAGS, 0, 1},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        entry(LEAVES, i, (1000 + i) * PAGE, cases[i].before);
        page(i);
        entry(LEAVES, i, (1000 + i) * PAGE, cases[i].after);
        returned(1, 0, 100);
        use(i * PAGE, cases[i].uses);
    }
}

static void a_table_taken_away_counts_for_what_was_below(void **state)
{
    (void)state;
    page(0);
    entry(MIDDLE, 0, LEAVES, 0);
    returned(MODEL_ASID_ALL, 0, 512);
    use(0, 1);
}

/* Another hart changes the entry again while the first shootdown waits: the second will see to it. */
static void what_was_read_later_is_the_next_shootdowns(void **state)
{
    (void)state;
    entry(LEAVES, 0, 2000 * PAGE, LEAF_FLAGS);
    stale_flushing(SHOOTDOWN);
    tlb_translate(hart, 0, CODE);
    entry(LEAVES, 0, 0, 0);
    stale_flushing(SHOOTDOWN + 1);
    returned(1, 0, 1);
    use(0, 0);
    stale_flushed(hart, SHOOTDOWN + 1, 1, 0, 1, CODE);
    use(0, 1);
}

static void a_shootdown_is_of_its_space(void **state)
{
    (void)state;
    page(0);
    page(1);
    entry(LEAVES, 0, 0, 0);
    returned(2, 0, 1);
    use(0, 0);
    entry(LEAVES, 2, 1002 * PAGE, LEAF_FLAGS | GLOBAL);
    page(2);
    entry(LEAVES, 2, 0, 0);
    returned(1, 2, 3); /* global ones are nobody's */
    use(2 * PAGE, 0);
    returned(MODEL_ASID_ALL, 2, 3);
    use(2 * PAGE, 1);
}

/* A large leaf was split and one of its pages unmapped. */
static void of_a_large_page_what_changed_counts(void **state)
{
    (void)state;
    cost(VADDR_MEGA, 7 * MEGA);
    for (unsigned i = 0; i < 512; i++)
        entry(LEAVES_2, i, 7 * MEGA + i * PAGE, LEAF_FLAGS);
    entry(MIDDLE, 1, LEAVES_2, TABLE_FLAG);
    returned(1, 512, 1024);
    use(VADDR_MEGA, 0);
    entry(LEAVES_2, 5, 0, 0);
    returned(1, 512, 517);
    use(VADDR_MEGA + 5 * PAGE, 0);
    returned(1, 517, 518);
    use(VADDR_MEGA + 4 * PAGE, 0);
    use(VADDR_MEGA + 5 * PAGE, 1);
    use(VADDR_MEGA + 5 * PAGE, 0);
}

static void an_id_that_changes_hands_has_to_be_flushed(void **state)
{
    (void)state;
    page(0);
    page(1);
    page(2);
    entry(LEAVES_2, 2, 1002 * PAGE, LEAF_FLAGS);
    tlb_use(hart, ROOT_2, 1);
    use(0, 1);
    use(0, 0);
    use(2 * PAGE, 0); /* the same in both */
    flush_page(PAGE);
    assert_int_equal(page_2(1), 3 * READ);
    assert_int_equal(hart->stale, 1);
}

static void a_fault_is_a_use(void **state)
{
    (void)state;
    page(0);
    entry(LEAVES, 0, 0, 0);
    returned(1, 0, 1);
    assert_int_equal(fault(0), 3 * READ);
    assert_int_equal(hart->stale, 1);
}

static void harts_outside_of_the_region_do_not_matter(void **state)
{
    (void)state;
    page(0);
    entry(LEAVES, 0, 0, 0);
    hart->state = HART_FREE;
    returned(1, 0, 1);
    hart->state = HART_READY;
    use(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_walk_reads_an_entry_a_level, setup, teardown),
        cmocka_unit_test_setup_teardown(the_second_level_answers_beyond_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(the_second_level_is_direct_mapped, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_second_level_every_miss_walks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_of_a_page_forgets_that_page, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_of_all_forgets_all, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_flushed_is_translated_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_mapped_has_no_address, setup, teardown),
        cmocka_unit_test_setup_teardown(recent_pages_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_keep_their_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(the_second_level_has_places_for_both, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_global_is_in_every_space, setup, teardown),
        cmocka_unit_test_setup_teardown(a_global_pointer_makes_what_is_below_it_global, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_of_a_space_forgets_that_space, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fault_costs_the_walk_that_found_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_use_behind_the_return_is_reported_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_flushed_is_not_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_counts_that_takes_something_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_taken_away_counts_for_what_was_below, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_read_later_is_the_next_shootdowns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shootdown_is_of_its_space, setup, teardown),
        cmocka_unit_test_setup_teardown(of_a_large_page_what_changed_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_that_changes_hands_has_to_be_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fault_is_a_use, setup, teardown),
        cmocka_unit_test_setup_teardown(harts_outside_of_the_region_do_not_matter, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
