/* See shootdown_model.h. The firmware's way, scheme `sbi`, is not here: it has nothing of the kernel's in it. */
#include "shootdown_model.h"
#include "arch/panic.h"
#include "arch/paging.h"
#include "arch/pte.h"
#include "arch/sbi.h"
#include "host.h"
#include "lib/rng.h"
#include "smp/ipi.h"
#include "smp/shootdown_private.h"

#define HARTS        8
#define PAGES        4 /* of each hart */
#define APART        100 /* between two harts' pages */
#define SPARE        (SHOOTDOWN_DEFERRED_MAX + 8) /* frames of each hart beside those that it shows */
#define FIRST_PAGE   1000
#define NONE         UINT64_MAX
#define USES         8 /* between two looks for interrupts */
#define TABLE_PAGES  (HARTS * APART)
#define FRAMES_TOTAL (HARTS * (PAGES + SPARE))

/* Plain, on purpose: only the shootdown orders who used it before whoever reuses it. */
struct frame {
    uint64_t page;
    uint64_t used[HARTS];
    struct deferred deferred;
    struct frame *next; /* free */
};

static struct frame frames[FRAMES_TOTAL];
static _Atomic(struct frame *) table[TABLE_PAGES];

static struct machine_hart {
    struct frame *tlb[TABLE_PAGES];
    struct frame *free;
    uint64_t stale;
    struct rng rng;
} machine_harts[HARTS];

static const struct shootdown_storm *running;
static _Atomic unsigned at_work;

/* --- the machine --- */

static struct machine_hart *own(void)
{
    return &machine_harts[hart_index()];
}

void paging_flush(void)
{
    for (size_t i = 0; i < TABLE_PAGES; i++)
        own()->tlb[i] = NULL;
}

void paging_flush_asid(uint16_t asid)
{
    (void)asid;
    paging_flush();
}

void paging_flush_page_of_all(vaddr_t vaddr)
{
    size_t page = vaddr_to_page(vaddr) - FIRST_PAGE;
    if (page < TABLE_PAGES)
        own()->tlb[page] = NULL;
}

void paging_flush_page(vaddr_t vaddr, uint16_t asid)
{
    (void)asid;
    paging_flush_page_of_all(vaddr);
}

struct sbi_result sbi_remote_flush(uint64_t mask, uint64_t base, vaddr_t start, uint64_t bytes, uint64_t asid)
{
    (void)mask, (void)base, (void)start, (void)bytes, (void)asid;
    panic("there is no firmware here");
}

uint64_t ipi_take_ids(hart_mask_t *to, uint64_t *base)
{
    (void)to, (void)base;
    panic("there is no firmware here");
}

bool ipi_request(unsigned hart, enum hart_request request)
{
    return atomic_fetch_or_explicit(&harts[hart].requests, request, memory_order_release) == 0;
}

void ipi_raise(hart_mask_t to)
{
    (void)to; /* who is interrupted looks by itself */
}

void ipi_send(hart_mask_t to, enum hart_request request)
{
    HART_MASK_FOR_EACH (hart, to)
        ipi_request((unsigned)hart, request);
}

void ipi_poll(void)
{
    uint32_t requests = atomic_exchange_explicit(&hart_self()->requests, 0, memory_order_acquire);
    if (requests & HART_REQUEST_FLUSH)
        shootdown_serve();
    if (requests & HART_REQUEST_BROADCAST)
        shootdown_serve_broadcast();
}

/* --- its users --- */

static void use(struct machine_hart *self, size_t page)
{
    struct frame *frame = self->tlb[page];
    if (!frame)
        /* Acquire, pairs with show(): as the walk's, which is by address. */
        frame = self->tlb[page] = atomic_load_explicit(&table[page], memory_order_acquire);
    self->stale += frame->page != page;
    frame->used[hart_index()]++;
}

static void use_some(struct machine_hart *self)
{
    for (unsigned i = 0; i < USES; i++) {
        uint64_t random = rng_next(&self->rng);
        use(self, random % running->harts * APART + (random >> 32) % PAGES);
    }
}

/* Another frame in the place of the one that is there; returns that. */
static struct frame *show(struct machine_hart *self, size_t page)
{
    struct frame *fresh = self->free, *old = atomic_load_explicit(&table[page], memory_order_relaxed);
    self->free = fresh->next;
    fresh->page = page;
    atomic_store_explicit(&table[page], fresh, memory_order_release);
    return old;
}

/* Writes to all that anybody may have touched. */
static void put(struct frame *frame)
{
    frame->page = NONE;
    for (unsigned i = 0; i < running->harts; i++)
        frame->used[i] = 0;
    frame->next = own()->free;
    own()->free = frame;
}

static void put_deferred(struct deferred *deferred)
{
    put(CONTAINER_OF(deferred, struct frame, deferred));
}

static struct flush random_flush(struct rng *rng, size_t page)
{
    size_t first = FIRST_PAGE + page;
    switch (rng_next(rng) % 8) {
    case 0: return (struct flush){.first = first, .end = first + 1, .nleaves = 1, .tables = true};
    case 1: return (struct flush){.first = first, .end = first + FLUSH_THRESHOLD + 1};
    case 2: return (struct flush){.asid = FLUSH_EVERY_ASID, .first = first, .end = first + 1};
    default: return (struct flush){.first = first, .end = first + 1 + rng_next(rng) % 16};
    }
}

static void shoot(struct machine_hart *self, hart_mask_t all)
{
    struct shootdown ticket[2];
    struct frame *old[2];
    size_t page = hart_index() * APART + rng_next(&self->rng) % (PAGES - 1);
    unsigned count = 1 + rng_next(&self->rng) % 2;
    for (unsigned i = 0; i < count; i++) {
        struct flush flush = random_flush(&self->rng, page + i);
        old[i] = show(self, page + i);
        shootdown_dispatch(&ticket[i], running->ops, all, &flush);
    }
    for (unsigned i = count; i-- > 0;) {
        shootdown_wait(&ticket[i]);
        put(old[i]);
    }
}

static void defer(struct machine_hart *self, hart_mask_t all)
{
    size_t page = hart_index() * APART + rng_next(&self->rng) % PAGES;
    struct flush flush = random_flush(&self->rng, page);
    struct frame *old = show(self, page);
    old->deferred.done = put_deferred;
    shootdown_defer(&old->deferred, all, &flush);
    ASSERT(shootdown_pending() <= SHOOTDOWN_DEFERRED_MAX);
}

static void take_part(void *unused)
{
    (void)unused;
    struct machine_hart *self = own();
    hart_mask_t all = hart_mask_first(running->harts);
    for (unsigned round = 0; round < running->rounds; round++) {
        use_some(self);
        ipi_poll();
        cpu_relax(); /* or a thread would do all of its rounds at a stretch */
        use_some(self);
        if (running->ops->lazy && rng_next(&self->rng) % 4)
            defer(self, all);
        else
            shoot(self, all);
        if (rng_next(&self->rng) % 4 == 0)
            shootdown_quiescent();
    }
    shootdown_drain();
    ASSERT(shootdown_pending() == 0);
    atomic_fetch_sub_explicit(&at_work, 1, memory_order_relaxed);
    while (atomic_load_explicit(&at_work, memory_order_relaxed) > 0) {
        use_some(self);
        shootdown_relax(true);
        shootdown_quiescent();
    }
}

static void set_up(void)
{
    for (unsigned hart = 0; hart < running->harts; hart++) {
        struct machine_hart *self = &machine_harts[hart];
        struct frame *frame = &frames[hart * (PAGES + SPARE)];
        *self = (struct machine_hart){0};
        rng_seed(&self->rng, 1, hart);
        for (unsigned i = 0; i < PAGES; i++, frame++) {
            frame->page = hart * APART + i;
            table[frame->page] = frame;
        }
        for (unsigned i = 0; i < SPARE; i++, frame++) {
            frame->page = NONE;
            frame->next = self->free;
            self->free = frame;
        }
    }
}

unsigned shootdown_storm(const struct shootdown_storm *storm)
{
    uint64_t stale = 0;
    running = storm;
    at_work = storm->harts;
    shootdown_settings.everybody = hart_mask_first(storm->harts);
    set_up();
    host_run_harts(storm->harts, take_part, NULL);
    for (unsigned hart = 0; hart < storm->harts; hart++)
        stale += machine_harts[hart].stale;
    return (unsigned)stale;
}
