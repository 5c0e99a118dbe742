/* Locks and the barrier with threads as harts, under ThreadSanitizer: what a lock must exclude and order. */
#include "unit.h"

#include "shim/host.h"
#include "arch/panic.h"
#include "smp/barrier.h"
#include "smp/lock.h"

/* More harts than the two processors of the smallest machine that runs this, so that holders lose theirs. */
#define HARTS  4
#define ROUNDS 20000

static struct {
    struct lock lock;
    struct barrier barrier;
    uint64_t counter; /* plain: the sanitizer sees any access that the lock does not order */
    uint64_t refused;
    unsigned rounds_seen[HARTS];
    _Atomic unsigned last_arrivals;
} shared;

static void count(void *argument)
{
    (void)argument;
    barrier_wait(&shared.barrier);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct lock_node node;
        lock_acquire(&shared.lock, &node);
        shared.counter++;
        lock_release(&shared.lock, &node);
    }
}

static void count_trying(void *argument)
{
    (void)argument;
    barrier_wait(&shared.barrier);
    uint64_t refused = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct lock_node node;
        /* Odd harts insist, even ones try: both kinds of entry meet. */
        if (hart_index() % 2) {
            lock_acquire(&shared.lock, &node);
        } else if (!lock_try_acquire(&shared.lock, &node)) {
            refused++;
            continue;
        }
        shared.counter++;
        lock_release(&shared.lock, &node);
    }
    struct lock_node node;
    lock_acquire(&shared.lock, &node);
    shared.refused += refused;
    lock_release(&shared.lock, &node);
}

static void test_exclusion(void **state)
{
    (void)state;
    for (size_t i = 0; lock_kind_at(i); i++) {
        shared.counter = 0;
        lock_init(&shared.lock, lock_kind_at(i), "test");
        barrier_init(&shared.barrier, HARTS);
        host_run_harts(HARTS, count, NULL);
        assert_int_equal(shared.counter, HARTS * ROUNDS);
    }
}

static void test_exclusion_of_triers(void **state)
{
    (void)state;
    for (size_t i = 0; lock_kind_at(i); i++) {
        shared.counter = shared.refused = 0;
        lock_init(&shared.lock, lock_kind_at(i), "test");
        barrier_init(&shared.barrier, HARTS);
        host_run_harts(HARTS, count_trying, NULL);
        assert_int_equal(shared.counter + shared.refused, HARTS * ROUNDS);
    }
}

static void meet(void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        shared.rounds_seen[hart_index()] = round;
        /* Relaxed: only counted. */
        if (barrier_wait(&shared.barrier))
            atomic_fetch_add_explicit(&shared.last_arrivals, 1, memory_order_relaxed);
        /* Plain reads of what the others wrote in front of the barrier. */
        for (unsigned hart = 0; hart < HARTS; hart++)
            ASSERT(shared.rounds_seen[hart] == round);
        barrier_wait(&shared.barrier);
    }
}

static void test_barrier(void **state)
{
    (void)state;
    barrier_init(&shared.barrier, HARTS);
    host_run_harts(HARTS, meet, NULL);
    assert_int_equal(shared.last_arrivals, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusion),
        cmocka_unit_test(test_exclusion_of_triers),
        cmocka_unit_test(test_barrier),
    };
    return cmocka_run_group_tests_name("lock under threads", tests, NULL, NULL);
}
