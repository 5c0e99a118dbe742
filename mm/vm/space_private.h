/* What the files of address spaces share. */
#ifndef MM_VM_SPACE_PRIVATE_H
#define MM_VM_SPACE_PRIVATE_H

#include "arch/atomic.h"
#include "mm/frame/frame_quarantine.h"
#include "mm/vm/asid.h"
#include "mm/vm/space.h"
#include "mm/vm/table_edit.h"
#include "smp/shootdown.h"

#define SPACE_RIGHTS (PTE_R | PTE_W | PTE_X)

#define USER_FIRST_PAGE ((size_t)USER_BASE / PAGE_BYTES)
#define USER_END_PAGE   ((size_t)USER_END / PAGE_BYTES)

/* What a hart keeps of a space, on a line of its own. */
struct space_hart {
    struct table_hint hint;
    size_t next; /* page where the hart looks for a hole first; in its slice */
    pfn_t root; /* of the hart's view; PFN_NONE while there is none */
    pfn_t user_root; /* the same for U-mode, if that has a table of its own */

    /* 1 while the hart changes the table as the only one that can have translations: space_edit.c. */
    _Atomic uint32_t solo;
} CACHE_ALIGNED;

_Static_assert(sizeof(struct space_hart) == CACHE_LINE_BYTES, "one line a hart");

struct space {
    /* All but the lock in it is read only once the space is made. */
    struct page_table table;
    struct space_pool *pool;
    const struct shootdown_ops *shootdown;
    bool by_table; /* `tracked`: harts have views, and tables know who can have translations from them */
    bool has_asid;
    bool separate; /* U-mode has roots without the kernel, and with ASIDs the number behind the space's */
    unsigned order; /* of the block that this lies in */

    /* Written when a hart enters for the first time, read whenever translations are to be forgotten. */
    _Atomic uint64_t active
        CACHE_ALIGNED; /* harts that may have translations; by_table: that have ever entered */
    asid_context_t context;

    struct lock brk_lock; /* of the next */
    uint64_t brk; /* the end of the heap, as the user said it */

    _Atomic uint32_t references CACHE_ALIGNED;

    struct space_hart harts[]; /* of the pool's nharts */
};

static inline struct space_hart *space_hart(struct space *space)
{
    return &space->harts[hart_index()];
}

/* Whether the number behind the space's is U-mode's. */
static inline bool space_has_pair(const struct space *space)
{
    return unlikely(space->separate) && space->has_asid;
}

/* bytes <= SIZE_MAX − PAGE_BYTES */
static inline size_t space_pages(size_t bytes)
{
    return DIV_CEIL(bytes, (size_t)PAGE_BYTES);
}

/* --- entries ------------------------------------------------------------------------------------------- */

/* Of an entry with a frame: whether that is the page of zeros; whether it is another one of the kernel's. */
static inline bool space_shows_zero(const struct space *space, pte_t pte)
{
    return pte.bits & PTE_FOREIGN && pfn_equal(pte_pfn(pte), space->pool->zero);
}

static inline bool space_shows_foreign(const struct space *space, pte_t pte)
{
    return pte.bits & PTE_FOREIGN && !pfn_equal(pte_pfn(pte), space->pool->zero);
}

/* What the area of an entry allows: a page that is to be copied first may be written for all that, but a frame of the kernel's
 * of which the bit only says that it could be given that right again (see space_edit.c) may not. */
static inline uint64_t space_rights(const struct space *space, pte_t pte)
{
    uint64_t rights = pte.bits & SPACE_RIGHTS;
    return pte.bits & PTE_COW && !space_shows_foreign(space, pte) ? rights | PTE_W : rights;
}

/* The bits of an entry: PTE_W implies PTE_R, and without any right an entry is not the user's either. */
static inline uint64_t space_bits(uint64_t rights)
{
    if (rights & PTE_W)
        rights |= PTE_R;
    return rights ? rights | PTE_U : 0;
}

static inline bool space_rights_fit(uint64_t rights)
{
    return rights == 0 || pte_rights_valid(space_bits(rights));
}

/* Whether the space holds a reference to the frame. */
static inline bool space_owns(pte_t pte)
{
    return pte_has_frame(pte) && !(pte.bits & PTE_FOREIGN);
}

/* A leaf that shows a frame of the space's own; one that others may have, too, is not to be written. */
static inline pte_t space_leaf(pfn_t pfn, uint64_t rights, bool exclusive)
{
    uint64_t bits = space_bits(rights);
    if (bits & PTE_W && !exclusive)
        bits = (bits & ~PTE_W) | PTE_COW;
    return pte_leaf(pfn, bits);
}

static inline pte_t space_zero_leaf(const struct space *space, uint64_t rights)
{
    pte_t leaf = space_leaf(space->pool->zero, rights, false);
    return PTE(leaf.bits | PTE_FOREIGN);
}

static inline pte_t space_anon(uint64_t rights)
{
    return pte_mark(PTE_MARK_ANON, space_bits(rights), PFN(0));
}

/* Give up the reference of a page that no hart has a translation of any more. */
static inline void space_put_frame(const struct space *space, pfn_t pfn, size_t page)
{
    frame_quarantine_note(page_to_vaddr(page).value);
    frame_put(space->pool->refs, pfn, 0);
    frame_quarantine_note(0);
}

/* --- space_map.c --------------------------------------------------------------------------------------- */

/** space_slice_first - the page where a hart's slice of the mmap zone begins. */
size_t space_slice_first(const struct space *space, unsigned hart);

/* --- space_edit.c -------------------------------------------------------------------------------------- */

enum space_change {
    SPACE_UNMAP, /* nothing is mapped there afterwards */
    SPACE_CLAIM, /* what was a hole becomes the new mapping; anything else is refused: ERR_EXISTS */
    SPACE_REPLACE, /* the new mapping, whatever was there */
    SPACE_DISCARD, /* pages are zeros again */
    SPACE_LOOK, /* nothing changes; it is found out whether there are holes */
    SPACE_PROTECT, /* other rights; a hole is refused: ERR_RANGE */
    SPACE_END, /* as SPACE_UNMAP, for a space that no hart uses any more */
};

/* What was gathered, and of which space. */
struct space_gather {
    struct table_gather gather;
    struct space *space;
};

/* A change of a range: the function from entry to entry is in space_edit.c. */
struct space_edit {
    struct table_edit edit;
    struct space_gather gathered;
    struct space *space;
    enum space_change what;

    /* Of the new mapping. */
    uint64_t rights; /* of SPACE_RIGHTS */
    pfn_t shown; /* the frame that the first page shows; PFN_NONE for anonymous memory */
    unsigned level_max; /* of leaves */
    bool fixed; /* there and nowhere else, even if what was there is only just leaving */

    uint64_t self; /* this hart's bit */
    uint64_t owner; /* what this change's marks carry */
    bool others; /* other harts may have translations; not by_table */
    bool settling; /* the second round: the flush is done */
    bool busy; /* something was met that another hart is about to change */
    bool holes; /* something was met that is not mapped */
    bool lost; /* other harts could do what they may not do any more */
    size_t pending; /* entries that wait for the flush */

    size_t unit; /* page / PAGE_ENTRIES + 1 of the next; by_table */
    uint64_t unit_harts; /* that may have translations of its pages */
};

/* Of a mark that is LEAVING or BUSY: its owner, in the bits that no frame's number reaches. */
#define SPACE_OWNER_SHIFT 54
#define SPACE_OWNER_SLOTS 16u /* changes of one hart that can be under way: all but one are quarantined */
#define SPACE_OWNER_NOW   (SPACE_OWNER_SLOTS - 1)

_Static_assert(HART_MAX *SPACE_OWNER_SLOTS <= 1u << (64 - SPACE_OWNER_SHIFT), "an owner fits");

static inline uint64_t space_owner_of(unsigned slot)
{
    return hart_index() * SPACE_OWNER_SLOTS + slot;
}

/** space_edit_init - a change of [first, end), which is within the user's part. */
void space_edit_init(
    struct space_edit *edit, struct space *space, enum space_change what, size_t first, size_t end);

/** space_edit_run - do it, with flushes on all harts that need them. Waits for harts that change the same pages. Returns 0, the
 *  errors of the change, or ERR_NO_MEMORY, and nothing has changed. */
int space_edit_run(struct space_edit *edit);

/** space_edit_settle - the second round of a change: the harts have been flushed. */
void space_edit_settle(struct space_edit *edit);

/**
 * space_solo_begin - if no other hart can have translations, let none begin to until space_solo_end(); returns whether
 * that is so, and then space_solo_end() follows. Not by_table. The top of space_edit.c says how.
 */
bool space_solo_begin(struct space *space);

static inline void space_solo_end(struct space *space)
{
    /* Release (fence rw,w; sw), pairs with space_enter(): who waits for it sees what was changed. */
    store_release(&space_hart(space)->solo, 0);
}

/* --- space_flush.c ------------------------------------------------------------------------------------- */

/** space_harts_to_flush - who may have translations of what was gathered. Whoever may have some later sees what was changed. */
hart_mask_t space_harts_to_flush(struct space *space, const struct table_gather *gather);

/** space_unlinked - for gather.unlinked of a struct space_gather. */
void space_unlinked(struct table_gather *gather, pfn_t table, size_t page, unsigned level);

/** space_flush_asid - this hart forgets all of the space, and of what others have of its ASID. space_flush_page - one page. */
void space_flush_asid(const struct space *space, uint16_t asid);
void space_flush_page(const struct space *space, size_t page);

/** space_flush_of - what is to be forgotten. @bound: a page, for what has none */
struct flush space_flush_of(const struct space *space, const struct table_gather *gather, size_t bound);

/** space_flush - make all these harts forget what was gathered, and then give the tables back. space_flush_here - this hart only:
 *  rights were gained, or no other had the translations. */
void space_flush(struct space *space, struct table_gather *gather, size_t bound);
void space_flush_here(struct space *space, struct table_gather *gather, size_t bound);

struct quarantine;

/** quarantine_find_free - a place for an unmapping of this hart's that waits; NULL: there is none. quarantine_number - which. */
struct quarantine *quarantine_find_free(void);
unsigned quarantine_number(const struct quarantine *slot);

/** quarantine_has_room - whether so much may wait. quarantine_put - finish an unmapping when the harts have forgotten. */
bool quarantine_has_room(const struct space_edit *edit);
void quarantine_put(struct space_edit *edit, struct quarantine *slot);

/** space_quarantine_cancel - the space ends: what was deferred of it is not to be done any more. */
void space_quarantine_cancel(struct space *space);

/** space_quarantine_drain - memory is short: finish what this hart has deferred. Returns whether there was any. */
bool space_quarantine_drain(void);

/* --- space_fault.c ------------------------------------------------------------------------------------- */

/** space_hint_move - this hart's hint is none, or of that page. */
void space_hint_move(struct space *space, size_t page);

/* --- space_view.c -------------------------------------------------------------------------------------- */

/** space_view_root - the root for this hart's satp: its view's, the kernel's own while it has none, or, not by_table, the space's. */
pfn_t space_view_root(struct space *space);

/** space_use_view - this hart, whose current space it is, walks its view of it from now on; nothing is flushed. @asid: the space's */
void space_use_view(struct space *space, uint16_t asid);

/** space_view_link - make this hart's view show the table of a locked slot of level 0. 0 or ERR_NO_MEMORY. Only by_table. */
int space_view_link(struct space *space, struct table_slot *slot, size_t page);

/** space_view_unlinked - take a table of level 0 that has left the tree out of the views. */
void space_view_unlinked(struct space *space, pfn_t table, size_t page);

/** space_view_destroy - of every hart. */
void space_view_destroy(struct space *space);

/** space_view_tables - frames that the views take. */
size_t space_view_tables(struct space *space);

#endif
