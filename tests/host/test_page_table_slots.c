/* Slots and hints of page tables, with both `ptlock`s: what is split, what stays when it is empty, and what is gathered. */
#include "unit.h"

#include "lib/error.h"
#include "shim/table_model.h"
#include "trace/inject.h"

#define RW   (PTE_R | PTE_W | PTE_U)
#define AT   (MODEL_PAGES / 2)
#define MIB2 ((size_t)512)
#define GIB  (MIB2 * 512)

static struct table_model model;
static enum table_locking locking;

static int setup(void **state)
{
    (void)state;
    table_model_init(&model, false, locking);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    table_model_finish(&model);
    return 0;
}

static size_t tables(void)
{
    return page_table_count(&model.table);
}

static unsigned level_of_slot(size_t page, unsigned flags)
{
    struct table_slot slot;
    assert_int_equal(table_slot_lock(&model.table, model.first + page, flags, NULL, &slot), 0);
    table_slot_unlock(&slot);
    return slot.level;
}

static void test_a_hint_keeps_an_empty_table(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
    assert_int_equal(table_model_slot(&model, AT, 0, true, PTE(0)), 0);
    assert_int_equal(model.hint.unit, (model.first + AT) / MIB2 + 1);
    assert_int_equal(table_model_unmap(&model, AT - MIB2, 3 * MIB2), 0);
    assert_int_equal(tables(), 2);
    assert_true(pfn_is_none(model.gather.tables));
    table_model_check(&model);
    assert_int_equal(table_model_slot(&model, AT + 1, 0, true, pte_leaf(PFN(6), PTE_R)), 0);
    assert_int_equal(table_model_unmap(&model, AT + 1, 1), 0);
    table_model_drop(&model);
    assert_int_equal(tables(), 0);
    table_model_flush(&model);
}

static void test_the_last_of_two_hints_lets_it_go(void **state)
{
    (void)state;
    struct table_hint other = {0};
    struct table_slot slot;
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
    assert_int_equal(table_model_slot(&model, AT, 0, true, PTE(0)), 0);
    assert_int_equal(table_slot_lock(&model.table, model.first + AT + 9, 0, &other, &slot), 0);
    table_slot_unlock(&slot);
    assert_int_equal(table_model_unmap(&model, AT, 1), 0);
    table_model_drop(&model);
    assert_int_equal(tables(), 2);
    table_hint_drop(&model.table, &other, &model.gather);
    assert_int_equal(tables(), 0);
}

/* Of a table that is not empty nothing happens, and the hint stays where it is when another place is asked for. */
static void test_a_hint_of_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
    assert_int_equal(table_model_map(&model, AT + MIB2, 1, PFN(6), RW, 0), 0);
    assert_int_equal(table_model_slot(&model, AT, 0, true, PTE(0)), 0);
    struct table_hint was = model.hint;
    assert_int_equal(table_model_slot(&model, AT + MIB2, 0, true, PTE(0)), 0);
    assert_ptr_equal(model.hint.page, was.page);
    table_model_drop(&model);
    assert_int_equal(tables(), 3);
}

static void test_a_slot_splits_what_it_is_in(void **state)
{
    (void)state;
    assert_int_equal(table_model_edit(&model, GIB, GIB, MODEL_RESERVE), 0);
    assert_int_equal(tables(), 0);
    assert_int_equal(level_of_slot(GIB + 5, 0), 2);
    assert_int_equal(table_model_slot(&model, GIB + 5, SLOT_MAKE, true, pte_leaf(PFN(9), RW)), 0);
    assert_int_equal(tables(), 2);
    assert_int_equal(level_of_slot(GIB + 6, 0), 0);
    assert_int_equal(level_of_slot(GIB + MIB2, 0), 1);
    table_model_check(&model);
    assert_int_equal(table_model_map(&model, GIB - MIB2, MIB2, PFN(MIB2), RW, 1), 0);
    assert_int_equal(table_model_slot(&model, GIB - 3, SLOT_MAKE, false, PTE(0)), 0);
    assert_int_equal(level_of_slot(GIB - 1, 0), 0);
    table_model_check(&model);
}

static void test_a_slot_in_a_hole_makes_nothing(void **state)
{
    (void)state;
    assert_int_equal(level_of_slot(AT, SLOT_MAKE), 2);
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
    assert_int_equal(level_of_slot(AT + MIB2, SLOT_MAKE), 1);
    assert_int_equal(tables(), 2);
    assert_int_equal(level_of_slot(AT + 1, SLOT_MAKE), 0);
}

static void test_a_slot_that_cannot_be(void **state)
{
    (void)state;
    struct table_slot slot;
    assert_int_equal(table_slot_lock(&model.table, 0, 0, NULL, &slot), ERR_RANGE);
    assert_int_equal(table_slot_lock(&model.table, PAGE_COUNT_TOTAL / 2, 0, NULL, &slot), ERR_RANGE);
    assert_int_equal(table_model_edit(&model, GIB, GIB, MODEL_RESERVE), 0);
    model.tables->limit = model.tables->in_use + 1;
    assert_int_equal(table_model_slot(&model, GIB + 5, SLOT_MAKE, true, PTE(0)), ERR_NO_MEMORY);
    assert_int_equal(model.hint.unit, 0);
    table_model_check(&model);
}

/* What would not change is not split, and what cannot be split for want of memory is left as it was. */
static void test_a_part_that_does_not_change(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, AT, MIB2, PFN(MIB2), RW, 1), 0);
    assert_int_equal(table_model_protect(&model, AT + 3, 9, RW), 0);
    assert_int_equal(tables(), 1);
    assert_int_equal(model.gather.nleaves, 0);
    assert_int_equal(table_model_edit(&model, AT - 7, 20, MODEL_RESERVE), 0);
    assert_int_equal(tables(), 3); /* in the gigabyte below two more */
    table_model_check(&model);
}

static struct {
    unsigned calls, level;
    size_t page;
} unlinked;

static void note_unlinked(struct table_gather *gather, pfn_t table, size_t page, unsigned level)
{
    (void)gather;
    (void)table;
    unlinked.calls++;
    unlinked.level = level;
    unlinked.page = page;
}

static void test_harts_and_tables_are_gathered(void **state)
{
    (void)state;
    struct table_slot slot;
    assert_int_equal(table_model_map(&model, AT + 7, 2, PFN(5), RW, 0), 0);
    assert_int_equal(table_model_map(&model, AT + MIB2, 1, PFN(8), RW, 0), 0);
    assert_int_equal(table_slot_lock(&model.table, model.first + AT, 0, NULL, &slot), 0);
    table_slot_harts(&slot)->bits |= 0x11;
    table_slot_unlock(&slot);
    assert_int_equal(table_model_unmap(&model, AT + MIB2, 1), 0);
    assert_int_equal(model.gather.harts.bits, 0);
    model.gather.unlinked = note_unlinked;
    unlinked.calls = 0;
    assert_int_equal(table_model_unmap(&model, AT + 7, 1), 0);
    assert_int_equal(model.gather.harts.bits, 0x11);
    assert_int_equal(unlinked.calls, 0);
    table_model_flush(&model);
    assert_int_equal(model.gather.harts.bits, 0);
    assert_int_equal(table_model_slot(&model, AT, SLOT_MAKE, false, PTE(0)), 0);
    assert_int_equal(table_model_unmap(&model, AT, MIB2), 0);
    assert_int_equal(model.gather.harts.bits, 0x11);
    assert_int_equal(unlinked.calls, 2); /* with the one above it, whose page is that of its gigabyte */
    assert_int_equal(unlinked.level, 1);
    assert_int_equal(unlinked.page, model.first + GIB);
    model.gather.unlinked = NULL;
}

/* Every table that an edit or a slot may need. */
static void sweep_script(void)
{
    table_model_edit(&model, GIB, GIB, MODEL_RESERVE);
    table_model_edit(&model, GIB - MIB2 - 1, MIB2 + 2, MODEL_RESERVE_ALL);
    table_model_slot(&model, GIB + 5, SLOT_MAKE, true, pte_leaf(PFN(9), RW));
    table_model_slot(&model, GIB + 9 * MIB2 + 5, SLOT_MAKE, false, pte_leaf(PFN(10), RW));
    table_model_map(&model, MIB2, MIB2, PFN(MIB2), RW, 1);
    table_model_edit(&model, MIB2 + 7, 1, MODEL_LEAVE);
    table_model_edit(&model, GIB + 17 * MIB2 + 3, 2 * MIB2, MODEL_RESERVE_ALL);
    table_model_unmap(&model, GIB + 3 * MIB2 + 1, 5 * MIB2);
    table_model_drop(&model);
}

static void test_injected_failures(void **state)
{
    uint64_t passed, n = 0;
    do {
        inject_arm(INJECT_TABLE, ++n);
        sweep_script();
        passed = inject_passed(INJECT_TABLE);
        inject_arm(INJECT_TABLE, 0);
        finish(state); /* what was not rolled back is missed there */
        setup(state);
    } while (passed >= n);
    assert_int_equal(passed, 8);
}

#define BOTH(test) cmocka_unit_test_setup_teardown(test, setup, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_a_hint_keeps_an_empty_table),
        BOTH(test_the_last_of_two_hints_lets_it_go),
        BOTH(test_a_hint_of_elsewhere),
        BOTH(test_a_slot_splits_what_it_is_in),
        BOTH(test_a_slot_in_a_hole_makes_nothing),
        BOTH(test_a_slot_that_cannot_be),
        BOTH(test_a_part_that_does_not_change),
        BOTH(test_harts_and_tables_are_gathered),
        BOTH(test_injected_failures),
    };
    locking = TABLE_LOCK_SPACE;
    int failed = cmocka_run_group_tests_name("page table slots, ptlock=space", tests, NULL, NULL);
    locking = TABLE_LOCK_NODE;
    return failed + cmocka_run_group_tests_name("page table slots, ptlock=node", tests, NULL, NULL);
}
