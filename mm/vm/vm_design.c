/* See vm_design.h. */
#include "mm/vm/vm_design.h"
#include "smp/shootdown.h"

struct vm_design vm_design = {
    .split = VM_SPLIT_SHARED,
    .ptlock = VM_PTLOCK_NODE,
    .asid = true,
    .shootdown = &shootdown_ipi,
};

const char *vm_split_name_at(size_t i)
{
    static const char *const names[] = {[VM_SPLIT_SHARED] = "shared", [VM_SPLIT_SEPARATE] = "separate"};
    return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

const char *vm_asid_name_at(size_t i)
{
    static const char *const names[] = {"on", "off"};
    return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

const char *vm_ptlock_name_at(size_t i)
{
    static const char *const names[] = {[VM_PTLOCK_SPACE] = "space", [VM_PTLOCK_NODE] = "node"};
    return i < ARRAY_SIZE(names) ? names[i] : NULL;
}
