/* Address spaces: their beginning and end, and which hart is in which; see space.h. */
#include "mm/vm/space.h"
#include "arch/panic.h"
#include "arch/paging.h"
#include "mm/vm/space_private.h"

static struct {
    struct space *space;
} CACHE_ALIGNED current[HART_MAX];

int space_pool_init(struct space_pool *pool)
{
    pool->zero = frame_alloc(pool->refs->fa, 0, FRAME_ZERO);
    return pfn_is_none(pool->zero) ? ERR_NO_MEMORY : 0;
}

void space_pool_destroy(struct space_pool *pool)
{
    frame_put(pool->refs, pool->zero, 0);
}

static unsigned order_of(size_t bytes)
{
    unsigned order = 0;
    while (((size_t)PAGE_BYTES << order) < bytes)
        order++;
    return order;
}

int space_create(struct space_pool *pool, struct space **out)
{
    unsigned order = order_of(sizeof(struct space));
    pfn_t pfn = frame_alloc(pool->refs->fa, order, FRAME_ZERO);
    if (pfn_is_none(pfn))
        return ERR_NO_MEMORY;
    struct space *space = pfn_to_direct(pfn);
    space->pool = pool;
    space->order = order;
    space->brk = USER_HEAP_BASE / PAGE_BYTES;
    space->brk_end = USER_HEAP_BASE;
    space->next = USER_MMAP_BASE / PAGE_BYTES;
    space->references = 1;
    lock_init(&space->brk_lock, &lock_ttas, "space");
    int error = page_table_init(
        &space->table, pool->tables, (enum table_locking)vm_design.ptlock, &lock_ttas, pool->kernel);
    if (error) {
        frame_put(pool->refs, pfn, order);
        return error;
    }
    *out = space;
    return 0;
}

void space_get(struct space *space)
{
    /* Relaxed: the caller has a reference, and hands the new one on in an order of its own. amoadd.w. */
    atomic_fetch_add_explicit(&space->references, 1, memory_order_relaxed);
}

void space_put(struct space *space)
{
    /* Release: what this owner did happens before the end; acquire, in the last, pairs with that. amoadd.w.aqrl. */
    if (atomic_fetch_sub_explicit(&space->references, 1, memory_order_acq_rel) > 1)
        return;
    struct frame_refs *refs = space->pool->refs;
    int error = space_unmap(space, VADDR(USER_BASE), USER_END - USER_BASE);
    ASSERT(error == 0);
    page_table_destroy(&space->table);
    frame_put(refs, paddr_to_pfn_floor(direct_to_paddr(space)), space->order);
}

void space_enter(struct space *space)
{
    if (current[hart_index()].space == space)
        return;
    current[hart_index()].space = space;
    paging_enter(space->table.root, 0);
    paging_flush_asid(0);
}

void space_leave(void)
{
    struct space *space = space_current();
    if (!space)
        return;
    current[hart_index()].space = NULL;
    paging_enter(space->pool->kernel->root, 0);
    paging_flush_asid(0);
}

struct space *space_current(void)
{
    return current[hart_index()].space;
}
