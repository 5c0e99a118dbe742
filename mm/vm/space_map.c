/* The calls that change what is mapped in an address space: see space.h. Each is one change of space_edit.c, of a range that
 * was found to be fit. */
#include "lib/error.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_lock.h"

#define MMAP_FIRST ((size_t)USER_MMAP_BASE / PAGE_BYTES)
#define MMAP_END   ((size_t)USER_MMAP_END / PAGE_BYTES)

/* Slices are of whole tables, so that harts that allocate share none: this is 16 MiB. With 64 harts they have 128 MiB. */
#define SLICE_UNIT (8 * (size_t)PAGE_ENTRIES)

static size_t slice_pages(const struct space *space)
{
    return ALIGN_DOWN((MMAP_END - MMAP_FIRST) / space->pool->nharts, SLICE_UNIT);
}

size_t space_slice_first(const struct space *space, unsigned hart)
{
    return MMAP_FIRST + hart * slice_pages(space);
}

/* --- what is asked for --------------------------------------------------------------------------------- */

static bool range_fits(vaddr_t vaddr, size_t bytes)
{
    return vaddr.value >= USER_BASE && vaddr.value <= USER_END && bytes <= USER_END - vaddr.value;
}

static bool is_page(vaddr_t vaddr)
{
    return IS_ALIGNED(vaddr.value, (uint64_t)PAGE_BYTES);
}

/* Of a range that fits. */
static void edit_init(
    struct space_edit *edit, struct space *space, enum space_change what, vaddr_t vaddr, size_t bytes)
{
    size_t first = vaddr_to_page(vaddr);
    space_edit_init(edit, space, what, first, first + space_pages(bytes));
}

/* --- where there is room ------------------------------------------------------------------------------- */

struct search {
    size_t npages;
    size_t run; /* where the hole begins that the search is in */
};

/* Looks at the pages [first, end) in order. Returns whether a hole is large enough; it begins at search->run. */
static bool search_below(struct search *search, pfn_t table, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_follow(table_entry(table, page, level));
        if (pte_is_table(pte)) {
            if (search_below(search, pte_pfn(pte), level - 1, page, next))
                return true;
        } else if (pte.bits != 0) {
            search->run = next;
        } else if (next - search->run >= search->npages) {
            return true;
        }
    }
    return false;
}

/* A hole of so many pages, or @end. What is found may be taken a moment later: whoever maps there is told. */
static size_t find_hole(struct space *space, size_t npages, size_t first, size_t end)
{
    struct search search = {npages, first};
    struct lock_node node;
    if (first >= end || npages > end - first)
        return end;
    table_read_begin(&space->table, &node);
    bool found = search_below(&search, space->table.root, PAGE_LEVEL_ROOT, first, end);
    table_read_end(&space->table, &node);
    return found ? search.run : end;
}

/* --- what needs no edit -------------------------------------------------------------------------------- */

/* Pages in the 2 MiB of the hart's hint: holes become untouched memory (@maps), or untouched memory holes. No hart can have
 * translations, and no table comes or goes. Returns whether that is all that was there; else nothing has changed. */
static bool swap_untouched(struct space *space, size_t first, size_t end, bool maps, pte_t new)
{
    struct table_hint *hint = &space_hart(space)->hint;
    struct table_slot slot;
    size_t changed = 0, i = 0, npages = end - first;
    if (!table_hint_matches(hint, first) || !table_hint_matches(hint, end - 1) ||
        table_slot_lock(&space->table, first, 0, hint, &slot))
        return false;
    for (; i < npages; i++) {
        pte_t old = entry_load(&slot.entry[i]);
        if (old.bits != 0 && (maps || pte_mark_kind(old) != PTE_MARK_ANON))
            break;
        changed += maps || old.bits != 0;
    }
    bool all = i == npages;
    for (i = 0; all && i < npages; i++)
        store_relaxed(&slot.entry[i], new.bits); /* under the lock; no walker finds anything in either */
    if (all)
        slot.page->live = (uint16_t)(maps ? slot.page->live + changed : slot.page->live - changed);
    table_slot_unlock(&slot);
    return all;
}

/* Untouched memory where the hart has been last. */
static bool map_quickly(struct space *space, size_t npages, uint64_t rights, size_t *page)
{
    struct space_hart *own = space_hart(space);
    size_t end = space_slice_first(space, hart_index()) + slice_pages(space);
    if (npages > end - own->next ||
        !swap_untouched(space, own->next, own->next + npages, true, space_anon(rights)))
        return false;
    *page = own->next;
    own->next += npages;
    return true;
}

static void note_unmapped(struct space *space, size_t first)
{
    struct space_hart *own = space_hart(space);
    if (first < own->next && first >= space_slice_first(space, hart_index()))
        own->next = first;
}

static int claim_at(struct space_edit *edit, size_t page)
{
    size_t npages = edit->edit.end - edit->edit.first;
    edit->edit.first = page;
    edit->edit.end = page + npages;
    return space_edit_run(edit);
}

/* In the first hole of [first, end) that is large enough. 0, ERR_EXISTS when there is none, ERR_NO_MEMORY. */
static int claim_hole(struct space_edit *edit, size_t first, size_t end)
{
    for (;;) {
        size_t page = find_hole(edit->space, edit->edit.end - edit->edit.first, first, end);
        int error = page == end ? ERR_EXISTS : claim_at(edit, page);
        if (error != ERR_EXISTS || page == end)
            return error;
    }
}

/* First where the hart has been last: what it unmapped there is used again, and its tables are still there. */
static int claim_anywhere(struct space_edit *edit)
{
    struct space_hart *own = space_hart(edit->space);
    size_t npages = edit->edit.end - edit->edit.first;
    size_t slice = space_slice_first(edit->space, hart_index()), end = slice + slice_pages(edit->space);
    int error = ERR_EXISTS;
    if (npages <= end - own->next) {
        space_hint_move(edit->space, own->next);
        error = claim_at(edit, own->next);
    }
    if (error == ERR_EXISTS)
        error = claim_hole(edit, own->next, end);
    if (error == ERR_EXISTS)
        error = claim_hole(edit, slice, end);
    if (error == ERR_EXISTS)
        error = claim_hole(edit, MMAP_FIRST, MMAP_END);
    if (error == 0 && edit->edit.first >= slice && edit->edit.end <= end)
        own->next = edit->edit.end;
    return error == ERR_EXISTS ? ERR_NO_MEMORY : error;
}

/* --- the calls ----------------------------------------------------------------------------------------- */

static int populate(struct space *space, const struct space_edit *edit)
{
    uint64_t access = edit->rights & PTE_W ? PTE_W : edit->rights & PTE_R ? PTE_R : PTE_X;
    for (size_t page = edit->edit.first; page < edit->edit.end && edit->rights; page++) {
        /* As on Linux: what cannot be had now is tried again at the first touch. */
        if (space_fault(space, page_to_vaddr(page), access))
            break;
    }
    return 0;
}

static int map(struct space_edit *edit, vaddr_t *vaddr, size_t bytes, unsigned flags)
{
    size_t npages = edit->edit.end - edit->edit.first;
    vaddr_t hint = page_to_vaddr(vaddr_to_page(*vaddr));
    int error = ERR_EXISTS;
    if (flags & (SPACE_FIXED | SPACE_NOREPLACE)) {
        if (!is_page(*vaddr))
            return ERR_INVALID;
        if (!range_fits(*vaddr, bytes))
            return ERR_RANGE;
        edit->fixed = true;
        edit->what = flags & SPACE_NOREPLACE ? SPACE_CLAIM : SPACE_REPLACE;
        error = claim_at(edit, vaddr_to_page(*vaddr));
    } else {
        if (npages > MMAP_END - MMAP_FIRST)
            return ERR_NO_MEMORY;
        if (vaddr->value < USER_END && range_fits(hint, bytes))
            error = claim_at(edit, vaddr_to_page(hint));
        if (error == ERR_EXISTS)
            error = claim_anywhere(edit);
    }
    if (error)
        return error;
    *vaddr = page_to_vaddr(edit->edit.first);
    return flags & SPACE_POPULATE ? populate(edit->space, edit) : 0;
}

int space_map(struct space *space, vaddr_t *vaddr, size_t bytes, uint64_t rights, unsigned flags)
{
    struct space_edit edit;
    if (bytes == 0 || rights & ~SPACE_RIGHTS)
        return ERR_INVALID;
    if (!space_rights_fit(rights))
        return ERR_PERMISSION;
    if (bytes > USER_END)
        return ERR_NO_MEMORY;
    size_t page;
    if (flags == 0 && vaddr->value == 0 && map_quickly(space, space_pages(bytes), rights, &page)) {
        *vaddr = page_to_vaddr(page);
        return 0;
    }
    edit_init(&edit, space, SPACE_CLAIM, VADDR(0), bytes);
    edit.rights = rights;
    return map(&edit, vaddr, bytes, flags);
}

int space_map_frames(
    struct space *space, vaddr_t *vaddr, pfn_t first, size_t npages, uint64_t rights, unsigned flags)
{
    struct space_edit edit;
    if (npages == 0 || rights & ~SPACE_RIGHTS)
        return ERR_INVALID;
    if (!space_rights_fit(rights))
        return ERR_PERMISSION;
    if (npages > USER_END_PAGE)
        return ERR_NO_MEMORY;
    edit_init(&edit, space, SPACE_CLAIM, VADDR(0), npages * PAGE_BYTES);
    edit.rights = rights;
    edit.shown = first;
    edit.level_max = space->by_table ? 0 : PAGE_LEVEL_2M; /* views share tables of the lowest level only */
    return map(&edit, vaddr, npages * PAGE_BYTES, flags & ~SPACE_POPULATE);
}

/* Of a range that does not fit. Below the user's part nothing is ever mapped. */
static NOINLINE int unmap_from_below(struct space *space, vaddr_t vaddr, size_t bytes)
{
    size_t below = USER_BASE - vaddr.value;
    if (vaddr.value >= USER_BASE || bytes > USER_END - vaddr.value)
        return ERR_INVALID;
    return bytes <= below ? 0 : space_unmap(space, VADDR(USER_BASE), bytes - below);
}

int space_unmap(struct space *space, vaddr_t vaddr, size_t bytes)
{
    struct space_edit edit;
    if (!is_page(vaddr) || bytes == 0)
        return ERR_INVALID;
    if (unlikely(!range_fits(vaddr, bytes)))
        return unmap_from_below(space, vaddr, bytes);
    size_t first = vaddr_to_page(vaddr);
    int error = 0;
    if (!swap_untouched(space, first, first + space_pages(bytes), false, PTE(0))) {
        edit_init(&edit, space, SPACE_UNMAP, vaddr, bytes);
        error = space_edit_run(&edit);
    }
    if (!error)
        note_unmapped(space, first);
    return error;
}

int space_protect(struct space *space, vaddr_t vaddr, size_t bytes, uint64_t rights)
{
    struct space_edit edit;
    if (!is_page(vaddr) || rights & ~SPACE_RIGHTS)
        return ERR_INVALID;
    if (!space_rights_fit(rights))
        return ERR_PERMISSION;
    if (bytes == 0)
        return 0;
    if (!range_fits(vaddr, bytes))
        return ERR_RANGE;
    edit_init(&edit, space, SPACE_PROTECT, vaddr, bytes);
    edit.rights = rights | (rights & PTE_W ? PTE_R : 0);
    return space_edit_run(&edit);
}

/* Of what is there of a range that may have holes, or reach out of what a user has. */
static int advise(struct space *space, enum space_change what, vaddr_t vaddr, size_t bytes)
{
    struct space_edit edit;
    if (!is_page(vaddr) || bytes > SIZE_MAX - PAGE_BYTES ||
        space_pages(bytes) > (SIZE_MAX - vaddr.value) / PAGE_BYTES)
        return ERR_INVALID;
    if (bytes == 0)
        return 0;
    uint64_t first = MAX(vaddr.value, (uint64_t)USER_BASE);
    uint64_t end = MIN(vaddr.value + bytes, (uint64_t)USER_END);
    if (first >= end)
        return ERR_RANGE;
    edit_init(&edit, space, what, VADDR(first), end - first);
    int error = space_edit_run(&edit);
    return !error && (edit.holes || end - first < bytes) ? ERR_RANGE : error;
}

int space_discard(struct space *space, vaddr_t vaddr, size_t bytes)
{
    return advise(space, SPACE_DISCARD, vaddr, bytes);
}

int space_look(struct space *space, vaddr_t vaddr, size_t bytes)
{
    return advise(space, SPACE_LOOK, vaddr, bytes);
}

/* The heap from one end to another, both of whole pages. */
static int move_brk(struct space *space, uint64_t from, uint64_t to)
{
    vaddr_t at = VADDR(MIN(from, to));
    if (to < from)
        return space_unmap(space, at, from - to);
    return to == from ? 0 : space_map(space, &at, to - from, PTE_R | PTE_W, SPACE_NOREPLACE);
}

vaddr_t space_brk(struct space *space, vaddr_t end)
{
    struct lock_node node;
    lock_acquire(&space->brk_lock, &node);
    if (end.value >= USER_HEAP_BASE && end.value <= USER_HEAP_END) {
        uint64_t from = ALIGN_UP(space->brk, (uint64_t)PAGE_BYTES);
        if (move_brk(space, from, ALIGN_UP(end.value, (uint64_t)PAGE_BYTES)) == 0)
            space->brk = end.value;
    }
    end.value = space->brk;
    lock_release(&space->brk_lock, &node);
    return end;
}
