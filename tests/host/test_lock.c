/* The locks' and the barrier's behaviour that one thread can see; tsan_lock.c has the rest. */
#include "unit.h"

#include "arch/cpu.h"
#include "shim/host.h"
#include "smp/barrier.h"
#include "smp/lock.h"

static void test_registry(void **state)
{
    (void)state;
    const char *const names[] = {"tas", "ttas", "ticket", "mcs"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_string_equal(lock_kind_name_at(i), names[i]);
        assert_ptr_equal(lock_kind_find(names[i]), lock_kind_at(i));
    }
    assert_null(lock_kind_at(ARRAY_SIZE(names)));
    assert_null(lock_kind_name_at(ARRAY_SIZE(names)));
    assert_null(lock_kind_find("futex"));
}

static void test_try_acquire_tells_held_from_free(void **state)
{
    (void)state;
    for (size_t i = 0; lock_kind_at(i); i++) {
        struct lock lock;
        struct lock_node mine, other;
        lock_init(&lock, lock_kind_at(i), "test");
        for (unsigned round = 0; round < 3; round++) {
            assert_true(lock_try_acquire(&lock, &mine));
            assert_false(lock_try_acquire(&lock, &other));
            lock_release(&lock, &mine);
            lock_acquire(&lock, &mine);
            assert_false(lock_try_acquire(&lock, &other));
            lock_release(&lock, &mine);
        }
    }
}

static void test_acquisitions_are_counted(void **state)
{
    (void)state;
    for (size_t i = 0; lock_kind_at(i); i++) {
        struct lock lock;
        struct lock_node node, other;
        lock_init(&lock, lock_kind_at(i), "test");
        counter_reset_all();
        lock_acquire(&lock, &node);
        lock_try_acquire(&lock, &other);
        lock_release(&lock, &node);
        assert_true(lock_try_acquire(&lock, &node));
        lock_release(&lock, &node);
        assert_int_equal(counter_sum(COUNTER_LOCK_ACQUIRE), 2);
        assert_int_equal(counter_sum(COUNTER_LOCK_CONTEND), 0);
    }
}

static struct lock contended;
static struct barrier held;

/* Hart 0 holds the lock until hart 1 has been seen waiting for it. */
static void contend(void *argument)
{
    (void)argument;
    struct lock_node node;
    if (hart_index() == 0) {
        lock_acquire(&contended, &node);
        barrier_wait(&held);
        volatile uint64_t *waiting = &counter_block_of(1)->value[COUNTER_LOCK_CONTEND];
        while (*waiting == 0)
            cpu_relax();
    } else {
        barrier_wait(&held);
        lock_acquire(&contended, &node);
    }
    lock_release(&contended, &node);
}

static void test_waiting_is_counted_once(void **state)
{
    (void)state;
    for (size_t i = 0; lock_kind_at(i); i++) {
        lock_init(&contended, lock_kind_at(i), "test");
        barrier_init(&held, 2);
        counter_reset_all();
        host_run_harts(2, contend, NULL);
        assert_int_equal(counter_sum(COUNTER_LOCK_ACQUIRE), 2);
        assert_int_equal(counter_sum(COUNTER_LOCK_CONTEND), 1);
    }
}

/* Tickets go on behind 2^32 − 1, and past the sign of 32 bits. */
static void test_tickets_wrap(void **state)
{
    (void)state;
    const uint32_t edges[] = {INT32_MAX - 1u, UINT32_MAX - 1u};
    for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
        struct lock lock;
        struct lock_node node;
        lock_init(&lock, &lock_ticket, "test");
        lock.ticket.next = lock.ticket.serving = edges[i];
        for (unsigned round = 0; round < 4; round++) {
            lock_acquire(&lock, &node);
            lock_release(&lock, &node);
            assert_true(lock_try_acquire(&lock, &node));
            lock_release(&lock, &node);
        }
        assert_int_equal((uint32_t)(lock.ticket.serving - edges[i]), 8);
    }
}

static void test_barrier_of_one_never_waits(void **state)
{
    (void)state;
    struct barrier barrier;
    barrier_init(&barrier, 1);
    for (unsigned round = 0; round < 5; round++)
        assert_true(barrier_wait(&barrier));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_try_acquire_tells_held_from_free),
        cmocka_unit_test(test_acquisitions_are_counted),
        cmocka_unit_test(test_waiting_is_counted_once),
        cmocka_unit_test(test_tickets_wrap),
        cmocka_unit_test(test_barrier_of_one_never_waits),
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
