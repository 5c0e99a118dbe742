/* What surrounds U-mode beside user_entry.S: a program's first registers, and the state of its floating-point unit. */
#include "arch/user.h"
#include "arch/csr.h"

void user_context_init(struct user_context *context, uint64_t pc, uint64_t sp)
{
    *context = (struct user_context){.x = {[USER_PC] = pc, [USER_SP] = sp}, .sstatus = SSTATUS_SPIE};
}

bool user_fp_unused(const struct user_context *context)
{
    return (context->sstatus & SSTATUS_FS) == 0;
}

bool user_fp_dirty(const struct user_context *context)
{
    return (context->sstatus & SSTATUS_FS) == SSTATUS_FS_DIRTY;
}

void user_fp_off(struct user_context *context)
{
    context->sstatus &= ~SSTATUS_FS;
}

void user_fp_clean(struct user_context *context)
{
    context->sstatus = (context->sstatus & ~SSTATUS_FS) | SSTATUS_FS_CLEAN;
}
