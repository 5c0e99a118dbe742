/*
 * The accounts of the buddy system from ground truth, for both designs: the lists are walked, then the table, and each
 * block that begins in the table must be on exactly the list that its state says. And the names of its parts.
 */
#include "mm/frame/buddy_core.h"
#include "arch/console.h"
#include "lib/error.h"

static int report(uint32_t index, const char *finding)
{
    console_format("frame: buddy: frame %u of the arena: %s\n", index, finding);
    return ERR_CORRUPT;
}

void buddy_check_begin(struct buddy_core *core)
{
    for (uint32_t index = 0; index < core->nframes; index++)
        core->frames[index].seen = 0;
}

int buddy_check_list(
    struct buddy_core *core, const struct buddy_list *list, uint32_t kind, unsigned order, uint32_t *frames)
{
    uint32_t before = BUDDY_NONE;
    for (uint32_t index = list->first; index != BUDDY_NONE; index = core->frames[index].next) {
        if (index >= core->nframes)
            return report(index, "on a list, but not in the arena");
        uint32_t state = buddy_state(core, index);
        if (core->frames[index].seen++)
            return report(index, "on two lists, or twice on one");
        if ((state & BUDDY_KIND) == BUDDY_USED)
            return report(index, "in use and on a list: given twice");
        if (state != (kind | order))
            return report(index, "on a list that its state does not name");
        if (core->frames[index].prev != before)
            return report(index, "its list is broken");
        before = index;
        *frames += 1u << order;
    }
    return before == list->last ? 0 : report(before, "last on its list, which ends elsewhere");
}

int buddy_check_core(struct buddy_core *core)
{
    uint32_t nfree = 0;
    int error = 0;
    for (unsigned order = 0; !error && order <= FRAME_ORDER_MAX; order++)
        error = buddy_check_list(core, &core->free[order], BUDDY_FREE, order, &nfree);
    if (error || nfree == core->nfree)
        return error;
    console_format("frame: buddy: %u frames are free, the count says %u\n", nfree, core->nfree);
    return ERR_CORRUPT;
}

static int check_block(struct buddy_core *core, uint32_t index, unsigned order)
{
    uint32_t state = buddy_state(core, index), buddy = index ^ 1u << order;
    if (order > FRAME_ORDER_MAX || !IS_ALIGNED(index, 1u << order) || core->nframes - index < 1u << order)
        return report(index, "head of a block that cannot be there");
    if ((state & BUDDY_KIND) != BUDDY_USED && !core->frames[index].seen)
        return report(index, "lost: neither in use nor on a list");
    if ((state & BUDDY_KIND) == BUDDY_FREE && order < FRAME_ORDER_MAX && buddy < core->nframes &&
        buddy_state(core, buddy) == state)
        return report(index, "free beside its buddy, but not merged with it");
    for (uint32_t i = 1; i < 1u << order; i++)
        if (buddy_state(core, index + i) != BUDDY_INSIDE)
            return report(index + i, "a block begins inside another");
    return 0;
}

int buddy_check_table(struct buddy_core *core)
{
    for (uint32_t index = 0; index < core->nframes;) {
        uint32_t state = buddy_state(core, index);
        if ((state & BUDDY_KIND) == 0)
            return report(index, "in no block");
        int error = check_block(core, index, state & BUDDY_ORDER);
        if (error)
            return error;
        index += 1u << (state & BUDDY_ORDER);
    }
    return 0;
}

void buddy_core_describe(const struct buddy_core *core, struct parts *parts)
{
    parts_add(parts, "header", core, sizeof(*core));
    parts_add(parts, "count of free frames", &core->nfree, sizeof(core->nfree));
    parts_add_array(parts, "free list of order", core->free, sizeof(core->free[0]), FRAME_ORDER_MAX + 1,
        sizeof(core->free[0]));
    parts_add_array(parts, "entry of frame", core->frames, sizeof(core->frames[0]), core->nframes,
        sizeof(core->frames[0]));
}
