/* See shootdown_keys.h. */
#include "kernel/shootdown_keys.h"
#include "arch/imsic.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "smp/ipi.h"
#include "smp/shootdown.h"

static const struct ipi_means *const all_means[] = {&ipi_sbi, &ipi_imsic};
static const struct ipi_means *wanted;

static const char *means_name_at(size_t i)
{
    return i < ARRAY_SIZE(all_means) ? all_means[i]->name : NULL;
}

static int apply_ipi(const char *value, struct writer *why)
{
    size_t which;
    int error = config_apply_index(value, means_name_at, &which, why);
    if (!error)
        wanted = all_means[which];
    return error;
}

CONFIG_KEY(ipi_key, .name = "ipi", .valid = "sbi, or imsic where the machine has one", .initial = "sbi",
    .apply = apply_ipi);

int ipi_settle(const struct machine *machine, struct writer *why)
{
    ipi_choose(wanted);
    for (unsigned i = 0; i < machine->nharts && wanted == &ipi_imsic; i++) {
        uint64_t page = machine->imsic[i];
        if (page == 0 || page % PAGE_BYTES != 0 || page + PAGE_BYTES > MMIO_MAP_BYTES) {
            writer_format(why, "ipi=imsic: this machine has no IMSIC within reach; QEMU's has one with "
                               "-machine virt,aia=aplic-imsic (IPI=imsic)");
            return ERR_UNSUPPORTED;
        }
        imsic_set_page(i, PADDR(page));
    }
    return 0;
}

static int apply_switch(const char *value, bool *on, struct writer *why)
{
    uint64_t number;
    int error = config_apply_number(value, 0, 1, &number, why);
    if (!error)
        *on = number;
    return error;
}

static int apply_batch(const char *value, struct writer *why)
{
    return apply_switch(value, &shootdown_settings.batch, why);
}

static int apply_mask(const char *value, struct writer *why)
{
    return apply_switch(value, &shootdown_settings.mask, why);
}

static int apply_early(const char *value, struct writer *why)
{
    return apply_switch(value, &shootdown_settings.early, why);
}

static int apply_threshold(const char *value, struct writer *why)
{
    uint64_t pages;
    int error = config_apply_number(value, 0, FLUSH_THRESHOLD_MAX, &pages, why);
    if (!error)
        flush_set_threshold((unsigned)pages);
    return error;
}

CONFIG_KEY(batch_key, .name = "shootdown.batch", .initial = "1", .apply = apply_batch,
    .valid = "1: requests to a hart are merged into one interrupt; 0: each has its own");
CONFIG_KEY(mask_key, .name = "shootdown.mask", .initial = "1", .apply = apply_mask,
    .valid = "1: only harts that may have the translation are told; 0: all");
CONFIG_KEY(early_key, .name = "shootdown.early", .initial = "1", .apply = apply_early,
    .valid = "1: acknowledged before the flush, where that is safe; 0: after it");
CONFIG_KEY(threshold_key, .name = "shootdown.threshold", .initial = "64", .apply = apply_threshold,
    .valid = "the most pages that are flushed one by one, 0 to 64");

_Static_assert(FLUSH_THRESHOLD == 64, "as the key's initial value says");
