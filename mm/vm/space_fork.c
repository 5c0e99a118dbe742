/*
 * Copies of address spaces. Under the locks of the whole original each entry is put into the copy, and its frame gets one more
 * reference, before any entry of the original changes: if memory runs out on the way, the copy is ended and the original is as it
 * was. Then what could be written is copy-on-write in both, and the original's harts forget that they could write.
 */
#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_lock.h"

struct fork {
    struct table_edit edit;
    struct space_gather gathered;
    struct space *from, *copy;
    size_t asked; /* pages below have been asked about: they are again in the second pass */
    bool busy;
    bool lost; /* something could be written */
    pfn_t tables[PAGE_LEVELS]; /* of the copy, on the way to where the last entry was put */
    size_t at[PAGE_LEVELS]; /* the page that each begins with */
};

/* The table of the copy that has the entries of a level for a page. PFN_NONE: no memory. Nobody else knows the copy. */
static pfn_t table_of_copy(struct fork *fork, size_t page, unsigned level)
{
    struct page_table *table = &fork->copy->table;
    if (level == PAGE_LEVEL_ROOT)
        return table->root;
    size_t first = ALIGN_DOWN(page, page_level_pages(level + 1));
    if (!pfn_is_none(fork->tables[level]) && fork->at[level] == first)
        return fork->tables[level];
    pfn_t spare = PFN_NONE, parent = table_of_copy(fork, page, level + 1);
    if (pfn_is_none(parent) || table_chain_fill(table, &spare, 1))
        return PFN_NONE;
    pfn_t child = table_new(table, &spare, PTE(0), level);
    table_link(table_page(table, parent), table_entry(parent, page, level + 1), child, 0);
    if (table_by_node(table))
        table_page_unlock(table_page(table, child));
    fork->tables[level] = child;
    fork->at[level] = first;
    return child;
}

static int put_into_copy(struct fork *fork, pte_t pte, size_t page, unsigned level)
{
    struct frame_refs *refs = fork->copy->pool->refs;
    if (space_owns(pte)) {
        int error = inject_due(INJECT_PAGE) ? ERR_NO_MEMORY : frame_get(refs, pte_pfn(pte));
        if (error)
            return ERR_NO_MEMORY;
    }
    pfn_t table = table_of_copy(fork, page, level);
    if (pfn_is_none(table)) {
        if (space_owns(pte))
            frame_put(refs, pte_pfn(pte), 0);
        return ERR_NO_MEMORY;
    }
    store_relaxed(table_entry(table, page, level), pte.bits); /* nobody knows the copy yet */
    table_page(&fork->copy->table, table)->live++;
    return 0;
}

/* What both have behind the fork. */
static pte_t shared(const struct space *space, pte_t old)
{
    if (!pte_is_leaf(old) || old.bits & PTE_FOREIGN)
        return old;
    return space_leaf(pte_pfn(old), space_rights(space, old), false);
}

static pte_t change(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    struct fork *fork = CONTAINER_OF(edit, struct fork, edit);
    bool again = page < fork->asked;
    if (old.bits == 0 || pte_mark_kind(old) == PTE_MARK_LEAVING)
        return old;
    if (pte_mark_kind(old) == PTE_MARK_BUSY) {
        fork->busy = true;
        edit->error = ERR_STATE;
        return old;
    }
    pte_t new = shared(fork->from, old);
    if (!again) {
        fork->asked = page + 1;
        int error = put_into_copy(fork, new, page, level);
        if (error)
            edit->error = error;
    }
    return new;
}

static void changed(struct table_edit *edit, pte_t old, pte_t new, size_t page, unsigned level)
{
    struct fork *fork = CONTAINER_OF(edit, struct fork, edit);
    (void)page;
    (void)level;
    fork->lost |= (old.bits & ~new.bits &PTE_W) != 0;
}

/* Of the two passes over the original the first fills the copy. */
static int fork_once(struct fork *fork, struct space *from)
{
    *fork = (struct fork){.edit = {.table = &from->table,
                              .first = USER_FIRST_PAGE,
                              .end = USER_END_PAGE,
                              .change = change,
                              .changed = changed,
                              .keeps_holes = true,
                              .gather = &fork->gathered.gather},
        .gathered = {TABLE_GATHER_INIT, from},
        .from = from,
        .tables = {PFN_NONE, PFN_NONE, PFN_NONE}};
    fork->gathered.gather.unlinked = space_unlinked;
    int error = space_create(from->pool, &fork->copy);
    if (error)
        return error;
    error = table_edit_run(&fork->edit);
    /* A table that others have emptied may have been taken out of the tree on the way, if nothing else. */
    if (fork->lost || !pfn_is_none(fork->gathered.gather.tables))
        space_flush(from, &fork->gathered.gather, USER_FIRST_PAGE);
    if (error)
        space_put(fork->copy);
    return error;
}

int space_fork(struct space *space, struct space **copy)
{
    struct fork fork;
    struct lock_node node;
    int error;
    do {
        error = fork_once(&fork, space);
        if (error && fork.busy)
            cpu_relax(); /* interrupts are on: it may be this hart that is waited for */
    } while (error && (fork.busy || (error == ERR_NO_MEMORY && space_quarantine_drain())));
    if (error)
        return error;
    lock_acquire(&space->brk_lock, &node);
    fork.copy->brk = space->brk;
    lock_release(&space->brk_lock, &node);
    page_table_mirror(&fork.copy->table);
    *copy = fork.copy;
    return 0;
}
