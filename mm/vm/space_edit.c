/*
 * Changes of ranges of an address space, over the edits of page tables: what becomes of each entry, and which harts are told
 * when. It is one function from entry to entry for each kind of change (enum space_change).
 *
 * A frame, or an address, may be used for something else only when no hart has a translation of what was there. So where other
 * harts may have one, a change takes two rounds. The first turns leaves into marks that keep the frame: LEAVING for what is
 * unmapped, BUSY for what will be something else. Then the harts are flushed, with no lock held. The second round, settle(),
 * finishes the marks, and gives the frames back. Nothing is allocated to remember them. A mark carries its owner (the hart, and
 * which of its changes), so a change that works in the same range meanwhile leaves it alone: it takes LEAVING for a hole, waits
 * for BUSY to end (but for an unmapping, which takes it over), and who maps something in its place (SPACE_REPLACE) takes it over and flushes itself.
 *
 * Where no other hart can have a translation, one round does it, and a flush of this hart. That this is so must stay true
 * until the entries are written, while other harts may enter the space:
 *
 *     this hart                              hart that enters for the first time
 *     solo = 1 (swap)                        active |= itself (or)
 *     load active: nobody else               load solo: 1, wait
 *     write entries, give frames back
 *     solo = 0                               solo is 0: uses the table, as it is now
 *
 * Each writes first and reads then, with operations that stay in order, so one of the two sees the other. By table (`tracked`)
 * there is no such question: a hart says that it will use a table under that table's lock (space_view.c).
 *
 * Of a leaf that shows a frame of the kernel's PTE_COW means that it may be given PTE_W again; nothing is ever copied.
 */
#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_lock.h"
#include "trace/inject.h"

static pte_t owned_mark(const struct space_edit *edit, enum pte_mark kind, pte_t old, uint64_t rights)
{
    pte_t mark = pte_mark(kind, space_bits(rights) | (old.bits & PTE_FOREIGN), pte_pfn(old));
    return PTE(mark.bits | edit->owner << PTE_MARK_OWNER_SHIFT);
}

static bool is_own(const struct space_edit *edit, pte_t pte)
{
    enum pte_mark kind = pte_mark_kind(pte);
    return (kind == PTE_MARK_LEAVING || kind == PTE_MARK_BUSY) &&
           pte.bits >> PTE_MARK_OWNER_SHIFT == edit->owner;
}

/* --- who can have a translation ------------------------------------------------------------------------ */

/* By table: the harts that the table of entries for a page notes. It is locked, so the way to it stays. */
static uint64_t harts_of_table(const struct space_edit *edit, size_t page)
{
    const struct page_table *table = &edit->space->table;
    const struct table_hint *hint = edit->edit.hint;
    if (hint && table_hint_matches(hint, page))
        return hint->page->harts.bits;
    struct table_look look = table_look_up(table, page);
    /* The view of no hart has anything of another level. */
    return look.level == 0 ? table_page(table, look.table)->harts.bits : 0;
}

static bool table_has_others(struct space_edit *edit, size_t page)
{
    if (edit->unit != page / PAGE_ENTRIES + 1) {
        edit->unit = page / PAGE_ENTRIES + 1;
        edit->unit_harts = harts_of_table(edit, page);
    }
    return (edit->unit_harts & ~edit->self) != 0;
}

static bool has_others(struct space_edit *edit, size_t page)
{
    return edit->space->by_table ? table_has_others(edit, page) : edit->others;
}

/* --- from entry to entry ------------------------------------------------------------------------------- */

/* The new mapping, of SPACE_CLAIM and SPACE_REPLACE. */
static pte_t target(const struct space_edit *edit, size_t page, unsigned level)
{
    if (pfn_is_none(edit->shown))
        return space_anon(edit->rights);
    pfn_t pfn = pfn_add(edit->shown, page - edit->edit.first);
    if (level > 0 && (level > edit->level_max || !IS_ALIGNED(pfn.value, page_level_pages(level))))
        return PTE_DESCEND;
    uint64_t bits = space_bits(edit->rights) | PTE_FOREIGN;
    return edit->rights ? pte_leaf(pfn, bits) : pte_mark(PTE_MARK_HIDDEN, bits, pfn);
}

static pte_t unmapped(struct space_edit *edit, pte_t old, size_t page)
{
    enum pte_mark kind = pte_mark_kind(old);
    if (kind == PTE_MARK_LEAVING)
        return old;
    /* Whoever has made it BUSY finds that it is not any more, and leaves it alone. */
    if (pte_has_frame(old) && (has_others(edit, page) || kind == PTE_MARK_BUSY))
        return owned_mark(edit, PTE_MARK_LEAVING, old, 0);
    return PTE(0);
}

static pte_t replaced(struct space_edit *edit, pte_t old, size_t page, unsigned level)
{
    pte_t new = target(edit, page, level);
    if (new.bits != PTE_DESCEND.bits && pte_has_frame(old) && has_others(edit, page))
        return owned_mark(edit, PTE_MARK_BUSY, old, 0);
    return new;
}

static pte_t claimed(struct space_edit *edit, pte_t old, size_t page, unsigned level)
{
    if (old.bits == 0)
        return target(edit, page, level);
    if (edit->fixed && pte_mark_kind(old) == PTE_MARK_LEAVING)
        return replaced(edit, old, page, level);
    edit->edit.error = ERR_EXISTS;
    return old;
}

static pte_t looked_at(struct space_edit *edit, pte_t old)
{
    edit->holes |= old.bits == 0 || pte_mark_kind(old) == PTE_MARK_LEAVING;
    return old;
}

static pte_t discarded(struct space_edit *edit, pte_t old, size_t page)
{
    (void)looked_at(edit, old);
    if (!space_owns(old) || pte_mark_kind(old) == PTE_MARK_LEAVING)
        return old;
    uint64_t rights = space_rights(edit->space, old);
    return has_others(edit, page) ? owned_mark(edit, PTE_MARK_BUSY, old, rights) : space_anon(rights);
}

/* Of what shows a frame, or hides it. */
static pte_t protected_page(struct space_edit *edit, pte_t old)
{
    uint64_t rights = edit->rights, foreign = old.bits & PTE_FOREIGN;
    pfn_t pfn = pte_pfn(old);
    if (space_shows_zero(edit->space, old))
        return rights ? space_zero_leaf(edit->space, rights) : pte_mark(PTE_MARK_HIDDEN, foreign, pfn);
    if (!foreign) {
        bool exclusive = old.bits & PTE_W || frame_is_exclusive(edit->space->pool->refs, pfn);
        return rights ? space_leaf(pfn, rights, exclusive) : pte_mark(PTE_MARK_HIDDEN, 0, pfn);
    }
    uint64_t may_write = old.bits & (PTE_W | PTE_COW) ? PTE_COW : 0;
    if (rights & PTE_W && !may_write)
        edit->edit.error = ERR_PERMISSION;
    if (rights & PTE_W)
        may_write = 0; /* it says itself what it may */
    uint64_t bits = space_bits(rights) | foreign | may_write;
    return rights ? pte_leaf(pfn, bits) : pte_mark(PTE_MARK_HIDDEN, bits, pfn);
}

static pte_t protected(struct space_edit *edit, pte_t old)
{
    enum pte_mark kind = pte_mark_kind(old);
    if (kind == PTE_MARK_ANON)
        return space_anon(edit->rights);
    if (old.bits != 0 && kind != PTE_MARK_LEAVING)
        return protected_page(edit, old);
    edit->edit.error = ERR_RANGE;
    return old;
}

/* The second round: the harts have been flushed. */
static pte_t settled(const struct space_edit *edit, pte_t old, size_t page, unsigned level)
{
    if (!is_own(edit, old))
        return old;
    if (pte_mark_kind(old) == PTE_MARK_LEAVING)
        return PTE(0);
    return edit->what == SPACE_DISCARD ? space_anon(old.bits & SPACE_RIGHTS) : target(edit, page, level);
}

static pte_t change(struct table_edit *table_edit, pte_t old, size_t page, unsigned level)
{
    struct space_edit *edit = CONTAINER_OF(table_edit, struct space_edit, edit);
    if (edit->settling)
        return settled(edit, old, page, level);
    if (edit->what == SPACE_END)
        return PTE(0);
    if (edit->what == SPACE_UNMAP)
        return unmapped(edit, old, page);
    if (unlikely(pte_mark_kind(old) == PTE_MARK_BUSY)) {
        edit->busy = true;
        edit->edit.error = ERR_STATE;
        return old;
    }
    switch (edit->what) {
    case SPACE_CLAIM: return claimed(edit, old, page, level);
    case SPACE_REPLACE: return replaced(edit, old, page, level);
    case SPACE_LOOK: return looked_at(edit, old);
    case SPACE_DISCARD: return discarded(edit, old, page);
    default: return protected(edit, old);
    }
}

/* What is not a leaf any more, but waits for a flush, is flushed for, too. */
static void gather_mark(struct space_edit *edit, size_t page, unsigned level)
{
    hart_mask_t known = {edit->unit == page / PAGE_ENTRIES + 1 ? edit->unit_harts : 0};
    table_gather_add(&edit->gathered.gather, page, page + page_level_pages(level), known);
}

static void changed(struct table_edit *table_edit, pte_t old, pte_t new, size_t page, unsigned level)
{
    struct space_edit *edit = CONTAINER_OF(table_edit, struct space_edit, edit);
    if (space_owns(old) && !space_owns(new) && !plant_due(PLANT_SPACE_LOST))
        space_put_frame(edit->space, pte_pfn(old), page);
    if (pte_is_leaf(old))
        edit->lost |= !pte_is_leaf(new) || (old.bits & ~new.bits &SPACE_RIGHTS) != 0;
    if (!edit->settling && is_own(edit, new)) {
        edit->pending += page_level_pages(level);
        if (!pte_is_leaf(old))
            gather_mark(edit, page, level);
    }
}

/* --- both rounds --------------------------------------------------------------------------------------- */

void space_edit_init(
    struct space_edit *edit, struct space *space, enum space_change what, size_t first, size_t end)
{
    /* One by one: to clear all of it first would cost as much as the change of a page. */
    struct table_gather *gather = &edit->gathered.gather;
    edit->edit.table = &space->table;
    edit->edit.first = first;
    edit->edit.end = end;
    edit->edit.change = change;
    edit->edit.changed = changed;
    edit->edit.gather = gather;
    edit->edit.sure = what == SPACE_UNMAP || what == SPACE_END;
    edit->edit.keeps_holes = edit->edit.sure;
    edit->edit.hint = &space_hart(space)->hint;
    gather->first = gather->end = gather->nleaves = 0;
    gather->harts = hart_mask_none();
    gather->tables = PFN_NONE;
    gather->removed = NULL;
    gather->unlinked = space_unlinked;
    edit->gathered.space = space;
    edit->space = space;
    edit->what = what;
    edit->rights = 0;
    edit->shown = PFN_NONE;
    edit->level_max = 0;
    edit->fixed = edit->settling = false;
    edit->self = hart_mask_one(hart_index()).bits;
    edit->owner = space_owner_of(SPACE_OWNER_NOW);
    edit->others = edit->busy = edit->holes = edit->lost = false;
    edit->pending = 0;
    edit->unit = 0;
    edit->unit_harts = 0;
}

bool space_solo_begin(struct space *space)
{
    /* Both orders, pairs with space_enter(): one of the two sees the other. amoswap.w.aqrl. */
    atomic_exchange_explicit(&space_hart(space)->solo, 1, memory_order_acq_rel);
    uint64_t self = hart_mask_one(hart_index()).bits;
    /* Acquire, pairs with part() in space.c: what a hart did that is not there any more was before. ld; fence r,rw. */
    if ((atomic_load_explicit(&space->active, memory_order_acquire) & ~self) == 0)
        return true;
    store_relaxed(&space_hart(space)->solo, 0); /* nothing was done that somebody may wait for */
    return false;
}

static int run_first_round(struct space_edit *edit)
{
    for (;;) {
        edit->busy = edit->holes = edit->lost = false;
        edit->unit = 0;
        edit->others = !edit->space->by_table && !space_solo_begin(edit->space);
        int error = table_edit_run(&edit->edit);
        if (!edit->space->by_table && !edit->others)
            space_solo_end(edit->space);
        if (likely(error == 0))
            return 0;
        if (edit->busy)
            cpu_relax(); /* interrupts are on: it may be this hart that is waited for */
        else if (error != ERR_NO_MEMORY || !space_quarantine_drain())
            return error;
    }
}

void space_edit_settle(struct space_edit *edit)
{
    edit->settling = true;
    edit->edit.sure = edit->edit.keeps_holes = true;
    int error = table_edit_run(&edit->edit);
    ASSERT(error == 0); /* nothing is split, and nothing refused */
    space_flush(edit->space, &edit->gathered.gather, edit->edit.first);
}

/* Flush, and finish what waits for it. */
static void finish(struct space_edit *edit, struct quarantine *slot)
{
    if (edit->pending == 0) {
        bool tables = !pfn_is_none(edit->gathered.gather.tables);
        if (edit->gathered.gather.nleaves == 0 && !tables)
            return;
        if ((edit->lost || tables) && (edit->space->by_table || edit->others))
            space_flush(edit->space, &edit->gathered.gather, edit->edit.first);
        else
            space_flush_here(edit->space, &edit->gathered.gather, edit->edit.first);
    } else if (slot && quarantine_has_room(edit)) {
        quarantine_put(edit, slot);
    } else {
        space_flush(edit->space, &edit->gathered.gather, edit->edit.first);
        space_edit_settle(edit);
    }
}

int space_edit_run(struct space_edit *edit)
{
    struct quarantine *slot = NULL;
    if (edit->what == SPACE_UNMAP && edit->space->shootdown->lazy) {
        slot = quarantine_find_free();
        if (slot)
            edit->owner = space_owner_of(quarantine_number(slot));
    }
    int error = run_first_round(edit);
    if (!error)
        finish(edit, slot);
    else /* a table that others have emptied may have been taken out of the tree on the way */
        space_flush(edit->space, &edit->gathered.gather, edit->edit.first);
    return error;
}
