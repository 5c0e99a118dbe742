/* See epoch.h. The epoch advances when every hart that is inside went in during it; what was retired in epoch e is freed from
 * e + 2 on: then every hart that may have found it has been outside. Worked through for a hart R that reads, and U that unlinks:
 *
 *   R: reads epoch 7, announces it, finds the entry          the epoch can become 8, as R went in during 7, but not 9
 *   U: unlinks, fence, reads epoch 7 or 8, retires           so it is freed at 9 or 10
 *   R: goes outside                                          now it can become 9: nobody knows the entry any more
 *
 * U's fence makes that right: R found the entry before it was unlinked, so U reads no older epoch than R did.
 */
#include "smp/epoch.h"
#include "arch/console.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/string.h"

/* An attempt to advance reads a line of each hart: with as many retired for each, it is about one read for every entry at
 * 32 harts; what waits on a hart's lists is at most as much again for each of three epochs, in frames half a megabyte. */
#define RETIRED_PER_TRY 32

struct epoch_hart epoch_harts[HART_MAX];

/* From 2 on, so that what was retired in epoch 0, never, is ripe. On a line that is written once in many retirements. */
#define EPOCH_FIRST 2
_Atomic uint64_t epoch_now CACHE_ALIGNED = EPOCH_FIRST;

static void try_advance(void)
{
    /* Acquire, pairs with the swap below: all that was read before this epoch began is ordered before. ld; fence r,rw. */
    uint64_t epoch = atomic_load_explicit(&epoch_now, memory_order_acquire);
    /* fence rw,rw, pairs with epoch_enter(): a hart that is not seen to be inside sees what was unlinked before this. */
    fence_full();
    for (unsigned i = 0; i < hart_count(); i++) {
        /* Acquire, pairs with epoch_exit(). ld; fence r,rw. */
        uint64_t inside = atomic_load_explicit(&epoch_harts[i].inside, memory_order_acquire);
        if (inside != 0 && inside != 2 * epoch + 1)
            return;
    }
    /* Release, pairs with the load above and that of free_ripe(): every hart was outside. If another hart was faster, or for no
     * reason at all, it is not done: then the next one does it. lr.d; sc.d.rl. */
    (void)cas_release(&epoch_now, epoch, epoch + 1);
}

static size_t free_list(struct epoch_hart *hart, unsigned list)
{
    struct epoch_entry *entry = hart->retired[list];
    size_t count = 0;
    hart->retired[list] = NULL;
    while (entry) {
        struct epoch_entry *next = entry->next;
        entry->free(entry);
        entry = next;
        count++;
    }
    hart->count -= count;
    return count;
}

static size_t free_ripe(struct epoch_hart *hart)
{
    size_t count = 0;
    /* Acquire, pairs with try_advance(). ld; fence r,rw. */
    uint64_t epoch = atomic_load_explicit(&epoch_now, memory_order_acquire);
    for (unsigned i = 0; i < EPOCH_LISTS; i++)
        if (hart->retired[i] && hart->epoch_of[i] + 2 <= epoch)
            count += free_list(hart, i);
    return count;
}

void epoch_retire(struct epoch_entry *entry, void (*free)(struct epoch_entry *entry))
{
    struct epoch_hart *hart = &epoch_harts[hart_index()];
    /* Relaxed: the hart's own word. ld. */
    DEBUG_ASSERT(atomic_load_explicit(&hart->inside, memory_order_relaxed) == 0);
    /* fence rw,rw: what was unlinked is, before the epoch is read; pairs with epoch_enter(). */
    fence_full();
    /* Acquire, pairs with try_advance(), as the list may have others to be freed. ld; fence r,rw. */
    uint64_t epoch = atomic_load_explicit(&epoch_now, memory_order_acquire);
    unsigned list = epoch % EPOCH_LISTS;
    if (hart->epoch_of[list] != epoch) {
        free_list(hart, list); /* three epochs old, at least */
        hart->epoch_of[list] = epoch;
    }
    entry->free = free;
    entry->next = hart->retired[list];
    hart->retired[list] = entry;
    hart->count++;
    if (++hart->since_try >= RETIRED_PER_TRY)
        epoch_collect();
}

size_t epoch_collect(void)
{
    struct epoch_hart *hart = &epoch_harts[hart_index()];
    hart->since_try = 0;
    try_advance();
    return free_ripe(hart);
}

size_t epoch_drain(void)
{
    size_t count = 0;
    for (unsigned i = 0; i < HART_MAX; i++)
        for (unsigned list = 0; list < EPOCH_LISTS; list++)
            count += free_list(&epoch_harts[i], list);
    return count;
}

void epoch_reset(void)
{
    epoch_drain();
    memset(epoch_harts, 0, sizeof(epoch_harts));
    store_relaxed(&epoch_now, EPOCH_FIRST);
}

int epoch_validate(void)
{
    uint64_t epoch = atomic_load_explicit(&epoch_now, memory_order_relaxed); /* the harts are quiet */
    for (unsigned i = 0; i < HART_MAX; i++) {
        const struct epoch_hart *hart = &epoch_harts[i];
        const char *finding = NULL;
        size_t count = 0;
        for (unsigned list = 0; list < EPOCH_LISTS; list++) {
            for (const struct epoch_entry *entry = hart->retired[list]; entry; entry = entry->next)
                count++;
            if (hart->epoch_of[list] > epoch ||
                (hart->retired[list] && hart->epoch_of[list] % EPOCH_LISTS != list))
                finding = "a list of an epoch that cannot be";
        }
        if (atomic_load_explicit(&hart->inside, memory_order_relaxed))
            finding = "a hart is inside";
        if (count != hart->count)
            finding = "entries are lost";
        if (finding) {
            console_format("epoch: hart %u at %lu: %s: %zu entries, counted as %zu\n", i, epoch, finding,
                count, hart->count);
            return ERR_CORRUPT;
        }
    }
    return 0;
}
