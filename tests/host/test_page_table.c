/*
 * Page tables: which leaves a range gets, what is refused, what a split and an empty table cost, and random calls
 * against a plain map of pages, with memory that runs out in the middle of each.
 */
#include "unit.h"

#include <string.h>

#include "lib/error.h"
#include "shim/host.h"
#include "shim/table_model.h"
#include "trace/inject.h"

#define RW (PTE_R | PTE_W)

/* A corner of all sizes of leaves, in the middle of the window. */
#define CORNER (MODEL_PAGES / 2)
#define MIB2   ((size_t)512)
#define GIB    (MIB2 * 512)

static struct table_model model;
static enum table_locking locking;

static int setup_low(void **state)
{
    (void)state;
    table_model_init(&model, false, locking);
    return 0;
}

static int setup_high(void **state)
{
    (void)state;
    table_model_init(&model, true, locking);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    model.table.sealed = false; /* or it could not be emptied */
    table_model_finish(&model);
    return 0;
}

static unsigned level_at(size_t page)
{
    struct table_leaf leaf;
    assert_true(page_table_find(&model.table, table_model_vaddr(&model, page), &leaf));
    return leaf.level;
}

static void test_largest_leaves_that_fit(void **state)
{
    (void)state;
    size_t first = CORNER - MIB2 - 1;
    assert_int_equal(table_model_map(&model, first, 1 + MIB2 + GIB - 1, PFN(2 * GIB - MIB2 - 1), RW, 2), 0);
    assert_int_equal(level_at(first), 0);
    assert_int_equal(level_at(CORNER - 1), 1);
    assert_int_equal(level_at(CORNER), 1);
    assert_int_equal(level_at(CORNER + GIB - 2), 0);
    table_model_check(&model);
    assert_int_equal(table_model_unmap(&model, first, 1 + MIB2 + GIB - 1), 0);
    assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(GIB), RW, 2), 0);
    assert_int_equal(level_at(CORNER), 2);
    assert_int_equal(page_table_count(&model.table), 0);
}

static void test_leaves_are_as_small_as_asked_for(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(0), RW, 1), 0);
    assert_int_equal(level_at(CORNER), 1);
    assert_int_equal(page_table_count(&model.table), 1);
    assert_int_equal(table_model_unmap(&model, CORNER, GIB), 0);
    assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(0), RW, 0), 0);
    assert_int_equal(level_at(CORNER), 0);
    assert_int_equal(page_table_count(&model.table), 1 + PAGE_ENTRIES);
}

static void test_misaligned_frames_get_small_leaves(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(MIB2), RW, 2), 0);
    assert_int_equal(level_at(CORNER), 1);
    assert_int_equal(table_model_map(&model, CORNER - MIB2, MIB2, PFN(1), RW, 2), 0);
    assert_int_equal(level_at(CORNER - MIB2), 0);
}

static int map(uint64_t vaddr, uint64_t paddr, size_t bytes, uint64_t rights)
{
    return page_table_map(&model.table, VADDR(vaddr), PADDR(paddr), bytes, rights, 2);
}

static void test_wrong_arguments_low(void **state)
{
    (void)state;
    struct table_gather *gather = &model.gather;
    const uint64_t at = 0x10000, half = 1ull << 38;
    assert_int_equal(map(at + 1, 0, PAGE_BYTES, RW), ERR_INVALID);
    assert_int_equal(map(at, 8, PAGE_BYTES, RW), ERR_INVALID);
    assert_int_equal(map(at, 0, PAGE_BYTES + 1, RW), ERR_INVALID);
    assert_int_equal(map(at, 0, 0, RW), ERR_INVALID);
    assert_int_equal(page_table_map(&model.table, VADDR(at), PADDR(0), PAGE_BYTES, RW, 3), ERR_INVALID);
    assert_int_equal(map(0, 0, PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(0, 0, 2 * PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(half, 0, PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(half - PAGE_BYTES, 0, 2 * PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(half - PAGE_BYTES, 0, SIZE_MAX - PAGE_BYTES + 1, RW), ERR_RANGE);
    assert_int_equal(map(1ull << 39, 0, PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map((1ull << 63) + at, 0, PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(-half, 0, PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(at, 1ull << 56, PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(map(at, (1ull << 56) - PAGE_BYTES, 2 * PAGE_BYTES, RW), ERR_RANGE);
    assert_int_equal(page_table_unmap(&model.table, VADDR(0), PAGE_BYTES, gather), ERR_RANGE);
    assert_int_equal(page_table_unmap(&model.table, VADDR(at + 8), PAGE_BYTES, gather), ERR_INVALID);
    assert_int_equal(page_table_protect(&model.table, VADDR(half), PAGE_BYTES, RW, gather), ERR_RANGE);
    assert_int_equal(page_table_protect(&model.table, VADDR(at), PAGE_BYTES, PTE_W, gather), ERR_INVALID);
    assert_int_equal(model.tables->in_use, 1);
    assert_int_equal(map(at, (1ull << 56) - PAGE_BYTES, PAGE_BYTES, RW | PTE_U), 0);
    struct table_gather own = TABLE_GATHER_INIT;
    assert_int_equal(page_table_unmap(&model.table, VADDR(at), PAGE_BYTES, &own), 0);
    page_table_release(&model.table, &own);
    epoch_drain();
}

static void test_rights(void **state)
{
    (void)state;
    for (uint64_t rights = 0; rights < 0x400; rights++) /* the model knows which are right */
        if (table_model_map(&model, CORNER, 1, PFN(7), rights, 0) == 0)
            assert_int_equal(table_model_unmap(&model, CORNER, 1), 0);
    table_model_map(&model, CORNER, 1, PFN(7), PTE_R, 0);
    for (uint64_t rights = 0; rights < 0x400; rights++)
        table_model_protect(&model, CORNER, 1, rights);
}

static void test_overlap_is_refused_whole(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, CORNER + 5, 1, PFN(9), PTE_R, 0), 0);
    size_t tables = page_table_count(&model.table);
    assert_int_equal(table_model_map(&model, CORNER - GIB / 2, GIB, PFN(GIB), RW, 2), ERR_EXISTS);
    assert_int_equal(table_model_map(&model, CORNER + 5, 1, PFN(9), PTE_R, 0), ERR_EXISTS);
    assert_int_equal(page_table_count(&model.table), tables);
    assert_int_equal(table_model_map(&model, CORNER + MIB2, MIB2, PFN(0), RW, 1), 0);
    assert_int_equal(table_model_map(&model, CORNER + MIB2 + 1, 1, PFN(9), PTE_R, 0), ERR_EXISTS);
}

static void test_splits(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(GIB), RW, 2), 0);
    assert_int_equal(table_model_protect(&model, CORNER + 3 * MIB2 + 7, 1, PTE_R), 0);
    assert_int_equal(page_table_count(&model.table), 2);
    assert_int_equal(level_at(CORNER + 2 * MIB2), 1);
    assert_int_equal(level_at(CORNER + 3 * MIB2), 0);
    assert_int_equal(table_model_unmap(&model, CORNER + 5 * MIB2 + 1, 3 * MIB2), 0); /* both ends */
    assert_int_equal(page_table_count(&model.table), 4);
    assert_int_equal(table_model_unmap(&model, CORNER + MIB2, MIB2), 0); /* as it is, without a split */
    assert_int_equal(page_table_count(&model.table), 4);
    table_model_check(&model);
}

/* A range that begins and ends inside of one leaf needs each table once. */
static void test_split_of_both_ends_at_once(void **state)
{
    (void)state;
    static const struct {
        size_t first, npages, ntables;
    } cases[] = {
        {1, 1, 2},
        {MIB2, MIB2, 1},
        {MIB2 - 1, 2, 3},
        {0, 1, 2},
        {GIB - 1, 1, 2},
        {MIB2, MIB2 + 1, 2},
        {1, GIB - 2, 3},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(GIB), RW, 2), 0);
        assert_int_equal(table_model_unmap(&model, CORNER + cases[i].first, cases[i].npages), 0);
        table_model_flush(&model);
        assert_int_equal(page_table_count(&model.table), cases[i].ntables);
        table_model_check(&model);
        assert_int_equal(table_model_unmap(&model, CORNER, GIB), 0);
        table_model_flush(&model);
        assert_int_equal(page_table_count(&model.table), 0);
    }
}

static void test_empty_tables_go_after_the_flush(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, CORNER - 1, 2, PFN(5), RW, 0), 0);
    assert_int_equal(model.tables->in_use, 5);
    assert_int_equal(table_model_unmap(&model, CORNER - 1, 1), 0);
    assert_int_equal(page_table_count(&model.table), 2);
    assert_int_equal(model.tables->in_use, 5);
    assert_int_equal(
        table_model_map(&model, CORNER - 1, 1, PFN(6), RW, 0), 0); /* in other tables than before */
    assert_int_equal(model.tables->in_use, 7);
    table_model_flush(&model);
    assert_int_equal(model.tables->in_use, 5);
}

static void test_translate(void **state)
{
    (void)state;
    paddr_t paddr;
    assert_int_equal(table_model_map(&model, CORNER, GIB, PFN(GIB), RW, 2), 0);
    vaddr_t vaddr = table_model_vaddr(&model, CORNER + 12345);
    assert_true(page_table_translate(&model.table, VADDR(vaddr.value + 678), &paddr));
    assert_int_equal(paddr.value, (GIB + 12345) * PAGE_BYTES + 678);
    assert_false(page_table_translate(&model.table, table_model_vaddr(&model, CORNER - 1), &paddr));
    assert_false(page_table_translate(&model.table, VADDR(vaddr.value ^ 1ull << 63), &paddr));
}

static void random_calls(uint64_t stream)
{
    struct rng rng;
    rng_seed(&rng, 6, stream);
    for (unsigned i = 0; i < 400; i++) {
        if (rng_below(&rng, 8) == 0)
            model.tables->limit = model.tables->in_use + rng_below(&rng, 4); /* not enough for some */
        table_model_step(&model, &rng);
        model.tables->limit = MODEL_TABLES_MAX;
        if (i % 20 == 0)
            table_model_check(&model);
    }
}

static void test_random_calls(void **state)
{
    for (uint64_t stream = 0; stream < 6; stream++) {
        random_calls(stream);
        if (stream < 5) {
            finish(state);
            table_model_init(&model, stream % 2 == 0, locking);
        }
    }
}

/* Passes the allocation of every kind of table: for a map in several levels, for splits at one end and at both. */
static void sweep_script(void)
{
    table_model_map(&model, 0, GIB, PFN(0), RW, 2);
    table_model_unmap(&model, 77, GIB - 99);
    table_model_unmap(&model, 0, GIB);
    table_model_map(&model, CORNER - MIB2 - 1, 2 * MIB2 + 2, PFN(GIB - MIB2 - 1), RW, 2);
    table_model_map(&model, CORNER + GIB / 2, 1, PFN(1), PTE_R, 2);
    table_model_map(&model, CORNER + GIB / 2 - MIB2 - 1, 3, PFN(9), PTE_R, 2);
    table_model_unmap(&model, CORNER - MIB2 + 1, 2 * MIB2 - 1);
    table_model_protect(&model, CORNER + MIB2 - 1, 1, PTE_R);
    table_model_map(&model, MODEL_PAGES - 1, 1, PFN(1), PTE_R, 2);
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
        setup_high(state);
    } while (passed >= n);
    assert_int_equal(passed, 12);
}

static void test_kernel_entries_are_copied(void **state)
{
    struct page_table user;
    struct table_source *source = &model.tables->source;
    vaddr_t kept = table_model_vaddr(&model, 0), other = table_model_vaddr(&model, GIB);
    (void)state;
    assert_int_equal(page_table_keep(&model.table, kept), 0);
    assert_int_equal(page_table_keep(&model.table, kept), 0);
    assert_int_equal(page_table_count(&model.table), 1);
    assert_int_equal(table_model_map(&model, GIB, GIB, PFN(0), RW, 2), 0);
    assert_int_equal(page_table_keep(&model.table, other), ERR_EXISTS);
    page_table_seal(&model.table);
    assert_int_equal(page_table_init(&user, source, locking, &lock_tas, &model.table), 0);
    /* What comes and goes below the root is in both. */
    assert_int_equal(table_model_map(&model, 5, 1, PFN(3), RW, 0), 0);
    assert_int_equal(page_table_validate(&user, &model.table), 0);
    struct table_leaf leaf;
    assert_true(page_table_find(&user, table_model_vaddr(&model, 5), &leaf));
    assert_int_equal(table_model_unmap(&model, 5, 1), 0);
    assert_int_equal(page_table_count(&model.table), 1); /* the kept one, which is empty again */
    page_table_destroy(&user);
}

static void test_a_sealed_root_does_not_change(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, GIB, GIB, PFN(0), RW, 2), 0);
    page_table_seal(&model.table);
    vaddr_t hole = table_model_vaddr(&model, 5), leaf = table_model_vaddr(&model, GIB + 5);
    assert_int_equal(page_table_map(&model.table, hole, PADDR(0), PAGE_BYTES, RW, 0), ERR_STATE);
    assert_int_equal(page_table_unmap(&model.table, leaf, PAGE_BYTES, &model.gather), ERR_STATE);
    assert_int_equal(page_table_protect(&model.table, leaf, PAGE_BYTES, PTE_R, &model.gather), ERR_STATE);
    assert_int_equal(
        page_table_unmap(&model.table, table_model_vaddr(&model, 1), GIB * PAGE_BYTES, &model.gather),
        ERR_STATE);
    assert_int_equal(page_table_keep(&model.table, hole), ERR_STATE);
    table_model_check(&model);
}

/* Each kind of damage to a table, and that it is found. */
static void test_validation_notices(void **state)
{
    (void)state;
    assert_int_equal(table_model_map(&model, CORNER, 2, PFN(5), RW, 0), 0);
    assert_int_equal(table_model_map(&model, CORNER + MIB2, MIB2, PFN(MIB2), RW, 1), 0);
    uint64_t *root = pfn_to_direct(model.table.root);
    uint64_t *mega = NULL, *small;
    for (size_t i = 0; i < PAGE_ENTRIES; i++)
        if (root[i])
            mega = pfn_to_direct(pte_pfn(PTE(root[i])));
    assert_non_null(mega);
    small = pfn_to_direct(pte_pfn(PTE(mega[0])));
    const struct {
        uint64_t *entry, value;
    } damage[] = {
        {&small[0], 0}, /* an entry lost, and the count not */
        {&small[7], small[0]}, /* one too many */
        {&small[1], small[1] & ~PTE_V}, /* neither valid nor zero */
        {&small[1], small[1] | PTE_X}, /* written and executed */
        {&small[1], small[1] & ~PTE_R}, /* written and not read */
        {&small[1], small[1] | PTE_U}, /* the user's, in the kernel's half */
        {&small[1], small[1] & ~PTE_G}, {&small[1], small[1] & ~PTE_A}, {&small[1], small[1] & ~PTE_D},
        {&small[1], small[1] & ~PTE_W}, /* D without W */
        {&small[1], small[1] | 1ull << 54}, {&small[1], small[1] | 0x200},
        {&small[1], pte_table(PFN(5)).bits}, /* a table below the last level */
        {&mega[1], pte_leaf(PFN(MIB2 + 1), RW | PTE_G).bits}, /* misaligned */
        {&mega[0], mega[0] | PTE_A}, /* no table's */
        {&mega[0], mega[0] | PTE_KEPT}, /* of the root's entries only */
        {&mega[0], 0}, /* a table lost */
    };
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        uint64_t was = *damage[i].entry;
        *damage[i].entry = damage[i].value;
        host_console_capture();
        assert_int_equal(page_table_validate(&model.table, NULL), ERR_CORRUPT);
        assert_non_null(strstr(host_console_release(), "page table: "));
        *damage[i].entry = was;
        assert_int_equal(page_table_validate(&model.table, NULL), 0);
    }
}

#define LOW(test)  cmocka_unit_test_setup_teardown(test, setup_low, finish)
#define HIGH(test) cmocka_unit_test_setup_teardown(test, setup_high, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOW(test_largest_leaves_that_fit),
        LOW(test_leaves_are_as_small_as_asked_for),
        HIGH(test_misaligned_frames_get_small_leaves),
        LOW(test_wrong_arguments_low),
        HIGH(test_rights),
        LOW(test_overlap_is_refused_whole),
        LOW(test_splits),
        HIGH(test_split_of_both_ends_at_once),
        LOW(test_empty_tables_go_after_the_flush),
        HIGH(test_translate),
        LOW(test_random_calls),
        HIGH(test_injected_failures),
        HIGH(test_kernel_entries_are_copied),
        HIGH(test_a_sealed_root_does_not_change),
        HIGH(test_validation_notices),
    };
    locking = TABLE_LOCK_SPACE;
    int failed = cmocka_run_group_tests_name("page table, ptlock=space", tests, NULL, NULL);
    locking = TABLE_LOCK_NODE;
    return failed + cmocka_run_group_tests_name("page table, ptlock=node", tests, NULL, NULL);
}
