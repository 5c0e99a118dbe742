/*
 * The binary buddy system under the designs "buddy" and "buddy_pcp": free lists by order and a table with an entry a
 * frame. Not locked: each design has a lock around it. Frames are named by their index in the arena.
 *
 * A block is free, on a list of one hart, or in use, and its first frame's entry says which and its order; the
 * entries of its other frames say that no block begins there. So a wrong free is visible at once. Only blocks
 * that are free in the core are merged: a hart's list hides its blocks from their buddies, as in Linux.
 *
 * Source: Knowlton, "A Fast Storage Allocator", 1965; lists and their order after Linux's mm/page_alloc.c.
 */
#ifndef MM_FRAME_BUDDY_CORE_H
#define MM_FRAME_BUDDY_CORE_H

#include "arch/atomic.h"
#include "mm/frame/frame.h"

#define BUDDY_NONE UINT32_MAX

/* The state of a frame: what it is, and the order of the block that begins there. */
#define BUDDY_INSIDE 0x00u /* no block begins here */
#define BUDDY_FREE   0x10u /* on a free list of the core */
#define BUDDY_CACHED 0x20u /* on a list of a hart, or on its way there or back */
#define BUDDY_USED   0x30u /* with a caller */
#define BUDDY_KIND   0x30u
#define BUDDY_ORDER  0x0fu

/* An entry has a line of its own, as Linux's struct page has: a hart's frames need not be neighbours, and with four
 * entries in a line harts that use nothing in common would take it from each other at every operation. */
struct buddy_frame {
    uint32_t next, prev; /* on a list; of whoever's lock covers the list */
    _Atomic uint32_t state; /* to and from BUDDY_FREE under the core's lock, else by who owns the block */
    uint32_t seen; /* for validation: how often on a list */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct buddy_frame) == CACHE_LINE_BYTES, "a line of its own");

/* Blocks of one order, linked by the entries of their first frames. */
struct buddy_list {
    uint32_t first, last;
};

struct buddy_core {
    struct buddy_frame *frames; /* read by all harts at any time, so not in a line with what is written */
    uint32_t nframes;
    uint32_t nfree CACHE_ALIGNED; /* on the lists that follow */
    struct buddy_list free[FRAME_ORDER_MAX + 1];
};

/** buddy_core_bytes - memory for the table, a multiple of CACHE_LINE_BYTES. */
size_t buddy_core_bytes(size_t nframes);

/** buddy_core_init - all frames free. @memory: buddy_core_bytes(nframes), aligned to a line. */
void buddy_core_init(struct buddy_core *core, void *memory, size_t nframes);

/** buddy_core_take - a free block of 2^order frames; @kind is what it becomes. BUDDY_NONE if there is none. */
uint32_t buddy_core_take(struct buddy_core *core, unsigned order, uint32_t kind);

/** buddy_core_give - free a block that is in use or cached, and merge it with its buddies. */
void buddy_core_give(struct buddy_core *core, uint32_t index, unsigned order);

/** buddy_core_misuse - why a free is wrong of a frame at which no block of that order in use begins. Takes no
 *  lock: exact if the block around the frame does not change meanwhile. */
enum frame_misuse_kind buddy_core_misuse(const struct buddy_core *core, uint32_t index);

/*
 * Validation, in three steps while the harts are quiet: begin; each list that exists, the core's own by
 * buddy_check_core(); then the table. 0, or ERR_CORRUPT with the finding on the console.
 */
void buddy_check_begin(struct buddy_core *core);

/** buddy_check_list - @kind and @order of what is on it; adds its frames to *frames. */
int buddy_check_list(
    struct buddy_core *core, const struct buddy_list *list, uint32_t kind, unsigned order, uint32_t *frames);
int buddy_check_core(struct buddy_core *core);
int buddy_check_table(struct buddy_core *core);

/** buddy_core_describe - name the lists and the table. */
void buddy_core_describe(const struct buddy_core *core, struct parts *parts);

/* Relaxed: what a block's users wrote is ordered by the locks that it passes through. lw. */
static inline uint32_t buddy_state(const struct buddy_core *core, uint32_t index)
{
    return atomic_load_explicit(&core->frames[index].state, memory_order_relaxed);
}

/* Relaxed, for the same reason. sw. */
static inline void buddy_set_state(struct buddy_core *core, uint32_t index, uint32_t state)
{
    store_relaxed(&core->frames[index].state, state);
}

static inline void buddy_list_init(struct buddy_list *list)
{
    *list = (struct buddy_list){BUDDY_NONE, BUDDY_NONE};
}

static inline bool buddy_list_is_empty(const struct buddy_list *list)
{
    return list->first == BUDDY_NONE;
}

/** buddy_list_push - in front. The caller holds the lock that covers the list, as for all of these. */
static inline void buddy_list_push(struct buddy_core *core, struct buddy_list *list, uint32_t index)
{
    uint32_t second = list->first;
    core->frames[index].next = second;
    core->frames[index].prev = BUDDY_NONE;
    if (second != BUDDY_NONE)
        core->frames[second].prev = index;
    else
        list->last = index;
    list->first = index;
}

/** buddy_list_append - at the end. */
static inline void buddy_list_append(struct buddy_core *core, struct buddy_list *list, uint32_t index)
{
    uint32_t before = list->last;
    core->frames[index].next = BUDDY_NONE;
    core->frames[index].prev = before;
    if (before != BUDDY_NONE)
        core->frames[before].next = index;
    else
        list->first = index;
    list->last = index;
}

/** buddy_list_remove - from anywhere on it. */
static inline void buddy_list_remove(struct buddy_core *core, struct buddy_list *list, uint32_t index)
{
    uint32_t next = core->frames[index].next, prev = core->frames[index].prev;
    if (next != BUDDY_NONE)
        core->frames[next].prev = prev;
    else
        list->last = prev;
    if (prev != BUDDY_NONE)
        core->frames[prev].next = next;
    else
        list->first = next;
}

#endif
