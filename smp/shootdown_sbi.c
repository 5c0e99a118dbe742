/*
 * The scheme `sbi`: the firmware interrupts the harts, flushes there in machine mode, and returns when all have. So a hart
 * need not have its interrupts on, and nothing can overlap.
 */
#include "arch/pte.h"
#include "arch/sbi.h"
#include "smp/shootdown_private.h"
#include "trace/inject.h"

static void dispatch(struct shootdown *ticket, hart_mask_t to, const struct flush *flush)
{
    (void)ticket;
    struct flush pages = flush_unpack(flush_pack(flush));
    bool whole = pages.end - pages.first > FLUSH_THRESHOLD_MAX;
    if (plant_due(PLANT_SBI_NOFLUSH))
        return;
    while (to.bits) {
        uint64_t base, ids = ipi_take_ids(&to, &base);
        for (unsigned i = 0; i < 1u + pages.pair; i++)
            sbi_remote_flush(ids, base, page_to_vaddr(pages.first),
                whole ? SBI_FLUSH_ALL : (pages.end - pages.first) * PAGE_BYTES,
                pages.asid == FLUSH_EVERY_ASID ? SBI_EVERY_ASID : pages.asid + i);
    }
}

static void wait(struct shootdown *ticket)
{
    (void)ticket;
}

/* Of each hart the firmware has a ring of fences, and which place is next decides which lines they lie on. */
const struct shootdown_ops shootdown_sbi = {
    .name = "sbi", .dispatch = dispatch, .wait = wait, .lasting = true};
