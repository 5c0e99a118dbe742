/* Address spaces as a whole: what is mapped, merged for people, and the recount that proves it right. */
#include "arch/console.h"
#include "lib/error.h"
#include "mm/vm/space_private.h"

/* --- areas --------------------------------------------------------------------------------------------- */

struct walk {
    struct table_visitor tables;
    const struct space *space;
    struct space_visitor *visitor;
    struct space_area area; /* first == end: none yet */
};

static void end_area(struct walk *walk)
{
    if (walk->area.first.value != walk->area.end.value)
        walk->visitor->visit(walk->visitor, &walk->area);
    walk->area = (struct space_area){.first = VADDR(0)};
}

static void walk_entry(struct table_visitor *tables, const struct table_leaf *leaf)
{
    struct walk *walk = CONTAINER_OF(tables, struct walk, tables);
    struct space_area *area = &walk->area;
    vaddr_t first = leaf->vaddr;
    pte_t pte = leaf->pte;
    bool foreign = space_shows_foreign(walk->space, pte);
    uint64_t rights = space_rights(walk->space, pte);
    if (pte_mark_kind(pte) == PTE_MARK_LEAVING)
        return;
    if (area->end.value != first.value || area->rights != rights || area->foreign != foreign)
        end_area(walk);
    if (area->first.value == area->end.value)
        *area = (struct space_area){.first = first, .end = first, .rights = rights, .foreign = foreign};
    area->end.value += page_level_pages(leaf->level) * PAGE_BYTES;
    area->resident += space_owns(pte);
}

void space_walk(struct space *space, struct space_visitor *visitor)
{
    struct walk walk = {.tables = {.visit = walk_entry, .marks = true}, .space = space, .visitor = visitor};
    page_table_walk(&space->table, &walk.tables);
    end_area(&walk);
}

/* --- validation ---------------------------------------------------------------------------------------- */

struct check {
    struct table_visitor tables;
    const struct space *space;
    const char *finding; /* the first one, and where */
    pte_t pte;
    vaddr_t vaddr;
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

static void check_entry(struct table_visitor *tables, const struct table_leaf *leaf)
{
    struct check *check = CONTAINER_OF(tables, struct check, tables);
    const struct space *space = check->space;
    pte_t pte = leaf->pte;
    enum pte_mark kind = pte_mark_kind(pte);
    const char *finding = NULL;
    if (leaf->vaddr.value < USER_BASE || leaf->vaddr.value >= USER_END)
        finding = "mapped where a user has nothing";
    else if (pte_is_leaf(pte) && !(pte.bits & PTE_U))
        finding = "a page that the user cannot use";
    else if (kind == PTE_MARK_BUSY)
        finding = "a change that was not finished";
    else if (kind == PTE_MARK_LEAVING && !space->shootdown->lazy)
        finding = "an unmapping that was not finished";
    else if (space_shows_zero(space, pte) && pte.bits & PTE_W)
        finding = "the page of zeros, and it can be written";
    else if (space_owns(pte))
        finding = leaf->level > 0 ? "a large page of the space's own" : frame_finding(space, pte);
    check->owned += space_owns(pte);
    if (finding && !check->finding) {
        check->finding = finding;
        check->pte = pte;
        check->vaddr = leaf->vaddr;
    }
}

static struct check run_check(struct space *space)
{
    struct check check = {.tables = {.visit = check_entry, .marks = true}, .space = space};
    page_table_walk(&space->table, &check.tables);
    return check;
}

int space_validate(struct space *space)
{
    struct check check = run_check(space);
    if (!check.finding)
        return page_table_validate(&space->table, space->pool->kernel);
    console_format("space: entry %#lx at %#lx: %s\n", check.pte.bits, check.vaddr.value, check.finding);
    return ERR_CORRUPT;
}

size_t space_frames(struct space *space)
{
    struct check check = run_check(space);
    return check.owned + 1 + page_table_count(&space->table) + space_view_tables(space) +
           ((size_t)1 << space->order) + !pfn_is_none(space->table.mirror);
}
