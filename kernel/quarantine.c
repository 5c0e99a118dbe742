/* See quarantine.h. */
#include "kernel/quarantine.h"
#include "arch/panic.h"
#include "kernel/config.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/frame/frame_quarantine.h"
#include "mm/memory.h"

static struct frame_quarantine quarantine;
static uint64_t room;

static int apply(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, 1024, &room, why);
}

/* In check builds as many as a process of the tests has pages, and no more than a MiB for eight harts. */
CONFIG_KEY(quarantine_key, .name = "kernel.quarantine", .initial = HARTSCALE_CHECK ? "32" : "0",
    .apply = apply, .valid = "freed frames of a hart that are poisoned and wait to be looked at, 0 to 1024");

static void damaged(const struct frame_damage *damage)
{
    panic("frame %#lx, which hart %u has freed, was written to: %#lx at offset %#zx, expected %#lx; shown at "
          "%#lx "
          "before (0: not known)",
        pfn_to_paddr(damage->pfn).value, damage->hart, damage->found, damage->offset, damage->expected,
        damage->vaddr);
}

int quarantine_prepare(void)
{
    if (room == 0)
        return 0;
    size_t pages = DIV_CEIL(frame_quarantine_bytes(kernel_frames.nharts, room), (size_t)PAGE_BYTES);
    pfn_t pfn = frame_alloc(&kernel_frames, bits_highest(2 * pages - 1), 0);
    if (pfn_is_none(pfn))
        return ERR_NO_MEMORY;
    frame_quarantine_attach(&quarantine, &kernel_frames, pfn_to_direct(pfn), room, damaged);
    return 0;
}
