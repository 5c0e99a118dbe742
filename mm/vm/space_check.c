/* Address spaces as a whole: what is mapped, merged for people, and the recount that proves it right. */
#include "arch/console.h"
#include "lib/error.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_lock.h"

/* Each entry of the user's part that is neither a hole nor a table. */
struct each {
    struct space *space;
    void (*visit)(struct each *each, pte_t pte, size_t page, unsigned level);
};

static void each_below(struct each *each, pfn_t table, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = entry_load(table_entry(table, page, level));
        if (pte_is_table(pte))
            each_below(each, pte_pfn(pte), level - 1, page, next);
        else if (pte.bits != 0)
            each->visit(each, pte, page, level);
    }
}

static void each_run(struct each *each)
{
    struct lock_node node;
    struct page_table *table = &each->space->table;
    table_lock_all(table, &node);
    each_below(each, table->root, PAGE_LEVEL_ROOT, 0, USER_END_PAGE);
    table_unlock_all(table, &node);
}

/* --- areas --------------------------------------------------------------------------------------------- */

struct walk {
    struct each each;
    struct space_visitor *visitor;
    struct space_area area; /* first == end: none yet */
};

static void end_area(struct walk *walk)
{
    if (walk->area.first.value != walk->area.end.value)
        walk->visitor->visit(walk->visitor, &walk->area);
    walk->area = (struct space_area){.first = VADDR(0)};
}

static void walk_entry(struct each *each, pte_t pte, size_t page, unsigned level)
{
    struct walk *walk = CONTAINER_OF(each, struct walk, each);
    struct space_area *area = &walk->area;
    vaddr_t first = page_to_vaddr(page);
    bool foreign = pte.bits & PTE_FOREIGN && !pfn_equal(pte_pfn(pte), each->space->pool->zero);
    uint64_t rights = space_rights(each->space, pte);
    if (pte_mark_kind(pte) == PTE_MARK_LEAVING)
        return;
    if (area->end.value != first.value || area->rights != rights || area->foreign != foreign)
        end_area(walk);
    if (area->first.value == area->end.value)
        *area = (struct space_area){.first = first, .end = first, .rights = rights, .foreign = foreign};
    area->end.value += page_level_pages(level) * PAGE_BYTES;
    area->resident += space_owns(pte);
}

void space_walk(struct space *space, struct space_visitor *visitor)
{
    struct walk walk = {.each = {space, walk_entry}, .visitor = visitor};
    each_run(&walk.each);
    end_area(&walk);
}

/* --- validation ---------------------------------------------------------------------------------------- */

struct check {
    struct each each;
    const char *finding;
    pte_t pte;
    size_t page;
    size_t owned; /* frames */
};

static const char *frame_finding(const struct space *space, pte_t pte)
{
    const struct frame_refs *refs = space->pool->refs;
    pfn_t pfn = pte_pfn(pte);
    if (pfn.value - refs->base >= refs->nframes)
        return "a frame that is not of those that spaces have";
    if (pfn_equal(pfn, space->pool->zero))
        return "the page of zeros, as if it were the space's own";
    if (pte_is_leaf(pte) && pte.bits & PTE_W && !frame_is_exclusive(refs, pfn))
        return "a frame that others have, too, and that can be written";
    return NULL;
}

static void check_entry(struct each *each, pte_t pte, size_t page, unsigned level)
{
    struct check *check = CONTAINER_OF(each, struct check, each);
    struct space *space = each->space;
    enum pte_mark kind = pte_mark_kind(pte);
    const char *finding = NULL;
    if (page < USER_FIRST_PAGE)
        finding = "mapped below what a user has";
    else if (pte_is_leaf(pte) && !(pte.bits & PTE_U))
        finding = "a page that the user cannot use";
    else if (kind == PTE_MARK_BUSY)
        finding = "a change that was not finished";
    else if (kind == PTE_MARK_LEAVING && !space->shootdown->lazy)
        finding = "an unmapping that was not finished";
    else if (pte.bits & PTE_FOREIGN && pfn_equal(pte_pfn(pte), space->pool->zero) && pte.bits & PTE_W)
        finding = "the page of zeros, and it can be written";
    else if (space_owns(pte))
        finding = level > 0 ? "a large page of the space's own" : frame_finding(space, pte);
    check->owned += space_owns(pte);
    if (finding && !check->finding) {
        check->finding = finding;
        check->pte = pte;
        check->page = page;
    }
}

int space_validate(struct space *space)
{
    struct check check = {.each = {space, check_entry}};
    each_run(&check.each);
    if (!check.finding)
        return page_table_validate(&space->table, space->pool->kernel);
    console_format(
        "space: entry %#lx at %#lx: %s\n", check.pte.bits, page_to_vaddr(check.page).value, check.finding);
    return ERR_CORRUPT;
}

size_t space_frames(struct space *space)
{
    struct check check = {.each = {space, check_entry}};
    each_run(&check.each);
    return check.owned + 1 + page_table_count(&space->table) + space_view_tables(space) +
           ((size_t)1 << space->order) + !pfn_is_none(space->table.mirror);
}
