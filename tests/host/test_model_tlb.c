/*
 * The machine model's translation: which level answers, what it costs, and what sfence.vma and changes of address space
 * make it forget.
 */
#include "model_tables.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
