/*
 * Page tables: see page_table.h. Every change goes through a struct edit in three steps: what it needs is counted and
 * what is wrong found, the frames are taken, the entries written. One lock protects a table as a whole
 * (`ptlock=space`): edit_run() takes it, and the readers, and nothing else does.
 */
#include "mm/vm/page_table.h"
#include "arch/panic.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/vm/table_entries.h"

struct edit {
    struct page_table *table;
    size_t first, end; /* pages */
    pfn_t
        top; /* the lowest table that has all of them in it; nothing above it changes, unless it becomes empty */
    unsigned top_level;
    uint64_t shown; /* frame that the first of them shows; of page_table_map() only */
    uint64_t rights;
    unsigned level_max;
    pfn_t spare; /* tables to be: linked as gathered ones */
    struct table_gather *gather;
    int (*plan)(const struct edit *edit, size_t *needed);
    void (*apply)(struct edit *edit, pfn_t table, unsigned level, size_t first, size_t end);
};

/* --- tables outside of the tree, linked through their first entries ---------------------------------- */

/* Without PTE_V: for a walker that still knows a table that was taken out there is nothing in it. 0 ends the list. */
static void chain_push(pfn_t *chain, pfn_t table)
{
    /* Relaxed: a hart that reads it reads an invalid entry, as before. sd. */
    store_relaxed(table_entry(table, 0, 0), (chain->value + 1) << 1);
    *chain = table;
}

/* Leaves the first entry as it was: zero. */
static pfn_t chain_pop(pfn_t *chain)
{
    pfn_t table = *chain;
    chain->value = (entry_load(table_entry(table, 0, 0)).bits >> 1) - 1;
    store_relaxed(table_entry(table, 0, 0), 0); /* nobody else knows the table */
    return table;
}

static void chain_free(struct table_source *source, pfn_t *chain)
{
    while (!pfn_is_none(*chain))
        source->free(source, chain_pop(chain));
}

static int chain_fill(struct table_source *source, pfn_t *chain, size_t count)
{
    for (; count > 0; count--) {
        pfn_t table = table_take_frame(source);
        if (pfn_is_none(table)) {
            chain_free(source, chain);
            return ERR_NO_MEMORY;
        }
        chain_push(chain, table);
    }
    return 0;
}

/* --- single entries ---------------------------------------------------------------------------------- */

static void gather_leaf(struct table_gather *gather, size_t page, size_t end)
{
    if (gather->first == gather->end) {
        gather->first = page;
        gather->end = end;
    }
    gather->first = MIN(gather->first, page);
    gather->end = MAX(gather->end, end);
    gather->nleaves++;
}

/* Puts a table of smaller leaves in a leaf's place, which show the same. A hart may use either for now. */
static pte_t split(struct edit *edit, entry_t *entry, pte_t leaf, unsigned level)
{
    pfn_t child = chain_pop(&edit->spare);
    uint64_t bits = leaf.bits & (PTE_RIGHTS | PTE_G);
    for (size_t i = 0; i < PAGE_ENTRIES; i++) {
        pfn_t pfn = pfn_add(pte_pfn(leaf), i * page_level_pages(level - 1));
        store_relaxed(table_entry(child, 0, 0) + i, pte_leaf(pfn, bits).bits);
    }
    table_page(edit->table, child)->live = PAGE_ENTRIES;
    /* Release (fence rw,w; sd), pairs with the walkers, as in table_link(). */
    store_release(entry, pte_table(child).bits);
    return pte_table(child);
}

/* --- map --------------------------------------------------------------------------------------------- */

static uint64_t frame_shown(const struct edit *edit, size_t page)
{
    return edit->shown + (page - edit->first);
}

/* Whether [page, next) is one leaf of that level. */
static bool is_one_leaf(const struct edit *edit, size_t page, size_t next, unsigned level)
{
    return level <= edit->level_max && next - page == page_level_pages(level) &&
           IS_ALIGNED(frame_shown(edit, page), page_level_pages(level));
}

/* Counts the tables that are missing; a table that is itself missing is PFN_NONE. */
static int plan_map_below(
    const struct edit *edit, pfn_t table, unsigned level, size_t first, size_t end, size_t *needed)
{
    if (pfn_is_none(table) && level == 0)
        return 0;
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        pte_t pte = pfn_is_none(table) ? PTE(0) : entry_load(table_entry(table, page, level));
        if (pte_is_leaf(pte))
            return ERR_EXISTS;
        if (!pte_is_valid(pte) && level == PAGE_LEVEL_ROOT && edit->table->sealed)
            return ERR_STATE;
        if (!pte_is_valid(pte) && is_one_leaf(edit, page, next, level))
            continue;
        *needed += !pte_is_valid(pte);
        pfn_t child = pte_is_valid(pte) ? pte_pfn(pte) : PFN_NONE;
        int error = plan_map_below(edit, child, level - 1, page, next, needed);
        if (error)
            return error;
    }
    return 0;
}

static int plan_map(const struct edit *edit, size_t *needed)
{
    return plan_map_below(edit, edit->top, edit->top_level, edit->first, edit->end, needed);
}

static void apply_map(struct edit *edit, pfn_t table, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        entry_t *entry = table_entry(table, page, level);
        pte_t pte = entry_load(entry);
        if (!pte_is_valid(pte) && is_one_leaf(edit, page, next, level)) {
            uint64_t bits = edit->rights | edit->table->global;
            /* Relaxed: page_table_map() has ordered what the frame holds before it. sd. */
            store_relaxed(entry, pte_leaf(PFN(frame_shown(edit, page)), bits).bits);
            table_page(edit->table, table)->live++;
            continue;
        }
        pfn_t child = pte_is_valid(pte) ? pte_pfn(pte) : chain_pop(&edit->spare);
        apply_map(edit, child, level - 1, page, next);
        if (!pte_is_valid(pte))
            table_link(edit->table, table, entry, child, 0);
    }
}

/* --- unmap and protect ------------------------------------------------------------------------------- */

/* The leaf or hole that shows a page; returns its level. */
static unsigned descend(const struct page_table *table, size_t page, pte_t *pte)
{
    unsigned level = PAGE_LEVEL_ROOT;
    *pte = entry_load(table_entry(table->root, page, level));
    while (pte_is_table(*pte)) {
        pfn_t child = pte_pfn(*pte);
        *pte = entry_load(table_entry(child, page, --level));
    }
    return level;
}

/* The levels, as bits, at which a leaf has to be split for a range to begin or end at a page. */
static unsigned levels_to_split(const struct page_table *table, size_t page)
{
    pte_t pte;
    if (page == PAGE_COUNT_TOTAL)
        return 0;
    unsigned levels = 0, level = descend(table, page, &pte);
    for (; pte_is_leaf(pte) && !IS_ALIGNED(page, page_level_pages(level)); level--)
        levels |= 1u << level;
    return levels;
}

/* A sealed root has leaves for good, so that its copies do not lie. */
static bool has_sealed_leaf(const struct edit *edit)
{
    size_t unit = page_level_pages(PAGE_LEVEL_ROOT);
    if (!edit->table->sealed || edit->top_level < PAGE_LEVEL_ROOT)
        return false;
    for (size_t page = edit->first; page < edit->end; page = ALIGN_DOWN(page, unit) + unit) {
        if (pte_is_leaf(entry_load(table_entry(edit->table->root, page, PAGE_LEVEL_ROOT))))
            return true;
    }
    return false;
}

static int plan_splits(const struct edit *edit, size_t *needed)
{
    if (edit->top_level == 0) /* no large leaves */
        return 0;
    unsigned at_first = levels_to_split(edit->table, edit->first);
    unsigned at_end = levels_to_split(edit->table, edit->end);
    *needed = bits_count(at_first) + bits_count(at_end);
    for (unsigned level = 1; level < PAGE_LEVELS; level++) /* once, where both ends are in one leaf */
        *needed -= (at_first & at_end) >> level & 1 &&
                   edit->first / page_level_pages(level) == edit->end / page_level_pages(level);
    return has_sealed_leaf(edit) ? ERR_STATE : 0;
}

static void remove_leaf(
    struct edit *edit, pfn_t table, entry_t *entry, pte_t pte, size_t page, unsigned level)
{
    struct table_leaf leaf = leaf_of(pte, page, level);
    /* Relaxed: who flushes orders it before the flush, on this hart and, by its interrupt, on others. sd. */
    store_relaxed(entry, 0);
    table_page(edit->table, table)->live--;
    gather_leaf(edit->gather, page, page + page_level_pages(level));
    if (edit->gather->removed)
        edit->gather->removed(edit->gather, &leaf);
}

static void apply_unmap(struct edit *edit, pfn_t table, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        entry_t *entry = table_entry(table, page, level);
        pte_t pte = entry_load(entry);
        if (!pte_is_valid(pte))
            continue;
        if (pte_is_leaf(pte) && next - page == page_level_pages(level)) {
            remove_leaf(edit, table, entry, pte, page, level);
            continue;
        }
        if (pte_is_leaf(pte))
            pte = split(edit, entry, pte, level);
        apply_unmap(edit, pte_pfn(pte), level - 1, page, next);
        if (table_page(edit->table, pte_pfn(pte))->live > 0 || pte.bits & PTE_KEPT)
            continue;
        store_relaxed(entry, 0); /* as in remove_leaf() */
        table_page(edit->table, table)->live--;
        chain_push(&edit->gather->tables, pte_pfn(pte));
    }
}

static void apply_protect(struct edit *edit, pfn_t table, unsigned level, size_t first, size_t end)
{
    for (size_t page = first, next; page < end; page = next) {
        next = entry_end(page, end, level);
        entry_t *entry = table_entry(table, page, level);
        pte_t pte = entry_load(entry);
        if (!pte_is_valid(pte))
            continue;
        if (pte_is_leaf(pte) && next - page == page_level_pages(level)) {
            pte_t changed = pte_leaf(pte_pfn(pte), edit->rights | edit->table->global);
            if (changed.bits == pte.bits)
                continue;
            store_relaxed(entry, changed.bits); /* as in remove_leaf() */
            gather_leaf(edit->gather, page, next);
            continue;
        }
        if (pte_is_leaf(pte))
            pte = split(edit, entry, pte, level);
        apply_protect(edit, pte_pfn(pte), level - 1, page, next);
    }
}

/* --- the calls --------------------------------------------------------------------------------------- */

static int edit_init(struct edit *edit, struct page_table *table, vaddr_t vaddr, size_t bytes)
{
    *edit = (struct edit){.table = table, .spare = PFN_NONE};
    if (!IS_ALIGNED(vaddr.value, (uint64_t)PAGE_BYTES) || !IS_ALIGNED(bytes, (size_t)PAGE_BYTES) ||
        bytes == 0)
        return ERR_INVALID;
    edit->first = vaddr_to_page(vaddr);
    if (!vaddr_is_canonical(vaddr) || edit->first < table->first || edit->first >= table->end ||
        bytes / PAGE_BYTES > table->end - edit->first)
        return ERR_RANGE;
    edit->end = edit->first + bytes / PAGE_BYTES;
    return 0;
}

static bool rights_fit(const struct page_table *table, uint64_t rights)
{
    return pte_rights_valid(rights) && !(rights & PTE_U && table->global);
}

/* Most calls are about a page or a few in one table. */
static void find_top(struct edit *edit)
{
    edit->top = edit->table->root;
    for (edit->top_level = PAGE_LEVEL_ROOT; edit->top_level > 0; edit->top_level--) {
        size_t unit = page_level_pages(edit->top_level);
        pte_t pte = entry_load(table_entry(edit->top, edit->first, edit->top_level));
        if (edit->first / unit != (edit->end - 1) / unit || !pte_is_table(pte))
            return;
        edit->top = pte_pfn(pte);
    }
}

static void apply(struct edit *edit)
{
    edit->apply(edit, edit->top, edit->top_level, edit->first, edit->end);
    /* The top has become empty, and the way to it has to go: the same again, of which nothing else is left. */
    if (edit->top_level < PAGE_LEVEL_ROOT && table_page(edit->table, edit->top)->live == 0)
        edit->apply(edit, edit->table->root, PAGE_LEVEL_ROOT, edit->first, edit->end);
}

static int edit_run(struct edit *edit)
{
    struct lock_node node;
    size_t needed = 0;
    lock_acquire(&edit->table->lock, &node);
    find_top(edit);
    int error = edit->plan(edit, &needed);
    if (!error && needed > 0)
        error = chain_fill(edit->table->source, &edit->spare, needed);
    if (!error)
        apply(edit);
    lock_release(&edit->table->lock, &node);
    DEBUG_ASSERT(pfn_is_none(edit->spare)); /* the count was exact */
    return error;
}

int page_table_map(
    struct page_table *table, vaddr_t vaddr, paddr_t paddr, size_t bytes, uint64_t rights, unsigned level_max)
{
    struct edit edit;
    int error = edit_init(&edit, table, vaddr, bytes);
    if (error)
        return error;
    if (!IS_ALIGNED(paddr.value, (uint64_t)PAGE_BYTES) || !rights_fit(table, rights) ||
        level_max >= PAGE_LEVELS)
        return ERR_INVALID;
    edit.shown = paddr_to_pfn_floor(paddr).value;
    if (edit.shown + (edit.end - edit.first) > 1ul << PTE_PFN_BITS)
        return ERR_RANGE;
    edit.rights = rights;
    edit.level_max = level_max;
    edit.plan = plan_map;
    edit.apply = apply_map;
    /* fence w,w: what the caller wrote to the frames is there before another hart can see them. Pairs with the walkers
     * of other harts, whose accesses come behind their reads of the entries. */
    fence_writes();
    return edit_run(&edit);
}

int page_table_unmap(struct page_table *table, vaddr_t vaddr, size_t bytes, struct table_gather *gather)
{
    struct edit edit;
    int error = edit_init(&edit, table, vaddr, bytes);
    edit.gather = gather;
    edit.plan = plan_splits;
    edit.apply = apply_unmap;
    return error ? error : edit_run(&edit);
}

int page_table_protect(
    struct page_table *table, vaddr_t vaddr, size_t bytes, uint64_t rights, struct table_gather *gather)
{
    struct edit edit;
    int error = edit_init(&edit, table, vaddr, bytes);
    if (!error && !rights_fit(table, rights))
        error = ERR_INVALID;
    edit.rights = rights;
    edit.gather = gather;
    edit.plan = plan_splits;
    edit.apply = apply_protect;
    return error ? error : edit_run(&edit);
}

void page_table_release(struct page_table *table, struct table_gather *gather)
{
    chain_free(table->source, &gather->tables);
    gather->first = gather->end = gather->nleaves = 0;
}

bool page_table_find(struct page_table *table, vaddr_t vaddr, struct table_leaf *leaf)
{
    struct lock_node node;
    pte_t pte;
    if (!vaddr_is_canonical(vaddr))
        return false;
    lock_acquire(&table->lock, &node);
    unsigned level = descend(table, vaddr_to_page(vaddr), &pte);
    lock_release(&table->lock, &node);
    if (pte_is_valid(pte))
        *leaf = leaf_of(pte, vaddr_to_page(vaddr), level);
    return pte_is_valid(pte);
}

bool page_table_translate(struct page_table *table, vaddr_t vaddr, paddr_t *paddr)
{
    struct table_leaf leaf;
    if (!page_table_find(table, vaddr, &leaf))
        return false;
    paddr->value = pfn_to_paddr(leaf.pfn).value + (vaddr.value - leaf.vaddr.value);
    return true;
}
