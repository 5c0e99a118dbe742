/* What the files of address spaces share. */
#ifndef MM_VM_SPACE_PRIVATE_H
#define MM_VM_SPACE_PRIVATE_H

#include "mm/vm/space.h"

struct space {
    struct page_table table;
    struct space_pool *pool;
    unsigned order; /* of the block that this lies in */

    struct lock brk_lock; /* of the next */
    size_t brk; /* pages; the first behind the heap */
    uint64_t brk_end; /* as the user said it */
    size_t next; /* where the search for a hole begins */

    _Atomic uint32_t references CACHE_ALIGNED;
};

static inline size_t pages_of(size_t bytes)
{
    return DIV_CEIL(bytes, (size_t)PAGE_BYTES);
}

#endif
