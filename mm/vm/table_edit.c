/*
 * The engine: see table_edit.h. Both passes ask change() the same questions in the same order, so the tables that the first
 * one counted are those that the second one takes.
 */
#include "mm/vm/table_edit.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/table_lock.h"

/* What an entry above level 0 becomes of which [page, next) is in the range. */
static pte_t decide(struct table_edit *edit, pte_t old, size_t page, size_t next, unsigned level)
{
    if (next - page == page_level_pages(level))
        return edit->change(edit, old, page, level);
    pte_t part = pte_piece(old, page, level);
    return edit->change(edit, part, page, 0).bits == part.bits ? old : PTE_DESCEND;
}

static bool is_kept_hole(const struct table_edit *edit, pte_t pte)
{
    return pte.bits == 0 && edit->keeps_holes;
}

static bool is_descend(pte_t pte)
{
    return pte.bits == PTE_DESCEND.bits;
}

/* --- the first pass ---------------------------------------------------------------------------------- */

/* Of one table of level 0. */
static int plan_entries(struct table_edit *edit, const entry_t *entry, size_t first, size_t end)
{
    for (size_t page = first; page < end && !edit->error; page++, entry++) {
        pte_t old = entry_load(entry);
        if (!is_kept_hole(edit, old))
            (void)edit->change(edit, old, page, 0);
    }
    return edit->error;
}

/* @table: PFN_NONE for one that is missing, whose entries would be parts of @whole. Returns 0 or why not. */
static int plan(struct table_edit *edit, pfn_t table, pte_t whole, unsigned level, size_t first, size_t end)
{
    if (level == 0 && (pfn_is_none(table) || edit->sure))
        return 0; /* there is nothing below, and change() has been asked about the whole, or refuses nothing */
    if (level == 0)
        return plan_entries(edit, table_entry(table, first, 0), first, end);
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t old = pfn_is_none(table)
                        ? pte_piece(whole, ALIGN_DOWN(page, page_level_pages(level)), level + 1)
                        : entry_load(table_entry(table, page, level));
        pfn_t child = PFN_NONE;
        if (is_kept_hole(edit, old))
            continue;
        if (pte_is_table(old)) {
            child = pte_pfn(old);
        } else {
            pte_t new = decide(edit, old, page, next, level);
            if (edit->error)
                return edit->error;
            if (new.bits == old.bits)
                continue;
            if (level == PAGE_LEVEL_ROOT && edit->table->sealed)
                return ERR_STATE;
            if (!is_descend(new))
                continue;
            edit->needed++;
        }
        int error = plan(edit, child, old, level - 1, page, next);
        if (error)
            return error;
    }
    return 0;
}

/* --- the second pass --------------------------------------------------------------------------------- */

static void put(struct table_edit *edit, struct table_page *of, entry_t *entry, pte_t old, pte_t new,
    size_t page, unsigned level)
{
    DEBUG_ASSERT(!pte_is_table(new));
    of->live = (uint16_t)(of->live + (new.bits != 0) - (old.bits != 0));
    /* Relaxed: run_locked() has ordered what a frame holds before it; who flushes orders what is taken away before the
     * flush, on this hart and, by its interrupt, on others. sd. */
    store_relaxed(entry, new.bits);
    table_mirror(edit->table, entry, level);
    if (pte_is_valid(old))
        table_gather_add(edit->gather, page, page + page_level_pages(level), of->harts);
    if (edit->changed)
        edit->changed(edit, old, new, page, level);
}

static void write_entries(
    struct table_edit *edit, struct table_page *of, entry_t *entry, size_t first, size_t end)
{
    for (size_t page = first; page < end; page++, entry++) {
        pte_t old = entry_load(entry);
        if (is_kept_hole(edit, old))
            continue;
        pte_t new = edit->change(edit, old, page, 0);
        DEBUG_ASSERT(!is_descend(new));
        if (new.bits != old.bits)
            put(edit, of, entry, old, new, page, 0);
    }
}

static void write_below(struct table_edit *edit, pfn_t table, unsigned level, size_t first, size_t end);

/* Puts a table in the place of an entry, when its part of the range has been written: the walkers of other harts see all of
 * that at once, or none. Of a leaf they may use what they know of it for now: the parts that are not changed show the same. */
static void grow(
    struct table_edit *edit, struct table_page *of, entry_t *entry, unsigned level, size_t page, size_t next)
{
    pte_t old = entry_load(entry);
    pfn_t child = table_new(edit->table, &edit->spare, old, level - 1);
    if (pte_is_leaf(old)) {
        table_page(edit->table, child)->harts = of->harts;
        edit->gather->harts.bits |= of->harts.bits;
    }
    write_below(edit, child, level - 1, page, next);
    if (table_page(edit->table, child)->live > 0) {
        table_link(of, entry, child, 0);
        table_mirror(edit->table, entry, level);
        return;
    }
    if (table_by_node(edit->table))
        table_page_unlock(table_page(edit->table, child));
    table_chain_push(edit->table, &edit->unused, child);
}

static void write_below(struct table_edit *edit, pfn_t table, unsigned level, size_t first, size_t end)
{
    struct table_page *of = table_page(edit->table, table);
    if (level == 0) {
        write_entries(edit, of, table_entry(table, first, 0), first, end);
        return;
    }
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        entry_t *entry = table_entry(table, page, level);
        pte_t old = entry_load(entry);
        if (is_kept_hole(edit, old))
            continue;
        if (pte_is_table(old)) {
            write_below(edit, pte_pfn(old), level - 1, page, next);
            if (edit->gather && table_page(edit->table, pte_pfn(old))->live == 0)
                table_unlink_if_empty(edit->table, of, entry, page, edit->gather);
            continue;
        }
        pte_t new = decide(edit, old, page, next, level);
        if (is_descend(new))
            grow(edit, of, entry, level, page, next);
        else if (new.bits != old.bits)
            put(edit, of, entry, old, new, page, level);
    }
}

/* --- both ---------------------------------------------------------------------------------------------- */

/* Under the locks. */
static int run_locked(struct table_edit *edit)
{
    int error = plan(edit, edit->top, PTE(0), edit->top_level, edit->first, edit->end);
    if (!error && edit->needed > 0)
        error = table_chain_fill(edit->table, &edit->spare, edit->needed);
    if (error)
        return error;
    /* fence w,w: what the caller wrote to frames is there before another hart can see them. Pairs with the walkers
     * of other harts, whose accesses come behind their reads of the entries. */
    fence_writes();
    write_below(edit, edit->top, edit->top_level, edit->first, edit->end);
    DEBUG_ASSERT(pfn_is_none(edit->spare) && !edit->error); /* both passes saw the same */
    return 0;
}

static int run_anywhere(struct table_edit *edit)
{
    struct page_table *table = edit->table;
    edit->needed = 0;
    edit->spare = edit->unused = PFN_NONE;
    edit->top = table_lock_top(table, edit->first, edit->end, 0, &edit->node, &edit->top_level);
    struct table_page *top = table_page(table, edit->top);
    if (edit->top_level > 0 && table_by_node(table))
        table_lock_below(table, edit->top, edit->top_level, edit->first, edit->end);
    int error = run_locked(edit);
    if (edit->hint && edit->top_level == 0)
        table_hint_adopt(edit->hint, edit->first, edit->top, top);
    bool emptied = top->live == 0 && top->pins == 0 && edit->top_level < PAGE_LEVEL_ROOT;
    if (edit->top_level > 0 && table_by_node(table))
        table_unlock_below(table, edit->top, edit->top_level, edit->first, edit->end);
    table_unlock_top(table, top, &edit->node);
    table_chain_free(table, &edit->unused);
    if (unlikely(emptied) && edit->gather)
        table_reclaim(table, edit->first, edit->top_level, edit->gather);
    return error;
}

/* The slot is that of the first page. No table comes or goes. */
static int run_in_hint(struct table_edit *edit)
{
    struct table_slot slot;
    int error = table_slot_lock(edit->table, edit->first, 0, edit->hint, &slot);
    if (!error && !edit->sure)
        error = plan_entries(edit, slot.entry, edit->first, edit->end);
    if (!error) {
        fence_writes(); /* as in run_locked() */
        write_entries(edit, slot.page, slot.entry, edit->first, edit->end);
    }
    table_slot_unlock(&slot);
    return error;
}

int table_edit_run(struct table_edit *edit)
{
    const struct table_hint *hint = edit->hint;
    edit->error = 0;
    if (hint && table_hint_matches(hint, edit->first) && table_hint_matches(hint, edit->end - 1))
        return run_in_hint(edit);
    return run_anywhere(edit);
}
