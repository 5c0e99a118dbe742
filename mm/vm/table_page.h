/* What is known about a frame that is a table, beside its contents, and its lock. */
#ifndef MM_VM_TABLE_PAGE_H
#define MM_VM_TABLE_PAGE_H

#include "arch/atomic.h"
#include "arch/pte.h"
#include "smp/epoch.h"
#include "smp/hart.h"
#include "trace/counter.h"

struct table_source;

/* The walkers of other harts read entries at any time, so each is written whole. */
typedef _Atomic uint64_t entry_t;

#define TABLE_STALE 1u /* in no tree any more: who found it begins again */

/* All but the lock is under the lock that `ptlock` says, and of
 * a frame that is no table none of it has a meaning. */
struct table_page {
    _Atomic uint32_t lock; /* TABLE_LOCK_NODE: 1 while taken */
    uint16_t live; /* entries that are not zero: it says when a table is empty */
    uint8_t level;
    uint8_t flags;
    union {
        hart_mask_t harts; /* that may have translations from here; kept by who needs it (`tracked`) */
        struct table_source *source; /* once it is retired */
    };
    union {
        uint32_t pins; /* harts whose hint it is: it stays when it is empty */
        pfn_t next; /* outside of the tree: spare and emptied ones */
        struct epoch_entry retired;
    };
} CACHE_ALIGNED; /* 32 bytes would do, but harts that work in tables of their own would meet in their locks' lines */

_Static_assert(sizeof(struct table_page) == CACHE_LINE_BYTES, "mm/memory.c has one for each frame");

/* Acquire, pairs with table_page_unlock(). amoswap.w.aq. */
static inline bool table_page_take(struct table_page *page)
{
    return atomic_exchange_explicit(&page->lock, 1, memory_order_acquire) == 0;
}

void table_page_wait(struct table_page *page);

/** table_page_lock, table_page_unlock - the lock of one frame. TABLE_LOCK_NODE only. */
static inline void table_page_lock(struct table_page *page)
{
    counter_add(COUNTER_LOCK_ACQUIRE, 1);
    if (unlikely(!table_page_take(page)))
        table_page_wait(page);
}

static inline void table_page_unlock(struct table_page *page)
{
    /* Release, pairs with table_page_take(). fence rw,w; sw. */
    store_release(&page->lock, 0);
}

#endif
