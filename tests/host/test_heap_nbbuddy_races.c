/*
 * The races of "nbbuddy", all of them: wherever a hart is about to swap a word another one is let in with an
 * operation of its own, and a third one wherever that one is, for every three operations and from states in which
 * there is something to fight about. In one thread, by an inject_due() of this program's own. And those by name that
 * a reader of mm/heap/nbbuddy.h would ask for.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "arch/panic.h"
#include "mm/heap/nbbuddy.h"
#include "shim/host.h"
#include "trace/inject.h"

bool __wrap_inject_due(enum inject point); /* the linker puts it into the place of the real one */

/* Two trees, over an allocator that passes no failure point, so nobody is let in while it holds its lock. */
#define BASE     PFN(0x80000)
#define TREES    2u
#define FRAMES   ((size_t)TREES * TREE_PAGES)
#define HARTS    3u
#define HELD_MAX 80u

struct block {
    uint8_t *pointer;
    size_t usable;
    uint8_t pattern;
};

static struct {
    struct frame_allocator frames;
    struct heap heap;
    void *memory, *frames_metadata, *metadata;
    struct block held[HELD_MAX];
    unsigned nheld, patterns;
    void *contested; /* what several harts free */
} test;

static void open_heap(size_t nframes)
{
    const struct frame_allocator_ops *frames = frame_allocator_find("buddy");
    const struct heap_ops *ops = heap_design_find("nbbuddy");
    host_become_hart(0);
    test.memory = aligned_alloc(HEAP_BYTES_MAX, ALIGN_UP(nframes * PAGE_BYTES, HEAP_BYTES_MAX));
    test.frames_metadata = aligned_alloc(
        CACHE_LINE_BYTES, ALIGN_UP(frames->metadata_size(nframes, HARTS), (size_t)CACHE_LINE_BYTES));
    test.metadata = aligned_alloc(
        CACHE_LINE_BYTES, ALIGN_UP(heap_metadata_size(ops, nframes, HARTS), (size_t)CACHE_LINE_BYTES));
    host_map_frames(test.memory, BASE);
    ASSERT(frame_allocator_init(
               &test.frames, frames, &lock_tas, "test", test.frames_metadata, BASE, nframes, HARTS) == 0);
    ASSERT(heap_init(&test.heap, ops, NULL, "test", &test.frames, test.metadata, 0) == 0);
    test.nheld = 0;
}

static void close_heap(void)
{
    ASSERT(frame_validate(&test.frames, 0) == 0);
    free(test.memory);
    free(test.frames_metadata);
    free(test.metadata);
}

/* All harts look in the first tree, and none keeps another one. */
static void gather_harts(void)
{
    for (unsigned i = 0; i < HARTS; i++)
        memset(&nbbuddy_of(&test.heap)->harts[i], 0, sizeof(struct nbbuddy_hart));
}

static void check_block(const struct block *block)
{
    for (size_t i = 0; i < block->usable; i++)
        ASSERT(block->pointer[i] == block->pattern);
}

/* Filled to its end, so a block that lies in another is noticed. */
static void *take(size_t bytes)
{
    struct block block = {.pointer = heap_alloc(&test.heap, bytes)};
    if (!block.pointer)
        return NULL;
    block.usable = heap_usable_size(&test.heap, block.pointer);
    block.pattern = ++test.patterns;
    ASSERT(block.usable >= bytes && test.nheld < HELD_MAX);
    memset(block.pointer, block.pattern, block.usable);
    test.held[test.nheld++] = block;
    return block.pointer;
}

/* It is nobody's from the beginning of its free. */
static void put(unsigned i)
{
    struct block block = test.held[i];
    test.held[i] = test.held[--test.nheld];
    check_block(&block);
    heap_free(&test.heap, block.pointer);
}

static void check_heap(void)
{
    ASSERT(heap_validate(&test.heap, test.nheld) == 0);
    for (unsigned i = 0; i < test.nheld; i++)
        check_block(&test.held[i]);
    ASSERT(test.heap.misuse_count == 0);
}

static void empty_heap(void)
{
    host_become_hart(0);
    while (test.nheld > 0)
        put(test.nheld - 1);
    check_heap();
    heap_drain(&test.heap);
    ASSERT(heap_reserved_bytes(&test.heap) == 0);
    check_heap();
}

enum operation {
    TAKE_LEAF,
    TAKE_HALF,
    TAKE_SLOT,
    TAKE_TREE,
    PUT_FIRST,
    PUT_LAST,
    CHURN_LEAF,
    GIVE_PAGES,
    OPERATIONS,
    PUT_CONTESTED
};

#define IS_TAKE(operation) ((operation) <= TAKE_TREE)

static const size_t sizes[] = {32, 512, 1024, 16384};

/* What runs when: operation i + 1 as hart i + 1, when operation i or one around it is to make its at[i]-th swap. */
static struct {
    enum operation operations[HARTS];
    unsigned at[HARTS - 1];
    bool got[HARTS];
    unsigned entered, passed;
    bool armed;
} plan;

static void operate(unsigned i)
{
    enum operation operation = plan.operations[i];
    host_become_hart(i);
    if (IS_TAKE(operation))
        plan.got[i] = take(sizes[operation]) != NULL;
    else if (operation == GIVE_PAGES) /* what a free does with the tree that its hart kept before */
        heap_drain(&test.heap);
    else if (operation == PUT_CONTESTED)
        heap_free(&test.heap, test.contested);
    else if (operation == CHURN_LEAF)
        heap_free(&test.heap, heap_alloc(&test.heap, sizes[TAKE_LEAF]));
    else if (test.nheld > 0)
        put(operation == PUT_FIRST ? 0 : test.nheld - 1);
}

bool __wrap_inject_due(enum inject point)
{
    if (point != INJECT_CAS || !plan.armed || plan.entered == HARTS - 1)
        return false;
    if (++plan.passed == plan.at[plan.entered]) {
        unsigned interrupted = hart_index();
        plan.passed = 0;
        operate(++plan.entered);
        host_become_hart(interrupted);
    }
    return false;
}

/* The states: nothing; a block, two, in a slot; the same and all else taken; a slot full but for a leaf, a tree that
 * is empty and there; one slot left; nothing left. */
#define STATES 8u

static void make_state(unsigned state)
{
    gather_harts();
    static const uint8_t leaves[STATES] = {0, 1, 2, 1, 31, 1, 0, 0},
                         slots[STATES] = {0, 0, 0, 15, 15, 0, 15, 16},
                         trees[STATES] = {0, 0, 0, 1, 1, 0, 1, 1};
    for (unsigned i = 0; i < leaves[state]; i++)
        ASSERT(take(sizes[TAKE_LEAF]));
    for (unsigned i = 0; i < slots[state]; i++)
        ASSERT(take(sizes[TAKE_SLOT]));
    for (unsigned i = 0; i < trees[state]; i++)
        ASSERT(take(sizes[TAKE_TREE]));
    if (state == 5)
        put(0);
    gather_harts();
    check_heap();
}

/* Where nothing was freed, who was told that there is nothing was told the truth; but pages that a hart has and has
 * not shown yet are nobody's. @reserved: before */
static void check_refusals(size_t reserved)
{
    if (reserved < FRAMES * PAGE_BYTES)
        return;
    for (unsigned i = 0; i < HARTS; i++)
        if (!IS_TAKE(plan.operations[i]))
            return;
    for (unsigned i = 0; i <= plan.entered; i++)
        if (!plan.got[i])
            ASSERT(take(sizes[plan.operations[i]]) == NULL);
}

static void run_plan(void)
{
    plan.entered = plan.passed = 0;
    plan.armed = true;
    operate(0);
    plan.armed = false;
    host_become_hart(0);
}

/* All moments at which the second and the third hart can come. @again: makes the state, runs the plan, and checks */
static unsigned run_all_moments(void (*again)(unsigned state), unsigned state)
{
    unsigned runs = 0;
    for (plan.at[0] = 1;; plan.at[0]++) {
        for (plan.at[1] = 1;; plan.at[1]++) {
            again(state);
            runs++;
            if (plan.entered == 0)
                return runs;
            if (plan.entered == 1)
                break;
        }
    }
}

static void run_three(unsigned state)
{
    make_state(state);
    size_t reserved = heap_reserved_bytes(&test.heap);
    run_plan();
    check_heap();
    check_refusals(reserved);
    empty_heap();
}

static void test_every_three_operations(void **state)
{
    (void)state;
    unsigned runs = 0;
    open_heap(FRAMES);
    for (unsigned start = 0; start < STATES; start++) {
        for (unsigned i = 0; i < OPERATIONS * OPERATIONS * OPERATIONS; i++) {
            plan.operations[0] = i % OPERATIONS;
            plan.operations[1] = i / OPERATIONS % OPERATIONS;
            plan.operations[2] = i / OPERATIONS / OPERATIONS;
            runs += run_all_moments(run_three, start);
        }
    }
    close_heap();
    assert_true(runs > 10000);
}

/* Of several that free a block one is right, whatever is beside it. */
static void free_contested(unsigned bytes)
{
    gather_harts();
    void *neighbour = bytes % 2 ? take(bytes) : NULL;
    test.contested = heap_alloc(&test.heap, bytes);
    run_plan();
    assert_int_equal(test.heap.misuse_count, plan.entered);
    if (plan.entered > 0)
        assert_int_equal(test.heap.last_misuse.pointer, test.contested);
    test.heap.misuse_count = 0;
    assert_int_equal(heap_usable_size(&test.heap, test.contested), 0);
    assert_int_equal(test.nheld, neighbour != NULL);
    empty_heap();
}

static void test_one_free_of_several_wins(void **state)
{
    (void)state;
    static const unsigned some[] = {32, 31, 512, 511, 1024, 1023, 8192, 8191, 16384};
    open_heap(FRAMES);
    host_console_capture();
    for (unsigned i = 0; i < HARTS; i++)
        plan.operations[i] = PUT_CONTESTED;
    for (unsigned i = 0; i < ARRAY_SIZE(some); i++)
        assert_true(run_all_moments(free_contested, some[i]) > 2);
    host_console_release();
    close_heap();
}

/* What is free is found wherever it is, though nothing says so, from wherever the search begins. */
static void test_last_resort(void **state)
{
    (void)state;
    enum { MANY = 600 }; /* more trees than a search looks at before it grows */
    static void *all[MANY];
    open_heap((size_t)MANY * TREE_PAGES);
    struct nbbuddy *self = nbbuddy_of(&test.heap);
    for (unsigned i = 0; i < MANY; i++)
        assert_non_null(all[i] = heap_alloc(&test.heap, sizes[TAKE_TREE]));
    for (unsigned i = 0; i < MANY; i += 7) {
        for (enum operation size = TAKE_LEAF; size <= TAKE_TREE; size++) {
            for (unsigned silent = 0; silent < 2; silent++) {
                assert_null(heap_alloc(&test.heap, 1));
                heap_free(&test.heap, all[i]);
                gather_harts();
                for (uint32_t k = 0; silent && k < self->nrooms; k++)
                    self->rooms[k] = 0;
                void *found = heap_alloc(&test.heap, sizes[size]);
                assert_ptr_equal(found, all[i]);
                heap_free(&test.heap, found);
                assert_ptr_equal(heap_alloc(&test.heap, sizes[TAKE_TREE]), all[i]);
            }
        }
    }
    for (unsigned i = 0; i < MANY; i++)
        heap_free(&test.heap, all[i]);
    empty_heap();
    close_heap();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_three_operations),
        cmocka_unit_test(test_one_free_of_several_wins),
        cmocka_unit_test(test_last_resort),
    };
    return cmocka_run_group_tests_name("heap nbbuddy races", tests, NULL, NULL);
}
