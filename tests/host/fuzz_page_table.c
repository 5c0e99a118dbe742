/*
 * libFuzzer: bytes become calls of a page table, compared with a plain map of pages call by call. The first byte chooses
 * the half and the locks, then six a call: what, where (two), how much, with which rights, and which frames in leaves of which size.
 */
#include "shim/host.h"
#include "shim/table_model.h"

/* Each may change a gigabyte of pages, and longer inputs find nothing that shorter ones do not. */
#define STEPS_MAX  40
#define STEP_BYTES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A number of pages: a few, with some of 2 MiB in front of them; one byte in 32 makes it more than a gigabyte. */
static size_t pages_of(uint8_t byte)
{
    return (byte & 7) + (byte >> 3 & 1) * (byte >> 4) * page_level_pages(1) +
           (byte >= 0xf8) * page_level_pages(2);
}

static void step(struct table_model *model, const uint8_t *byte)
{
    size_t page = MODEL_PAGES / 2 + pages_of(byte[1]) % (MODEL_PAGES / 2) - (byte[2] & 15);
    size_t wanted = pages_of(byte[3]), npages = MIN(wanted, MODEL_PAGES - page);
    uint64_t frame = (byte[5] & 0x80 ? page : page_level_pages(2)) + (byte[5] >> 2 & 31);
    model->tables->limit = byte[2] & 0x80 ? model->tables->in_use + (byte[2] >> 4 & 7) : MODEL_TABLES_MAX;
    pte_t leaf = pte_leaf(PFN(frame), PTE_R | model->table.global);
    switch (byte[0] % 8) {
    case 0: table_model_map(model, page, npages, PFN(frame), byte[4] & 0x1f, byte[5] & 3); break;
    case 1: table_model_unmap(model, page, npages); break;
    case 2: table_model_protect(model, page, npages, byte[4] & 0x1f); break;
    case 3: table_model_flush(model); break;
    case 4: table_model_slot(model, page, byte[3] & 1, byte[3] & 2, PTE(byte[3] & 4 ? leaf.bits : 0)); break;
    case 5: table_model_drop(model); break;
    default:
        if (model->table.global == 0)
            table_model_edit(model, page, npages, byte[4] % MODEL_EDITS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table_model model;
    if (size < 1 + STEP_BYTES)
        return 0;
    table_model_init(&model, data[0] & 1, data[0] & 2 ? TABLE_LOCK_NODE : TABLE_LOCK_SPACE);
    for (size_t i = 1; i + STEP_BYTES <= size && i < 1 + STEPS_MAX * STEP_BYTES; i += STEP_BYTES)
        step(&model, &data[i]);
    table_model_finish(&model);
    return 0;
}
