/*
 * Address spaces: what a process sees of memory, with Linux's semantics at the granularity of pages. What is mapped where is
 * kept in the page table itself (after CortenMM, SOSP 2025: one level of abstraction), so looking it up is the walk that a fault
 * takes anyway, its cost does not depend on how many areas there are, and harts that work on different regions share nothing.
 *
 * Every call is about one space, from any hart, with interrupts on and no lock held: it may wait for other harts to forget
 * translations, and serves theirs meanwhile. Addresses are the user's and not trusted. A call does all that it was asked
 * to or nothing, if not said otherwise. Ranges begin at a page; their length is rounded up to pages.
 *
 * Errors and Linux's errno: ERR_INVALID EINVAL, ERR_NO_MEMORY and ERR_RANGE ENOMEM, ERR_PERMISSION EACCES, ERR_EXISTS EEXIST.
 */
#ifndef MM_VM_SPACE_H
#define MM_VM_SPACE_H

#include "lib/parts.h"
#include "mm/frame/frame_refs.h"
#include "mm/vm/page_table.h"
#include "mm/vm/vm_design.h"
#include "smp/hart.h"

struct space;

/* Where spaces get everything from. The kernel's is kernel_spaces; tests make others. */
struct space_pool {
    struct frame_refs *refs; /* pages, and the spaces themselves */
    struct table_source *tables;
    const struct page_table *kernel; /* whose half every space has */
    pfn_t
        user; /* a root that shows nothing but the trampoline: what U-mode has of the kernel by split=separate */
    pfn_t zero; /* the page that is shown where nothing has been written */
    unsigned nharts; /* harts 0 … nharts − 1 may call */
};

/** space_pool_init - the fields above are set, but zero. 0 or ERR_NO_MEMORY. space_pool_destroy - no space is left. */
int space_pool_init(struct space_pool *pool);
void space_pool_destroy(struct space_pool *pool);

/* --- lifecycle --------------------------------------------------------------------------------------- */

/** space_create - an empty space by the design in force (vm_design), with one reference. 0 or ERR_NO_MEMORY. */
int space_create(struct space_pool *pool, struct space **space);

/**
 * space_fork - a copy of a space, with one reference: writable pages are shared until one of the two writes. Other harts may go on
 * using the original. 0, or ERR_NO_MEMORY, and there is no trace of it.
 */
int space_fork(struct space *space, struct space **copy);

/** space_get - one more reference. space_put - one less; the last ends the space. */
void space_get(struct space *space);
void space_put(struct space *space);

/**
 * space_enter - this hart uses the space from now on, in place of the one it used; the low half is the space's. The
 * hart has a reference of its own until it enters another or leaves: a thread that waits may be woken and ended elsewhere, and the space
 * with it, before its hart has found something else to do. When it is the one already, that is two loads.
 */
void space_enter(struct space *space);

/** space_leave - this hart uses no space any more: back to the kernel's own table, whose low half is empty. */
void space_leave(void);

/** space_current - the space that this hart has entered; NULL for none. */
struct space *space_current(void);

/* --- what is mapped ---------------------------------------------------------------------------------- */

/* Flags of space_map() and space_map_frames(). */
#define SPACE_FIXED     1u /* there and nowhere else; what is mapped there goes (MAP_FIXED) */
#define SPACE_NOREPLACE 2u /* there, or ERR_EXISTS (MAP_FIXED_NOREPLACE) */
#define SPACE_POPULATE  4u /* frames now, not at the first touch (MAP_POPULATE) */

/**
 * space_map - private anonymous memory, zeros.
 * @vaddr: where, as a hint (0: anywhere) or by SPACE_FIXED or SPACE_NOREPLACE; becomes where it is. A hint that is taken, or out
 *         of what a space has, is ignored; one that is inside of a page is rounded down
 * @bytes: > 0
 * @rights: of PTE_R, PTE_W and PTE_X. PTE_W implies PTE_R; none: no access (PROT_NONE)
 *
 * Without an address each hart looks in its own slice of USER_MMAP_BASE … USER_MMAP_END first.
 *
 * Returns 0; ERR_INVALID for no bytes or a fixed address inside of a page; ERR_RANGE for a fixed range not within USER_BASE …
 * USER_END; ERR_PERMISSION for PTE_W with PTE_X; ERR_EXISTS; ERR_NO_MEMORY, also when no hole is large enough.
 */
int space_map(struct space *space, vaddr_t *vaddr, size_t bytes, uint64_t rights, unsigned flags);

/**
 * space_map_frames - show frames that are the kernel's and stay so: mapped now, shared with copies made by space_fork(), and
 * not given back by unmapping. The caller keeps them until the space has unmapped them. As space_map() for the rest.
 * @first, @npages: frames
 */
int space_map_frames(
    struct space *space, vaddr_t *vaddr, pfn_t first, size_t npages, uint64_t rights, unsigned flags);

/** space_unmap - take away whatever is mapped in a range, holes or not. 0; ERR_INVALID for no bytes, an address inside of
 *  a page or a range that ends above USER_END; ERR_NO_MEMORY. */
int space_unmap(struct space *space, vaddr_t vaddr, size_t bytes);

/**
 * space_protect - give all of a range these rights. Pages without any keep what is in them.
 *
 * Returns 0, also for no bytes; ERR_INVALID for an address inside of a page; ERR_RANGE when any of it is not mapped;
 * ERR_PERMISSION for PTE_W with PTE_X, and PTE_W for frames that were mapped without; ERR_NO_MEMORY.
 */
int space_protect(struct space *space, vaddr_t vaddr, size_t bytes, uint64_t rights);

/** space_discard - MADV_DONTNEED: the anonymous pages of a range are zeros again. 0, also for no bytes; ERR_INVALID for an address
 *  inside of a page or a range that ends behind the last address; ERR_RANGE when some of it is not mapped, and the rest has been
 *  discarded; ERR_NO_MEMORY. space_look - the same without the discarding: whether all of it is mapped. */
int space_discard(struct space *space, vaddr_t vaddr, size_t bytes);
int space_look(struct space *space, vaddr_t vaddr, size_t bytes);

/** space_brk - move the end of the heap, which begins at USER_HEAP_BASE. Returns the end as it is then: @end, or unchanged
 *  where that cannot be, which @end 0 asks for. */
vaddr_t space_brk(struct space *space, vaddr_t end);

/* --- faults ------------------------------------------------------------------------------------------ */

/**
 * space_fault - a hart could not access an address: make it accessible, if it is to be.
 * @access: PTE_R, PTE_W or PTE_X
 *
 * Returns 0, and the access is to be tried again; ERR_RANGE: nothing is mapped there; ERR_PERMISSION; ERR_NO_MEMORY.
 */
int space_fault(struct space *space, vaddr_t vaddr, uint64_t access);

/** space_write, space_read - to or from a space that no hart uses meanwhile, entered or not: a program that is being loaded, tests.
 *  Faults are served, and rights matter for space_read() only as far as there must be something mapped. 0 or as space_fault(); some
 *  of it may have been done then. */
int space_write(struct space *space, vaddr_t vaddr, const void *bytes, size_t count);
int space_read(struct space *space, vaddr_t vaddr, void *bytes, size_t count);

/* --- inspection -------------------------------------------------------------------------------------- */

/* Neighbours that are alike. */
struct space_area {
    vaddr_t first, end;
    uint64_t rights; /* of PTE_R, PTE_W, PTE_X */
    bool foreign; /* frames of the kernel */
    size_t resident; /* pages that have a frame of their own */
};

struct space_visitor {
    void (*visit)(struct space_visitor *visitor, const struct space_area *area);
};

/** space_walk - show a visitor what is mapped, in ascending order; under the table's lock. */
void space_walk(struct space *space, struct space_visitor *visitor);

/**
 * space_validate - recount from ground truth: the tables, each frame that is shown and the references to it, nothing left
 * half done. The harts must be quiet. Returns 0, or ERR_CORRUPT with the finding on the console.
 */
int space_validate(struct space *space);

/** space_frames - frames that a space alone accounts for when nothing is shared: pages, tables, itself. Quiet harts. */
size_t space_frames(struct space *space);

#endif
