/*
 * Epochs: when can memory that was unlinked be used again, though harts may read it without a lock? A hart that reads says
 * so in a word of its own; what is unlinked is retired, and freed when every hart has been outside at least once since.
 * Readers write one line, their own, and wait for nobody.
 * Source: Fraser, "Practical lock-freedom", 2004, section 5.2.3.
 */
#ifndef SMP_EPOCH_H
#define SMP_EPOCH_H

#include <stdatomic.h>

#include "arch/atomic.h"
#include "arch/panic.h"
#include "smp/hart.h"

/* What is retired, embedded in what it is about. */
struct epoch_entry {
    struct epoch_entry *next;
    void (*free)(struct epoch_entry *entry);
};

/* Three generations are enough: of the epoch that is now, and of two before it, of which the older can be freed. */
#define EPOCH_LISTS 3

struct epoch_hart {
    _Atomic uint64_t inside; /* 2 × epoch + 1 of when the hart went in; 0 outside */

    /* The hart's own, on lines that no other hart reads. */
    struct epoch_entry *retired[EPOCH_LISTS] CACHE_ALIGNED;
    uint64_t epoch_of[EPOCH_LISTS]; /* in which those of a list were retired */
    size_t count; /* on all lists */
    size_t since_try; /* retired since the hart tried to advance the epoch */
} CACHE_ALIGNED;

extern struct epoch_hart epoch_harts[HART_MAX];
extern _Atomic uint64_t epoch_now;

/** epoch_enter - from now on until epoch_exit() nothing is freed that this hart can find. Not nested; the hart must not wait for
 *  others inside, but for locks whose holders do not. */
static inline void epoch_enter(void)
{
    /* Relaxed: an old epoch only makes others wait for longer. ld. */
    uint64_t epoch = atomic_load_explicit(&epoch_now, memory_order_relaxed);
    /* Acquire: what is read inside is read behind this write, as the swap is one operation and nothing behind it comes before
     * it; pairs with epoch_try_advance(), where one of the two sees the other. amoswap.d.aq. */
    uint64_t was =
        atomic_exchange_explicit(&epoch_harts[hart_index()].inside, 2 * epoch + 1, memory_order_acquire);
    DEBUG_ASSERT(was == 0); /* not nested */
    (void)was;
}

static inline void epoch_exit(void)
{
    /* Release (fence rw,w; sd), pairs with epoch_try_advance(): what was read inside was read before it is freed. */
    store_release(&epoch_harts[hart_index()].inside, 0);
}

/** epoch_retire - free an entry when no hart can have found it any more. It is unlinked already. The call may free others that
 *  are ripe: no lock is held that a free function takes, and these take none but those of frame allocators and heaps. Outside
 *  of epoch_enter(), and not by an interrupt handler. */
void epoch_retire(struct epoch_entry *entry, void (*free)(struct epoch_entry *entry));

/** epoch_collect - free of what this hart retired what is ripe, after an attempt to advance the epoch: when memory is short, or the
 *  hart has nothing else to do. As epoch_retire(). Returns how many. */
size_t epoch_collect(void);

/** epoch_drain - free all that is retired, of every hart. The harts are quiet: none is inside, none retires. Returns how many. */
size_t epoch_drain(void);

/** epoch_reset - drain, and begin again as at boot. As epoch_drain(). */
void epoch_reset(void);

/** epoch_validate - recount. The harts are quiet. Returns 0, or ERR_CORRUPT with the finding on the console. */
int epoch_validate(void);

#endif
