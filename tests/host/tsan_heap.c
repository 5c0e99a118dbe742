/*
 * The heaps with threads as harts, under ThreadSanitizer. Every block held has a pattern in it that was written with plain
 * stores: the sanitizer reports a block that two harts have at once, and one that moves from hart to hart without
 * the order that makes the last owner's writes visible. Half of all blocks are freed by another hart than had them.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/rng.h"
#include "mm/heap/heap.h"
#include "shim/host.h"
#include "shim/recording.h"
#include "smp/barrier.h"

#define BASE         PFN(0x80000)
#define FRAMES       2048
#define BLOCKS_MAX   64 /* that one hart holds */
#define MAILBOXES    16
#define STEPS        3000
#define RACING_FREES 1000

static struct {
    struct frame_allocator frames;
    struct heap heap;
    struct barrier barrier;
    _Atomic(uint64_t *) mailbox[MAILBOXES]; /* blocks on their way from one hart to another */
    uint64_t *contested; /* freed by two harts at once */
    _Atomic unsigned arrivals;
    struct recording *recording;
} shared;

/* The first word is the number of words; plain accesses: that is the point. */
static void write_pattern(uint64_t *block, size_t bytes)
{
    size_t words = bytes / sizeof(*block);
    block[0] = words;
    for (size_t i = 1; i < words; i += i < 16 ? 1 : words / 8)
        block[i] = (uintptr_t)block ^ i << 32;
}

static void check_pattern(const uint64_t *block)
{
    size_t words = block[0];
    for (size_t i = 1; i < words; i += i < 16 ? 1 : words / 8)
        ASSERT(block[i] == ((uintptr_t)block ^ i << 32));
}

static void drop(uint64_t *block)
{
    check_pattern(block);
    heap_free(&shared.heap, block);
}

static size_t some_size(struct rng *rng)
{
    static const size_t most[] = {64, 64, 256, 256, 1024, 5000, 20000, 150000};
    return sizeof(uint64_t) + rng_below(rng, most[rng_below(rng, ARRAY_SIZE(most))]);
}

static uint64_t *acquire(struct rng *rng)
{
    size_t bytes = some_size(rng);
    uint64_t *block = rng_below(rng, 16) ? heap_alloc(&shared.heap, bytes)
                                         : heap_alloc_aligned(&shared.heap, bytes, 32u << rng_below(rng, 8));
    if (block)
        write_pattern(block, bytes);
    return block;
}

static void resize(struct rng *rng, uint64_t **block)
{
    size_t bytes = some_size(rng);
    check_pattern(*block);
    uint64_t *moved = heap_realloc(&shared.heap, *block, bytes);
    if (!moved)
        return;
    write_pattern(moved, bytes);
    *block = moved;
}

/* Swaps a block of ours for what lies in a mailbox. Both orders: our pattern goes with our block, the other's pattern
 * comes with its block. */
static uint64_t *exchange(struct rng *rng, uint64_t *block)
{
    return atomic_exchange_explicit(&shared.mailbox[rng_below(rng, MAILBOXES)], block, memory_order_acq_rel);
}

static void mixed(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    uint64_t *held[BLOCKS_MAX];
    unsigned n = 0;
    barrier_wait(&shared.barrier);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = rng_below(&rng, 16);
        if (what < 8 && n < BLOCKS_MAX) {
            held[n] = acquire(&rng);
            n += held[n] != NULL;
        } else if (n > 0) {
            uint64_t **one = &held[rng_below(&rng, n)];
            if (what == 15) {
                resize(&rng, one);
                continue;
            }
            uint64_t *gone = what % 2 ? exchange(&rng, *one) : *one;
            if (gone)
                drop(gone);
            *one = held[--n];
        }
    }
    while (n > 0)
        drop(held[--n]);
}

static void empty_mailboxes(void)
{
    for (unsigned i = 0; i < MAILBOXES; i++) {
        uint64_t *block = atomic_exchange_explicit(&shared.mailbox[i], NULL, memory_order_acq_rel);
        if (block)
            drop(block);
    }
}

/* One hart allocates and the next frees, all the time: what a cache of the freeing hart's would never give back. */
static void relay(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    _Atomic(uint64_t *) *ours = &shared.mailbox[hart_index()];
    _Atomic(uint64_t *) *next = &shared.mailbox[(hart_index() + 1) % shared.heap.nharts];
    barrier_wait(&shared.barrier);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t *block = heap_alloc(&shared.heap, 64);
        if (block)
            write_pattern(block, 64);
        block = atomic_exchange_explicit(next, block, memory_order_acq_rel);
        if (block)
            drop(block);
        block = atomic_exchange_explicit(ours, NULL, memory_order_acq_rel);
        if (block)
            drop(block);
    }
}

/* Spins, where barrier_wait() would give the processor away: the two shall leave at the same instant. */
static void meet_closely(unsigned arrivals)
{
    atomic_fetch_add(&shared.arrivals, 1);
    for (unsigned turn = 1; atomic_load(&shared.arrivals) < arrivals; turn++)
        if (turn % 4096 == 0)
            cpu_relax();
}

/* Two harts free the same block at the same time; one of them is right. With a neighbour, so that pages of small ones
 * stay. @argument: the size */
static void racing_frees(void *argument)
{
    void *neighbour = hart_index() == 0 ? heap_alloc(&shared.heap, 64) : NULL;
    for (unsigned round = 0; round < RACING_FREES; round++) {
        if (hart_index() == 0)
            shared.contested = heap_alloc(&shared.heap, *(const size_t *)argument);
        meet_closely(6 * round + 2);
        heap_free(&shared.heap, shared.contested);
        meet_closely(6 * round + 4);
        if (hart_index() == 0 && atomic_load(&shared.heap.misuse_count) <= round)
            heap_drain(&shared.heap); /* the latest that it may be found out */
        meet_closely(6 * round + 6);
        ASSERT(atomic_load(&shared.heap.misuse_count) == round + 1);
        ASSERT(atomic_load(&shared.frames.misuse_count) == 0);
    }
    heap_free(&shared.heap, neighbour);
}

static void on_one(void (*test)(void *argument), const struct heap_ops *ops, const struct lock_ops *lock_kind,
    unsigned nharts, unsigned flags, uint64_t argument)
{
    const struct frame_allocator_ops *frames = frame_allocator_find("hartcache");
    void *frames_metadata =
        aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(frames->metadata_size(FRAMES, nharts), CACHE_LINE_BYTES));
    void *metadata =
        aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(heap_metadata_size(ops, FRAMES, nharts), CACHE_LINE_BYTES));
    assert_int_equal(frame_allocator_init(
                         &shared.frames, frames, &lock_ttas, "tsan", frames_metadata, BASE, FRAMES, nharts),
        0);
    assert_int_equal(heap_init(&shared.heap, ops, lock_kind, "tsan", &shared.frames, metadata, flags), 0);
    shared.arrivals = 0;
    barrier_init(&shared.barrier, nharts);
    host_run_harts(nharts, test, &argument);
    empty_mailboxes();
    assert_int_equal(heap_validate(&shared.heap, 0), 0);
    heap_drain(&shared.heap);
    assert_int_equal(heap_reserved_bytes(&shared.heap), 0);
    assert_int_equal(heap_validate(&shared.heap, 0), 0);
    assert_int_equal(frame_validate(&shared.frames, 0), 0);
    free(frames_metadata);
    free(metadata);
}

/* What `argument` is, the test says: a seed or a size. What designs may do wrong with a lock shows under the kind that needs its node from the acquire to the release; the
 * kinds themselves are tsan_lock.c's subject. */
static void on_all(void (*test)(void *argument), unsigned nharts, unsigned flags, uint64_t argument)
{
    void *memory = aligned_alloc(HEAP_BYTES_MAX, FRAMES * PAGE_BYTES);
    host_map_frames(memory, BASE);
    for (size_t d = 0; heap_design_at(d); d++) {
        on_one(test, heap_design_at(d), &lock_ttas, nharts, flags, argument);
        if (!heap_design_at(d)->lockless)
            on_one(test, heap_design_at(d), &lock_mcs, nharts, flags, argument);
    }
    free(memory);
}

static void test_mixed(void **state)
{
    (void)state;
    on_all(mixed, 2, 0, 1);
    on_all(mixed, 3, HEAP_GUARD | HEAP_PEAK, 2);
    on_all(mixed, 8, 0, 3);
}

static void test_relay(void **state)
{
    (void)state;
    on_all(relay, 2, 0, 1);
    on_all(relay, 5, 0, 2);
}

/* All harts' calls in one order, in which none ends what has not been made, nor twice; and all have ended at last. */
static void recorded(void *argument)
{
    if (hart_index() == 0)
        shared.recording = recording_start(&shared.heap, 4 * STEPS * shared.heap.nharts);
    barrier_wait(&shared.barrier);
    mixed(argument);
    barrier_wait(&shared.barrier);
    if (hart_index() != 0)
        return;
    empty_mailboxes();
    recording_stop(shared.recording, &shared.heap);
    ASSERT(heap_record_lost(&shared.recording->recorder) == 0);
    ASSERT(shared.recording->nlive == 0 && shared.recording->trace.calls > STEPS);
    ASSERT(shared.recording->trace.threads == shared.heap.nharts);
    recording_free(shared.recording);
}

static void test_recorded(void **state)
{
    (void)state;
    on_all(recorded, 4, 0, 5);
}

static void test_racing_frees(void **state)
{
    (void)state;
    host_console_capture();
    on_all(racing_frees, 2, 0, 64);
    on_all(racing_frees, 2, 0, HEAP_BYTES_MAX); /* a span */
    host_console_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_racing_frees),
    };
    return cmocka_run_group_tests_name("heap under threads", tests, NULL, NULL);
}
