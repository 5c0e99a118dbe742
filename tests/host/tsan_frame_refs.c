/*
 * Shared frames with threads as harts, under ThreadSanitizer. What is in a frame is read and written with plain
 * accesses only: the sanitizer reports a frame that is given to a new owner, or written by the only one left,
 * without the order that ends the reading of those who had it before.
 */
#include "unit.h"

#include <stdlib.h>

#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/rng.h"
#include "mm/frame/frame_refs.h"
#include "shim/host.h"
#include "smp/barrier.h"

#define BASE          PFN(0x80000)
#define NFRAMES       512
#define HELD_MAX      24 /* references of one hart: 8 harts do not hold the whole arena */
#define MAILBOXES     8
#define STEPS         4000
#define ROUNDS        1500
#define EMPTY_MAILBOX 0 /* frame 0 is not in the arena */

static struct {
    struct frame_allocator fa;
    struct frame_refs refs;
    unsigned nharts;
    struct barrier barrier;
    _Atomic uint64_t mailbox[MAILBOXES]; /* references on their way from one hart to another */
    pfn_t common; /* what all share in a round */
    _Atomic unsigned arrivals, last_puts;
} shared;

/* Plain accesses: that is the point. */
static uint64_t *word_of(pfn_t pfn)
{
    return pfn_to_direct(pfn);
}

/* A writer leaves two words that belong together; nobody may ever see half of it. */
static void write_frame(pfn_t pfn, uint64_t value)
{
    word_of(pfn)[0] = value;
    word_of(pfn)[1] = ~value;
}

static void check_frame(pfn_t pfn)
{
    ASSERT(word_of(pfn)[0] == ~word_of(pfn)[1]);
}

static void give_up(pfn_t pfn)
{
    check_frame(pfn);
    frame_put(&shared.refs, pfn, 0);
}

/* A write fault of copy-on-write: in place when nobody else has the frame, else into a frame of its own. */
static pfn_t write_fault(pfn_t pfn, uint64_t value)
{
    check_frame(pfn);
    if (frame_is_exclusive(&shared.refs, pfn)) {
        write_frame(pfn, value);
        return pfn;
    }
    pfn_t copy = frame_alloc(&shared.fa, 0, 0);
    ASSERT(!pfn_is_none(copy));
    write_frame(copy, word_of(pfn)[0]);
    give_up(pfn);
    return copy;
}

/* Leaves a reference for another hart; what another left, if anything, is the caller's now. */
static pfn_t exchange(struct rng *rng, pfn_t mine)
{
    /* Both orders: a reference is handed on with what its owner did. */
    uint64_t theirs = atomic_exchange_explicit(
        &shared.mailbox[rng_below(rng, MAILBOXES)], mine.value, memory_order_acq_rel);
    return PFN(theirs);
}

/* Frames are passed round, shared and written to when they are not; any hart may be the last that has one. */
static void pass_round(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    pfn_t held[HELD_MAX];
    unsigned n = 0;
    barrier_wait(&shared.barrier);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = rng_below(&rng, 8), i = n ? rng_below(&rng, n) : 0;
        if (n == 0 || (what == 0 && n < HELD_MAX)) {
            held[n] = frame_alloc(&shared.fa, 0, 0);
            ASSERT(!pfn_is_none(held[n]));
            write_frame(held[n++], step);
        } else if (what < 4) {
            ASSERT(frame_get(&shared.refs, held[i]) == 0);
            pfn_t theirs = exchange(&rng, held[i]);
            if (theirs.value == EMPTY_MAILBOX)
                continue;
            check_frame(theirs);
            if (n < HELD_MAX)
                held[n++] = theirs;
            else
                give_up(theirs);
        } else if (what < 6) {
            held[i] = write_fault(held[i], step);
        } else {
            give_up(held[i]);
            held[i] = held[--n];
        }
    }
    while (n > 0)
        give_up(held[--n]);
}

/* Spins, where barrier_wait() would give the processor away: all shall leave at the same instant. */
static void meet_closely(unsigned meeting)
{
    atomic_fetch_add(&shared.arrivals, 1);
    for (unsigned turn = 1; atomic_load(&shared.arrivals) < meeting * shared.nharts; turn++)
        if (turn % 64 == 0)
            cpu_relax();
}

/* All harts give up the same frame at once; one of them is the last, and it is free when they are done. */
static void leave_together(void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (hart_index() == 0) {
            shared.common = frame_alloc(&shared.fa, 0, 0);
            ASSERT(!pfn_is_none(shared.common));
            write_frame(shared.common, round);
            for (unsigned i = 1; i < shared.nharts; i++)
                ASSERT(frame_get(&shared.refs, shared.common) == 0);
        }
        meet_closely(2 * round + 1);
        check_frame(shared.common);
        if (frame_put(&shared.refs, shared.common, 0))
            atomic_fetch_add(&shared.last_puts, 1);
        meet_closely(2 * round + 2);
        ASSERT(atomic_load(&shared.last_puts) == round + 1);
    }
}

static void empty_mailboxes(void)
{
    for (unsigned i = 0; i < MAILBOXES; i++) {
        pfn_t pfn = PFN(atomic_exchange_explicit(&shared.mailbox[i], EMPTY_MAILBOX, memory_order_acq_rel));
        if (pfn.value != EMPTY_MAILBOX)
            give_up(pfn);
    }
}

/* On every design: the order from the last owner to the next is half the allocator's. Locks are not the subject. */
static void on_all(void (*test)(void *seed), unsigned nharts)
{
    void *memory = aligned_alloc(PAGE_BYTES, NFRAMES * PAGE_BYTES);
    host_map_frames(memory, BASE);
    void *counts = aligned_alloc(CACHE_LINE_BYTES, frame_refs_bytes(NFRAMES));
    for (uint64_t d = 0; frame_allocator_at(d); d++) {
        const struct frame_allocator_ops *ops = frame_allocator_at(d);
        void *metadata =
            aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(ops->metadata_size(NFRAMES, nharts), CACHE_LINE_BYTES));
        assert_int_equal(
            frame_allocator_init(&shared.fa, ops, &lock_ttas, "tsan", metadata, BASE, NFRAMES, nharts), 0);
        frame_refs_init(&shared.refs, &shared.fa, counts);
        shared.nharts = nharts;
        shared.arrivals = shared.last_puts = 0;
        barrier_init(&shared.barrier, nharts);
        host_run_harts(nharts, test, &d);
        empty_mailboxes();
        assert_int_equal(frame_validate(&shared.fa, 0), 0);
        assert_int_equal(frame_refs_validate(&shared.refs, 0), 0);
        assert_int_equal(shared.fa.misuse_count, 0);
        free(metadata);
    }
    free(counts);
    free(memory);
}

static void test_frames_passed_round(void **state)
{
    (void)state;
    on_all(pass_round, 2);
    on_all(pass_round, 8);
}

static void test_all_leave_together(void **state)
{
    (void)state;
    on_all(leave_together, 2);
    on_all(leave_together, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_passed_round),
        cmocka_unit_test(test_all_leave_together),
    };
    return cmocka_run_group_tests_name("frame references under threads", tests, NULL, NULL);
}
