/*
 * Faults: pages get their frames when they are touched, and copies when they are written. A frame is taken before the
 * entry's lock is, by a look at the entry without it; if the entry has become something else meanwhile it is looked at again.
 *
 * A page that is to be copied is shown to other harts, too, if they are in the space: they have to forget the old frame before
 * anybody writes to the new one, or one hart would read what was there before another's write. So the entry is BUSY during
 * the flush, and harts that fault on it try again. The copy is made behind the flush: a hart may have been allowed to write to the
 * old frame until then, if the space was copied by space_fork() a moment ago.
 */
#include "arch/cpu.h"
#include "arch/panic.h"
#include "arch/paging.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_lock.h"
#include "trace/inject.h"

/* Not an error: the entry has to be looked at again. */
#define AGAIN 1

struct fault {
    struct space *space;
    size_t page;
    uint64_t access;
    bool owned; /* the page is to have a frame of its own, to be written by the kernel, whatever the rights */
    pfn_t frame; /* taken for it; PFN_NONE */
    bool zeroed; /* the frame is */
    struct table_slot slot;
};

void space_hint_move(struct space *space, size_t page)
{
    struct space_gather dropped = {{.tables = PFN_NONE, .unlinked = space_unlinked}, space};
    struct table_hint *hint = &space_hart(space)->hint;
    if (hint->unit == 0 || table_hint_matches(hint, page))
        return;
    size_t bound = (hint->unit - 1) * PAGE_ENTRIES;
    table_hint_drop(&space->table, hint, &dropped.gather);
    space_flush(space, &dropped.gather, bound);
}

/* --- which frame a fault will need --------------------------------------------------------------------- */

/* Without a lock: what was there a moment ago. */
static pte_t peek(struct space *space, size_t page)
{
    struct lock_node node;
    table_read_begin(&space->table, &node);
    struct table_look look = table_look_up(&space->table, page);
    table_read_end(&space->table, &node);
    return pte_piece(look.pte, page, look.level);
}

/* Whether a write needs a frame of zeros, or one to copy to. */
static bool needs_zeros(const struct fault *fault, pte_t pte)
{
    return pte_mark_kind(pte) == PTE_MARK_ANON || (pte_has_frame(pte) && space_shows_zero(fault->space, pte));
}

static bool needs_copy(const struct fault *fault, pte_t pte)
{
    return pte_is_leaf(pte) && (pte.bits & (PTE_COW | PTE_FOREIGN)) == PTE_COW &&
           !frame_is_exclusive(fault->space->pool->refs, pte_pfn(pte));
}

static bool has_frame_for(const struct fault *fault, pte_t pte)
{
    return !pfn_is_none(fault->frame) && (fault->zeroed || !needs_zeros(fault, pte));
}

static void give_frame_back(struct fault *fault)
{
    if (!pfn_is_none(fault->frame))
        frame_free(fault->space->pool->refs->fa, fault->frame, 0);
    fault->frame = PFN_NONE;
}

static pfn_t take_frame(struct space *space, unsigned flags)
{
    if (inject_due(INJECT_PAGE))
        return PFN_NONE;
    pfn_t pfn = frame_alloc(space->pool->refs->fa, 0, flags);
    if (pfn_is_none(pfn) && space_quarantine_drain())
        pfn = frame_alloc(space->pool->refs->fa, 0, flags);
    return pfn;
}

static int prepare(struct fault *fault)
{
    if (fault->access != PTE_W && !fault->owned)
        return 0;
    pte_t pte = peek(fault->space, fault->page);
    bool zeros = needs_zeros(fault, pte) && (fault->owned || space_rights(fault->space, pte) & PTE_W);
    if ((!zeros && !needs_copy(fault, pte)) || has_frame_for(fault, pte))
        return 0;
    give_frame_back(fault);
    fault->frame = take_frame(fault->space, zeros ? FRAME_ZERO : 0);
    fault->zeroed = zeros;
    return pfn_is_none(fault->frame) ? ERR_NO_MEMORY : 0;
}

/* --- with the entry locked ----------------------------------------------------------------------------- */

static void forget_page(const struct fault *fault)
{
    space_flush_page(fault->space, fault->page);
}

/* The frame that was taken is shown, with the rights of the area. */
static void show_frame(struct fault *fault, uint64_t rights)
{
    pte_t leaf = space_leaf(fault->frame, rights, true);
    table_slot_set(&fault->slot, rights ? leaf : pte_mark(PTE_MARK_HIDDEN, 0, fault->frame));
    fault->frame = PFN_NONE;
}

static void fill_frame(const struct fault *fault, pte_t from)
{
    if (!space_shows_zero(fault->space, from))
        memcpy(pfn_to_direct(fault->frame), pfn_to_direct(pte_pfn(from)), PAGE_BYTES);
}

/* While the harts forget what is there, the entry is BUSY and not locked. Returns whether it still is that when it is locked again: the
 * page may have been unmapped, and the frame is whoever's that did. */
static bool flush_busy(struct fault *fault, pte_t old, uint64_t rights)
{
    struct table_gather gather = {.first = fault->page,
        .end = fault->page + 1,
        .nleaves = 1,
        .harts = *table_slot_harts(&fault->slot),
        .tables = PFN_NONE};
    pte_t busy = pte_mark(PTE_MARK_BUSY, space_bits(rights) | (old.bits & PTE_FOREIGN), pte_pfn(old));
    uint64_t owner = space_owner_of(SPACE_OWNER_NOW) << PTE_MARK_OWNER_SHIFT;
    table_slot_set(&fault->slot, PTE(busy.bits | owner));
    table_slot_unlock(&fault->slot);
    space_flush(fault->space, &gather, fault->page);
    int error =
        table_slot_lock(&fault->space->table, fault->page, 0, &space_hart(fault->space)->hint, &fault->slot);
    ASSERT(error == 0); /* nothing was needed */
    return fault->slot.pte.bits == (busy.bits | owner);
}

/* A frame of its own in place of one that others have, or of the page of zeros. */
static int replace_frame(struct fault *fault, pte_t old)
{
    struct space *space = fault->space;
    uint64_t rights = space_rights(space, old), self = hart_mask_one(hart_index()).bits;
    bool solo = !space->by_table && space_solo_begin(space);
    bool others = space->by_table ? (table_slot_harts(&fault->slot)->bits & ~self) != 0 : !solo;
    if (others && pte_is_leaf(old) && !flush_busy(fault, old, rights)) {
        table_slot_unlock(&fault->slot);
        return AGAIN;
    }
    fill_frame(fault, old);
    show_frame(fault, rights);
    if (!others)
        forget_page(fault);
    table_slot_unlock(&fault->slot);
    if (solo)
        space_solo_end(space);
    if (!(old.bits & PTE_FOREIGN))
        space_put_frame(space, pte_pfn(old), fault->page);
    counter_add(COUNTER_PAGE_COPY, 1);
    return 0;
}

/* The slot is let go. @result: what the fault has come to */
static int end_with(struct fault *fault, int result)
{
    table_slot_unlock(&fault->slot);
    return result;
}

/* It is there by now, or this hart remembers that it was not. */
static int end_spurious(struct fault *fault)
{
    table_slot_unlock(&fault->slot);
    forget_page(fault);
    counter_add(COUNTER_FAULT_SPURIOUS, 1);
    return 0;
}

/* Nobody else has the frame any more. */
static int write_in_place(struct fault *fault, pte_t pte, uint64_t rights)
{
    table_slot_set(&fault->slot, space_leaf(pte_pfn(pte), rights, true));
    table_slot_unlock(&fault->slot);
    forget_page(fault); /* other harts find out when they fault */
    return 0;
}

static int write_page(struct fault *fault, pte_t pte)
{
    uint64_t rights = space_rights(fault->space, pte);
    if (pte_mark_kind(pte) == PTE_MARK_ANON) {
        if (!has_frame_for(fault, pte))
            return end_with(fault, AGAIN);
        show_frame(fault, rights);
        return end_with(fault, 0);
    }
    bool zero = space_shows_zero(fault->space, pte);
    if (!zero && (!(pte.bits & PTE_COW) || frame_is_exclusive(fault->space->pool->refs, pte_pfn(pte)) ||
                     plant_due(PLANT_SPACE_COW)))
        return write_in_place(fault, pte, rights);
    return has_frame_for(fault, pte) ? replace_frame(fault, pte) : end_with(fault, AGAIN);
}

/* The page for the kernel to write to, if it is anonymous. */
static int own_page(struct fault *fault, pte_t pte)
{
    if (space_owns(pte) && !needs_copy(fault, pte) &&
        frame_is_exclusive(fault->space->pool->refs, pte_pfn(pte)))
        return end_with(fault, 0);
    if (space_shows_foreign(fault->space, pte))
        return end_with(fault, 0);
    if (!has_frame_for(fault, pte)) {
        table_slot_unlock(&fault->slot);
        give_frame_back(fault);
        fault->frame = take_frame(fault->space, FRAME_ZERO);
        fault->zeroed = true;
        return pfn_is_none(fault->frame) ? ERR_NO_MEMORY : AGAIN;
    }
    if (pte_has_frame(pte))
        return replace_frame(fault, pte);
    show_frame(fault, space_rights(fault->space, pte));
    return end_with(fault, 0);
}

/* Returns 0, AGAIN or why not; the slot is let go. */
static int serve(struct fault *fault)
{
    struct space *space = fault->space;
    pte_t pte = fault->slot.pte;
    enum pte_mark kind = pte_mark_kind(pte);
    if (pte.bits == 0 || kind == PTE_MARK_LEAVING)
        return end_with(fault, ERR_RANGE);
    if (kind == PTE_MARK_BUSY) {
        table_slot_unlock(&fault->slot);
        cpu_relax(); /* interrupts are on: it may be this hart that is waited for */
        return AGAIN;
    }
    if (space->by_table && fault->access && space_view_link(space, &fault->slot, fault->page))
        return end_with(fault, ERR_NO_MEMORY);
    if (fault->owned)
        return own_page(fault, pte);
    if (!(space_rights(space, pte) & fault->access))
        return end_with(fault, ERR_PERMISSION);
    if (pte_is_leaf(pte) && pte.bits & fault->access)
        return end_spurious(fault);
    if (fault->access == PTE_W)
        return write_page(fault, pte);
    table_slot_set(&fault->slot, space_zero_leaf(space, space_rights(space, pte)));
    return end_with(fault, 0);
}

static int run_fault(struct fault *fault)
{
    struct space *space = fault->space;
    int error;
    space_hint_move(space, fault->page);
    do {
        error = prepare(fault);
        if (!error)
            error = table_slot_lock(
                &space->table, fault->page, SLOT_MAKE, &space_hart(space)->hint, &fault->slot);
        if (!error)
            error = serve(fault);
    } while (error == AGAIN);
    give_frame_back(fault);
    return error;
}

int space_fault(struct space *space, vaddr_t vaddr, uint64_t access)
{
    struct fault fault = {
        .space = space, .page = vaddr.value / PAGE_BYTES, .access = access, .frame = PFN_NONE};
    counter_add(COUNTER_FAULT, 1);
    if (vaddr.value < USER_BASE || vaddr.value >= USER_END)
        return ERR_RANGE;
    return run_fault(&fault);
}

/* --- the kernel's own accesses ------------------------------------------------------------------------- */

/* Where the kernel sees a page, to write to it. */
static int show_to_write(struct space *space, size_t page, uint8_t **at)
{
    struct fault fault = {.space = space, .page = page, .owned = true, .frame = PFN_NONE};
    int error = run_fault(&fault);
    if (!error)
        *at = pfn_to_direct(pte_pfn(peek(space, page)));
    return error;
}

/* The same to read. */
static int show_to_read(struct space *space, size_t page, uint8_t **at)
{
    pte_t pte = peek(space, page);
    if (pte.bits == 0 || pte_mark_kind(pte) == PTE_MARK_LEAVING)
        return ERR_RANGE;
    *at = pfn_to_direct(pte_has_frame(pte) ? pte_pfn(pte) : space->pool->zero);
    return 0;
}

static int copy(struct space *space, vaddr_t vaddr, uint8_t *bytes, size_t count, bool writes)
{
    for (size_t done = 0, n; done < count; done += n) {
        uint64_t address = vaddr.value + done;
        uint8_t *at = NULL;
        size_t offset = address % PAGE_BYTES;
        n = MIN(count - done, PAGE_BYTES - offset);
        if (address < USER_BASE || address >= USER_END)
            return ERR_RANGE;
        int error = (writes ? show_to_write : show_to_read)(space, address / PAGE_BYTES, &at);
        if (error)
            return error;
        memcpy(writes ? at + offset : bytes + done, writes ? bytes + done : at + offset, n);
    }
    return 0;
}

int space_write(struct space *space, vaddr_t vaddr, const void *bytes, size_t count)
{
    return copy(space, vaddr, (uint8_t *)(uintptr_t)bytes, count, true); /* which it only reads */
}

int space_read(struct space *space, vaddr_t vaddr, void *bytes, size_t count)
{
    return copy(space, vaddr, bytes, count, false);
}
