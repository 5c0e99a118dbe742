/*
 * The scheme `ipi`, and `tracked`, which differs in whom the caller names. Each hart has a mailbox, a line of its area with
 * places for a few flushes. Who wants it to forget something puts that in a free place, or lets it be covered by what
 * waits there, draws a number, and interrupts the hart only if nothing at all was asked of it before. The hart answers
 * with the number up to which it has taken what was asked; who waits reads that, from a line that only the hart writes.
 * So no hart writes to a line of the initiator's, and requests of several become one interrupt and one answer.
 *
 *   hart 0                                hart 1                              hart 2
 *   place A; number 1; FLUSH was unset
 *   raises the interrupt                                                      place B; number 2; FLUSH was set:
 *   flushes itself                        takes FLUSH; sees number 2          raises nothing
 *                                         takes A and B; answers 2
 *   sees 2 ≥ 1: goes on                   flushes A and B                     sees 2 ≥ 2: goes on
 *
 * Early acknowledgement (Amit, Tai, Wei: "Don't shoot down TLB shootdowns!", EuroSys 2020): the answer comes before the
 * flush. What the others may then do is reuse the frame, and nobody reaches it through this hart's old translation, because:
 *
 *   - from the answer to the flush the hart is in shootdown_serve() with interrupts off, in a handler or in a wait of the
 *     kernel's, which touch the kernel's pages only. So a flush that concerns those, or FLUSH_EVERY_ASID over them, is
 *     answered late;
 *   - a copy from or to user memory that was interrupted goes on after the handler, that is after the flush, and looks
 *     the page up anew. Whatever it did before happens before the answer: a store to the old frame is done (release);
 *   - what is executed ahead through the old translation has no effect unless it becomes part of the program, where
 *     the trap and sfence.vma stand between. A walk ahead of time, though, reads *tables*, and may set A bits in what is by
 *     then no table: where table pages are to be freed the answer is late.
 */
#include "arch/atomic.h"
#include "smp/shootdown_private.h"
#include "trace/counter.h"
#include "trace/inject.h"

/* Puts a word into a hart's mailbox. The first try is one that fetches the line to own it, at a place that others are unlikely to
 * try; a look before it would fetch the line twice. */
static void place(struct hart *target, flush_word_t word)
{
    unsigned home = hart_index() % HART_POSTS;
    /* Release (lr.d; sc.d.rl), pairs with the exchange in take(), as do the other two here: the page table as it is now. */
    if (cas_release(&target->posts[home], 0, word.bits))
        return;
    for (unsigned i = 0; i < HART_POSTS; i++) {
        /* Relaxed: the compare-exchange says whether it still is so. */
        flush_word_t there = {atomic_load_explicit(&target->posts[i], memory_order_relaxed)};
        bool merges = there.bits == 0 || flush_word_covers(word, there);
        /* Where it is covered already the same value is written: only so does the hart that takes it know of this
         * hart's changes, too. */
        while (merges || flush_word_covers(there, word)) {
            if (cas_release(&target->posts[i], there.bits, merges ? word.bits : there.bits))
                return;
            there.bits = atomic_load_explicit(&target->posts[i], memory_order_relaxed);
            merges = there.bits == 0 || flush_word_covers(word, there);
        }
    }
    /* Release (amoswap.d.rl). An exchange and not a store, or who takes it would not be ordered behind the hart whose word
     * it replaces. Late, as that word may have been. */
    atomic_exchange_explicit(&target->posts[0], flush_everything_word(true).bits, memory_order_release);
}

/* One at a time: only one place is used, and waited for. */
static void place_alone(struct hart *target, flush_word_t word)
{
    bool polls = !interrupts_enabled();
    while (!cas_release(&target->posts[0], 0, word.bits))
        shootdown_relax(polls);
}

static hart_mask_t post(struct shootdown *ticket, hart_mask_t to, flush_word_t word)
{
    hart_mask_t idle = hart_mask_none();
    HART_MASK_FOR_EACH (hart, to) {
        struct hart *target = &harts[hart];
        if (shootdown_settings.batch)
            place(target, word);
        else
            place_alone(target, word);
        /* Release (amoadd.w.rl), pairs with the load in shootdown_serve_posts: who sees the number sees the word. */
        ticket->posted[hart] = add_release(&target->posted, 1) + 1;
        if (ipi_request((unsigned)hart, HART_REQUEST_FLUSH) || !shootdown_settings.batch)
            idle.bits |= hart_mask_one((unsigned)hart).bits;
    }
    return idle;
}

static void dispatch(struct shootdown *ticket, hart_mask_t to, const struct flush *flush)
{
    if (!shootdown_settings.mask)
        to.bits |= hart_mask_without(shootdown_everybody(), hart_index()).bits;
    ticket->waiting = to;
    ipi_raise(post(ticket, to, flush_pack(flush)));
}

/* The numbers wrap; far fewer than 2^31 can be under way. */
static bool has_answered(const struct hart *target, uint32_t number)
{
    /* Acquire (lw; fence r,rw), pairs with the answer in shootdown_serve_posts. */
    return (int32_t)(atomic_load_explicit(&target->answered, memory_order_acquire) - number) >= 0;
}

static void wait(struct shootdown *ticket)
{
    bool polls = !interrupts_enabled();
    HART_MASK_FOR_EACH (hart, ticket->waiting) {
        while (!has_answered(&harts[hart], ticket->posted[hart]))
            shootdown_relax(polls);
    }
    ticket->waiting = hart_mask_none();
}

static unsigned take(struct hart *self, flush_word_t *words)
{
    unsigned count = 0;
    for (unsigned i = 0; i < HART_POSTS; i++) {
        /* Relaxed: behind the load of the number, so none that it counts is missed. Only this hart empties a place.
         * Acquire (amoswap.d.aq), pairs with place(). */
        if (atomic_load_explicit(&self->posts[i], memory_order_relaxed) != 0)
            words[count++].bits = atomic_exchange_explicit(&self->posts[i], 0, memory_order_acquire);
    }
    return count;
}

void shootdown_serve_posts(void)
{
    struct hart *self = hart_self();
    flush_word_t words[HART_POSTS];
    /* Acquire (lw; fence r,rw), pairs with the addition in post(). */
    uint32_t posted = atomic_load_explicit(&self->posted, memory_order_acquire);
    if (posted == atomic_load_explicit(&self->answered, memory_order_relaxed))
        return; /* polled before the interrupt came */
    unsigned count = take(self, words);
    bool early = shootdown_settings.early;
    for (unsigned i = 0; i < count; i++)
        early = early && !flush_word_late(words[i]);
    /* Release (fence rw,w; sw), pairs with has_answered(): what this hart did by the old translations is done. */
    if (early)
        store_release(&self->answered, posted);
    if (!plant_due(PLANT_IPI_NOFLUSH))
        flush_self_many(words, count);
    if (!early)
        store_release(&self->answered, posted);
}

const struct shootdown_ops shootdown_ipi = {.name = "ipi", .dispatch = dispatch, .wait = wait};

const struct shootdown_ops shootdown_tracked = {
    .name = "tracked", .dispatch = dispatch, .wait = wait, .by_table = true};
