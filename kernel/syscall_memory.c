/* System calls about memory: Linux's arguments, looked at, to mm/vm/space.h. */
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/syscall.h"
#include "lib/error.h"

#define PROT_READ  1ul
#define PROT_WRITE 2ul
#define PROT_EXEC  4ul
#define PROT_KNOWN (PROT_READ | PROT_WRITE | PROT_EXEC)

#define MAP_SHARED          0x01ul
#define MAP_PRIVATE         0x02ul
#define MAP_TYPE            0x0ful
#define MAP_FIXED           0x10ul
#define MAP_ANONYMOUS       0x20ul
#define MAP_POPULATE        0x8000ul
#define MAP_FIXED_NOREPLACE 0x100000ul

#define MADV_NORMAL     0
#define MADV_RANDOM     1
#define MADV_SEQUENTIAL 2
#define MADV_WILLNEED   3
#define MADV_DONTNEED   4

static uint64_t rights_of(uint64_t protection)
{
    return (protection & PROT_READ ? PTE_R : 0) | (protection & PROT_WRITE ? PTE_W | PTE_R : 0) |
           (protection & PROT_EXEC ? PTE_X : 0);
}

/* What Linux keeps from all but the privileged (mmap_min_addr), if nothing else is wrong with it. */
static inline bool is_too_low(vaddr_t at, uint64_t bytes)
{
    return at.value < USER_BASE && at.value % PAGE_BYTES == 0 && bytes <= USER_END - at.value;
}

long sys_mmap(struct thread *thread, const uint64_t *args)
{
    vaddr_t at = VADDR(args[0]);
    uint64_t bytes = args[1], protection = args[2], flags = args[3], type = flags & MAP_TYPE;
    unsigned how = 0;
    if (args[5] % PAGE_BYTES != 0)
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS))
        return -EBADF; /* there are no files */
    if (bytes == 0 || (type != MAP_PRIVATE && type != MAP_SHARED))
        return -EINVAL;
    if (type == MAP_SHARED)
        return -ENODEV; /* nor memory that processes share */
    if (flags & MAP_FIXED_NOREPLACE)
        how = SPACE_NOREPLACE;
    else if (flags & MAP_FIXED)
        how = SPACE_FIXED;
    if (how && is_too_low(at, bytes))
        return -EPERM;
    if (flags & MAP_POPULATE)
        how |= SPACE_POPULATE;
    int error = space_map(thread->process->space, &at, bytes, rights_of(protection), how);
    return error ? errno_of(error) : (long)at.value;
}

long sys_munmap(struct thread *thread, const uint64_t *args)
{
    return errno_of(space_unmap(thread->process->space, VADDR(args[0]), args[1]));
}

long sys_mprotect(struct thread *thread, const uint64_t *args)
{
    if (args[1] != 0 && args[2] & ~PROT_KNOWN)
        return -EINVAL;
    return errno_of(space_protect(thread->process->space, VADDR(args[0]), args[1], rights_of(args[2])));
}

/* Advice about reading ahead is heard and not needed, but what is not mapped is told. */
long sys_madvise(struct thread *thread, const uint64_t *args)
{
    switch ((int)args[2]) {
    case MADV_DONTNEED: return errno_of(space_discard(thread->process->space, VADDR(args[0]), args[1]));
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED: return errno_of(space_look(thread->process->space, VADDR(args[0]), args[1]));
    default: return -EINVAL;
    }
}

long sys_brk(struct thread *thread, const uint64_t *args)
{
    return (long)space_brk(thread->process->space, VADDR(args[0])).value;
}
