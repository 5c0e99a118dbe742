/* Until spaces have them: so fork() and madvise() answer that it cannot be done. */
#include "lib/error.h"
#include "mm/vm/space.h"

#define WEAK __attribute__((weak))

WEAK int space_fork(struct space *space, struct space **copy)
{
    (void)space;
    (void)copy;
    return ERR_NO_MEMORY;
}

WEAK int space_discard(struct space *space, vaddr_t vaddr, size_t bytes)
{
    (void)space;
    (void)vaddr;
    (void)bytes;
    return ERR_INVALID;
}
