/*
 * The quarantine of freed frames over every design: a frame in it is not handed out, whatever is written to one is found when it
 * leaves, accounts are as without it, and all come back.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "mm/frame/frame_quarantine.h"
#include "shim/frame_model.h"
#include "shim/host.h"

#define NFRAMES 256
#define NHARTS  3
#define ROOM    4

static struct {
    struct frame_allocator fa;
    struct frame_quarantine quarantine;
    void *metadata, *memory, *queues;
    struct frame_damage found;
    unsigned nfound;
} test;

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(PAGE_BYTES, ALIGN_UP(bytes, (size_t)PAGE_BYTES));
    memset(memory, 0x5a, bytes);
    return memory;
}

static void note(const struct frame_damage *damage)
{
    test.found = *damage;
    test.nfound++;
}

static void start(const struct frame_allocator_ops *ops)
{
    host_become_hart(0);
    test.metadata = allocate(ops->metadata_size(NFRAMES, NHARTS));
    test.memory = allocate(NFRAMES * PAGE_BYTES);
    test.queues = allocate(frame_quarantine_bytes(NHARTS, ROOM));
    test.nfound = 0;
    host_map_frames(test.memory, MODEL_BASE);
    assert_int_equal(frame_allocator_init(
                         &test.fa, ops, &lock_tas, "quarantine", test.metadata, MODEL_BASE, NFRAMES, NHARTS),
        0);
    frame_quarantine_attach(&test.quarantine, &test.fa, test.queues, ROOM, note);
}

static void finish(void)
{
    host_become_hart(0);
    frame_quarantine_detach(&test.quarantine);
    assert_ptr_equal(test.fa.ops->free, test.fa.free);
    assert_int_equal(frame_validate(&test.fa, 0), 0);
    assert_int_equal(test.fa.misuse_count, 0);
    free(test.metadata);
    free(test.memory);
    free(test.queues);
}

static void each_design(void (*run)(void))
{
    for (size_t i = 0; frame_allocator_at(i); i++) {
        start(frame_allocator_at(i));
        run();
        finish();
    }
}

static uint32_t *words_of(pfn_t pfn)
{
    return pfn_to_direct(pfn);
}

/* --- what waits ---------------------------------------------------------------------------------------- */

static void keep_apart(void)
{
    pfn_t held[NFRAMES], freed[ROOM];
    size_t n = 0;
    for (unsigned i = 0; i < ROOM; i++)
        freed[i] = frame_alloc(&test.fa, 0, 0);
    for (unsigned i = 0; i < ROOM; i++)
        frame_free(&test.fa, freed[i], 0);
    assert_int_equal(frame_quarantine_held(&test.quarantine), ROOM);
    assert_int_equal(frame_free_count(&test.fa), NFRAMES);
    assert_int_equal(frame_validate(&test.fa, 0), 0);
    for (; n < NFRAMES - ROOM; n++) {
        held[n] = frame_alloc(&test.fa, 0, 0);
        for (unsigned i = 0; i < ROOM; i++)
            assert_false(pfn_equal(held[n], freed[i]));
    }
    for (unsigned i = 0; i < ROOM; i++)
        for (unsigned k = 0; k < PAGE_BYTES / 4; k++)
            assert_int_equal(words_of(freed[i])[k], frame_poison(freed[i]));
    assert_int_equal(frame_free_count(&test.fa), ROOM);
    for (; n < NFRAMES; n++) { /* before it would be out of memory they go */
        held[n] = frame_alloc(&test.fa, 0, 0);
        assert_false(pfn_is_none(held[n]));
        assert_int_equal(frame_quarantine_held(&test.quarantine), 0);
    }
    assert_true(pfn_is_none(frame_alloc(&test.fa, 0, 0)));
    for (unsigned hart = 0; n > 0; hart = (hart + 1) % NHARTS) {
        host_become_hart(hart);
        frame_free(&test.fa, held[--n], 0);
    }
    assert_int_equal(frame_quarantine_held(&test.quarantine), NHARTS * ROOM);
    assert_int_equal(frame_validate(&test.fa, 0), 0);
    frame_drain(&test.fa);
    assert_int_equal(frame_quarantine_held(&test.quarantine), 0);
    assert_int_equal(test.nfound, 0);
}

static void test_what_waits_is_not_handed_out(void **state)
{
    (void)state;
    each_design(keep_apart);
}

/* Larger blocks pass through, and find what there is. */
static void take_blocks(void)
{
    pfn_t frame = frame_alloc(&test.fa, 0, 0);
    frame_free(&test.fa, frame, 0);
    for (unsigned order = 1; order <= test.fa.ops->order_max && 1u << order <= NFRAMES; order++) {
        pfn_t block = frame_alloc(&test.fa, order, 0);
        if (pfn_is_none(block)) {
            assert_false(test.fa.ops->finds_every_block);
            continue;
        }
        uint32_t before = words_of(block)[0] = 1;
        frame_free(&test.fa, block, order);
        assert_true(words_of(block)[0] == before || !frame_is_poison(words_of(block)[0]));
    }
    assert_int_equal(test.nfound, 0);
}

static void test_blocks_pass_through(void **state)
{
    (void)state;
    each_design(take_blocks);
}

/* --- damage -------------------------------------------------------------------------------------------- */

enum way_out { BY_ROOM, BY_DRAIN, BY_SHORTAGE, BY_DETACH, WAYS_OUT };

static void leave(enum way_out way)
{
    static pfn_t held[NFRAMES];
    size_t n = 0;
    switch (way) {
    case BY_ROOM:
        for (; n < ROOM; n++)
            held[n] = frame_alloc(&test.fa, 0, 0);
        break;
    case BY_DRAIN: frame_drain(&test.fa); break;
    case BY_SHORTAGE:
        for (pfn_t pfn; !pfn_is_none(pfn = frame_alloc(&test.fa, 0, 0));)
            held[n++] = pfn;
        assert_int_equal(n, NFRAMES);
        break;
    default: frame_quarantine_detach(&test.quarantine);
    }
    while (n > 0)
        frame_free(&test.fa, held[--n], 0);
}

static void damage_one(enum way_out way, size_t offset)
{
    start(frame_allocator_find("bitmap"));
    host_become_hart(1);
    pfn_t pfn = frame_alloc(&test.fa, 0, 0);
    frame_quarantine_note(0x123000);
    frame_free(&test.fa, pfn, 0);
    words_of(pfn)[offset / 4] ^= 1u << 31;
    leave(way);
    assert_int_equal(test.nfound, 1);
    assert_true(pfn_equal(test.found.pfn, pfn));
    assert_int_equal(test.found.hart, 1);
    assert_int_equal(test.found.vaddr, 0x123000);
    assert_int_equal(test.found.offset, ALIGN_DOWN(offset, (size_t)8));
    assert_int_equal(test.found.found ^ test.found.expected, offset % 8 ? 1ull << 63 : 1ull << 31);
    if (way == BY_DETACH) /* once more does no harm */
        frame_quarantine_attach(&test.quarantine, &test.fa, test.queues, ROOM, note);
    finish();
    assert_int_equal(test.nfound, 1);
}

static void test_damage_is_found_whichever_way_it_leaves(void **state)
{
    (void)state;
    for (enum way_out way = 0; way < WAYS_OUT; way++)
        for (size_t offset = 0; offset < PAGE_BYTES; offset += offset < 16 ? 4 : 1020)
            damage_one(way, offset);
}

/* A note is of one free. */
static void test_a_note_is_used_once(void **state)
{
    (void)state;
    start(frame_allocator_find("bitmap"));
    pfn_t first = frame_alloc(&test.fa, 0, 0), second = frame_alloc(&test.fa, 0, 0);
    frame_quarantine_note(0x123000);
    frame_free(&test.fa, first, 0);
    frame_free(&test.fa, second, 0);
    words_of(second)[0] = 0;
    frame_drain(&test.fa);
    assert_int_equal(test.nfound, 1);
    assert_int_equal(test.found.vaddr, 0);
    finish();
}

static void test_a_double_free_is_refused(void **state)
{
    (void)state;
    start(frame_allocator_find("bitmap"));
    pfn_t pfn = frame_alloc(&test.fa, 0, 0);
    frame_free(&test.fa, pfn, 0);
    host_console_capture();
    host_become_hart(2);
    frame_free(&test.fa, pfn, 0);
    assert_non_null(strstr(host_console_release(), "double free"));
    assert_int_equal(test.fa.misuse_count, 1);
    assert_int_equal(test.fa.last_misuse.kind, FRAME_MISUSE_DOUBLE_FREE);
    assert_int_equal(frame_quarantine_held(&test.quarantine), 1);
    test.fa.misuse_count = 0;
    finish();
}

/* --- rounds -------------------------------------------------------------------------------------------- */

static void look(unsigned hart)
{
    host_become_hart(hart);
    frame_quarantine_end(&test.quarantine, frame_quarantine_begin(&test.quarantine));
}

static bool is_short(unsigned hart)
{
    host_become_hart(hart);
    return frame_quarantine_is_short(&test.quarantine);
}

static void free_some(unsigned hart, unsigned n)
{
    pfn_t held[ROOM];
    host_become_hart(hart);
    for (unsigned i = 0; i < n; i++)
        held[i] = frame_alloc(&test.fa, 0, 0);
    for (unsigned i = 0; i < n; i++)
        frame_free(&test.fa, held[i], 0);
}

static void test_who_has_much_that_was_not_looked_for_is_short(void **state)
{
    (void)state;
    start(frame_allocator_find("bitmap"));
    free_some(0, ROOM);
    assert_false(is_short(0)); /* nobody looks */
    frame_quarantine_watch(&test.quarantine);
    assert_true(is_short(0));
    assert_false(is_short(1));
    for (unsigned hart = 0; hart < NHARTS; hart++) {
        assert_true(is_short(0));
        look(hart);
    }
    assert_false(is_short(0));
    free_some(0, ROOM / 2);
    assert_false(is_short(0)); /* half of them */
    host_become_hart(1);
    uint64_t early = frame_quarantine_begin(&test.quarantine);
    free_some(0, 1);
    assert_true(is_short(0));
    look(0);
    look(2);
    host_become_hart(1);
    frame_quarantine_end(&test.quarantine,
        early); /* a round that began before the last was freed: which is one, and the others half */
    assert_false(is_short(0));
    free_some(0, ROOM / 2);
    assert_true(is_short(0));
    finish();
}

/* --- two who have no memory ----------------------------------------------------------------------------- */

static const struct frame_allocator_ops *behind;
static bool raced;

/* Finds nothing, and before the caller sees to it another hart has. */
static pfn_t find_nothing_once(struct frame_allocator *fa, unsigned order)
{
    if (raced)
        return behind->alloc(fa, order);
    raced = true;
    host_become_hart(1);
    frame_drain(fa);
    host_become_hart(0);
    return PFN_NONE;
}

static void let_another_be_first(void)
{
    behind = test.quarantine.behind;
    struct frame_allocator_ops racing = *behind;
    racing.alloc = find_nothing_once;
    pfn_t pfn = frame_alloc(&test.fa, 0, 0);
    frame_free(&test.fa, pfn, 0);
    test.quarantine.behind = &racing;
    raced = false;
    pfn = frame_alloc(&test.fa, 0, 0);
    assert_true(raced && !pfn_is_none(pfn));
    frame_free(&test.fa, pfn, 0);
    test.quarantine.behind = behind;
}

static void test_it_goes_on_when_another_has_emptied_it(void **state)
{
    (void)state;
    each_design(let_another_be_first);
}

/* --- poison -------------------------------------------------------------------------------------------- */

static void test_poison_says_which_frame(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 0x80000, 0x80001, 0x7fffff};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint32_t word = frame_poison(PFN(numbers[i]));
        assert_true(frame_is_poison(word));
        assert_int_equal(word & 1, 0); /* as an entry of a page table it is not valid */
        assert_int_equal(frame_of_poison(word).value, numbers[i]);
    }
    assert_false(frame_is_poison(0) || frame_is_poison(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_is_not_handed_out),
        cmocka_unit_test(test_blocks_pass_through),
        cmocka_unit_test(test_damage_is_found_whichever_way_it_leaves),
        cmocka_unit_test(test_a_note_is_used_once),
        cmocka_unit_test(test_a_double_free_is_refused),
        cmocka_unit_test(test_who_has_much_that_was_not_looked_for_is_short),
        cmocka_unit_test(test_it_goes_on_when_another_has_emptied_it),
        cmocka_unit_test(test_poison_says_which_frame),
    };
    return cmocka_run_group_tests_name("quarantine of frames", tests, NULL, NULL);
}
