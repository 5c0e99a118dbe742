/*
 * The design "stack": frames that were never used are taken from the bottom of what is left of the arena, used ones
 * lie on a stack of single frames and go out first, all under one lock. After the StackFrameAllocator of rCore
 * (rCore-Tutorial, chapter 4, Tsinghua University), whose boot is short because nothing is set up for a frame
 * before its first use; larger blocks are added here, and can only come from the frames never used.
 *
 * Not to be taken for frame_stack.h, a hart's stack in the design "hartcache".
 */
#include "mm/frame/frame.h"
#include "lib/error.h"
#include "lib/string.h"
#include "trace/inject.h"

/* A frame's state, for the sake of wrong frees: the allocator works without. */
#define STATE_FREE        0u
#define STATE_INSIDE      1u /* of a block in use, not its first frame */
#define STATE_SEEN        2u /* free, and found on the stack by the validation that is going on */
#define STATE_HEAD(order) (3u + (order)) /* the first frame of a block in use */

/* No block to be had. */
#define NOT_FOUND UINT64_MAX

struct stack {
    struct lock lock; /* protects what follows */
    uint64_t fresh; /* frames below were used once, those from here on never */
    uint64_t nrecycled;
    uint32_t *recycled; /* indices of free frames below `fresh`, the last freed on top */
    uint8_t *state;
};

static size_t stack_metadata_size(size_t nframes, unsigned nharts)
{
    (void)nharts;
    return sizeof(struct stack) + nframes * (sizeof(uint32_t) + sizeof(uint8_t));
}

static int stack_init(struct frame_allocator *fa)
{
    struct stack *stack = fa->metadata;
    lock_init(&stack->lock, fa->lock_kind, "frame.stack");
    stack->fresh = 0;
    stack->nrecycled = 0;
    stack->recycled = (uint32_t *)(stack + 1);
    stack->state = (uint8_t *)(stack->recycled + fa->nframes);
    memset(stack->state, STATE_FREE, fa->nframes);
    return 0;
}

/* Puts frames on the stack so that they leave it in ascending order. */
static void recycle(struct stack *stack, uint64_t first, uint64_t count)
{
    while (count > 0)
        stack->recycled[stack->nrecycled++] = first + --count;
}

static uint64_t take_single(struct stack *stack, uint64_t nframes)
{
    if (stack->nrecycled > 0)
        return stack->recycled[--stack->nrecycled];
    return stack->fresh < nframes ? stack->fresh++ : NOT_FOUND;
}

/* The frames that alignment skips have lost their place among those never used, and are recycled. */
static uint64_t take_block(struct stack *stack, uint64_t nframes, uint64_t count)
{
    uint64_t first = ALIGN_UP(stack->fresh, count);
    if (first + count > nframes)
        return NOT_FOUND;
    recycle(stack, stack->fresh, first - stack->fresh);
    stack->fresh = first + count;
    return first;
}

static pfn_t stack_alloc(struct frame_allocator *fa, unsigned order)
{
    struct stack *stack = fa->metadata;
    uint64_t count = 1ull << order;
    struct lock_node node;
    lock_acquire(&stack->lock, &node);
    uint64_t index = order == 0 ? take_single(stack, fa->nframes) : take_block(stack, fa->nframes, count);
    if (index != NOT_FOUND) {
        stack->state[index] = STATE_HEAD(order);
        if (order > 0)
            memset(&stack->state[index + 1], STATE_INSIDE, count - 1);
        if (plant_due(PLANT_STACK_TWICE))
            recycle(stack, index, 1);
    }
    lock_release(&stack->lock, &node);
    return index == NOT_FOUND ? PFN_NONE : pfn_add(fa->base, index);
}

static void give(struct stack *stack, uint64_t index, unsigned order)
{
    uint64_t count = 1ull << order;
    stack->state[index] = STATE_FREE;
    if (order > 0)
        memset(&stack->state[index + 1], STATE_FREE, count - 1);
    if (!plant_due(PLANT_STACK_LOST))
        recycle(stack, index, count);
}

static void stack_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct stack *stack = fa->metadata;
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint64_t index = pfn.value - fa->base.value;
    struct lock_node node;
    lock_acquire(&stack->lock, &node);
    unsigned state = stack->state[index];
    bool right = state == STATE_HEAD(order);
    if (right)
        give(stack, index, order);
    lock_release(&stack->lock, &node);
    if (unlikely(!right))
        frame_refuse(fa, state == STATE_FREE ? FRAME_MISUSE_DOUBLE_FREE : FRAME_MISUSE_WRONG_ORDER, pfn,
            order, __builtin_return_address(0));
}

static size_t stack_free_count(struct frame_allocator *fa)
{
    struct stack *stack = fa->metadata;
    struct lock_node node;
    lock_acquire(&stack->lock, &node);
    size_t count = fa->nframes - stack->fresh + stack->nrecycled;
    lock_release(&stack->lock, &node);
    return count;
}

/* Marks what lies on the stack as seen. */
static int check_recycled(struct frame_allocator *fa)
{
    struct stack *stack = fa->metadata;
    for (uint64_t i = 0; i < stack->nrecycled; i++) {
        uint64_t index = stack->recycled[i];
        if (index >= stack->fresh)
            return frame_corrupt(fa, pfn_add(fa->base, index), "on the stack, but never used");
        if (stack->state[index] == STATE_SEEN)
            return frame_corrupt(fa, pfn_add(fa->base, index), "twice on the stack: to be given twice");
        if (stack->state[index] != STATE_FREE)
            return frame_corrupt(fa, pfn_add(fa->base, index), "in use and on the stack: given twice");
        stack->state[index] = STATE_SEEN;
    }
    return 0;
}

static int check_block(struct frame_allocator *fa, uint64_t index)
{
    const struct stack *stack = fa->metadata;
    unsigned order = stack->state[index] - STATE_HEAD(0);
    enum frame_misuse_kind kind;
    if (stack->state[index] < STATE_HEAD(0))
        return frame_corrupt(fa, pfn_add(fa->base, index), "in use, but in no block");
    if (frame_misplaced(fa, pfn_add(fa->base, index), order, &kind))
        return frame_corrupt(fa, pfn_add(fa->base, index), frame_misuse_text(kind));
    for (uint64_t i = 1; i < 1ull << order; i++)
        if (stack->state[index + i] != STATE_INSIDE)
            return frame_corrupt(
                fa, pfn_add(fa->base, index + i), "inside a block, but free or the first frame of another");
    return 0;
}

/* Every frame that was once used is on the stack or part of a block, and no other is. */
static int check_used(struct frame_allocator *fa)
{
    const struct stack *stack = fa->metadata;
    int error = 0;
    for (uint64_t i = 0; !error && i < stack->fresh;) {
        unsigned state = stack->state[i];
        if (state == STATE_FREE)
            return frame_corrupt(fa, pfn_add(fa->base, i), "lost: free, but not on the stack");
        error = state == STATE_SEEN ? 0 : check_block(fa, i);
        i += state == STATE_SEEN ? 1 : 1ull << (state - STATE_HEAD(0));
    }
    for (uint64_t i = stack->fresh; !error && i < fa->nframes; i++)
        if (stack->state[i] != STATE_FREE)
            return frame_corrupt(fa, pfn_add(fa->base, i), "in use, but never given out");
    return error;
}

static int stack_validate(struct frame_allocator *fa)
{
    struct stack *stack = fa->metadata;
    if (stack->fresh > fa->nframes || stack->nrecycled > stack->fresh)
        return frame_corrupt(fa, pfn_add(fa->base, stack->fresh),
            "the end of those ever used, with more on the stack than that");
    int error = check_recycled(fa);
    if (!error)
        error = check_used(fa);
    for (uint64_t i = 0; i < fa->nframes; i++)
        if (stack->state[i] == STATE_SEEN)
            stack->state[i] = STATE_FREE;
    return error;
}

static void stack_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct stack *stack = fa->metadata;
    lock_describe(&stack->lock, parts);
    parts_add(parts, "first never used", &stack->fresh, sizeof(stack->fresh));
    parts_add(parts, "count of recycled", &stack->nrecycled, sizeof(stack->nrecycled));
    parts_add_array(parts, "recycled slot", stack->recycled, sizeof(uint32_t), fa->nframes, sizeof(uint32_t));
    parts_add_array(parts, "state of frame", stack->state, sizeof(uint8_t), fa->nframes, sizeof(uint8_t));
}

const struct frame_allocator_ops frame_stack = {
    .name = "stack",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = false,
    .metadata_size = stack_metadata_size,
    .init = stack_init,
    .alloc = stack_alloc,
    .free = stack_free,
    .free_count = stack_free_count,
    .validate = stack_validate,
    .describe = stack_describe,
};
