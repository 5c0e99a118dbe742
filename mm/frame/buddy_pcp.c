/*
 * The design "buddy_pcp": the buddy system with lists of each hart's own in front of it, as Linux has it for each CPU.
 * Frames go to and from the zone in batches by Linux's rules (pcp_rules.h). A hart's lists have a lock,
 * which the hart itself only tries to take: it is held by another hart only to empty the lists, and then the zone
 * serves. The lock's line stays with its hart, so it costs instructions but no transfer.
 *
 * Order of locks: those of the lists, by hart, then the zone's. A block that moves between a list and the zone is moved
 * under both; so to whoever holds all of them every free block is on one of the lists or in the zone, and
 * PFN_NONE is exact: see sweep().
 *
 * After Linux 6.17, mm/page_alloc.c: rmqueue(), rmqueue_pcplist(), free_frozen_pages(), free_pcppages_bulk(); there
 * the last resort is direct reclaim, which empties the lists of all CPUs too, one after another.
 */
#include "arch/console.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "mm/frame/buddy_core.h"
#include "mm/frame/pcp_rules.h"
#include "trace/inject.h"

/* Orders 0 to PCP_ORDER_MAX and FRAME_ORDER_HUGE have lists. */
#define LISTS     (PCP_ORDER_MAX + 2)
#define LIST_HUGE (PCP_ORDER_MAX + 1)

/* A hart's own. */
struct pcp {
    struct lock lock; /* protects what follows, and the links of the frames on the lists */
    struct buddy_list lists[LISTS]; /* taken from and given to in front, drained from the end */
    struct pcp_rules rules;
} CACHE_ALIGNED;

_Static_assert(sizeof(struct pcp) == sizeof(struct lock) + CACHE_LINE_BYTES, "lists and counts are one line");

/* The rest of the metadata, behind one pcp for each hart. */
struct buddy_zone {
    struct lock lock; /* protects core; of its table only what is free */
    struct buddy_core core;
};

static inline struct pcp *pcp_of(struct frame_allocator *fa, unsigned hart)
{
    return (struct pcp *)fa->metadata + hart;
}

static inline struct buddy_zone *zone_of(struct frame_allocator *fa)
{
    return (struct buddy_zone *)pcp_of(fa, fa->nharts);
}

static inline bool is_listed(unsigned order)
{
    return order <= PCP_ORDER_MAX || order == FRAME_ORDER_HUGE;
}

static inline unsigned list_of(unsigned order)
{
    return order <= PCP_ORDER_MAX ? order : LIST_HUGE;
}

static inline unsigned order_of(unsigned list)
{
    return list == LIST_HUGE ? FRAME_ORDER_HUGE : list;
}

static size_t buddy_pcp_metadata_size(size_t nframes, unsigned nharts)
{
    return nharts * sizeof(struct pcp) + sizeof(struct buddy_zone) + buddy_core_bytes(nframes);
}

static int buddy_pcp_init(struct frame_allocator *fa)
{
    struct buddy_zone *zone = zone_of(fa);
    lock_init(&zone->lock, fa->lock_kind, "frame.buddy_pcp.zone");
    buddy_core_init(&zone->core, zone + 1, fa->nframes);
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct pcp *pcp = pcp_of(fa, hart);
        lock_init(&pcp->lock, fa->lock_kind, "frame.buddy_pcp.lists");
        for (unsigned list = 0; list < LISTS; list++)
            buddy_list_init(&pcp->lists[list]);
        pcp_rules_init(&pcp->rules, fa->nframes, fa->nharts);
    }
    return 0;
}

/* A batch from the zone onto an empty list, whose lock is held. */
static NOINLINE void refill(struct buddy_zone *zone, struct pcp *pcp, unsigned order)
{
    struct buddy_list *list = &pcp->lists[list_of(order)];
    unsigned wanted = pcp_refill_blocks(&pcp->rules, order), got = 0;
    struct lock_node node;
    if (inject_due(INJECT_REFILL))
        return;
    lock_acquire(&zone->lock, &node);
    for (uint32_t index; got < wanted; got++) {
        index = buddy_core_take(&zone->core, order, BUDDY_CACHED);
        if (index == BUDDY_NONE)
            break;
        buddy_list_append(&zone->core, list, index);
    }
    lock_release(&zone->lock, &node);
    pcp->rules.count += (int32_t)(got << order);
    if (got)
        counter_add(COUNTER_FRAME_REFILL, 1);
}

/* At least n frames from a hart's lists to the zone, or all; those of `list` first. Both locks are held. */
static void drain_lists(struct buddy_zone *zone, struct pcp *pcp, unsigned list, uint32_t n)
{
    struct buddy_core *core = &zone->core;
    uint32_t given = 0;
    for (unsigned i = 0; i < LISTS; i++, list = (list + 1) % LISTS) {
        while (given < n && !buddy_list_is_empty(&pcp->lists[list])) {
            uint32_t index = pcp->lists[list].last;
            buddy_list_remove(core, &pcp->lists[list], index);
            buddy_core_give(core, index, order_of(list));
            given += 1u << order_of(list);
        }
    }
    pcp->rules.count -= (int32_t)given;
}

static uint32_t take_listed(struct frame_allocator *fa, unsigned order)
{
    struct buddy_zone *zone = zone_of(fa);
    struct pcp *pcp = pcp_of(fa, hart_index());
    struct buddy_list *list = &pcp->lists[list_of(order)];
    struct lock_node node;
    DEBUG_ASSERT(hart_index() < fa->nharts);
    if (unlikely(!lock_try_acquire(&pcp->lock, &node)))
        return BUDDY_NONE;
    pcp_allocating(&pcp->rules);
    if (unlikely(buddy_list_is_empty(list)))
        refill(zone, pcp, order);
    uint32_t index = list->first;
    if (likely(index != BUDDY_NONE)) {
        buddy_list_remove(&zone->core, list, index);
        if (plant_due(PLANT_BUDDY_PCP_TWICE))
            buddy_list_push(&zone->core, list, index);
        else
            pcp->rules.count -= 1 << order;
        buddy_set_state(&zone->core, index, BUDDY_USED | order);
    }
    lock_release(&pcp->lock, &node);
    return index;
}

static uint32_t take_from_zone(struct buddy_zone *zone, unsigned order)
{
    struct lock_node node;
    lock_acquire(&zone->lock, &node);
    uint32_t index = buddy_core_take(&zone->core, order, BUDDY_USED);
    lock_release(&zone->lock, &node);
    return index;
}

/*
 * Empties all lists into the zone, under all locks, and takes a block if `wanted` is not NULL. What it does not find is
 * not there: frees and allocations that are under way change lists and zone under one of these locks, so
 * each of them is before this moment or behind it. The same locks make it a moment between two batches.
 */
static NOINLINE void sweep(struct frame_allocator *fa, unsigned order, uint32_t *wanted)
{
    struct buddy_zone *zone = zone_of(fa);
    struct lock_node nodes[HART_MAX], zone_node;
    for (unsigned hart = 0; hart < fa->nharts; hart++)
        lock_acquire(&pcp_of(fa, hart)->lock, &nodes[hart]);
    lock_acquire(&zone->lock, &zone_node);
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct pcp *pcp = pcp_of(fa, hart);
        if (pcp->rules.count == 0)
            continue;
        drain_lists(zone, pcp, 0, UINT32_MAX);
        counter_add(hart == hart_index() ? COUNTER_FRAME_DRAIN : COUNTER_FRAME_STEAL, 1);
    }
    if (wanted)
        *wanted = buddy_core_take(&zone->core, order, BUDDY_USED);
    lock_release(&zone->lock, &zone_node);
    for (unsigned hart = fa->nharts; hart-- > 0;)
        lock_release(&pcp_of(fa, hart)->lock, &nodes[hart]);
}

static pfn_t buddy_pcp_alloc(struct frame_allocator *fa, unsigned order)
{
    uint32_t index = is_listed(order) ? take_listed(fa, order) : BUDDY_NONE;
    if (unlikely(index == BUDDY_NONE))
        index = take_from_zone(zone_of(fa), order);
    if (unlikely(index == BUDDY_NONE))
        sweep(fa, order, &index);
    return index == BUDDY_NONE ? PFN_NONE : pfn_add(fa->base, index);
}

/* Whether the hart's lists could take it. */
static bool give_listed(struct frame_allocator *fa, uint32_t index, unsigned order)
{
    struct buddy_zone *zone = zone_of(fa);
    struct pcp *pcp = pcp_of(fa, hart_index());
    struct lock_node node, zone_node;
    DEBUG_ASSERT(hart_index() < fa->nharts);
    if (unlikely(!lock_try_acquire(&pcp->lock, &node)))
        return false;
    buddy_list_push(&zone->core, &pcp->lists[list_of(order)], index);
    unsigned n = pcp_freed(&pcp->rules, order);
    if (unlikely(n)) {
        lock_acquire(&zone->lock, &zone_node);
        drain_lists(zone, pcp, list_of(order), n);
        lock_release(&zone->lock, &zone_node);
        counter_add(COUNTER_FRAME_DRAIN, 1);
    }
    lock_release(&pcp->lock, &node);
    return true;
}

static void give_to_zone(struct buddy_zone *zone, uint32_t index, unsigned order)
{
    struct lock_node node;
    lock_acquire(&zone->lock, &node);
    buddy_core_give(&zone->core, index, order);
    lock_release(&zone->lock, &node);
}

static void buddy_pcp_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct buddy_zone *zone = zone_of(fa);
    if (unlikely(frame_refuse_misplaced(fa, pfn, order, __builtin_return_address(0))))
        return;
    uint32_t index = pfn.value - fa->base.value, state = BUDDY_USED | order;
    /* One of two frees that race wins. Relaxed: what the block's last user wrote travels with the locks that follow.
     * lr.w; bne; sc.w; bnez. */
    if (unlikely(!atomic_compare_exchange_strong_explicit(&zone->core.frames[index].state, &state,
            BUDDY_CACHED | order, memory_order_relaxed, memory_order_relaxed))) {
        frame_refuse(fa, buddy_core_misuse(&zone->core, index), pfn, order, __builtin_return_address(0));
        return;
    }
    if (plant_due(PLANT_BUDDY_PCP_LOST))
        return;
    if (!is_listed(order) || unlikely(!give_listed(fa, index, order)))
        give_to_zone(zone, index, order);
}

static size_t buddy_pcp_stranded_count(struct frame_allocator *fa)
{
    size_t count = 0;
    for (unsigned hart = 0; hart < fa->nharts; hart++) {
        struct pcp *pcp = pcp_of(fa, hart);
        struct lock_node node;
        lock_acquire(&pcp->lock, &node);
        count += (size_t)pcp->rules.count;
        lock_release(&pcp->lock, &node);
    }
    return count;
}

static size_t buddy_pcp_free_count(struct frame_allocator *fa)
{
    struct buddy_zone *zone = zone_of(fa);
    struct lock_node node;
    lock_acquire(&zone->lock, &node);
    size_t count = zone->core.nfree;
    lock_release(&zone->lock, &node);
    return count + buddy_pcp_stranded_count(fa);
}

static void buddy_pcp_drain(struct frame_allocator *fa)
{
    sweep(fa, 0, NULL);
}

static int check_pcp(struct buddy_core *core, const struct pcp *pcp, unsigned hart)
{
    uint32_t frames = 0;
    int error = 0;
    for (unsigned list = 0; !error && list < LISTS; list++)
        error = buddy_check_list(core, &pcp->lists[list], BUDDY_CACHED, order_of(list), &frames);
    if (error || frames == (uint32_t)pcp->rules.count)
        return error;
    console_format("frame: buddy_pcp: hart %u: %u frames on its lists, the count says %d\n", hart, frames,
        pcp->rules.count);
    return ERR_CORRUPT;
}

static int buddy_pcp_validate(struct frame_allocator *fa)
{
    struct buddy_core *core = &zone_of(fa)->core;
    buddy_check_begin(core);
    int error = buddy_check_core(core);
    for (unsigned hart = 0; !error && hart < fa->nharts; hart++)
        error = check_pcp(core, pcp_of(fa, hart), hart);
    return error ? error : buddy_check_table(core);
}

static void buddy_pcp_describe(struct frame_allocator *fa, struct parts *parts)
{
    struct pcp *pcps = pcp_of(fa, 0);
    struct buddy_zone *zone = zone_of(fa);
    parts_add_array(parts, "kind of lock of hart", pcps, CACHE_LINE_BYTES, fa->nharts, sizeof(*pcps));
    parts_add_array(parts, "lock of hart", &pcps->lock.held, CACHE_LINE_BYTES, fa->nharts, sizeof(*pcps));
    parts_add_array(parts, "lists of hart", pcps->lists, sizeof(*pcps) - offsetof(struct pcp, lists),
        fa->nharts, sizeof(*pcps));
    lock_describe(&zone->lock, parts);
    buddy_core_describe(&zone->core, parts);
}

const struct frame_allocator_ops frame_buddy_pcp = {
    .name = "buddy_pcp",
    .order_max = FRAME_ORDER_MAX,
    .finds_every_block = true,
    .metadata_size = buddy_pcp_metadata_size,
    .init = buddy_pcp_init,
    .alloc = buddy_pcp_alloc,
    .free = buddy_pcp_free,
    .free_count = buddy_pcp_free_count,
    .stranded_count = buddy_pcp_stranded_count,
    .drain = buddy_pcp_drain,
    .validate = buddy_pcp_validate,
    .describe = buddy_pcp_describe,
};
