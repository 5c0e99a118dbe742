/*
 * What can be wrong in the metadata of "llfree", each thing put there by hand: its validation must notice, and say what
 * it is. An account that balances proves nothing if a wrong one balances, too.
 */
#include "unit.h"

#include <string.h>

#include "lib/error.h"
#include "mm/frame/llfree.h"
#include "shim/frame_model.h"
#include "shim/host.h"

/* 12 children and a part of one; trees of 2 children, as there are 3 harts: 7, the last with one. */
#define NFRAMES (12 * CHILD_FRAMES + 100)
#define HARTS   3

static struct frame_model model;
static struct llfree *self;

/* Frames, by their number, of one of everything: a single frame, a block of 8, two of 4 MiB and 2 MiB, a free one. */
static uint32_t single, block, pair, huge, unused;

static uint32_t number(pfn_t pfn)
{
    return pfn.value - MODEL_BASE.value;
}

static void start(void)
{
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("llfree"), &lock_tas, NFRAMES, HARTS);
    self = llfree_of(&model.fa);
    single = number(frame_model_alloc(&model, 0));
    unused = single + 1;
    block = number(frame_model_alloc(&model, 3));
    huge = number(frame_model_alloc(&model, CHILD_ORDER));
    pair = number(frame_model_alloc(&model, FRAME_ORDER_MAX));
    host_become_hart(1);
    frame_model_alloc(&model, 0);
    host_become_hart(0);
    frame_model_check(&model);
}

static void flip_bit(uint32_t index)
{
    self->rows[index / ROW_FRAMES] ^= 1ull << index % ROW_FRAMES;
}

static void flip_shape(uint32_t index, uint64_t bits)
{
    self->shapes[index / ROW_FRAMES] ^= bits << index % ROW_FRAMES;
}

/* Free, and counted everywhere. */
static void free_by_hand(uint32_t index)
{
    flip_bit(index);
    *child_pair(self, index / CHILD_FRAMES) += 1ull << child_shift(index / CHILD_FRAMES);
    *tree_entry(self, tree_of(self, index)) += 1;
}

static void child_lost(void)
{
    flip_bit(unused);
}

static void child_twice(void)
{
    flip_bit(single);
}

static void child_count(void)
{
    *child_pair(self, single / CHILD_FRAMES) += 1ull << child_shift(single / CHILD_FRAMES);
}

static void tree_count(void)
{
    *tree_entry(self, tree_of(self, single)) += 1;
}

static void tree_debt(void)
{
    *tree_entry(self, tree_of(self, huge)) -= 1;
}

static void hart_count(void)
{
    self->harts[1].local += 1;
}

static void block_with_a_hole(void)
{
    free_by_hand(block + 3);
}

static void block_without_end(void)
{
    flip_shape(block + 6, 3);
}

static void block_without_beginning(void)
{
    flip_shape(block, 3);
}

static void single_with_shape(void)
{
    flip_shape(single & ~1u, 1);
}

static void free_behind_end(void)
{
    free_by_hand(NFRAMES);
}

static void child_behind_end(void)
{
    *child_pair(self, self->nchildren) += 1ull << child_shift(self->nchildren);
}

static void huge_with_bits(void)
{
    flip_bit(huge + 77);
}

static void huge_with_count(void)
{
    *child_pair(self, huge / CHILD_FRAMES) += 1ull << child_shift(huge / CHILD_FRAMES);
}

static void half_a_pair(void)
{
    *child_pair(self, pair / CHILD_FRAMES) = CHILD_FIRST | CHILD_HUGE << CHILD_BITS;
}

static void halves_exchanged(void)
{
    *child_pair(self, pair / CHILD_FRAMES) = CHILD_SECOND | CHILD_FIRST << CHILD_BITS;
}

static void mark_lost(void)
{
    *tree_entry(self, self->harts[1].tree) -= TREE_RESERVED;
}

static void mark_alone(void)
{
    *tree_entry(self, self->ntrees - 1) += TREE_RESERVED;
}

static void two_owners(void)
{
    self->harts[2].local = (uint64_t)(self->harts[1].tree + 1) << LOCAL_TREE_SHIFT;
    self->harts[2].tree = self->harts[1].tree;
    self->harts[2].row = self->harts[1].row;
}

static void other_tree(void)
{
    self->harts[1].tree++;
}

static void other_row(void)
{
    self->harts[1].row = row_of_tree(self, self->harts[1].tree + 1);
}

static void row_behind_end(void)
{
    self->harts[2].row = self->nchildren * CHILD_ROWS;
}

static void count_of_no_tree(void)
{
    self->harts[2].local += 5;
    *tree_entry(self, self->ntrees - 1) -= 5;
}

static void attempt_left(void)
{
    self->harts[2].attempts++;
}

static const struct {
    void (*damage)(void);
    const char *finding;
} damages[] = {
    {child_lost, "frames are free below it"},
    {child_twice, "frames are free below it"},
    {child_count, "frames are free below it"},
    {tree_count, "frames are free below it"},
    {tree_debt, "frames are free below it"},
    {hart_count, "frames are free below it"},
    {block_with_a_hole, "free, inside a block"},
    {block_without_end, "neither a single frame nor the beginning of a block"},
    {block_without_beginning, "neither a single frame nor the beginning of a block"},
    {single_with_shape, "neither a single frame nor the beginning of a block"},
    {free_behind_end, "free, behind the end of the arena"},
    {child_behind_end, "counted behind the end of the arena"},
    {huge_with_bits, "frames are taken in a huge block"},
    {huge_with_count, "half of a block of order 10"},
    {half_a_pair, "half of a block of order 10"},
    {halves_exchanged, "half of a block of order 10"},
    {mark_lost, "reserved by none or by several"},
    {mark_alone, "reserved by none or by several"},
    {two_owners, "reserved by none or by several"},
    {other_tree, "another tree than it searches in"},
    {other_row, "another tree than it searches in"},
    {row_behind_end, "searches behind the end of the arena"},
    {count_of_no_tree, "counts what is free in no tree"},
    {attempt_left, "still taking several rows"},
};

static void test_validation_notices(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        start();
        damages[i].damage();
        host_console_capture();
        int error = model.fa.ops->validate(&model.fa);
        const char *report = host_console_release();
        if (error != ERR_CORRUPT || !strstr(report, damages[i].finding))
            print_error("damage %zu: \"%s\" is not in \"%s\"\n", i, damages[i].finding, report);
        assert_int_equal(error, ERR_CORRUPT);
        assert_non_null(strstr(report, damages[i].finding));
        frame_model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_validation_notices)};
    return cmocka_run_group_tests_name("frame llfree accounts", tests, NULL, NULL);
}
