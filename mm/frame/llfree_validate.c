/* The accounts of "llfree" and "llfree_locked", recounted from the bits up, while the harts are quiet. And the names
 * of their parts, for reports. */
#include "arch/console.h"
#include "lib/error.h"
#include "mm/frame/llfree.h"

/* Everything here is relaxed: the harts are quiet. */
#define LOAD(object) atomic_load_explicit(object, memory_order_relaxed)

static int report(struct frame_allocator *fa, uint32_t index, const char *finding)
{
    return frame_corrupt(fa, pfn_add(fa->base, index), finding);
}

static int report_count(
    struct frame_allocator *fa, const char *what, uint32_t index, int64_t found, int64_t count)
{
    console_format("frame: %s (%s): %s %u: %lld frames are free below it, the count says %lld\n", fa->name,
        fa->ops->name, what, index, (long long)found, (long long)count);
    return ERR_CORRUPT;
}

/* The frames of the block whose first pair is here, by its shape alone; 0 if that says nothing sensible. */
static uint32_t block_frames(struct llfree *self, uint32_t index)
{
    unsigned shape = shape_of_frame(LOAD(&self->shapes[index / ROW_FRAMES]), index);
    uint32_t frames = 2;
    if (shape == 0)
        return 1;
    if (shape == 3)
        return 2;
    if (shape != 2 || index % 4 != 0)
        return 0;
    for (; index + frames < self->nchildren * CHILD_FRAMES; frames += 2) {
        shape = shape_of_frame(LOAD(&self->shapes[(index + frames) / ROW_FRAMES]), index + frames);
        if (shape != 1)
            break;
    }
    frames += 2;
    return shape == 2 && frames < CHILD_FRAMES && IS_POWER_OF_TWO(frames) && index % frames == 0 ? frames : 0;
}

static bool is_taken(struct llfree *self, uint32_t index)
{
    return LOAD(&self->rows[index / ROW_FRAMES]) >> index % ROW_FRAMES & 1;
}

/* Every taken frame that the arena has is in a block that is taken from its beginning to its end. */
static int check_shapes(struct frame_allocator *fa, uint32_t child)
{
    struct llfree *self = llfree_of(fa);
    uint32_t end = MIN((child + 1) * CHILD_FRAMES, fa->nframes);
    for (uint32_t index = child * CHILD_FRAMES, frames; index < end; index += frames) {
        frames = 1;
        if (!is_taken(self, index))
            continue;
        frames = block_frames(self, index);
        if (frames == 0 || frames > end - index)
            return report(fa, index, "taken, but neither a single frame nor the beginning of a block");
        for (uint32_t i = 1; i < frames; i++)
            if (!is_taken(self, index + i))
                return report(fa, index + i, "free, inside a block");
    }
    return 0;
}

/* @found: frames free in it, by its bits or by its being a block */
static int check_child(struct frame_allocator *fa, uint32_t child, int64_t *found)
{
    struct llfree *self = llfree_of(fa);
    uint64_t pair = LOAD(child_pair(self, child));
    uint32_t field = child_field(pair, child_shift(child));
    unsigned taken = 0;
    for (unsigned i = 0; i < CHILD_ROWS; i++)
        taken += bits_count(LOAD(&self->rows[child * CHILD_ROWS + i]));
    *found = 0;
    if (field >= CHILD_HUGE) {
        bool half = pair == PAIR_BLOCK;
        if (taken != 0)
            return report(fa, child * CHILD_FRAMES, "frames are taken in a huge block");
        return half || field == CHILD_HUGE ? 0
                                           : report(fa, child * CHILD_FRAMES, "half of a block of order 10");
    }
    *found = (int64_t)CHILD_FRAMES - taken;
    if (*found != child_free(pair, child_shift(child)))
        return report_count(fa, "child", child, *found, child_free(pair, child_shift(child)));
    return check_shapes(fa, child);
}

/* A tree's count and that of the hart that has it are what is free in its children; one hart at most has it. */
static int check_tree(struct frame_allocator *fa, uint32_t tree, int64_t found)
{
    struct llfree *self = llfree_of(fa);
    uint64_t entry = LOAD(tree_entry(self, tree));
    int64_t count = tree_free(entry);
    unsigned owners = 0;
    for (unsigned i = 0; i < self->nharts; i++) {
        uint64_t local = LOAD(&self->harts[i].local);
        if (local_tree(local) != tree + 1)
            continue;
        owners++;
        count += (int64_t)local_free(local);
    }
    if (owners != (entry & TREE_RESERVED ? 1 : 0))
        return report(
            fa, tree * tree_frames(self), "a tree is reserved by none or by several, or its mark is wrong");
    if (count != found || (owners == 0 && tree_free(entry) < 0))
        return report_count(fa, "tree", tree, found, count);
    return 0;
}

/* What the arena lacks of its last child and its last tree is neither free nor a block. */
static int check_end(struct frame_allocator *fa)
{
    struct llfree *self = llfree_of(fa);
    for (uint32_t index = fa->nframes; index < self->nchildren * CHILD_FRAMES; index++)
        if (!is_taken(self, index))
            return report(fa, index, "free, behind the end of the arena");
    for (uint32_t child = self->nchildren; child < self->ntrees * tree_children(self); child++)
        if (child_field(LOAD(child_pair(self, child)), child_shift(child)) != CHILD_ZERO)
            return report(fa, child * CHILD_FRAMES, "frames are counted behind the end of the arena");
    return 0;
}

static int check_hart(struct frame_allocator *fa, unsigned i)
{
    struct llfree *self = llfree_of(fa);
    struct llfree_hart *hart = &self->harts[i];
    uint64_t local = LOAD(&hart->local);
    if (hart->row >= self->nchildren * CHILD_ROWS)
        return report(fa, 0, "a hart searches behind the end of the arena");
    if (hart->tree + 1 != local_tree(local) ||
        (local_tree(local) && tree_of_row(self, hart->row) != hart->tree))
        return report(fa, hart->row * ROW_FRAMES, "a hart has another tree than it searches in");
    if (local_tree(local) > self->ntrees || (!local_tree(local) && local_free(local)))
        return report(fa, hart->row * ROW_FRAMES, "a hart counts what is free in no tree");
    return LOAD(&hart->attempts) % 2 ? report(fa, 0, "a hart is still taking several rows") : 0;
}

int llfree_validate(struct frame_allocator *fa)
{
    struct llfree *self = llfree_of(fa);
    int error = check_end(fa);
    for (unsigned i = 0; !error && i < self->nharts; i++)
        error = check_hart(fa, i);
    for (uint32_t tree = 0; !error && tree < self->ntrees; tree++) {
        int64_t found = 0, free = 0;
        for (uint32_t i = 0; !error && i < tree_children(self); i++) {
            uint32_t child = tree * tree_children(self) + i;
            if (child >= self->nchildren)
                break;
            error = check_child(fa, child, &free);
            found += free;
        }
        if (!error)
            error = check_tree(fa, tree, found);
    }
    return error;
}

void llfree_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct llfree *self = llfree_of(fa);
    struct llfree_slot *slots = self->trees->slots;
    parts_add(parts, "header", self, sizeof(*self));
    if (!fa->ops->lockless)
        lock_describe(&self->lock, parts);
    parts_add_array(
        parts, "reservation of hart", self->harts, sizeof(*self->harts), self->nharts, sizeof(*self->harts));
    parts_add_array(parts, "tree", self->trees, sizeof(*self->trees), self->ntrees, sizeof(*self->trees));
    parts_add_array(parts, "children of pair", slots, sizeof(slots->pair), self->nchildren / 2,
        (size_t)1 << self->pair_shift);
    parts_add_array(parts, "field of child", self->rows, CHILD_ROWS * sizeof(uint64_t), self->nchildren,
        CHILD_ROWS * sizeof(uint64_t));
    parts_add_array(parts, "shapes of child", self->shapes, CHILD_ROWS * sizeof(uint64_t), self->nchildren,
        CHILD_ROWS * sizeof(uint64_t));
}
