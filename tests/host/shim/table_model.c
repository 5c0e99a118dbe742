/* See table_model.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/panic.h"
#include "host.h"
#include "lib/error.h"
#include "table_model.h"

#define TABLES_BASE PFN(0x80000)

/* Of the low half all but the null page, of the high half its end: ranges that reach out of either are tried, too. */
#define LOW_FIRST  ((size_t)0)
#define HIGH_FIRST (PAGE_COUNT_TOTAL - MODEL_PAGES)

static uint8_t *tables_memory(void)
{
    static void *memory;
    if (!memory) {
        memory = mmap(NULL, MODEL_TABLES_MAX * PAGE_BYTES, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(memory != MAP_FAILED);
        host_map_frames(memory, TABLES_BASE);
    }
    return memory;
}

static pfn_t source_alloc(struct table_source *source)
{
    struct model_source *own = CONTAINER_OF(source, struct model_source, source);
    if (own->in_use >= own->limit)
        return PFN_NONE;
    size_t i = 0;
    while (own->used[i])
        i++;
    own->used[i] = true;
    own->in_use++;
    memset(tables_memory() + i * PAGE_BYTES, 0, PAGE_BYTES);
    return pfn_add(TABLES_BASE, i);
}

static void source_free(struct table_source *source, pfn_t pfn)
{
    struct model_source *own = CONTAINER_OF(source, struct model_source, source);
    size_t i = pfn.value - TABLES_BASE.value;
    ASSERT(i < MODEL_TABLES_MAX && own->used[i]);
    ASSERT(own->pages[i].live == 0 || own->pages[i].live == 0xa5a5); /* empty, or never a table */
    own->used[i] = false;
    own->in_use--;
    memset(tables_memory() + i * PAGE_BYTES, 0xa5, PAGE_BYTES); /* valid entries, if anybody still looks */
    memset(&own->pages[i].live, 0xa5, sizeof(own->pages[i]) - offsetof(struct table_page, live));
    ASSERT(own->pages[i].lock == 0);
}

static void count_removed(struct table_gather *gather, const struct table_leaf *leaf)
{
    struct table_model *model = CONTAINER_OF(gather, struct table_model, gather);
    size_t page = vaddr_to_page(leaf->vaddr) - model->first;
    for (size_t i = 0; i < page_level_pages(leaf->level); i++)
        ASSERT(model->shown[page + i] == pte_piece(leaf->pte, i, leaf->level).bits);
    model->removed_pages += page_level_pages(leaf->level);
}

void table_model_init(struct table_model *model, bool high, enum table_locking locking)
{
    memset(model, 0, sizeof(*model));
    tables_memory();
    model->tables = calloc(1, sizeof(*model->tables));
    model->shown = calloc(MODEL_PAGES, sizeof(*model->shown));
    ASSERT(model->tables && model->shown);
    model->tables->source =
        (struct table_source){source_alloc, source_free, model->tables->pages, TABLES_BASE};
    model->tables->limit = MODEL_TABLES_MAX;
    model->first = high ? HIGH_FIRST : LOW_FIRST;
    model->gather = TABLE_GATHER_INIT;
    model->gather.removed = count_removed;
    if (high) {
        ASSERT(page_table_init(&model->table, &model->tables->source, locking, &lock_ticket, NULL) == 0);
        return;
    }
    struct page_table kernel;
    ASSERT(page_table_init(&kernel, &model->tables->source, locking, &lock_ticket, NULL) == 0);
    ASSERT(
        page_table_init(&model->table, &model->tables->source, locking, &lock_ticket, &kernel) == ERR_STATE);
    page_table_seal(&kernel);
    ASSERT(page_table_init(&model->table, &model->tables->source, locking, &lock_ticket, &kernel) == 0);
    page_table_destroy(&kernel);
}

vaddr_t table_model_vaddr(const struct table_model *model, size_t page)
{
    return page_to_vaddr(model->first + page);
}

/* The pages of a range that are no holes, and those that are present. */
static size_t used(const struct table_model *model, size_t page, size_t npages)
{
    size_t count = 0;
    for (size_t i = page; i < page + npages; i++)
        count += model->shown[i] != 0;
    return count;
}

static size_t present(const struct table_model *model, size_t page, size_t npages)
{
    size_t count = 0;
    for (size_t i = page; i < page + npages; i++)
        count += model->shown[i] & PTE_V;
    return count;
}

/* The errors that do not depend on what is mapped. */
static int range_error(const struct table_model *model, size_t page, size_t npages)
{
    if (npages == 0)
        return ERR_INVALID;
    bool null = model->first == LOW_FIRST && page == 0;
    return null || page >= MODEL_PAGES || (model->first == HIGH_FIRST && npages > MODEL_PAGES - page)
               ? ERR_RANGE
               : 0;
}

static bool rights_are_wrong(const struct table_model *model, uint64_t rights)
{
    static const uint64_t right[] = {PTE_R, PTE_X, PTE_R | PTE_X, PTE_R | PTE_W};
    for (size_t i = 0; i < ARRAY_SIZE(right); i++)
        if (rights == right[i] || (model->first == LOW_FIRST && rights == (right[i] | PTE_U)))
            return false;
    return true;
}

/* A call may only say that memory is short if it was, and has changed nothing then. */
static bool is_shortage(const struct table_model *model, int error, size_t in_use)
{
    ASSERT(model->tables->in_use == in_use || error == 0);
    return error == ERR_NO_MEMORY;
}

/* The leaf that a page has to have been given: the largest that fits. */
static unsigned expected_level(size_t page, size_t first, size_t end, uint64_t offset, unsigned level_max)
{
    for (unsigned level = level_max; level > 0; level--) {
        size_t base = page / page_level_pages(level) * page_level_pages(level);
        if (base >= first && base + page_level_pages(level) <= end &&
            (base + offset) % page_level_pages(level) == 0)
            return level;
    }
    return 0;
}

int table_model_map(
    struct table_model *model, size_t page, size_t npages, pfn_t pfn, uint64_t rights, unsigned level_max)
{
    size_t in_use = model->tables->in_use, first = model->first + page;
    int expected = range_error(model, page, npages);
    int error = page_table_map(&model->table, table_model_vaddr(model, page), pfn_to_paddr(pfn),
        npages * PAGE_BYTES, rights, level_max);
    if (!expected && (rights_are_wrong(model, rights) || level_max > 2))
        expected = ERR_INVALID;
    else if (!expected && used(model, page, npages) > 0)
        expected = ERR_EXISTS;
    if (!expected && is_shortage(model, error, in_use))
        return error;
    ASSERT(error == expected);
    if (error)
        return error;
    for (size_t i = 0; i < npages; i++)
        model->shown[page + i] = pte_leaf(pfn_add(pfn, i), rights | model->table.global).bits;
    size_t looked_at[] = {0, npages / 2, npages - 1};
    for (size_t i = 0; i < ARRAY_SIZE(looked_at); i++) {
        struct table_leaf leaf;
        ASSERT(page_table_find(&model->table, table_model_vaddr(model, page + looked_at[i]), &leaf));
        unsigned level =
            expected_level(first + looked_at[i], first, first + npages, pfn.value - first, level_max);
        ASSERT(leaf.level == level ||
               (leaf.level < level && model->hint.unit != 0)); /* or there was its table */
    }
    return 0;
}

/* What was changed of a range must be gathered, so that it is flushed. */
static void check_gathered(const struct table_model *model, size_t page, size_t before, size_t changed)
{
    size_t at = model->first + page;
    ASSERT(changed == 0 || model->gather.nleaves > before);
    ASSERT(changed == 0 || (model->gather.first <= at && at < model->gather.end));
}

int table_model_unmap(struct table_model *model, size_t page, size_t npages)
{
    size_t in_use = model->tables->in_use, before = model->gather.nleaves;
    int expected = range_error(model, page, npages);
    model->removed_pages = 0;
    int error =
        page_table_unmap(&model->table, table_model_vaddr(model, page), npages * PAGE_BYTES, &model->gather);
    if (!expected && is_shortage(model, error, in_use))
        return error;
    ASSERT(error == expected);
    if (error)
        return error;
    ASSERT(model->tables->in_use >= in_use); /* what is gathered is not given back yet */
    ASSERT(model->removed_pages == present(model, page, npages));
    for (size_t i = page; i < page + npages; i++) {
        check_gathered(model, i, before, model->shown[i] & PTE_V);
        model->shown[i] = 0;
    }
    return 0;
}

int table_model_protect(struct table_model *model, size_t page, size_t npages, uint64_t rights)
{
    size_t in_use = model->tables->in_use, before = model->gather.nleaves;
    int expected = range_error(model, page, npages);
    int error = page_table_protect(
        &model->table, table_model_vaddr(model, page), npages * PAGE_BYTES, rights, &model->gather);
    if (!expected && rights_are_wrong(model, rights))
        expected = ERR_INVALID;
    if (!expected && is_shortage(model, error, in_use))
        return error;
    ASSERT(error == expected);
    for (size_t i = page; !error && i < page + npages; i++) {
        if (model->shown[i] == 0)
            continue;
        uint64_t was = model->shown[i], changed = was & ~PTE_RIGHTS;
        if (was & PTE_V)
            changed = (was & PTE_W ? changed & ~PTE_D : changed) | (rights & PTE_W ? PTE_D : 0);
        model->shown[i] = changed | rights;
        check_gathered(model, i, before, was & PTE_V && model->shown[i] != was);
    }
    return error;
}

/* --- edits and slots ---------------------------------------------------------------------------------- */

struct model_change {
    struct table_edit edit;
    enum model_edit what;
};

static pte_t changed_entry(pte_t old, enum model_edit what)
{
    enum pte_mark kind = pte_mark_kind(old);
    uint64_t bits = old.bits & PTE_RIGHTS;
    if (pte_is_leaf(old) && what == MODEL_LEAVE)
        return pte_mark(PTE_MARK_LEAVING, bits, pte_pfn(old));
    if (pte_is_leaf(old) && what == MODEL_HIDE)
        return pte_mark(PTE_MARK_HIDDEN, bits, pte_pfn(old));
    if (kind == PTE_MARK_HIDDEN && what == MODEL_HIDE)
        return pte_leaf(pte_pfn(old), bits);
    if (kind == PTE_MARK_LEAVING && what == MODEL_CLEAR)
        return PTE(0);
    if (old.bits == 0 && (what == MODEL_RESERVE || what == MODEL_RESERVE_ALL))
        return pte_mark(PTE_MARK_ANON, PTE_R | PTE_U, PFN(0));
    return old;
}

static pte_t change(struct table_edit *edit, pte_t old, size_t page, unsigned level)
{
    enum model_edit what = ((struct model_change *)edit)->what;
    ASSERT(IS_ALIGNED(page, page_level_pages(level)) && page >= edit->first &&
           page + page_level_pages(level) <= edit->end);
    if (what == MODEL_RESERVE_ALL && pte_mark_kind(old) == PTE_MARK_LEAVING)
        edit->error = ERR_EXISTS;
    if (what == MODEL_LOOK && old.bits == 0 && level > 0)
        return PTE_DESCEND;
    return changed_entry(old, what);
}

int table_model_edit(struct table_model *model, size_t page, size_t npages, enum model_edit what)
{
    size_t in_use = model->tables->in_use, before = model->gather.nleaves, at = model->first + page;
    struct model_change own = {{.table = &model->table,
                                   .first = at,
                                   .end = at + npages,
                                   .change = change,
                                   .gather = &model->gather,
                                   .hint = &model->hint},
        what};
    bool refused = false;
    for (size_t i = page; what == MODEL_RESERVE_ALL && i < page + npages; i++)
        refused |= pte_mark_kind(PTE(model->shown[i])) == PTE_MARK_LEAVING;
    own.edit.sure = what != MODEL_RESERVE_ALL;
    if (npages == 0 || at < model->table.first)
        return ERR_RANGE;
    int error = table_edit_run(&own.edit);
    ASSERT(model->tables->in_use >= in_use);
    if (!refused && is_shortage(model, error, in_use))
        return error;
    ASSERT(error == (refused ? ERR_EXISTS : 0));
    for (size_t i = page; !error && i < page + npages; i++) {
        pte_t old = PTE(model->shown[i]);
        model->shown[i] = changed_entry(old, what).bits;
        check_gathered(model, i, before, pte_is_valid(old) && model->shown[i] != old.bits);
    }
    return error;
}

int table_model_slot(struct table_model *model, size_t page, unsigned flags, bool hinted, pte_t entry)
{
    struct table_slot slot;
    size_t in_use = model->tables->in_use, at = model->first + page;
    int error = table_slot_lock(&model->table, at, flags, hinted ? &model->hint : NULL, &slot);
    ASSERT((error == ERR_RANGE) == (at < model->table.first || at >= model->table.end));
    if (error) {
        ASSERT(model->tables->in_use == in_use);
        return error;
    }
    ASSERT(pte_piece(slot.pte, at, slot.level).bits == model->shown[page]);
    ASSERT(slot.level == 0 || !(flags & SLOT_MAKE) || slot.pte.bits == 0);
    if (entry.bits != 0 && slot.level == 0) {
        table_slot_set(&slot, entry);
        model->shown[page] = entry.bits;
    }
    table_slot_unlock(&slot);
    return 0;
}

void table_model_drop(struct table_model *model)
{
    table_hint_drop(&model->table, &model->hint, &model->gather);
    ASSERT(model->hint.unit == 0);
}

void table_model_flush(struct table_model *model)
{
    page_table_release(&model->table, &model->gather);
    ASSERT(epoch_validate() == 0);
    epoch_drain();
    ASSERT(model->gather.nleaves == 0 && pfn_is_none(model->gather.tables));
    ASSERT(model->tables->in_use == page_table_count(&model->table) + 1); /* and the root */
}

struct comparison {
    struct table_visitor visitor;
    const struct table_model *model;
    size_t next; /* page of the window; those before have been compared */
};

static void compare(struct table_visitor *visitor, const struct table_leaf *leaf)
{
    struct comparison *comparison = (struct comparison *)visitor;
    const struct table_model *model = comparison->model;
    size_t page = vaddr_to_page(leaf->vaddr) - model->first;
    ASSERT(page >= comparison->next && page < MODEL_PAGES);
    ASSERT(used(model, comparison->next, page - comparison->next) == 0);
    for (size_t i = 0; i < page_level_pages(leaf->level); i++)
        ASSERT(model->shown[page + i] == pte_piece(leaf->pte, i, leaf->level).bits);
    comparison->next = page + page_level_pages(leaf->level);
}

void table_model_check(struct table_model *model)
{
    struct comparison comparison = {.visitor = {compare, .marks = true}, .model = model};
    ASSERT(page_table_validate(&model->table, NULL) == 0);
    page_table_walk(&model->table, &comparison.visitor);
    ASSERT(used(model, comparison.next, MODEL_PAGES - comparison.next) == 0);
}

void table_model_finish(struct table_model *model)
{
    table_model_check(model);
    model->tables->limit = MODEL_TABLES_MAX;
    size_t first = model->first == LOW_FIRST; /* not the null page */
    table_model_drop(model);
    ASSERT(table_model_unmap(model, first, MODEL_PAGES - first) == 0);
    table_model_flush(model);
    table_model_check(model);
    ASSERT(model->tables->in_use ==
           1 + page_table_count(&model->table)); /* those that are kept: the check allows no others */
    page_table_destroy(&model->table);
    ASSERT(model->tables->in_use == 0);
    free(model->tables);
    free(model->shown);
}
