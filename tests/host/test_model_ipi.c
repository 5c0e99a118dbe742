/* model.ipi's sender, with a clock of this test's and no harts to interrupt: whether the others are told of the end. */
#include "unit.h"

#include <stdlib.h>

#include "arch/clock.h"

static uint64_t fake_now(void);
#define clock_now fake_now
#include "bench/model_ipi.c"

static uint64_t now, step;
static unsigned pings;

/* Time passes by looking at it only. */
static uint64_t fake_now(void)
{
    return now += step;
}

void ipi_ping(hart_mask_t to)
{
    assert_int_equal(to.bits, 0xe);
    pings++;
}

void *bench_buffer(size_t bytes)
{
    (void)bytes;
    abort();
}

void bench_buffer_free(void *buffer)
{
    (void)buffer;
    abort();
}

/* As the harness calls it, with a deadline between every two looks in turn. The others wait for `over` from the moment
 * at which hart 0 does not come back. */
static void the_harness_does_not_end_what_the_sender_has_not(void **state)
{
    (void)state;
    for (uint64_t deadline = 0; deadline < 10; deadline++) {
        struct ipi ipi = {0};
        struct bench_run bench = {.state = &ipi, .nharts = 4};
        struct bench_hart hart = {.run = &bench, .deadline = deadline, .meetings = 7};
        now = pings = 0;
        step = 1;
        do
            workload_model_ipi.run(&hart, 3);
        while (!bench_over(&hart));
        assert_int_equal(ipi.over, 7);
        assert_int_equal(hart.ops, pings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_harness_does_not_end_what_the_sender_has_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
