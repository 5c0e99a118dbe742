/* The stack's operations in bulk, all of them under the allocator's lock; see frame_stack.h. */
#include "mm/frame/frame_stack.h"
#include "trace/counter.h"

void frame_stack_init(struct frame_stack *stack, unsigned capacity)
{
    stack->capacity = capacity;
    for (unsigned i = 0; i <= STACK_FRAMES_MAX; i++)
        store_relaxed(&stack->slots[i], STACK_SENTINEL);
    store_relaxed(&stack->word, capacity * STACK_SLOT_BYTES);
}

/* Frames on the stack when its word was this. An owner in the middle of a pop from the empty stack has taken
 * one slot more than there are. */
static unsigned count_of(const struct frame_stack *stack, uint64_t word)
{
    unsigned room = stack_room_bytes(word) / STACK_SLOT_BYTES;
    return room < stack->capacity ? stack->capacity - room : 0;
}

uint64_t frame_stack_word(const struct frame_stack *stack)
{
    /* Relaxed: a hint to thieves, who look again with the lock held, or read while the harts are quiet. ld. */
    return atomic_load_explicit(&stack->word, memory_order_relaxed);
}

unsigned frame_stack_count(const struct frame_stack *stack)
{
    return count_of(stack, frame_stack_word(stack));
}

void frame_stack_fill(struct frame_stack *stack, const pfn_t *frames, unsigned n)
{
    /* No swap is needed: nobody else changes the word of a stack whose owner holds the thieves' lock. */
    uint64_t word = atomic_load_explicit(&stack->word, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++) {
        word -= STACK_SLOT_BYTES;
        store_relaxed(stack_slot(stack, stack_room_bytes(word)), frames[i].value);
    }
    /* Release, pairs with the acquire in frame_stack_take(). fence rw,w; sd. */
    store_release(&stack->word, word);
}

unsigned frame_stack_take(struct frame_stack *stack, pfn_t *frames, unsigned n)
{
    for (;;) {
        /* Acquire, pairs with the release of push and fill: the slots are read as they were then, or later.
         * ld; fence r,rw. */
        uint64_t word = atomic_load_explicit(&stack->word, memory_order_acquire);
        unsigned taken = MIN(n, count_of(stack, word));
        if (taken == 0)
            return 0;
        size_t room_bytes = stack_room_bytes(word);
        for (unsigned i = 0; i < taken; i++)
            frames[i] = stack_load(stack, room_bytes + i * STACK_SLOT_BYTES);

        /* Release keeps the readings of the slots in front of the swap, behind which the owner may write
         * them. The swap itself needs no acquire: what the word's value says was acquired above. */
        if (!inject_due(INJECT_CAS) &&
            cas_release(&stack->word, word, word - STACK_VERSION + taken * STACK_SLOT_BYTES))
            return taken;
        counter_add(COUNTER_CAS_RETRY, 1);
    }
}

pfn_t frame_stack_at(const struct frame_stack *stack, unsigned i)
{
    return stack_load(stack, stack_room_bytes(frame_stack_word(stack)) + i * STACK_SLOT_BYTES);
}
