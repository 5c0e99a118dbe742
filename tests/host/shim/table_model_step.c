/* Random calls of table_model.h. */
#include "table_model.h"

/* Mostly pages around a corner of large leaves, and sizes of up to three of them, often whole. */
static size_t any_page(struct rng *rng)
{
    size_t unit = page_level_pages(rng_below(rng, 3));
    size_t page = MODEL_PAGES / 2 + rng_below(rng, 4) * unit % (MODEL_PAGES / 2);
    return rng_below(rng, 3) ? page : page - 3 + rng_below(rng, 6);
}

static size_t any_size(struct rng *rng)
{
    static const uint8_t levels[] = {0, 0, 0, 0, 1, 1, 1, 2};
    size_t unit = page_level_pages(levels[rng_below(rng, ARRAY_SIZE(levels))]);
    size_t npages = (1 + rng_below(rng, 3)) * unit;
    return rng_below(rng, 2) ? npages : npages + rng_below(rng, 5);
}

static uint64_t any_rights(struct rng *rng)
{
    static const uint64_t rights[] = {PTE_R, PTE_R | PTE_W, PTE_R | PTE_X, PTE_X};
    return rng_below(rng, 20) ? rights[rng_below(rng, ARRAY_SIZE(rights))] : rng_below(rng, 64);
}

/* For a slot: mostly nothing. */
static pte_t any_entry(const struct table_model *model, struct rng *rng, uint64_t frame)
{
    uint64_t rights = rng_below(rng, 2) ? PTE_R : PTE_R | PTE_X;
    switch (rng_below(rng, 4)) {
    case 0: return pte_leaf(PFN(frame), rights | model->table.global);
    case 1:
        if (model->table.global == 0)
            return pte_mark(1 + rng_below(rng, PTE_MARK_COUNT - 1), rights, PFN(0));
    }
    return PTE(0);
}

void table_model_step(struct table_model *model, struct rng *rng)
{
    size_t page = any_page(rng), size = any_size(rng), npages = MIN(size, MODEL_PAGES - page);
    uint64_t frame =
        rng_below(rng, 4) * page_level_pages(2) + (rng_below(rng, 2) ? page : rng_below(rng, 1024));
    bool low = model->table.global == 0;
    unsigned what = rng_below(rng, low ? 16 : 10);
    switch (what) {
    case 0:
    case 1:
    case 2: table_model_map(model, page, npages, PFN(frame), any_rights(rng), rng_below(rng, 3)); break;
    case 3:
    case 4: table_model_unmap(model, page, npages); break;
    case 5:
    case 6: table_model_protect(model, page, npages, any_rights(rng)); break;
    case 7: table_model_flush(model); break;
    case 8:
        table_model_slot(model, page, rng_below(rng, 2), rng_below(rng, 2), any_entry(model, rng, frame));
        break;
    case 9: table_model_drop(model); break;
    default: table_model_edit(model, page, npages, what - 10); break;
    }
}
