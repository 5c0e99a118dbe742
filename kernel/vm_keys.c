/* The keys of what the kernel's own address spaces are made of, which is `run=` and the tests; benchmarks choose for themselves. And in
 * check builds one for a bug in them. */
#include "kernel/config.h"
#include "lib/string.h"
#include "mm/vm/vm_design.h"
#include "smp/shootdown.h"
#include "trace/inject.h"

static int apply_split(const char *value, struct writer *why)
{
    size_t which = vm_design.split;
    int error = config_apply_index(value, vm_split_name_at, &which, why);
    vm_design.split = (enum vm_split)which;
    return error;
}

CONFIG_KEY(kernel_split_key, .name = "kernel.split", .initial = "shared", .apply = apply_split,
    .valid = "shared: user and kernel in one page table; separate: satp is switched at every trap");

static int apply_ptlock(const char *value, struct writer *why)
{
    size_t which = vm_design.ptlock;
    int error = config_apply_index(value, vm_ptlock_name_at, &which, why);
    vm_design.ptlock = (enum vm_ptlock)which;
    return error;
}

CONFIG_KEY(kernel_ptlock_key, .name = "kernel.ptlock", .initial = "node", .apply = apply_ptlock,
    .valid = "space: one lock a page table; node: one in each frame of it");

static int apply_asid(const char *value, struct writer *why)
{
    size_t which = !vm_design.asid;
    int error = config_apply_index(value, vm_asid_name_at, &which, why);
    vm_design.asid = which == 0;
    return error;
}

CONFIG_KEY(kernel_asid_key, .name = "kernel.asid", .initial = "on", .apply = apply_asid,
    .valid = "on: address spaces have numbers in the TLB, where the machine has any; off: a switch flushes");

static int apply_shootdown(const char *value, struct writer *why)
{
    size_t which;
    int error = config_apply_index(value, shootdown_name_at, &which, why);
    if (!error)
        vm_design.shootdown = shootdown_at(which);
    return error;
}

CONFIG_KEY(kernel_shootdown_key, .name = "kernel.shootdown", .initial = "ipi", .apply = apply_shootdown,
    .valid = "a scheme of TLB shootdown");

#if HARTSCALE_CHECK

static int apply_plant(const char *value, struct writer *why)
{
    if (strcmp(value, "none") == 0)
        return 0;
    size_t which;
    int error = config_apply_index(value, plant_name, &which, why);
    if (!error)
        plant_set((enum plant)(PLANT_NONE + 1 + which));
    return error;
}

CONFIG_KEY(kernel_plant_key, .name = "kernel.plant", .initial = "none", .apply = apply_plant,
    .valid = "none, or a planted bug that is there from the beginning");

#endif
