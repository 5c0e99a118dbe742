/*
 * Page tables of Sv39: map, unmap, protect and translate ranges over leaves of 4 KiB, 2 MiB and 1 GiB. One table is the
 * kernel's and has the high half; all others have a low half of their own and the kernel's entries above it, so a trap
 * changes no satp. What is mapped is the caller's business: tables know frames by number only.
 *
 * A call does all that it was asked to or nothing. What it needs of frames for new tables is counted first, taken, and
 * only then is an entry written: a call that runs out of memory has changed nothing that any hart could have seen, so
 * there is nothing to flush and nothing to undo.
 *
 * Harts keep translations, and pointers to tables, until they are told to forget them. What a call took away or changed
 * is therefore gathered for the caller, who flushes on every hart that may have used the table and only then gives
 * the empty tables back, by page_table_release(). Mapping what was not mapped needs no flush on QEMU; hardware without
 * Svvptc may remember for a while that there was nothing, and its fault is answered by another look at the entry.
 */
#ifndef MM_VM_PAGE_TABLE_H
#define MM_VM_PAGE_TABLE_H

#include "arch/pte.h"
#include "mm/vm/table_page.h"
#include "smp/lock.h"

/* Who may change what at the same time (`ptlock=`). */
enum table_locking {
    TABLE_LOCK_SPACE, /* one lock a table: all of its half */
    TABLE_LOCK_NODE, /* a lock in each frame of it: docs/page-tables.md */
};

/* Where the frames of tables come from. */
struct table_source {
    pfn_t (*alloc)(struct table_source *source); /* a frame of zeros; PFN_NONE: there is none */
    void (*free)(struct table_source *source, pfn_t pfn);
    struct table_page *pages; /* one for each frame that alloc can return, zeroed at first */
    pfn_t base; /* the first of those */
};

struct page_table {
    pfn_t root;
    pfn_t
        mirror; /* a second root, for U-mode, whose low half is as the first's: page_table_split(). Or PFN_NONE */
    struct table_source *source;
    size_t first, end; /* the pages of its half */
    uint64_t global; /* PTE_G for the kernel's, unless U-mode has tables without it */
    bool sealed; /* the root changes no more */
    enum table_locking locking;
    struct lock lock; /* TABLE_LOCK_SPACE: of everything in this half */
};

/* A page as it is mapped. */
struct table_leaf {
    vaddr_t vaddr;
    pte_t pte;
    pfn_t pfn; /* the first of page_level_pages(level) */
    uint64_t rights; /* of PTE_RIGHTS */
    unsigned level; /* 0: 4 KiB, 1: 2 MiB, 2: 1 GiB */
};

/* What calls have changed since the harts flushed last; several calls may add to one. */
struct table_gather {
    size_t first,
        end; /* pages that harts may know otherwise; first == end: none. Each leaf between counts as one */
    size_t nleaves; /* leaves taken away or changed */
    hart_mask_t harts; /* that the tables of these leaves name, and the emptied ones */
    pfn_t tables; /* empty ones, linked, not to be used before the flush */

    /* Called under the locks for each leaf that is taken away by page_table_unmap(), and for each emptied table when it has
     * left the tree; NULL: nobody wants to know. */
    void (*removed)(struct table_gather *gather, const struct table_leaf *leaf);
    void (*unlinked)(struct table_gather *gather, pfn_t table, size_t page, unsigned level);
};

#define TABLE_GATHER_INIT ((struct table_gather){.tables = PFN_NONE})

/**
 * page_table_init - an empty table.
 * @lock_kind: of the table's lock
 * @kernel: the kernel's table, sealed, whose entries the root gets; NULL: this is the kernel's
 *
 * Returns 0, ERR_NO_MEMORY, or ERR_STATE when the kernel's may still change its root.
 */
int page_table_init(struct page_table *table, struct table_source *source, enum table_locking locking,
    const struct lock_ops *lock_kind, const struct page_table *kernel);

/**
 * page_table_split - give a new table a second root, which shows the same of the low half, and of the high half what @user does:
 * its mirror, changed whenever the root is. 0 or ERR_NO_MEMORY.
 */
int page_table_split(struct page_table *table, pfn_t user);

/** page_table_mirror - make the mirror, if there is one, as the root is: its entries were written before any hart knew it. */
void page_table_mirror(struct page_table *table);

/** page_table_set_global - let the leaves of the kernel's table be in every address space (PTE_G) or not, but for those within
 *  [first, end) pages, which stay what they are. The harts are quiet, flush everything behind it, and no table has a copy. */
void page_table_set_global(struct page_table *table, bool global, size_t first, size_t end);

/** page_table_destroy - give back the root; nothing may be mapped, no hint be left, and no hart have it in its satp. */
void page_table_destroy(struct page_table *table);

/**
 * page_table_keep - make the table of 2 MiB entries that an address needs, and let it stay when it is empty: a
 * place in the kernel's root that is used later. Before another hart knows the table. 0, ERR_RANGE, ERR_STATE for a
 * sealed root, ERR_EXISTS for a leaf of 1 GiB, ERR_NO_MEMORY.
 */
int page_table_keep(struct page_table *table, vaddr_t vaddr);

/** page_table_seal - from now on the root does not change: what would need that fails with ERR_STATE. Other tables may
 *  copy it then. Before another hart knows the table. */
void page_table_seal(struct page_table *table);

/**
 * page_table_map - show a range of physical memory.
 * @vaddr, @paddr, @bytes: multiples of PAGE_BYTES; bytes > 0
 * @rights: of PTE_RIGHTS; PTE_U in the low half only
 * @level_max: the largest leaves to use; they are used wherever both addresses are aligned to them
 *
 * Returns 0; ERR_INVALID for what is misaligned or rights that cannot be; ERR_RANGE for addresses that are not
 * canonical, not in the table's half, in the null page, or no physical ones; ERR_EXISTS when any of the range is mapped;
 * ERR_STATE when a sealed root would have to change; ERR_NO_MEMORY. On error nothing has changed.
 */
int page_table_map(struct page_table *table, vaddr_t vaddr, paddr_t paddr, size_t bytes, uint64_t rights,
    unsigned level_max);

/**
 * page_table_unmap - take away what is mapped in a range, which may have holes. Leaves that reach out of it are split.
 *
 * Returns 0, and the caller flushes what was gathered; or an error as page_table_map(), and nothing has changed.
 */
int page_table_unmap(struct page_table *table, vaddr_t vaddr, size_t bytes, struct table_gather *gather);

/** page_table_protect - give everything that is mapped in a range these rights; as page_table_unmap() for the rest. */
int page_table_protect(
    struct page_table *table, vaddr_t vaddr, size_t bytes, uint64_t rights, struct table_gather *gather);

/** page_table_release - give back the tables that were gathered; the harts have flushed. Empties @gather. No lock is held that
 *  the source takes; by node, frames come back when no hart can be reading them (smp/epoch.h). */
void page_table_release(struct page_table *table, struct table_gather *gather);

/** page_table_count - the tables below the root, in this half. */
size_t page_table_count(struct page_table *table);

/** page_table_find - the leaf that shows an address. Returns whether there is one. */
bool page_table_find(struct page_table *table, vaddr_t vaddr, struct table_leaf *leaf);

/** page_table_translate - the physical address behind a virtual one. Returns whether it is mapped. */
bool page_table_translate(struct page_table *table, vaddr_t vaddr, paddr_t *paddr);

struct table_visitor {
    void (*visit)(struct table_visitor *visitor, const struct table_leaf *leaf);
    bool marks; /* wants to see them, too */
};

/** page_table_walk - show a visitor every leaf, or every leaf and mark, of the table's half, in ascending order, under all locks. */
void page_table_walk(struct page_table *table, struct table_visitor *visitor);

/**
 * page_table_validate - recount from ground truth: counts of entries, no empty table but hints, and of each entry
 * that it can be what it is. The harts must be quiet.
 * @kernel: the kernel's table, to compare the high half with; NULL for itself
 *
 * Returns 0, or ERR_CORRUPT with the finding on the console.
 */
int page_table_validate(struct page_table *table, const struct page_table *kernel);

#endif
