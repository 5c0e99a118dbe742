/* Harts, calls, interrupts, barrier and locks, on all the harts of the machine. */
#include "arch/cpu.h"
#include "arch/hart.h"
#include "lib/rng.h"
#include "smp/barrier.h"
#include "smp/call.h"
#include "smp/ipi.h"
#include "smp/lock.h"
#include "tests/kernel/test.h"

static uint64_t seen[HART_MAX];

static void look_who(void *unused)
{
    (void)unused;
    unsigned index = hart_index();
    CHECK(hart_self() == &harts[index]);
    CHECK(arch_hart_self()->counters == counter_block_of(index)->value);
    seen[index]++;
}

TEST(smp_every_hart_is_itself_and_in_order_of_id)
{
    for (unsigned i = 0; i < hart_count(); i++) {
        seen[i] = 0;
        CHECK(i == 0 || harts[i - 1].arch.id.value < harts[i].arch.id.value);
        CHECK(atomic_load_explicit(&harts[i].online, memory_order_acquire));
    }
    smp_call(hart_mask_first(hart_count()), look_who, NULL);
    for (unsigned i = 0; i < hart_count(); i++)
        CHECK(seen[i] == 1);
}

TEST(smp_call_reaches_its_mask_only)
{
    for (unsigned target = 0; target < hart_count(); target++) {
        for (unsigned i = 0; i < hart_count(); i++)
            seen[i] = 0;
        smp_call(hart_mask_one(target), look_who, NULL);
        for (unsigned i = 0; i < hart_count(); i++)
            CHECK(seen[i] == (i == target));
    }
}

TEST(smp_calls_in_a_row_are_not_lost)
{
    for (unsigned i = 0; i < hart_count(); i++)
        seen[i] = 0;
    for (unsigned n = 0; n < 200; n++)
        smp_call(hart_mask_first(hart_count()), look_who, NULL);
    for (unsigned i = 0; i < hart_count(); i++)
        CHECK(seen[i] == 200);
}

static void poll_with_interrupts_off(void *argument)
{
    unsigned target = *(unsigned *)argument;
    if (hart_index() != target)
        return;
    bool enabled = interrupts_disable();
    CHECK(enabled);
    ipi_send(
        hart_mask_one(target), HART_REQUEST_CALL); /* to itself; the call is spurious and must do no harm */
    CHECK(atomic_load_explicit(&hart_self()->requests, memory_order_relaxed) == HART_REQUEST_CALL);
    ipi_poll();
    CHECK(atomic_load_explicit(&hart_self()->requests, memory_order_relaxed) == 0);
    interrupts_restore(enabled);
}

TEST(smp_requests_are_served_by_polling_too)
{
    unsigned boot = hart_index(); /* the one hart that takes no calls when it is idle */
    poll_with_interrupts_off(&boot);
}

#define ROUNDS 100

static struct {
    struct barrier barrier;
    unsigned arrived[ROUNDS];
    _Atomic unsigned lasts;
    struct lock lock;
} shared;

static void meet(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        __atomic_fetch_add(&shared.arrived[round], 1, __ATOMIC_RELAXED);
        if (barrier_wait(&shared.barrier))
            atomic_fetch_add_explicit(&shared.lasts, 1, memory_order_relaxed);
        CHECK(__atomic_load_n(&shared.arrived[round], __ATOMIC_RELAXED) == hart_count());
    }
}

TEST(smp_barrier_holds_everybody_back)
{
    for (unsigned round = 0; round < ROUNDS; round++)
        shared.arrived[round] = 0;
    atomic_store_explicit(&shared.lasts, 0, memory_order_relaxed);
    barrier_init(&shared.barrier, hart_count());
    smp_call(hart_mask_first(hart_count()), meet, NULL);
    CHECK(atomic_load_explicit(&shared.lasts, memory_order_relaxed) == ROUNDS);
}

/* Few enough that fair locks end soon on a host with fewer cores than harts. */
#define SECTIONS 200

static uint64_t guarded, guarded_copy;

static void count_under_lock(void *unused)
{
    (void)unused;
    struct rng rng;
    rng_seed(&rng, 1, hart_index());
    for (unsigned i = 0; i < SECTIONS; i++) {
        struct lock_node node;
        if ((rng_next(&rng) & 1) || !lock_try_acquire(&shared.lock, &node))
            lock_acquire(&shared.lock, &node);
        CHECK(guarded == guarded_copy);
        guarded++;
        for (unsigned k = rng_next(&rng) % 16; k > 0; k--)
            cpu_relax();
        guarded_copy++;
        lock_release(&shared.lock, &node);
    }
}

static void lock_excludes(const struct lock_ops *kind)
{
    lock_init(&shared.lock, kind, "test");
    guarded = guarded_copy = 0;
    smp_call(hart_mask_first(hart_count()), count_under_lock, NULL);
    CHECK(guarded == (uint64_t)SECTIONS * hart_count());
    struct lock_node node, second;
    CHECK(lock_try_acquire(&shared.lock, &node));
    CHECK(!lock_try_acquire(&shared.lock, &second));
    lock_release(&shared.lock, &node);
    CHECK(lock_try_acquire(&shared.lock, &node));
    lock_release(&shared.lock, &node);
}

TEST(smp_lock_tas_excludes)
{
    lock_excludes(&lock_tas);
}

TEST(smp_lock_ttas_excludes)
{
    lock_excludes(&lock_ttas);
}

TEST(smp_lock_ticket_excludes)
{
    lock_excludes(&lock_ticket);
}

TEST(smp_lock_mcs_excludes)
{
    lock_excludes(&lock_mcs);
}
