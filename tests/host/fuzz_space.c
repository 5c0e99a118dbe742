/*
 * libFuzzer: bytes become calls of address spaces, compared with a plain model call by call. The first byte chooses the design, then six
 * a call: what and by which hart, which space, where, how much, with which rights and flags, and how little memory is left.
 */
#include "shim/host.h"
#include "space/space_model.h"
#include "space/tlb.h"
#include "trace/inject.h"

/* The check is over thousands of pages, and longer inputs find nothing that shorter ones do not. */
#define STEPS_MAX  60
#define STEP_BYTES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(struct space_model *model, const uint8_t *byte)
{
    unsigned i = byte[1] % MODEL_SPACES, other = byte[1] / 8 % MODEL_SPACES;
    size_t page = MODEL_PAGES / 2 - 16 + (byte[2] & 31) + (byte[2] & 0x40 ? PAGE_ENTRIES : 0);
    size_t wanted = (byte[3] & 15) + (byte[3] & 0x80 ? PAGE_ENTRIES - 8 : 0),
           npages = MIN(wanted, MODEL_PAGES - page);
    uint64_t rights = byte[4] & (PTE_R | PTE_W | PTE_X);
    unsigned flags = byte[4] >> 4 & 7;
    model->scarce = byte[5] & 15;
    inject_arm(byte[5] & 0x80 ? INJECT_PAGE : INJECT_TABLE, byte[5] & 15);
    space_model_become(byte[0] >> 6);
    switch (byte[0] & 15) {
    case 0: space_model_create(model, i); break;
    case 1: space_model_fork(model, other, i); break;
    case 2: space_model_end(model, i); break;
    case 3:
    case 4: space_model_map(model, i, page, npages, rights, flags); break;
    case 5: space_model_map_frames(model, i, page, 0, MIN(npages, MODEL_FRAMES), rights, flags); break;
    case 6: space_model_unmap(model, i, page, npages); break;
    case 7: space_model_protect(model, i, page, npages, rights); break;
    case 8: space_model_discard(model, i, page, npages); break;
    case 9: space_model_brk(model, i, USER_HEAP_BASE + byte[3] * 1000ul); break;
    case 10: shootdown_quiescent(); break;
    default: space_model_access(model, i, page, 1ul << (1 + byte[4] % 3));
    }
    inject_arm(INJECT_PAGE, 0);
    inject_arm(INJECT_TABLE, 0);
    model->scarce = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct space_model model;
    if (size < 1 + STEP_BYTES)
        return 0;
    vm_design.shootdown = shootdown_at(data[0] / 4 % 3);
    vm_design.ptlock = data[0] & 1 ? VM_PTLOCK_NODE : VM_PTLOCK_SPACE;
    vm_design.asid = data[0] & 2;
    vm_design.split = data[0] & 128 ? VM_SPLIT_SEPARATE : VM_SPLIT_SHARED;
    space_model_become(0);
    space_model_init(&model, 4096);
    space_model_create(&model, 0);
    for (size_t i = 1; i + STEP_BYTES <= size && i < 1 + STEPS_MAX * STEP_BYTES; i += STEP_BYTES)
        step(&model, &data[i]);
    space_model_finish(&model);
    return 0;
}
