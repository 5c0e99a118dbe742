/* See asid.h. */
#include "mm/vm/asid.h"
#include "arch/atomic.h"
#include "arch/panic.h"
#include "lib/string.h"
#include "smp/hart.h"
#include "smp/lock.h"

#define NUMBER_BITS 16
#define NUMBERS_MAX (1u << NUMBER_BITS)
#define GENERATION  (1ull << NUMBER_BITS) /* the first; contexts of none are below it */

/* What a hart runs on: its own line, written by others only when a generation begins. */
struct asid_hart {
    _Atomic uint64_t
        active; /* context of the space that it entered last; 0 if a generation has begun since */
    uint64_t kept; /* what it was in when the generation began: its number is taken */
    bool flush; /* before it uses another number */
} CACHE_ALIGNED;

static struct asid_hart harts_asid[HART_MAX];

static struct {
    struct lock lock; /* of all that is below, and of kept and flush */
    unsigned count; /* numbers 0 … count − 1 */
    unsigned next; /* where to look for one that is not taken */
    unsigned step; /* 2: only even ones, each with the next one */
    uint64_t rollovers;
    uint64_t taken[NUMBERS_MAX / 64];
    _Atomic uint64_t generation CACHE_ALIGNED; /* read at every switch */
} asids;

void asid_init(unsigned bits, bool pairs, unsigned nharts)
{
    lock_init(&asids.lock, &lock_ttas, "asid");
    /* The number that means all of them is not given. */
    asids.step = pairs ? 2 : 1;
    asids.count = MIN(1u << bits, NUMBERS_MAX - asids.step);
    /* When a generation begins each hart may keep one, and one more has to be left. */
    if ((asids.count - 1) / asids.step < nharts + 1)
        asids.count = 0;
    asids.next = asids.step;
    asids.rollovers = 0;
    memset(asids.taken, 0, sizeof(asids.taken));
    memset(harts_asid, 0, sizeof(harts_asid));
    store_relaxed(&asids.generation, GENERATION); /* the harts are quiet */
}

bool asid_available(void)
{
    return asids.count > 0;
}

uint64_t asid_rollovers(void)
{
    return asids.rollovers;
}

static bool is_current(uint64_t context)
{
    /* Relaxed: who sees an old generation is found out by the swap in asid_enter(), or holds the lock. ld. */
    uint64_t generation = atomic_load_explicit(&asids.generation, memory_order_relaxed);
    return (context ^ generation) >> NUMBER_BITS == 0;
}

static bool take_number(unsigned number)
{
    uint64_t bit = 1ull << number % 64, *word = &asids.taken[number / 64];
    bool free = !(*word & bit);
    *word |= bit;
    return free;
}

static void begin_generation(void)
{
    /* Relaxed: under the lock. ld, sd. */
    uint64_t generation = atomic_load_explicit(&asids.generation, memory_order_relaxed);
    store_relaxed(&asids.generation, generation + GENERATION);
    memset(asids.taken, 0, sizeof(asids.taken));
    asids.next = asids.step;
    asids.rollovers++;
    for (unsigned i = 0; i < HART_MAX; i++) {
        /* Both orders: pairs with the swap in asid_enter(); a hart that switches at the same time is either seen here with
         * its new space, or finds 0 there and comes to the lock. amoswap.d.aqrl. */
        uint64_t active = atomic_exchange_explicit(&harts_asid[i].active, 0, memory_order_acq_rel);
        /* A hart that has not switched since the last time still runs on what it had then. */
        if (active != 0)
            harts_asid[i].kept = active;
        if (harts_asid[i].kept != 0)
            take_number(harts_asid[i].kept % NUMBERS_MAX);
        harts_asid[i].flush = true;
    }
}

/* A space that harts are in keeps its number, in the new generation. Returns whether it has one. */
static bool keep_number(uint64_t context, uint64_t renewed)
{
    bool found = false;
    for (unsigned i = 0; i < HART_MAX; i++) {
        if (harts_asid[i].kept == context) {
            harts_asid[i].kept = renewed;
            found = true;
        }
    }
    return found;
}

/* A context of the generation that is now. */
static uint64_t new_context(uint64_t old)
{
    uint64_t generation = atomic_load_explicit(&asids.generation, memory_order_relaxed); /* under the lock */
    if (old != 0) {
        uint64_t renewed = generation | old % NUMBERS_MAX;
        if (keep_number(old, renewed) || take_number(old % NUMBERS_MAX))
            return renewed;
    }
    for (unsigned round = 0; round < 2; round++) {
        for (; asids.next < asids.count; asids.next += asids.step)
            if (take_number(asids.next))
                return atomic_load_explicit(&asids.generation, memory_order_relaxed) | asids.next;
        begin_generation();
    }
    panic("no ASID is left of %u", asids.count); /* asid_init() was told of too few harts */
}

/* What asid_enter() does when the space has no number of this generation, or another hart has just begun one. */
static COLD uint64_t enter_slowly(asid_context_t *context, bool *flush)
{
    struct lock_node node;
    struct asid_hart *own = &harts_asid[hart_index()];
    lock_acquire(&asids.lock, &node);
    /* Relaxed: written under the lock only. ld, sd. */
    uint64_t now = atomic_load_explicit(context, memory_order_relaxed);
    if (!is_current(now)) {
        now = new_context(now);
        store_relaxed(context, now);
    }
    *flush = own->flush;
    own->flush = false;
    store_relaxed(&own->active, now);
    lock_release(&asids.lock, &node);
    return now;
}

uint16_t asid_enter(asid_context_t *context, bool *flush)
{
    struct asid_hart *own = &harts_asid[hart_index()];
    /* Relaxed, twice: the swap decides. ld. */
    uint64_t now = atomic_load_explicit(context, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&own->active, memory_order_relaxed);
    *flush = false;
    /* Both orders, pairs with begin_generation(): if that was between the look at the generation and this, it has put 0.
     * lr.d.aq, sc.d.rl. */
    if (before != 0 && is_current(now) && cas_acq_rel(&own->active, before, now))
        return (uint16_t)now;
    return (uint16_t)enter_slowly(context, flush);
}
