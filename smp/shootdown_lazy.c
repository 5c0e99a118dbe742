/*
 * The scheme `lazy`: nobody is interrupted. A hart writes down what is to be forgotten, and by whom, in a ring of its own and
 * counts one number up that all harts look at when they pass a quiescent point. Who finds it changed reads the rings, flushes
 * what concerns it, and says how far it has come. So the initiator's cost does not depend on the number of targets, and
 * what is freed waits until the slowest of them has passed; a full ring interrupts those.
 * Source: LATR (Kumar et al., ASPLOS 2018), with a count of quiescent points in place of its sweep at every timer tick.
 *
 *   hart 0                                          hart 1
 *   record in its ring, head 1
 *   posted 7                                        works on with the old translation
 *                                                   traps; passed 6 ≠ posted 7
 *                                                   reads the rings: flushes the record; passed 7
 *   at a quiescent point: 7 ≥ 7, done()
 *
 * A record may be written over by a later one once its targets have passed it, while harts that it does not concern still
 * read it. They may see half of each: the worst is a flush too many, since for the new record they come again, with the head
 * that counts it.
 */
#include "arch/atomic.h"
#include "lib/string.h"
#include "smp/shootdown_private.h"
#include "trace/counter.h"
#include "trace/inject.h"

#define RING_MASK (SHOOTDOWN_DEFERRED_MAX - 1)

_Static_assert(IS_POWER_OF_TWO(SHOOTDOWN_DEFERRED_MAX), "places are found by a mask");

/* What others read of a record. */
struct record {
    _Atomic uint64_t targets;
    _Atomic uint64_t word;
};

static struct ring {
    /* Written by the ring's hart, and read by those who pass. */
    _Atomic uint32_t head; /* records written so far */
    struct record record[SHOOTDOWN_DEFERRED_MAX] CACHE_ALIGNED;

    /* The ring's hart's own. */
    uint32_t tail CACHE_ALIGNED; /* records done */
    bool finishing; /* done() is being called, and may defer something itself */
    struct {
        struct deferred *deferred;
        uint64_t number; /* to be passed by its targets */
    } held[SHOOTDOWN_DEFERRED_MAX];
    uint32_t read[HART_MAX]; /* of the other rings: records looked at */

    /* Written by this hart, and read by who waits for it. */
    _Atomic uint64_t passed CACHE_ALIGNED;
} CACHE_ALIGNED rings[HART_MAX];

/* All harts read it at every quiescent point: alone on its line, and written only where there is somebody to tell. */
static struct {
    _Atomic uint64_t posted;
} CACHE_ALIGNED number;

static struct ring *own_ring(void)
{
    return &rings[hart_index()];
}

static unsigned read_ring(struct ring *self, unsigned from, flush_word_t *words, unsigned count)
{
    struct ring *ring = &rings[from];
    uint64_t own = 1ull << hart_index();
    /* Acquire (lw; fence r,rw), pairs with write_record(): the records that it counts. */
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t first =
        head - self->read[from] > SHOOTDOWN_DEFERRED_MAX ? head - SHOOTDOWN_DEFERRED_MAX : self->read[from];
    for (uint32_t i = first; i != head; i++) {
        struct record *record = &ring->record[i & RING_MASK];
        /* Relaxed: the head's acquire has ordered those that concern this hart. */
        if (!(atomic_load_explicit(&record->targets, memory_order_relaxed) & own))
            continue;
        flush_word_t word = {atomic_load_explicit(&record->word, memory_order_relaxed)};
        if (count == HART_POSTS)
            words[0] = flush_everything_word(true);
        else
            words[count++] = word;
    }
    self->read[from] = head;
    return count;
}

void shootdown_serve_deferred(void)
{
    struct ring *self = own_ring();
    flush_word_t words[HART_POSTS];
    unsigned count = 0;
    /* Acquire (ld; fence r,rw), pairs with write_record(): the rings' heads, and the page tables. */
    uint64_t posted = atomic_load_explicit(&number.posted, memory_order_acquire);
    if (posted == atomic_load_explicit(&self->passed, memory_order_relaxed))
        return;
    for (unsigned i = 0; i < hart_count(); i++)
        count = read_ring(self, i, words, count);
    if (!plant_due(PLANT_LAZY_NOFLUSH))
        flush_self_many(words, count);
    /* Release (fence rw,w; sd), pairs with has_passed(): what this hart did by the old translations is done. */
    store_release(&self->passed, posted);
}

static bool has_passed(unsigned hart, uint64_t wanted)
{
    /* Acquire (ld; fence r,rw), pairs with shootdown_serve_deferred(). */
    return atomic_load_explicit(&rings[hart].passed, memory_order_acquire) >= wanted;
}

/* The first hart that the oldest record still waits for, or HART_MAX. Those found to have passed are taken off. */
static unsigned laggard(struct ring *self)
{
    struct record *record = &self->record[self->tail & RING_MASK];
    uint64_t wanted = self->held[self->tail & RING_MASK].number;
    hart_mask_t left = {atomic_load_explicit(&record->targets, memory_order_relaxed)};
    HART_MASK_FOR_EACH (hart, left) {
        if (!has_passed((unsigned)hart, wanted))
            return (unsigned)hart;
        left = hart_mask_without(left, (unsigned)hart);
        store_relaxed(&record->targets, left.bits);
    }
    return HART_MAX;
}

static void finish_oldest(struct ring *self)
{
    struct deferred *deferred = self->held[self->tail++ & RING_MASK].deferred;
    shootdown_returned(deferred, &deferred->flush);
    deferred->done(deferred);
}

/* What done() defers is looked at by who called it. */
static void finish(struct ring *self, bool (*goes_on)(struct ring *self))
{
    if (self->finishing)
        return;
    self->finishing = true;
    while (self->tail != atomic_load_explicit(&self->head, memory_order_relaxed) && goes_on(self))
        finish_oldest(self);
    self->finishing = false;
}

static bool all_have_passed(struct ring *self)
{
    return plant_due(PLANT_LAZY_EARLY) || laggard(self) == HART_MAX;
}

/* Interrupts who is late, once for each record, and waits. */
static bool make_pass(struct ring *self)
{
    unsigned late = laggard(self);
    bool polls = !interrupts_enabled();
    if (late != HART_MAX)
        ipi_send((hart_mask_t){atomic_load_explicit(
                     &self->record[self->tail & RING_MASK].targets, memory_order_relaxed)},
            HART_REQUEST_FLUSH);
    while (laggard(self) != HART_MAX)
        shootdown_relax(polls);
    return true;
}

static bool is_full(struct ring *self)
{
    return atomic_load_explicit(&self->head, memory_order_relaxed) - self->tail == SHOOTDOWN_DEFERRED_MAX;
}

static bool make_room(struct ring *self)
{
    return is_full(self) && make_pass(self);
}

static void write_record(struct ring *self, struct deferred *deferred, hart_mask_t others)
{
    uint32_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
    struct record *record = &self->record[head & RING_MASK];
    /* Relaxed: published by the next two. */
    store_relaxed(&record->word, flush_pack(&deferred->flush).bits);
    store_relaxed(&record->targets, others.bits);
    self->held[head & RING_MASK].deferred = deferred;
    /* Release (fence rw,w; sw), pairs with read_ring(). */
    store_release(&self->head, head + 1);
    /* Release (amoadd.d.rl), pairs with shootdown_serve_deferred(): who sees the number sees the head. */
    self->held[head & RING_MASK].number = add_release(&number.posted, 1) + 1;
}

void shootdown_defer(struct deferred *deferred, hart_mask_t to, const struct flush *flush)
{
    struct ring *self = own_ring();
    unsigned index = hart_index();
    hart_mask_t others = hart_mask_without(to, index);
    deferred->flush = *flush;
    shootdown_begins(deferred, flush);
    if (others.bits) {
        counter_add(COUNTER_SHOOTDOWN, 1);
        counter_add(COUNTER_SHOOTDOWN_TARGETS, hart_mask_count(others));
        finish(self, make_room);
    }
    /* Still full: done() has deferred more than its own place. That is not waited for, but goes at once. */
    bool at_once = others.bits && is_full(self);
    if (others.bits && !at_once)
        write_record(self, deferred, others);
    if (at_once)
        shootdown_now(&shootdown_ipi, others, flush);
    if (hart_mask_test(to, index))
        flush_self(flush_pack(flush));
    if (!others.bits || at_once) {
        shootdown_returned(deferred, flush);
        deferred->done(deferred);
    }
}

static NOINLINE void pass(struct ring *self)
{
    bool enabled = interrupts_disable();
    shootdown_serve_deferred();
    interrupts_restore(enabled);
    if (self->tail != atomic_load_explicit(&self->head, memory_order_relaxed))
        finish(self, all_have_passed);
}

/* On the way of every system call. */
LEAF_PATH void shootdown_quiescent(void)
{
    struct ring *self = own_ring();
    /* Relaxed: where they differ, serving looks again with an acquire. */
    if (unlikely(atomic_load_explicit(&number.posted, memory_order_relaxed) !=
                 atomic_load_explicit(&self->passed, memory_order_relaxed)) ||
        unlikely(self->tail != atomic_load_explicit(&self->head, memory_order_relaxed)))
        pass(self);
}

void shootdown_drain(void)
{
    finish(own_ring(), make_pass);
}

void shootdown_reset(void)
{
    memset(rings, 0, sizeof(rings));
    store_relaxed(&number.posted, 0);
}

unsigned shootdown_pending(void)
{
    struct ring *self = own_ring();
    return atomic_load_explicit(&self->head, memory_order_relaxed) - self->tail;
}

/* What must take effect at once goes as under `ipi`. */
static void dispatch(struct shootdown *ticket, hart_mask_t to, const struct flush *flush)
{
    shootdown_ipi.dispatch(ticket, to, flush);
}

static void wait(struct shootdown *ticket)
{
    shootdown_ipi.wait(ticket);
}

const struct shootdown_ops shootdown_lazy = {
    .name = "lazy", .dispatch = dispatch, .wait = wait, .lazy = true};
