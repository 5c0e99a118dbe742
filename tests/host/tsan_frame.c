/*
 * The frame allocators with threads as harts, under ThreadSanitizer. Every frame held has a pattern in it
 * that was written with plain stores: the sanitizer reports a frame that two harts have at once, and one that
 * moves from hart to hart without the order that makes the last owner's writes visible.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/rng.h"
#include "mm/frame/frame.h"
#include "shim/host.h"
#include "smp/barrier.h"

#define BASE            PFN(0x80000)
#define NFRAMES_MAX     4096
#define BLOCKS_MAX      64 /* that one hart holds */
#define MAILBOXES       16
#define STEPS           3000
#define NEIGHBOUR_STEPS 50000 /* what could go wrong takes a few instructions of an operation */
#define RACING_FREES    1000
#define VAIN_REQUESTS   30
#define EMPTY_MAILBOX   0 /* frame 0 is in no arena of this test */

struct block {
    pfn_t pfn;
    unsigned order;
};

static struct {
    struct frame_allocator fa;
    unsigned nharts;
    struct barrier barrier;

    /* Blocks on their way from one hart to another: pfn << 4 | order. */
    _Atomic uint64_t mailbox[MAILBOXES];

    /* Frames that are held, being asked for, or being freed: an upper bound of what is not free. */
    _Atomic size_t claimed;

    pfn_t contested; /* freed by two harts at once */
    _Atomic unsigned arrivals;
    _Atomic bool done;
} shared;

/* Plain accesses: that is the point. One word a page keeps the sanitizer's shadow small. */
static void write_pattern(struct block block)
{
    for (size_t i = 0; i < 1u << block.order; i++)
        *(uint64_t *)pfn_to_direct(pfn_add(block.pfn, i)) = block.pfn.value ^ i << 32;
}

static void check_pattern(struct block block)
{
    for (size_t i = 0; i < 1u << block.order; i++)
        ASSERT(*(uint64_t *)pfn_to_direct(pfn_add(block.pfn, i)) == (block.pfn.value ^ i << 32));
}

static void free_block(struct block block)
{
    check_pattern(block);
    frame_free(&shared.fa, block.pfn, block.order);
}

/* Swaps a block of ours for what lies in a mailbox. */
static bool exchange(struct rng *rng, struct block *block)
{
    uint64_t mine = block->pfn.value << 4 | block->order;
    /* Both orders: our pattern goes with our block, the other's pattern comes with its block. */
    uint64_t theirs =
        atomic_exchange_explicit(&shared.mailbox[rng_below(rng, MAILBOXES)], mine, memory_order_acq_rel);
    *block = (struct block){PFN(theirs >> 4), theirs & 15};
    return theirs != EMPTY_MAILBOX;
}

static void empty_mailboxes(void)
{
    for (unsigned i = 0; i < MAILBOXES; i++) {
        uint64_t block = atomic_exchange_explicit(&shared.mailbox[i], EMPTY_MAILBOX, memory_order_acq_rel);
        if (block != EMPTY_MAILBOX)
            free_block((struct block){PFN(block >> 4), block & 15});
    }
}

/* Random orders and lifetimes; half of what is freed was allocated by somebody else. */
static void mixed(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    struct block held[BLOCKS_MAX];
    unsigned n = 0;
    barrier_wait(&shared.barrier);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = rng_below(&rng, 8);
        if (what < 4 && n < BLOCKS_MAX) {
            struct block block = {.order = rng_below(&rng, 4) ? 0 : rng_below(&rng, FRAME_ORDER_MAX + 1)};
            block.pfn = frame_alloc(&shared.fa, block.order, 0);
            if (pfn_is_none(block.pfn))
                continue;
            write_pattern(block);
            held[n++] = block;
        } else if (n > 0) {
            struct block *last = &held[rng_below(&rng, n)];
            if (what % 2 == 0 || exchange(&rng, last)) {
                free_block(*last);
            }
            *last = held[--n];
        }
    }
    while (n > 0)
        free_block(held[--n]);
}

/*
 * No allocation may fail while a frame is free. A hart claims a frame before it asks and gives the claim up
 * after it has freed; as there are never more claims than frames, one frame at least is free during the whole
 * of every call, and PFN_NONE is wrong at any time.
 */
static void exhausting(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    /* All the arena's frames, if the others happen to have none. */
    struct block *held = calloc(shared.fa.nframes, sizeof(*held));
    size_t n = 0;
    barrier_wait(&shared.barrier);
    for (unsigned step = 0; step < 2 * STEPS; step++) {
        /* Three in four while there is room: the arena stays all but empty. */
        if (rng_below(&rng, 4) != 0) {
            if (atomic_fetch_add(&shared.claimed, 1) < shared.fa.nframes) {
                struct block block = {.pfn = frame_alloc(&shared.fa, 0, 0)};
                ASSERT(!pfn_is_none(block.pfn));
                write_pattern(block);
                held[n++] = block;
                continue;
            }
            atomic_fetch_sub(&shared.claimed, 1);
        }
        if (n > 0) {
            free_block(held[--n]);
            atomic_fetch_sub(&shared.claimed, 1);
        }
    }
    while (n > 0)
        free_block(held[--n]);
    free(held);
}

/* Small blocks side by side in so few frames that all harts have theirs in the same words: no right free may be
 * refused for what happens to a neighbour meanwhile. */
static void side_by_side(void *argument)
{
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    barrier_wait(&shared.barrier);
    for (unsigned step = 0; step < NEIGHBOUR_STEPS; step++) {
        struct block block = {.order = MIN(1 + rng_below(&rng, 3), shared.fa.ops->order_max)};
        block.pfn = frame_alloc(&shared.fa, block.order, 0);
        if (pfn_is_none(block.pfn))
            continue;
        write_pattern(block);
        free_block(block);
    }
    ASSERT(atomic_load(&shared.fa.misuse_count) == 0);
}

/* Spins, where barrier_wait() would give the processor away: the two shall leave at the same instant. */
static void meet_closely(unsigned arrivals)
{
    atomic_fetch_add(&shared.arrivals, 1);
    for (unsigned turn = 1; atomic_load(&shared.arrivals) < arrivals; turn++)
        if (turn % 4096 == 0)
            cpu_relax();
}

/* Two harts free the same frame at the same time; one of them is right. */
static void racing_frees(void *argument)
{
    (void)argument;
    for (unsigned round = 0; round < RACING_FREES; round++) {
        if (hart_index() == 0)
            shared.contested = frame_alloc(&shared.fa, 0, 0);
        meet_closely(6 * round + 2);
        frame_free(&shared.fa, shared.contested, 0);
        meet_closely(6 * round + 4);
        if (hart_index() == 0 && atomic_load(&shared.fa.misuse_count) <= round)
            frame_drain(&shared.fa); /* the latest that it may be found out */
        meet_closely(6 * round + 6);
        ASSERT(atomic_load(&shared.fa.misuse_count) == round + 1);
    }
}

/* Hart 0 asks for huge blocks, of which each has a frame in use, while the others allocate and free single frames as
 * fast as they can, and do not stop before it has been answered. */
static void asking_in_vain(void *argument)
{
    pfn_t kept[2 * 512];
    size_t n = 0;
    (void)argument;
    if (hart_index() == 0) {
        shared.done = false;
        while (n < shared.fa.nframes)
            kept[n++] = frame_alloc(&shared.fa, 0, 0);
        for (size_t i = n; i-- > 0;)
            if (kept[i].value % 512 != 0)
                frame_free(&shared.fa, kept[i], 0);
    }
    barrier_wait(&shared.barrier);
    if (hart_index() == 0) {
        for (unsigned i = 0; i < VAIN_REQUESTS; i++)
            ASSERT(pfn_is_none(frame_alloc(&shared.fa, FRAME_ORDER_HUGE, 0)));
        atomic_store(&shared.done, true);
        for (size_t i = 0; i < n; i++)
            if (kept[i].value % 512 == 0)
                frame_free(&shared.fa, kept[i], 0);
    }
    while (!atomic_load(&shared.done)) {
        pfn_t pfn = frame_alloc(&shared.fa, 0, 0);
        ASSERT(!pfn_is_none(pfn));
        frame_free(&shared.fa, pfn, 0);
    }
}

/* What designs may do wrong with a lock shows under the kind that needs its node from the acquire to the release; the
 * kinds themselves are tsan_lock.c's subject. The kernel's own is the other one. */
static const struct lock_ops *const kinds[] = {&lock_ttas, &lock_mcs};

static void on_one(void (*test)(void *seed), const struct frame_allocator_ops *ops,
    const struct lock_ops *lock_kind, size_t nframes, unsigned nharts, uint64_t seed)
{
    size_t bytes = ALIGN_UP(ops->metadata_size(nframes, nharts), CACHE_LINE_BYTES);
    void *metadata = aligned_alloc(CACHE_LINE_BYTES, bytes);
    assert_int_equal(
        frame_allocator_init(&shared.fa, ops, lock_kind, "tsan", metadata, BASE, nframes, nharts), 0);
    shared.claimed = 0;
    shared.arrivals = 0;
    barrier_init(&shared.barrier, nharts);
    host_run_harts(nharts, test, &seed);
    empty_mailboxes();
    assert_int_equal(frame_validate(&shared.fa, 0), 0);
    frame_drain(&shared.fa);
    assert_int_equal(frame_validate(&shared.fa, 0), 0);
    free(metadata);
}

/* Runs a test on every design. */
static void on_all(void (*test)(void *seed), size_t nframes, unsigned nharts)
{
    void *memory = aligned_alloc(PAGE_BYTES, nframes * PAGE_BYTES);
    host_map_frames(memory, BASE);
    uint64_t seed = 1;
    for (size_t d = 0; frame_allocator_at(d); d++) {
        const struct frame_allocator_ops *ops = frame_allocator_at(d);
        for (size_t k = 0; k < (ops->lockless ? 1 : ARRAY_SIZE(kinds)); k++)
            on_one(test, ops, kinds[k], nframes, nharts, seed++);
    }
    free(memory);
}

static void test_mixed(void **state)
{
    (void)state;
    on_all(mixed, NFRAMES_MAX, 2);
    on_all(mixed, NFRAMES_MAX, 3);
    on_all(mixed, NFRAMES_MAX, 8);
}

static void test_neighbours_do_not_matter(void **state)
{
    (void)state;
    on_all(side_by_side, 64, 2);
}

static void test_no_failure_while_frames_are_free(void **state)
{
    (void)state;
    on_all(exhausting, 600, 2);
    on_all(exhausting, 600, 5);
    /* So large that the harts of "llfree" reserve parts of it. */
    on_all(exhausting, 2100, 2);
    /* So small that no hart has a stack, and that more harts ask than there are frames. */
    on_all(exhausting, 13, 3);
    on_all(exhausting, 5, 8);
}

static void test_vain_requests_are_answered(void **state)
{
    (void)state;
    on_all(asking_in_vain, 2 * 512, 3);
}

static void test_racing_frees(void **state)
{
    (void)state;
    host_console_capture();
    on_all(racing_frees, 256, 2);
    host_console_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_neighbours_do_not_matter),
        cmocka_unit_test(test_no_failure_while_frames_are_free),
        cmocka_unit_test(test_vain_requests_are_answered),
        cmocka_unit_test(test_racing_frees),
    };
    return cmocka_run_group_tests_name("frame under threads", tests, NULL, NULL);
}
