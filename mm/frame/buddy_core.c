/* Splitting and merging, and why a free is wrong. The checks are in buddy_validate.c. */
#include "mm/frame/buddy_core.h"
#include "arch/panic.h"
#include "lib/bits.h"
#include "lib/string.h"

/* The block next to this one, with which it makes one of twice the size. */
static inline uint32_t buddy_of(uint32_t index, unsigned order)
{
    return index ^ 1u << order;
}

static inline bool is_free(const struct buddy_core *core, uint32_t index, unsigned order)
{
    return index < core->nframes && buddy_state(core, index) == (BUDDY_FREE | order);
}

size_t buddy_core_bytes(size_t nframes)
{
    return nframes * sizeof(struct buddy_frame);
}

void buddy_core_init(struct buddy_core *core, void *memory, size_t nframes)
{
    *core = (struct buddy_core){.frames = memory, .nframes = nframes, .nfree = nframes};
    memset(memory, 0, buddy_core_bytes(nframes));
    for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++)
        buddy_list_init(&core->free[order]);
    /* The largest blocks that fit, in the order of addresses; what is behind the last whole one in its parts. */
    for (uint32_t index = 0; index < core->nframes;) {
        unsigned order = MIN((unsigned)FRAME_ORDER_MAX, bits_highest(core->nframes - index));
        buddy_set_state(core, index, BUDDY_FREE | order);
        buddy_list_append(core, &core->free[order], index);
        index += 1u << order;
    }
}

uint32_t buddy_core_take(struct buddy_core *core, unsigned order, uint32_t kind)
{
    unsigned from = order;
    while (from <= FRAME_ORDER_MAX && buddy_list_is_empty(&core->free[from]))
        from++;
    if (from > FRAME_ORDER_MAX)
        return BUDDY_NONE;
    uint32_t index = core->free[from].first;
    buddy_list_remove(core, &core->free[from], index);
    /* The lower half is split further, the upper ones stay free. */
    while (from > order) {
        uint32_t upper = buddy_of(index, --from);
        buddy_set_state(core, upper, BUDDY_FREE | from);
        buddy_list_push(core, &core->free[from], upper);
    }
    buddy_set_state(core, index, kind | order);
    core->nfree -= 1u << order;
    return index;
}

/* Whether only its buddy is missing for the block around both to merge as well: it goes to the end of its list, to be
 * taken last. */
static bool merges_soon(const struct buddy_core *core, uint32_t index, unsigned order)
{
    uint32_t whole = MIN(index, buddy_of(index, order));
    return order + 1 < FRAME_ORDER_MAX && is_free(core, buddy_of(whole, order + 1), order + 1);
}

void buddy_core_give(struct buddy_core *core, uint32_t index, unsigned order)
{
    core->nfree += 1u << order;
    for (; order < FRAME_ORDER_MAX; order++) {
        uint32_t buddy = buddy_of(index, order);
        if (!is_free(core, buddy, order))
            break;
        buddy_list_remove(core, &core->free[order], buddy);
        buddy_set_state(core, MAX(index, buddy), BUDDY_INSIDE);
        index = MIN(index, buddy);
    }
    buddy_set_state(core, index, BUDDY_FREE | order);
    if (merges_soon(core, index, order))
        buddy_list_append(core, &core->free[order], index);
    else
        buddy_list_push(core, &core->free[order], index);
}

enum frame_misuse_kind buddy_core_misuse(const struct buddy_core *core, uint32_t index)
{
    for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
        uint32_t state = buddy_state(core, ALIGN_DOWN(index, 1u << order));
        if (state != BUDDY_INSIDE && (state & BUDDY_ORDER) >= order)
            return (state & BUDDY_KIND) == BUDDY_USED ? FRAME_MISUSE_WRONG_ORDER : FRAME_MISUSE_DOUBLE_FREE;
    }
    return FRAME_MISUSE_DOUBLE_FREE;
}
