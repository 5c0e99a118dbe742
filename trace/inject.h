/*
 * Faults on purpose, in check builds only: planted bugs that the tests must catch, and the n-th failure of an
 * operation that can fail. In release builds every point is the constant false and leaves no code.
 */
#ifndef TRACE_INJECT_H
#define TRACE_INJECT_H

#include "lib/base.h"

/* Planted bugs: X(identifier, name on the command line, what it does wrong). There is a frame allocator "buddy" and a heap
 * of that name: their bugs are the same two. */
#define PLANT_LIST(X)                                                                                        \
    X(BITMAP_LOST, "bitmap.lost", "every 1000th free of a frame is forgotten")                               \
    X(BITMAP_TWICE, "bitmap.twice", "every 1000th frame given out is still marked free")                     \
    X(HARTCACHE_LOST, "hartcache.lost", "every 1000th free of a frame by its owner is forgotten")            \
    X(HARTCACHE_TWICE, "hartcache.twice", "every 1000th frame given out is still marked free")               \
    X(TRACKER_LOST, "tracker.lost", "every 1000th free leaves the frame marked in use")                      \
    X(TRACKER_TWICE, "tracker.twice", "every 1000th frame given out is still marked free")                   \
    X(STACK_LOST, "stack.lost", "every 1000th frame freed is not put on the stack")                          \
    X(STACK_TWICE, "stack.twice", "every 1000th frame given out is put on the stack")                        \
    X(LIST_LOST, "list.lost", "every 1000th frame freed is not linked in")                                   \
    X(LIST_TWICE, "list.twice", "every 1000th frame given out stays in the list")                            \
    X(CASLIST_LOST, "caslist.lost", "every 1000th frame freed is not linked in")                             \
    X(CASLIST_TWICE, "caslist.twice", "every 1000th frame given out is linked in again")                     \
    X(REFS_LOST, "refs.lost", "every 1000th reference to a shared frame that is given up stays counted")     \
    X(REFS_TWICE, "refs.twice", "every 1000th put of a shared frame takes itself for the last one")          \
    X(CASCADE_LOST, "cascade.lost", "every 1000th free of a frame is forgotten")                             \
    X(CASCADE_TWICE, "cascade.twice", "every 1000th frame given out is still marked free")                   \
    X(BUDDY_LOST, "buddy.lost", "every 1000th free of a block is forgotten")                                 \
    X(BUDDY_TWICE, "buddy.twice", "every 1000th block given out is still on its free list")                  \
    X(BUDDY_PCP_LOST, "buddy_pcp.lost", "every 1000th block freed comes onto no list")                       \
    X(BUDDY_PCP_TWICE, "buddy_pcp.twice", "every 1000th block off a hart's list stays on it")                \
    X(LLFREE_LOST, "llfree.lost", "every 1000th free of a frame is forgotten")                               \
    X(LLFREE_TWICE, "llfree.twice", "every 1000th frame given out is still marked free")                     \
    X(LLFREE_UNDO, "llfree.undo", "every 1000th time something is put back, it is put one place further on") \
    X(LLFREE_LOCKED_LOST, "llfree_locked.lost", "every 1000th free of a frame is forgotten")                 \
    X(LLFREE_LOCKED_TWICE, "llfree_locked.twice", "every 1000th frame given out is still marked free")       \
    X(BESTFIT_LOST, "bestfit.lost", "every 1000th block freed stays in use")                                 \
    X(BESTFIT_TWICE, "bestfit.twice", "every 1000th block given out stays free")                             \
    X(FIRSTFIT_LOST, "firstfit.lost", "every 1000th block freed is not linked in")                           \
    X(FIRSTFIT_TWICE, "firstfit.twice", "every 1000th block given out stays in the list")                    \
    X(TREEBUDDY_LOST, "treebuddy.lost", "every 1000th block freed stays in use")                             \
    X(TREEBUDDY_TWICE, "treebuddy.twice", "every 1000th block given out stays free")                         \
    X(TREEBUDDY_APART, "treebuddy.apart", "every 1000th pair of free buddies does not become one block")     \
    X(HARTBUDDY_LOST, "hartbuddy.lost", "every 1000th free of a block is forgotten")                         \
    X(HARTBUDDY_TWICE, "hartbuddy.twice", "every 1000th block given out is still marked free")               \
    X(SLAB_LOST, "slab.lost", "every 1000th block freed stays in use")                                       \
    X(SLAB_TWICE, "slab.twice", "every 1000th block given out stays free, and in its magazine")              \
    X(NBBUDDY_LOST, "nbbuddy.lost", "every 1000th block freed stays in use")                                 \
    X(NBBUDDY_TWICE, "nbbuddy.twice", "every 1000th block given out stays free")                             \
    X(NBBUDDY_LOCKED_LOST, "nbbuddy_locked.lost", "every 1000th block freed stays in use")                   \
    X(NBBUDDY_LOCKED_TWICE, "nbbuddy_locked.twice", "every 1000th block given out stays free")               \
    X(TABLE_STALE, "table.stale", "a page table that has left the tree is changed as if it had not")         \
    X(TABLE_EARLY, "table.early", "an empty page table is freed though harts may be reading it")             \
    X(IPI_NOFLUSH, "ipi.noflush", "every third answer to posts comes without a flush")                       \
    X(SBI_NOFLUSH, "sbi.noflush", "every third call of the firmware is left out")                            \
    X(BROADCAST_NOFLUSH, "broadcast.noflush", "every third hart that is told flushes nothing")               \
    X(LAZY_NOFLUSH, "lazy.noflush", "every third hart that passes flushes nothing")                          \
    X(LAZY_EARLY, "lazy.early", "every third look at what is deferred finds that all have passed")           \
    X(SPLIT_ONEASID, "split.oneasid", "every 1000th flush of a space leaves out the ASID of U-mode")         \
    X(SPLIT_NOFLUSH, "split.noflush", "every 1000th return to U-mode without ASIDs comes without a flush")   \
    X(SPACE_LOST, "space.lost", "every 1000th frame of an unmapped page is not given back")                  \
    X(SPACE_COW, "space.cow", "every 1000th page to be copied before it is written is written in place")

enum plant {
    PLANT_NONE,
#define PLANT_ENUM(id, name, text) PLANT_##id,
    PLANT_LIST(PLANT_ENUM)
#undef PLANT_ENUM
        PLANT_COUNT
};

/* Operations that can be made to fail. X(identifier, name) */
#define INJECT_LIST(X)                                                                                       \
    X(CAS, "cas") /* a compare-and-swap loses */                                                             \
    X(REFILL, "refill") /* the global allocator has nothing for a hart's cache, or no tree to reserve */     \
    X(LOOK, "look") /* nothing fails: between two looks of a search, where a test lets another hart in */    \
    X(UNDO, "undo") /* nothing fails: before a change is undone, where a test lets another hart in */        \
    X(CHILD, "child") /* a child of a tree has no such block, though its count says so */                    \
    X(ROW, "row") /* the second or a later row of a block of several is found to be taken */                 \
    X(GROW, "grow") /* the frame allocator has nothing for a heap */                                         \
    X(TABLE, "table") /* the frame allocator has nothing for a page table */                                 \
    X(THREAD, "thread") /* the heap has nothing for a thread */                                              \
    X(PAGE, "page") /* there is no frame for a page of a user, or no reference to one */

enum inject {
#define INJECT_ENUM(id, name) INJECT_##id,
    INJECT_LIST(INJECT_ENUM)
#undef INJECT_ENUM
        INJECT_COUNT
};

#if defined(HARTSCALE_CHECK) && HARTSCALE_CHECK

/** plant_set - choose the one planted bug, PLANT_NONE for none. */
void plant_set(enum plant plant);

/** plant_name - the i-th planted bug's name, i from 0; NULL behind the last. */
const char *plant_name(size_t i);

/** plant_is - whether it is the planted bug: for those that strike each time. */
bool plant_is(enum plant plant);

/** plant_due - whether the planted bug strikes now: each 1000th time that its place is passed, or as its line says. */
bool plant_due(enum plant plant);

/**
 * inject_arm - make the n-th (from 1) passing of a point fail, once; n = 0 disarms.
 * inject_passed - how often the point was passed since it was armed: a sweep over n ends when it is below n.
 */
void inject_arm(enum inject point, uint64_t n);
uint64_t inject_passed(enum inject point);

/** inject_due - whether the point fails this time. */
bool inject_due(enum inject point);

#else

static inline void plant_set(enum plant plant)
{
    (void)plant;
}

static inline bool plant_is(enum plant plant)
{
    (void)plant;
    return false;
}

static inline bool plant_due(enum plant plant)
{
    (void)plant;
    return false;
}

static inline bool inject_due(enum inject point)
{
    (void)point;
    return false;
}

#endif

#endif
