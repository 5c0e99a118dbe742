/*
 * Page tables by node, in one thread: another hart takes out, between finding a table and locking it, the very table that was
 * found. And the planted bugs, each of which must be noticed.
 */
#include "unit.h"

#include "shim/table_model.h"
#include "intruder.h"

#define RW (PTE_R | PTE_W)
#define AT (MODEL_PAGES / 2)

static struct table_model model, damaged[2];

bool __wrap_inject_due(enum inject point)
{
    intruder_enters(point);
    return false;
}

static int setup(void **state)
{
    (void)state;
    table_model_init(&model, false, TABLE_LOCK_NODE);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    set_intruder(INJECT_LOOK, 0, NULL);
    table_model_finish(&model);
    return 0;
}

/* Takes away the only page below two tables, and uses all frames that it gets for others, far away. */
static void take_the_table_out(void)
{
    host_become_hart(1);
    assert_int_equal(table_model_unmap(&model, AT, 1), 0);
    page_table_release(&model.table, &model.gather);
    size_t before = model.tables->in_use;
    assert_int_equal(table_model_map(&model, 1, 1, PFN(7), PTE_R, 0), 0);
    assert_int_equal(model.tables->in_use, before + 2);
}

/* What hart 0 puts at AT + 1, when hart 1 has been there meanwhile. Returns whether it is where it belongs. */
static bool maps_in_spite_of_it(void)
{
    struct table_leaf leaf;
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
    set_intruder(INJECT_LOOK, 1, take_the_table_out);
    int error = page_table_map(
        &model.table, table_model_vaddr(&model, AT + 1), PADDR(9 * PAGE_BYTES), PAGE_BYTES, RW, 0);
    assert_int_equal(intruder.at, 0); /* it was here */
    return error == 0 && page_table_find(&model.table, table_model_vaddr(&model, AT + 1), &leaf) &&
           leaf.pfn.value == 9 && page_table_validate(&model.table, NULL) == 0;
}

static void test_a_stale_table_is_left_alone(void **state)
{
    (void)state;
    assert_true(maps_in_spite_of_it());
    model.shown[AT + 1] = pte_leaf(PFN(9), RW).bits;
    table_model_flush(&model);
    table_model_check(&model);
}

static void test_a_slot_of_a_stale_table(void **state)
{
    (void)state;
    struct table_slot slot;
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
    set_intruder(INJECT_LOOK, 1, take_the_table_out);
    assert_int_equal(table_slot_lock(&model.table, model.first + AT, SLOT_MAKE, NULL, &slot), 0);
    assert_int_equal(slot.pte.bits, 0);
    assert_true(slot.level > 0);
    table_slot_unlock(&slot);
}

static void grow_the_table(void)
{
    host_become_hart(1);
    assert_int_equal(table_model_map(&model, AT, 1, PFN(5), RW, 0), 0);
}

/* A table that has come since is used, so that all the rest of the tree stays free. */
static void test_a_table_that_has_come(void **state)
{
    (void)state;
    struct table_slot slot;
    set_intruder(INJECT_LOOK, 1, grow_the_table);
    assert_int_equal(table_slot_lock(&model.table, model.first + AT, 0, NULL, &slot), 0);
    assert_int_equal(slot.level, 0);
    assert_int_equal(slot.pte.bits, pte_leaf(PFN(5), RW).bits);
    table_slot_unlock(&slot);
}

/* What they leave behind could not be taken apart: it is only kept. */
static void test_planted_bugs_are_noticed(void **state)
{
    static const enum plant plants[] = {PLANT_TABLE_STALE, PLANT_TABLE_EARLY};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(plants); i++) {
        table_model_init(&model, false, TABLE_LOCK_NODE);
        plant_set(plants[i]);
        assert_false(maps_in_spite_of_it());
        plant_set(PLANT_NONE);
        damaged[i] = model;
    }
}

#define RACE(test) cmocka_unit_test_setup_teardown(test, setup, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RACE(test_a_stale_table_is_left_alone),
        RACE(test_a_slot_of_a_stale_table),
        RACE(test_a_table_that_has_come),
        cmocka_unit_test(test_planted_bugs_are_noticed),
    };
    return cmocka_run_group_tests_name("page table races", tests, NULL, NULL);
}
