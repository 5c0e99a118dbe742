/* See frame_quarantine.h. */
#include "mm/frame/frame_quarantine.h"
#include "arch/atomic.h"
#include "arch/console.h"
#include "smp/hart.h"
#include "smp/lock.h"

struct held {
    pfn_t pfn;
    uint64_t number; /* that all harts are to have seen */
    uint64_t vaddr;
};

struct quarantine_hart {
    struct lock lock; /* of the queue; others take it only to empty it */
    struct held *queue; /* a ring of quarantine->room */
    size_t first, count;

    /* The number at which the last round that the hart has ended began. */
    _Atomic uint64_t seen CACHE_ALIGNED;
} CACHE_ALIGNED;

size_t frame_quarantine_bytes(unsigned nharts, size_t room)
{
    return nharts * (sizeof(struct quarantine_hart) + room * sizeof(struct held));
}

static struct frame_quarantine *of(struct frame_allocator *fa)
{
    return CONTAINER_OF(fa->ops, struct frame_quarantine, ops);
}

/* --- where it was shown -------------------------------------------------------------------------------- */

#if defined(HARTSCALE_CHECK) && HARTSCALE_CHECK

/* Of each hart, its own. */
static struct {
    uint64_t vaddr;
} CACHE_ALIGNED noted[HART_MAX];

void frame_quarantine_note(uint64_t vaddr)
{
    noted[hart_index()].vaddr = vaddr;
}

static uint64_t take_note(void)
{
    uint64_t vaddr = noted[hart_index()].vaddr;
    noted[hart_index()].vaddr = 0;
    return vaddr;
}

#else

static uint64_t take_note(void)
{
    return 0;
}

#endif

/* --- poison -------------------------------------------------------------------------------------------- */

#define WORDS (PAGE_BYTES / sizeof(uint64_t))

static uint64_t poison_pair(pfn_t pfn)
{
    return (uint64_t)frame_poison(pfn) << 32 | frame_poison(pfn);
}

static void poison(pfn_t pfn)
{
    uint64_t *words = pfn_to_direct(pfn), pair = poison_pair(pfn);
    for (size_t i = 0; i < WORDS; i++)
        words[i] = pair;
}

/* Whether all of it is as it was left. Whoever writes there is none that the compiler knows of. */
static bool is_sound(struct frame_quarantine *quarantine, const struct held *held, unsigned hart)
{
    const volatile uint64_t *words = pfn_to_direct(held->pfn);
    uint64_t pair = poison_pair(held->pfn);
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t found = words[i];
        if (likely(found == pair))
            continue;
        const struct frame_damage damage = {held->pfn, hart, held->vaddr, i * sizeof(*words), found, pair};
        quarantine->damaged(&damage);
        return false;
    }
    return true;
}

/* --- rounds -------------------------------------------------------------------------------------------- */

uint64_t frame_quarantine_begin(struct frame_quarantine *quarantine)
{
    /* Acquire (ld; fence r,rw), pairs with the addition in draw_number(): frames up to it are filled. */
    return atomic_load_explicit(&quarantine->number, memory_order_acquire);
}

void frame_quarantine_end(struct frame_quarantine *quarantine, uint64_t number)
{
    /* Release (fence rw,w; sd), pairs with all_have_seen(): the hart's accesses were before. */
    store_release(&quarantine->harts[hart_index()].seen, number);
}

static uint64_t draw_number(struct frame_quarantine *quarantine)
{
    /* Release (amoadd.d.rl), pairs with frame_quarantine_begin(). */
    return add_release(&quarantine->number, 1) + 1;
}

static bool all_have_seen(struct frame_quarantine *quarantine, uint64_t number)
{
    for (unsigned i = 0; i < quarantine->fa->nharts && quarantine->watched; i++)
        /* Acquire (ld; fence r,rw), pairs with frame_quarantine_end(). */
        if (atomic_load_explicit(&quarantine->harts[i].seen, memory_order_acquire) < number)
            return false;
    return true;
}

/* --- queues -------------------------------------------------------------------------------------------- */

/* Locked. */
static void let_go(struct frame_quarantine *quarantine, struct quarantine_hart *own)
{
    const struct held held = own->queue[own->first];
    own->first = (own->first + 1) % quarantine->room;
    own->count--;
    is_sound(quarantine, &held, (unsigned)(own - quarantine->harts));
    quarantine->behind->free(quarantine->fa, held.pfn, 0);
}

static void let_all_go(struct frame_quarantine *quarantine)
{
    for (unsigned i = 0; i < quarantine->fa->nharts; i++) {
        struct quarantine_hart *hart = &quarantine->harts[i];
        struct lock_node node;
        lock_acquire(&hart->lock, &node);
        while (hart->count > 0)
            let_go(quarantine, hart);
        lock_release(&hart->lock, &node);
    }
}

bool frame_quarantine_is_short(struct frame_quarantine *quarantine)
{
    struct quarantine_hart *own = &quarantine->harts[hart_index()];
    struct lock_node node;
    lock_acquire(&own->lock, &node);
    size_t middle = quarantine->room / 2;
    bool is_short = own->count > middle &&
                    !all_have_seen(quarantine,
                        own->queue[(own->first + own->count - 1 - middle) % quarantine->room].number);
    lock_release(&own->lock, &node);
    return is_short;
}

size_t frame_quarantine_held(struct frame_quarantine *quarantine)
{
    size_t held = 0;
    for (unsigned i = 0; i < quarantine->fa->nharts; i++) {
        struct lock_node node;
        lock_acquire(&quarantine->harts[i].lock, &node);
        held += quarantine->harts[i].count;
        lock_release(&quarantine->harts[i].lock, &node);
    }
    return held;
}

/* Whether a frame waits already: one that does not begin as it would was not looked for. */
static bool is_held(struct frame_quarantine *quarantine, pfn_t pfn)
{
    bool found = false;
    if (likely(*(const uint64_t *)pfn_to_direct(pfn) != poison_pair(pfn)))
        return false;
    for (unsigned i = 0; i < quarantine->fa->nharts && !found; i++) {
        struct quarantine_hart *hart = &quarantine->harts[i];
        struct lock_node node;
        lock_acquire(&hart->lock, &node);
        for (size_t k = 0; k < hart->count && !found; k++)
            found = pfn_equal(hart->queue[(hart->first + k) % quarantine->room].pfn, pfn);
        lock_release(&hart->lock, &node);
    }
    return found;
}

/* --- in the place of the instance's functions ---------------------------------------------------------- */

static pfn_t quarantine_alloc(struct frame_allocator *fa, unsigned order)
{
    struct frame_quarantine *quarantine = of(fa);
    pfn_t pfn = quarantine->behind->alloc(fa, order);
    if (likely(!pfn_is_none(pfn)))
        return pfn;
    let_all_go(quarantine); /* and if nothing is left to go, another hart may have seen to it just now */
    return quarantine->behind->alloc(fa, order);
}

static void quarantine_free(struct frame_allocator *fa, pfn_t pfn, unsigned order)
{
    struct frame_quarantine *quarantine = of(fa);
    struct quarantine_hart *own = &quarantine->harts[hart_index()];
    enum frame_misuse_kind kind;
    struct lock_node node;
    uint64_t vaddr = take_note();
    if (order > 0 || frame_misplaced(fa, pfn, order, &kind)) {
        quarantine->behind->free(fa, pfn, order);
        return;
    }
    if (unlikely(is_held(quarantine, pfn))) {
        frame_refuse(fa, FRAME_MISUSE_DOUBLE_FREE, pfn, order, __builtin_return_address(0));
        return;
    }
    poison(pfn);
    lock_acquire(&own->lock, &node);
    if (own->count == quarantine->room)
        let_go(quarantine, own);
    own->queue[(own->first + own->count++) % quarantine->room] =
        (struct held){pfn, draw_number(quarantine), vaddr};
    lock_release(&own->lock, &node);
}

static size_t quarantine_free_count(struct frame_allocator *fa)
{
    return of(fa)->behind->free_count(fa) + frame_quarantine_held(of(fa));
}

static void quarantine_drain(struct frame_allocator *fa)
{
    let_all_go(of(fa));
    if (of(fa)->behind->drain)
        of(fa)->behind->drain(fa);
}

/* --- beginning and end --------------------------------------------------------------------------------- */

void frame_quarantine_attach(struct frame_quarantine *quarantine, struct frame_allocator *fa, void *memory,
    size_t room, void (*damaged)(const struct frame_damage *damage))
{
    struct quarantine_hart *each = memory;
    struct held *queues = (struct held *)(each + fa->nharts);
    *quarantine = (struct frame_quarantine){
        .ops = *fa->ops, .behind = fa->ops, .fa = fa, .harts = each, .room = room, .damaged = damaged};
    for (unsigned i = 0; i < fa->nharts; i++) {
        each[i] = (struct quarantine_hart){.queue = &queues[i * room]};
        lock_init(&each[i].lock, &lock_ttas, "frame.quarantine");
    }
    quarantine->ops.alloc = quarantine_alloc;
    quarantine->ops.free = quarantine_free;
    quarantine->ops.free_count = quarantine_free_count;
    quarantine->ops.drain = quarantine_drain;
    fa->ops = &quarantine->ops;
    fa->alloc = quarantine_alloc;
    fa->free = quarantine_free;
}

void frame_quarantine_watch(struct frame_quarantine *quarantine)
{
    quarantine->watched = true;
}

void frame_quarantine_detach(struct frame_quarantine *quarantine)
{
    struct frame_allocator *fa = quarantine->fa;
    let_all_go(quarantine);
    fa->ops = quarantine->behind;
    fa->alloc = quarantine->behind->alloc;
    fa->free = quarantine->behind->free;
}
