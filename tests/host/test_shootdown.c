/* Words of flushes, what covers what, and that the oracle of shim/shootdown_model.h sees planted bugs. */
#include "unit.h"

#include "arch/pte.h"
#include "shim/host.h"
#include "shim/shootdown_model.h"
#include "smp/shootdown_private.h"
#include "trace/counter.h"
#include "trace/inject.h"

static void test_words_keep_what_they_say(void **state)
{
    const struct flush flushes[] = {
        {.asid = 0, .first = 1, .end = 2},
        {.asid = 7, .first = 0, .end = FLUSH_THRESHOLD_MAX},
        {.asid = 8, .pair = true, .first = 3, .end = 4},
        {.asid = 0xfffe, .first = PAGE_COUNT_TOTAL / 2 - 1, .end = PAGE_COUNT_TOTAL / 2},
        {.asid = FLUSH_EVERY_ASID, .first = PAGE_COUNT_TOTAL - 1, .end = PAGE_COUNT_TOTAL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(flushes); i++) {
        flush_word_t word = flush_pack(&flushes[i]);
        struct flush back = flush_unpack(word);
        assert_int_not_equal(word.bits, 0);
        assert_int_equal(back.asid, flushes[i].asid);
        assert_int_equal(back.pair, flushes[i].pair);
        assert_int_equal(back.first, flushes[i].first);
        assert_int_equal(back.end, flushes[i].end);
        assert_int_equal(flush_word_late(word), flushes[i].end > PAGE_COUNT_TOTAL / 2);
    }
}

static bool is_whole(struct flush flush)
{
    return flush_unpack(flush_pack(&flush)).end == PAGE_COUNT_TOTAL;
}

static void test_what_becomes_a_whole_space(void **state)
{
    (void)state;
    assert_false(is_whole((struct flush){.first = 5, .end = 5 + FLUSH_THRESHOLD}));
    assert_true(is_whole((struct flush){.first = 5, .end = 6 + FLUSH_THRESHOLD}));
    assert_true(is_whole((struct flush){.first = 0, .end = 512, .nleaves = 2}));
    assert_false(is_whole((struct flush){.first = 0, .end = 512, .nleaves = 1}));
    assert_true(is_whole((struct flush){.first = 5, .end = 6, .nleaves = 1, .tables = true}));
    flush_set_threshold(0);
    assert_true(is_whole((struct flush){.first = 5, .end = 6}));
    shootdown_settings_default();
}

static flush_word_t word_of(unsigned asid, size_t first, size_t end, bool tables)
{
    return flush_pack(&(struct flush){.asid = (uint16_t)asid, .first = first, .end = end, .tables = tables});
}

static void test_what_covers_what(void **state)
{
    flush_word_t some = word_of(1, 10, 20, false), whole = word_of(1, 0, 100, false);
    (void)state;
    assert_true(flush_word_covers(some, some));
    assert_true(flush_word_covers(some, word_of(1, 12, 20, false)));
    assert_false(flush_word_covers(some, word_of(1, 12, 21, false)));
    assert_false(flush_word_covers(some, word_of(1, 9, 12, false)));
    assert_false(flush_word_covers(some, word_of(2, 12, 13, false)));
    assert_true(flush_word_covers(word_of(FLUSH_EVERY_ASID, 10, 20, false), some));
    assert_false(flush_word_covers(some, word_of(FLUSH_EVERY_ASID, 10, 20, false)));
    assert_true(flush_word_covers(whole, some));
    assert_false(flush_word_covers(some, whole));
    assert_false(flush_word_covers(whole, word_of(1, 10, 11, true)));
    assert_true(flush_word_covers(word_of(1, 10, 11, true), whole));
    assert_true(flush_word_covers(flush_everything_word(true), word_of(9, 10, 11, true)));
}

/* Seven places; the eighth makes one of them everything, which covers the six others and both that met there. */
static void test_a_full_mailbox_forgets_everything(void **state)
{
    struct shootdown ticket[HART_POSTS + 1];
    hart_mask_t to = hart_mask_one(1);
    uint64_t merged = counter_sum(COUNTER_FLUSH_MERGED);
    (void)state;
    hart_set_count(2);
    for (unsigned i = 0; i <= HART_POSTS; i++) {
        struct flush flush = {.first = 10 * i, .end = 10 * i + 1};
        shootdown_dispatch(&ticket[i], &shootdown_ipi, to, &flush);
        assert_int_equal(ticket[i].posted[1], harts[1].posted);
    }
    assert_int_equal(harts[1].posts[0], flush_everything_word(true).bits);
    for (unsigned i = 0; i < HART_POSTS; i++)
        assert_int_not_equal(harts[1].posts[i], 0);
    host_become_hart(1);
    ipi_poll();
    host_become_hart(0);
    assert_true(counter_sum(COUNTER_FLUSH_MERGED) + counter_sum(COUNTER_FLUSH_TABLES) > merged);
    for (unsigned i = 0; i <= HART_POSTS; i++)
        shootdown_wait(&ticket[i]);
    for (unsigned i = 0; i < HART_POSTS; i++)
        assert_int_equal(harts[1].posts[i], 0);
}

static void test_what_is_covered_takes_no_place(void **state)
{
    struct shootdown ticket[3];
    (void)state;
    const struct flush flushes[] = {
        {.first = 10, .end = 12}, {.first = 11, .end = 12}, {.first = 9, .end = 14}};
    for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++)
        shootdown_dispatch(&ticket[i], &shootdown_ipi, hart_mask_one(1), &flushes[i]);
    assert_int_equal(harts[1].posts[0], flush_pack(&flushes[2]).bits);
    assert_int_equal(harts[1].posts[1], 0);
    host_become_hart(1);
    ipi_poll();
    host_become_hart(0);
    for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++)
        shootdown_wait(&ticket[i]);
}

static void test_planted_bugs_are_caught(void **state)
{
    static const struct {
        const struct shootdown_ops *ops;
        enum plant plant;
    } bugs[] = {
        {&shootdown_ipi, PLANT_IPI_NOFLUSH},
        {&shootdown_tracked, PLANT_IPI_NOFLUSH},
        {&shootdown_broadcast, PLANT_BROADCAST_NOFLUSH},
        {&shootdown_lazy, PLANT_LAZY_NOFLUSH},
        {&shootdown_lazy, PLANT_LAZY_EARLY},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bugs); i++) {
        unsigned stale = 0;
        plant_set(bugs[i].plant);
        for (unsigned attempt = 0; stale == 0 && attempt < 200; attempt++)
            stale = shootdown_storm(&(struct shootdown_storm){bugs[i].ops, 4, 600});
        plant_set(PLANT_NONE);
        if (stale == 0)
            fail_msg("not caught: %s", plant_name(bugs[i].plant - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_keep_what_they_say),
        cmocka_unit_test(test_what_becomes_a_whole_space),
        cmocka_unit_test(test_what_covers_what),
        cmocka_unit_test(test_what_is_covered_takes_no_place),
        cmocka_unit_test(test_a_full_mailbox_forgets_everything),
        cmocka_unit_test(test_planted_bugs_are_caught),
    };
    return cmocka_run_group_tests_name("shootdown", tests, NULL, NULL);
}
