/*
 * Epochs with threads as harts, under ThreadSanitizer: harts follow pointers to objects without a lock, others replace these and
 * retire the old ones. Objects are read with plain accesses and overwritten when they are freed, so the sanitizer reports one that is
 * freed while a hart may be reading it.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "arch/panic.h"
#include "lib/error.h"
#include "lib/rng.h"
#include "shim/host.h"
#include "smp/epoch.h"

#define PLACES 16
#define STEPS  20000

struct object {
    uint64_t value[2]; /* one is the other's complement */
    struct epoch_entry retired;
};

static _Atomic(struct object *) places[PLACES];
static _Atomic uint64_t made, freed;

static struct object *object_new(uint64_t value)
{
    struct object *object = malloc(sizeof(*object));
    ASSERT(object);
    object->value[0] = value;
    object->value[1] = ~value;
    atomic_fetch_add(&made, 1);
    return object;
}

static void object_free(struct epoch_entry *entry)
{
    struct object *object = CONTAINER_OF(entry, struct object, retired);
    memset(object->value, 0xa5, sizeof(object->value));
    free(object);
    atomic_fetch_add(&freed, 1);
}

static void look(unsigned place)
{
    epoch_enter();
    const struct object *object = load_dependent(&places[place]);
    for (unsigned i = 0; i < 4; i++)
        ASSERT(object->value[0] == ~object->value[1]);
    epoch_exit();
}

static void replace(unsigned place, uint64_t value)
{
    /* Both orders: the new one is complete, and the old one the caller's now. */
    struct object *old = atomic_exchange_explicit(&places[place], object_new(value), memory_order_acq_rel);
    epoch_retire(&old->retired, object_free);
}

static void harts_run(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned place = rng_below(&rng, PLACES);
        switch (rng_below(&rng, 64)) {
        case 0: epoch_collect(); break;
        case 1 ... 16: replace(place, step); break;
        default: look(place); break;
        }
    }
}

static void run(unsigned nharts, uint64_t seed)
{
    for (unsigned i = 0; i < PLACES; i++)
        atomic_store(&places[i], object_new(i));
    host_run_harts(nharts, harts_run, &seed);
    assert_int_equal(epoch_validate(), 0);
    uint64_t while_they_ran = atomic_load(&freed);
    assert_true(while_they_ran * 2 > made); /* it does not only gather them */
    for (unsigned i = 0; i < PLACES; i++)
        replace(i, 0);
    epoch_drain();
    for (unsigned i = 0; i < PLACES; i++)
        object_free(&atomic_load(&places[i])->retired);
    assert_int_equal(atomic_load(&made), atomic_load(&freed));
    assert_int_equal(epoch_validate(), 0);
}

static void test_readers_and_replacers(void **state)
{
    (void)state;
    run(2, 1);
    run(8, 2);
}

/* While a hart is inside nothing is freed that was retired since; when it goes, all of it is, soon. */
static void test_an_epoch_waits_for_who_is_inside(void **state)
{
    (void)state;
    hart_set_count(2);
    uint64_t before = atomic_load(&freed);
    host_become_hart(1);
    epoch_enter();
    host_become_hart(0);
    for (unsigned i = 0; i < 500; i++)
        epoch_retire(&object_new(i)->retired, object_free);
    assert_int_equal(atomic_load(&freed), before);
    host_become_hart(1);
    epoch_exit();
    host_become_hart(0);
    for (unsigned i = 0; i < 3; i++)
        epoch_collect();
    assert_int_equal(atomic_load(&freed), before + 500);
    assert_int_equal(epoch_validate(), 0);
}

static void test_validation_notices(void **state)
{
    (void)state;
    host_console_capture();
    epoch_enter();
    assert_int_equal(epoch_validate(), ERR_CORRUPT);
    epoch_exit();
    epoch_harts[0].count++;
    assert_int_equal(epoch_validate(), ERR_CORRUPT);
    epoch_harts[0].count--;
    epoch_harts[0].epoch_of[0] += 1000;
    assert_int_equal(epoch_validate(), ERR_CORRUPT);
    epoch_harts[0].epoch_of[0] -= 1000;
    assert_int_equal(epoch_validate(), 0);
    assert_non_null(strstr(host_console_release(), "epoch: hart 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_and_replacers),
        cmocka_unit_test(test_an_epoch_waits_for_who_is_inside),
        cmocka_unit_test(test_validation_notices),
    };
    return cmocka_run_group_tests_name("epochs under threads", tests, NULL, NULL);
}
