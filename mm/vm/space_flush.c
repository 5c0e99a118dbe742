/*
 * What harts are told to forget of an address space, and what waits until they have: the quarantine of lazy schemes, whose
 * unmappings are finished when every hart has passed a quiescent point.
 */
#include "arch/cpu.h"
#include "arch/paging.h"
#include "mm/vm/space_private.h"
#include "trace/counter.h"

/*
 * Pages that wait in quarantine of one hart's unmapping at a time. To interrupt the other harts and wait for them is some
 * thousand cycles; to unmap as many pages as this costs a hundred times that, so nothing is won by not waiting, and
 * 4 MiB a hart is what can be missing elsewhere.
 */
#define QUARANTINE_PAGES_MAX 1024u

/* --- flushes ------------------------------------------------------------------------------------------- */

/* Whoever becomes active behind this sees what was changed before it. */
static uint64_t active_harts(struct space *space)
{
    /* Both orders: between the entries, which were written before, and the look at the mask; the word is the hart's own.
     * Pairs with the swap on the mask in space_enter(). amoswap.w.aqrl. */
    atomic_exchange_explicit(&space_hart(space)->solo, 0, memory_order_acq_rel);
    /* Acquire, pairs with part() in space.c: what a hart did that is not there any more was before. ld; fence r,rw. */
    return atomic_load_explicit(&space->active, memory_order_acquire);
}

hart_mask_t space_harts_to_flush(struct space *space, const struct table_gather *gather)
{
    return space->by_table ? gather->harts : (hart_mask_t){active_harts(space)};
}

void space_unlinked(struct table_gather *gather, pfn_t table, size_t page, unsigned level)
{
    struct space *space = CONTAINER_OF(gather, struct space_gather, gather)->space;
    if (space->by_table && level == 0)
        space_view_unlinked(space, table, page);
}

struct flush space_flush_of(const struct space *space, const struct table_gather *gather, size_t bound)
{
    bool tables = !pfn_is_none(gather->tables), none = gather->first == gather->end;
    return (struct flush){.asid = asid_of(&space->context),
        .pair = space_has_pair(space),
        .first = none ? bound : gather->first,
        .end = none ? bound + 1 : gather->end,
        .nleaves = tables ? 0 : gather->nleaves,
        .tables = tables};
}

void space_flush_asid(const struct space *space, uint16_t asid)
{
    paging_flush_asid(asid);
    if (space_has_pair(space))
        paging_flush_asid(asid + 1);
}

void space_flush_page(const struct space *space, size_t page)
{
    uint16_t asid = asid_of(&space->context);
    paging_flush_page(page_to_vaddr(page), asid);
    counter_add(COUNTER_SFENCE, 1);
    if (space_has_pair(space)) {
        paging_flush_page(page_to_vaddr(page), asid + 1);
        counter_add(COUNTER_SFENCE, 1);
    }
}

void space_flush(struct space *space, struct table_gather *gather, size_t bound)
{
    if (gather->nleaves == 0 && pfn_is_none(gather->tables))
        return;
    hart_mask_t told = space_harts_to_flush(space, gather); /* first: it orders */
    struct flush flush = space_flush_of(space, gather, bound);
    shootdown_now(space->shootdown, told, &flush);
    page_table_release(&space->table, gather);
}

void space_flush_here(struct space *space, struct table_gather *gather, size_t bound)
{
    struct flush flush = space_flush_of(space, gather, bound);
    flush_self(flush_pack(&flush));
    page_table_release(&space->table, gather);
}

/* --- quarantine: what is finished when all harts have passed a quiescent point (`lazy`) ---------------- */

/* What a place is for, in one word: a space that ends takes what waits of it away from the hart that would finish it, and must not
 * take what the place has been used for since. */
#define QUARANTINE_FREE      0ul
#define QUARANTINE_CANCELLED 1ul /* until the hart hears that it could be finished */
#define QUARANTINE_WAITING   2ul /* with the space's address; */
#define QUARANTINE_FINISHING 3ul /* as well */

struct quarantine {
    struct deferred deferred;
    _Atomic uint64_t state;
    size_t first, end; /* of the unmapped range */
    size_t npages;
};

/* Of each hart; others only look for a space that ends. */
static struct quarantine_hart {
    struct quarantine slots[SPACE_OWNER_NOW];
    size_t npages;
} CACHE_ALIGNED quarantines[HART_MAX];

static uint64_t state_of(const struct space *space, uint64_t state)
{
    return (uint64_t)(uintptr_t)space | state;
}

static bool quarantine_claim(struct quarantine *slot, uint64_t from, uint64_t to)
{
    /* Both orders: who claims it has what was noted of it, and what was done before. lr.d.aq, sc.d.rl. */
    while (atomic_load_explicit(&slot->state, memory_order_relaxed) == from)
        if (cas_acq_rel(&slot->state, from, to))
            return true;
    return false;
}

static void quarantine_done(struct deferred *deferred)
{
    struct quarantine *slot = CONTAINER_OF(deferred, struct quarantine, deferred);
    struct quarantine_hart *own = &quarantines[hart_index()];
    /* Relaxed: the claim decides. ld. */
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    own->npages -= slot->npages;
    if (state != QUARANTINE_CANCELLED && quarantine_claim(slot, state, state | QUARANTINE_FINISHING)) {
        struct space *space = (struct space *)(uintptr_t)(state & ~QUARANTINE_FINISHING);
        struct space_edit edit;
        space_edit_init(&edit, space, SPACE_UNMAP, slot->first, slot->end);
        edit.owner = space_owner_of((unsigned)(slot - own->slots));
        space_edit_settle(&edit);
    }
    /* Release (fence rw,w; sd), pairs with space_quarantine_cancel(). */
    store_release(&slot->state, QUARANTINE_FREE);
}

struct quarantine *quarantine_find_free(void)
{
    struct quarantine_hart *own = &quarantines[hart_index()];
    for (size_t i = 0; i < ARRAY_SIZE(own->slots); i++)
        /* Acquire: what is cancelled is not looked at by others any more. ld; fence r,rw. */
        if (atomic_load_explicit(&own->slots[i].state, memory_order_acquire) == QUARANTINE_FREE)
            return &own->slots[i];
    return NULL;
}

unsigned quarantine_number(const struct quarantine *slot)
{
    return (unsigned)(slot - quarantines[hart_index()].slots);
}

void quarantine_put(struct space_edit *edit, struct quarantine *slot)
{
    struct space *space = edit->space;
    hart_mask_t told = space_harts_to_flush(space, &edit->gathered.gather); /* first: it orders */
    struct flush flush = space_flush_of(space, &edit->gathered.gather, edit->edit.first);
    slot->first = edit->edit.first;
    slot->end = edit->edit.end;
    slot->npages = edit->pending;
    slot->deferred.done = quarantine_done;
    quarantines[hart_index()].npages += slot->npages;
    /* Release (fence rw,w; sd), pairs with quarantine_claim(). */
    store_release(&slot->state, state_of(space, QUARANTINE_WAITING));
    shootdown_defer(&slot->deferred, told, &flush);
}

bool quarantine_has_room(const struct space_edit *edit)
{
    return edit->pending + quarantines[hart_index()].npages <= QUARANTINE_PAGES_MAX &&
           pfn_is_none(edit->gathered.gather.tables);
}

void space_quarantine_cancel(struct space *space)
{
    for (unsigned hart = 0; hart < space->pool->nharts; hart++) {
        for (size_t i = 0; i < SPACE_OWNER_NOW; i++) {
            struct quarantine *slot = &quarantines[hart].slots[i];
            uint64_t waiting = state_of(space, QUARANTINE_WAITING);
            if (quarantine_claim(slot, waiting, QUARANTINE_CANCELLED))
                continue;
            /* Acquire, pairs with the release above: the tables are as it left them. ld; fence r,rw. */
            while (atomic_load_explicit(&slot->state, memory_order_acquire) ==
                   state_of(space, QUARANTINE_FINISHING))
                cpu_relax();
        }
    }
}

bool space_quarantine_drain(void)
{
    if (shootdown_pending() == 0)
        return false;
    shootdown_drain();
    return true;
}
