/*
 * The machine model's translation, over page tables made here: which level answers, what it costs, and what
 * sfence.vma makes it forget.
 */
#include "unit.h"

#include "tools/model/tlb.c"

#define RAM_PAGES 16
#define EPOCH     1000000000ull
#define READ      7 /* what a page-table read costs here */
#define STLB      9

#define LEAF_FLAGS 0xcfu
#define TABLE_FLAG 0x01u

/* Root, middle and leaf table are the first three pages. */
#define ROOT   RAM_BASE
#define MIDDLE (RAM_BASE + 0x1000)
#define LEAVES (RAM_BASE + 0x2000)

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
static struct hart hart;
static struct score score;
static unsigned reads;

void sched_order(struct hart *running)
{
    assert_ptr_equal(running, &hart);
}

uint64_t cache_walk_read(struct hart *running, uint64_t paddr)
{
    assert_ptr_equal(running, &hart);
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
    for (unsigned i = 0; i < 100; i++)
        entry(LEAVES, i, (1000 + i) * PAGE, LEAF_FLAGS);
    memset(&hart, 0, sizeof(hart));
    hart.score = &score;
    hart.limit = EPOCH;
    score.credit = CREDIT_LIMIT - EPOCH;
    hart.root = ROOT;
    tlb_init(&hart);
    tlb_reset(&hart);
    reads = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(hart.dtlb);
    free(hart.stlb);
    return 0;
}

/* The cycles that translating takes; the result is checked. */
static uint64_t cost(uint64_t vaddr, uint64_t paddr)
{
    uint64_t before = hart_now(&hart);
    assert_int_equal(tlb_translate(&hart, vaddr), paddr);
    return hart_now(&hart) - before;
}

static uint64_t page(unsigned i)
{
    return cost(VADDR_PAGES + i * PAGE + 8, (1000 + i) * PAGE + 8);
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
    assert_int_equal(hart.stat[MODEL_STAT_TLB_MISSES], 3);
    assert_int_equal(hart.stat[MODEL_STAT_TLB], 6 * READ);
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
    tlb_init(&hart);
    tlb_reset(&hart);
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
    tlb_flush_page(&hart, VADDR_PAGES + PAGE + 100);
    assert_int_equal(page(0), 0);
    assert_int_equal(page(1), 3 * READ);
    tlb_flush_page(&hart, VADDR_MEGA + 5 * PAGE); /* anywhere inside the larger page */
    assert_int_equal(cost(VADDR_MEGA, 7 * MEGA), 2 * READ);
}

static void a_flush_of_all_forgets_all(void **state)
{
    (void)state;
    page(0);
    cost(VADDR_GIGA, 5 * GIGA);
    tlb_flush_all(&hart);
    assert_int_equal(page(0), 3 * READ);
    assert_int_equal(cost(VADDR_GIGA, 5 * GIGA), READ);
}

static void what_was_flushed_is_translated_anew(void **state)
{
    (void)state;
    page(3);
    entry(LEAVES, 3, 2000 * PAGE, LEAF_FLAGS);
    assert_int_equal(cost(3 * PAGE, 1003 * PAGE), 0); /* as hardware: stale until it is told */
    tlb_flush_page(&hart, 3 * PAGE);
    assert_int_equal(cost(3 * PAGE, 2000 * PAGE), 3 * READ);
}

static void what_is_not_mapped_has_no_address(void **state)
{
    (void)state;
    assert_int_equal(tlb_translate(&hart, VADDR_PAGES + 300 * PAGE), ~0ull);
    assert_int_equal(tlb_translate(&hart, 2 * GIGA), ~0ull);
    entry(ROOT, 3, RAM_BASE + ram_bytes, TABLE_FLAG); /* a table outside of RAM */
    assert_int_equal(tlb_translate(&hart, 3 * GIGA), ~0ull);
    assert_int_equal(page(0), 3 * READ);
}

/* The table of recent pages is for speed: with many pages in any order it must answer as the levels do. */
static void recent_pages_change_nothing(void **state)
{
    unsigned draw = 1;
    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        draw = draw * 1103515245 + 12345;
        unsigned i = (draw >> 16) % 100;
        bool first = false;
        for (unsigned k = 0; k < profile.dtlb_entries; k++)
            first |= hart.dtlb[k].shift == 12 && hart.dtlb[k].vbase == i * PAGE;
        bool second = hart.stlb[i % 8].shift == 12 && hart.stlb[i % 8].vbase == i * PAGE;
        assert_int_equal(page(i), first ? 0 : second ? STLB : 3 * READ);
        if ((draw >> 8) % 64 == 0)
            tlb_flush_page(&hart, i * PAGE);
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
