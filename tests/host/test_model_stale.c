/* The machine model's oracle of stale translations: which uses are reported, and which must not be. */
#include "model_tables.h"

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

/* Of the high half: a table without it, under an id of its own or not, and global entries or not. */
static void a_table_without_the_kernel_is_entered_without_it(void **state)
{
    uint64_t high = ~0ull << 38;
    (void)state;
    entry(ROOT, 256, MIDDLE, TABLE_FLAG);
    stale_returns(hart, CODE);
    cost(high, 1000 * PAGE);
    stale_returns(hart, CODE);
    tlb_use(hart, ROOT_2, 2);
    stale_returns(hart, CODE);
    tlb_use(hart, ROOT, 1);
    stale_returns(hart, CODE);
    assert_int_equal(hart->stale, 0);
    tlb_use(hart, ROOT_2, 1);
    stale_returns(hart, CODE);
    assert_int_equal(hart->stale, 2); /* in both levels */
    stale_returns(hart, CODE);
    assert_int_equal(hart->stale, 2);
    flush_all();
    tlb_use(hart, ROOT, 1);
    entry(LEAVES, 0, 1000 * PAGE, LEAF_FLAGS | GLOBAL);
    cost(high, 1000 * PAGE);
    tlb_use(hart, ROOT_2, 2);
    stale_returns(hart, CODE);
    assert_int_equal(hart->stale, 4);
    entry(ROOT_2, 256, MIDDLE, TABLE_FLAG);
    flush_all();
    cost(high, 1000 * PAGE);
    tlb_use(hart, ROOT, 1);
    stale_returns(hart, CODE);
    assert_int_equal(hart->stale, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_use_behind_the_return_is_reported_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_flushed_is_not_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_counts_that_takes_something_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_taken_away_counts_for_what_was_below, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_read_later_is_the_next_shootdowns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shootdown_is_of_its_space, setup, teardown),
        cmocka_unit_test_setup_teardown(of_a_large_page_what_changed_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_that_changes_hands_has_to_be_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fault_is_a_use, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_without_the_kernel_is_entered_without_it, setup, teardown),
        cmocka_unit_test_setup_teardown(harts_outside_of_the_region_do_not_matter, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
