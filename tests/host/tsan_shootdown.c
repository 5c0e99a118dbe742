/* The schemes of TLB shootdown with threads as harts, under ThreadSanitizer: what a target did by an old translation
 * is ordered before the frame's next use, and none is used afterwards. */
#include "unit.h"

#include "shim/shootdown_model.h"

#define HARTS  4
#define ROUNDS 600

static void run(const struct shootdown_ops *ops, unsigned rounds)
{
    assert_int_equal(
        shootdown_storm(&(struct shootdown_storm){.ops = ops, .harts = HARTS, .rounds = rounds}), 0);
}

static void test_schemes(void **state)
{
    (void)state;
    for (size_t i = 0; shootdown_at(i); i++) {
        if (shootdown_at(i) != &shootdown_sbi)
            run(shootdown_at(i), ROUNDS);
    }
}

static void test_settings(void **state)
{
    static const unsigned thresholds[] = {FLUSH_THRESHOLD, 0, 1};
    (void)state;
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t i = 0; i < ARRAY_SIZE(thresholds); i++) {
            shootdown_settings =
                (struct shootdown_settings){.batch = bits & 1, .mask = bits & 2, .early = bits & 4};
            flush_set_threshold(thresholds[i]);
            run(&shootdown_ipi, ROUNDS / 6);
        }
    }
    shootdown_settings_default();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests_name("shootdown under threads", tests, NULL, NULL);
}
