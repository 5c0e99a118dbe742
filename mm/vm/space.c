/* Address spaces: their beginning and end, and which hart is in which; see space.h. */
#include "mm/vm/space.h"
#include "arch/cpu.h"
#include "arch/panic.h"
#include "arch/paging.h"
#include "arch/split.h"
#include "lib/bits.h"
#include "mm/vm/space_private.h"

/* Each is its hart's own, which has a reference. */
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

/* --- beginning and end --------------------------------------------------------------------------------- */

static void init_harts(struct space *space)
{
    for (unsigned i = 0; i < space->pool->nharts; i++) {
        space->harts[i].next = space_slice_first(space, i);
        space->harts[i].root = space->harts[i].user_root = PFN_NONE;
    }
}

int space_create(struct space_pool *pool, struct space **out)
{
    size_t bytes = sizeof(struct space) + pool->nharts * sizeof(struct space_hart);
    unsigned order = bits_order(space_pages(bytes));
    pfn_t pfn = frame_alloc(pool->refs->fa, order, FRAME_ZERO);
    if (pfn_is_none(pfn))
        return ERR_NO_MEMORY;
    struct space *space = pfn_to_direct(pfn);
    int error = page_table_init(
        &space->table, pool->tables, (enum table_locking)vm_design.ptlock, &lock_ttas, pool->kernel);
    space->by_table = vm_design.shootdown->by_table;
    space->separate = vm_design.split == VM_SPLIT_SEPARATE;
    if (!error && space->separate && !space->by_table) {
        error = page_table_split(&space->table, pool->user);
        if (error)
            page_table_destroy(&space->table);
    }
    if (error) {
        frame_put(pool->refs, pfn, order);
        return error;
    }
    space->pool = pool;
    space->order = order;
    space->shootdown = vm_design.shootdown;
    space->has_asid = vm_design.asid && asid_available();
    space->brk = USER_HEAP_BASE;
    lock_init(&space->brk_lock, &lock_ttas, "space");
    store_relaxed(&space->references, 1); /* nobody else has it yet */
    init_harts(space);
    *out = space;
    return 0;
}

void space_get(struct space *space)
{
    /* Relaxed: the caller has a reference, and hands the new one on in an order of its own. amoadd.w. */
    atomic_fetch_add_explicit(&space->references, 1, memory_order_relaxed);
}

/* No hart uses the tables any more, and none will remember translations of the space under a number that means another: so
 * there is nothing to flush. */
static void destroy(struct space *space)
{
    struct frame_refs *refs = space->pool->refs;
    struct space_edit edit;
    space_quarantine_cancel(space);
    space_edit_init(&edit, space, SPACE_END, space->table.first, space->table.end);
    edit.edit.hint = NULL;
    for (unsigned i = 0; i < space->pool->nharts; i++)
        table_hint_drop(&space->table, &space->harts[i].hint, &edit.gathered.gather);
    int error = table_edit_run(&edit.edit);
    ASSERT(error == 0); /* nothing is split */
    page_table_release(&space->table, &edit.gathered.gather);
    space_view_destroy(space);
    page_table_destroy(&space->table);
    frame_put(refs, paddr_to_pfn_floor(direct_to_paddr(space)), space->order);
}

void space_put(struct space *space)
{
    /* Release: what this owner did happens before the end; acquire, in the last, pairs with that. amoadd.w.aqrl. */
    if (atomic_fetch_sub_explicit(&space->references, 1, memory_order_acq_rel) > 1)
        return;
    DEBUG_ASSERT(space_current() != space);
    destroy(space);
}

/* --- which hart is where ------------------------------------------------------------------------------- */

/* Returns whether the hart is new there. What was changed by harts that saw it is flushed on this one, too; those that took
 * themselves for the only one are waited for. */
static bool join(struct space *space)
{
    uint64_t self = hart_mask_one(hart_index()).bits;
    /* Relaxed: no other hart takes the bit away. ld. */
    if (likely(atomic_load_explicit(&space->active, memory_order_relaxed) & self))
        return false;
    /* Both orders, pairs with space_solo_begin() and with the swap in space_flush.c: one of the two sees the other. amoor.d.aqrl. */
    atomic_fetch_or_explicit(&space->active, self, memory_order_acq_rel);
    for (unsigned i = 0; i < space->pool->nharts && !space->by_table; i++)
        /* Acquire, pairs with space_solo_end(). lw; fence r,rw. */
        while (i != hart_index() && atomic_load_explicit(&space->harts[i].solo, memory_order_acquire))
            cpu_relax();
    return true;
}

/* This hart has forgotten all of it, which one without an ASID has to at every switch. */
static void part(struct space *space)
{
    if (space->by_table || space->has_asid)
        return;
    /* Release: what the hart did there comes before. amoand.d.rl. */
    and_release(&space->active, ~hart_mask_one(hart_index()).bits);
}

void space_enter(struct space *space)
{
    struct space *before = space_current();
    if (likely(before == space))
        return;
    space_get(space);
    bool joined = join(space), forget = false;
    uint16_t asid = space->has_asid ? asid_enter(&space->context, &forget) : ASID_KERNEL;
    space_use_view(space, asid);
    if (forget)
        paging_flush();
    else if (joined || !space->has_asid)
        /* Orders the walks, too: they see what was changed before this hart joined. */
        space_flush_asid(space, asid);
    current[hart_index()].space = space;
    if (before) {
        part(before);
        space_put(before);
    }
}

void space_leave(void)
{
    struct space *space = space_current();
    if (!space)
        return;
    paging_enter(space->pool->kernel->root, ASID_KERNEL);
    split_leave();
    if (!space->has_asid)
        paging_flush_asid(ASID_KERNEL);
    current[hart_index()].space = NULL;
    part(space);
    space_put(space);
}

struct space *space_current(void)
{
    return current[hart_index()].space;
}
