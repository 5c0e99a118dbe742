/*
 * A page table beside a model of it: an array that says of each page of a window what it shows. Every call goes to both,
 * and a difference panics: in what the call answers, in what is mapped afterwards, in what the harts would have
 * to be told, and in the frames that are taken. The window is 2 GiB of the low or of the high half. For one thread.
 */
#ifndef TESTS_HOST_SHIM_TABLE_MODEL_H
#define TESTS_HOST_SHIM_TABLE_MODEL_H

#include "lib/rng.h"
#include "mm/vm/table_edit.h"

#define MODEL_PAGES ((size_t)1 << 19)

/* As many as the window can need, with a root and the tables that a split takes. */
#define MODEL_TABLES_MAX ((size_t)1100)

/* A source of tables that counts them, notices one that is given back twice, and can be told to have no more. */
struct model_source {
    struct table_source source;
    size_t in_use, limit;
    uint8_t used[MODEL_TABLES_MAX];
    struct table_page pages[MODEL_TABLES_MAX];
};

struct table_model {
    struct model_source *tables;
    struct page_table table;
    size_t first; /* page of the window's beginning */
    uint64_t *shown; /* of each page: its entry, were it one of level 0 */
    struct table_hint hint; /* of this one hart */
    struct table_gather gather;
    size_t removed_pages; /* by the call under way, as the table told */
};

/** table_model_init - an empty table of a half, none of whose table frames is taken elsewhere. */
void table_model_init(struct table_model *model, bool high, enum table_locking locking);

/** table_model_finish - check, unmap everything, check that all frames but those of the root are back, and destroy. */
void table_model_finish(struct table_model *model);

/** table_model_map and so on - the call with a page of the window; they return what it returned. */
int table_model_map(
    struct table_model *model, size_t page, size_t npages, pfn_t pfn, uint64_t rights, unsigned level_max);
int table_model_unmap(struct table_model *model, size_t page, size_t npages);
int table_model_protect(struct table_model *model, size_t page, size_t npages, uint64_t rights);

/* What table_model_edit() makes of entries. Of the low half only. */
enum model_edit {
    MODEL_RESERVE, /* holes become marks without a frame */
    MODEL_LEAVE, /* leaves become marks of what leaves */
    MODEL_CLEAR, /* what leaves becomes holes */
    MODEL_HIDE, /* leaves and hidden marks change places */
    MODEL_RESERVE_ALL, /* as the first, refused with ERR_EXISTS where something leaves */
    MODEL_LOOK, /* goes to the bottom of every hole, and puts nothing there */
    MODEL_EDITS
};

int table_model_edit(struct table_model *model, size_t page, size_t npages, enum model_edit what);

/** table_model_slot - lock the page's slot, compare, make it @entry (0: leave it; holes above level 0 are left), unlock. */
int table_model_slot(struct table_model *model, size_t page, unsigned flags, bool hinted, pte_t entry);

/** table_model_drop - the hint; what it kept is gathered. */
void table_model_drop(struct table_model *model);

/** table_model_flush - the harts have forgotten everything: what was gathered is released. */
void table_model_flush(struct table_model *model);

/** table_model_check - every page of the window, and the table's own validation. */
void table_model_check(struct table_model *model);

/** table_model_step - some call by the rng, in a part of the window that is small enough to be met often. */
void table_model_step(struct table_model *model, struct rng *rng);

vaddr_t table_model_vaddr(const struct table_model *model, size_t page);

#endif
