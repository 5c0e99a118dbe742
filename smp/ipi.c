/*
 * Inter-processor interrupts: a request is a bit in the target's word, raised by an SBI call or a store. The bit is set
 * before the interrupt and taken by exchange, so that requests merge and none is lost.
 */
#include "smp/ipi.h"
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/imsic.h"
#include "arch/sbi.h"
#include "arch/trap.h"
#include "arch/user.h"
#include "smp/shootdown_private.h"
#include "trace/counter.h"

static const struct ipi_means *means = &ipi_sbi;

static _Atomic uint32_t halted;

/* Every target writes it, so it is on a line of its own. */
static struct {
    _Atomic uint32_t missing; /* acknowledgements of the ping under way */
} CACHE_ALIGNED ping;

unsigned ipi_halted(void)
{
    /* Acquire, pairs with the release in halt: a line that the hart was writing is as it left it. */
    return atomic_load_explicit(&halted, memory_order_acquire);
}

static void halt(void) NORETURN;

static void halt(void)
{
    atomic_fetch_add_explicit(&halted, 1, memory_order_release);
    for (;;)
        cpu_wait();
}

void ipi_poll(void)
{
    /* Acquire (amoswap.aq): sees what the sender wrote before it set the bit in ipi_send. */
    uint32_t requests = atomic_exchange_explicit(&hart_self()->requests, 0, memory_order_acquire);
    if (requests & HART_REQUEST_STOP)
        halt();
    if (requests & HART_REQUEST_FLUSH)
        shootdown_serve();
    if (requests & HART_REQUEST_BROADCAST)
        shootdown_serve_broadcast();
    if (requests & HART_REQUEST_SCHED)
        hart_attend();
    if (requests & HART_REQUEST_PING)
        /* Release (amoadd.rl): pairs with the acquire in ipi_ping. */
        atomic_fetch_sub_explicit(&ping.missing, 1, memory_order_release);
}

void ipi_choose(const struct ipi_means *chosen)
{
    means = chosen;
}

const struct ipi_means *ipi_chosen(void)
{
    return means;
}

/* The software interrupt is always taken: a firmware may raise it for reasons of its own. */
void ipi_init(void)
{
    trap_set_ipi(ipi_poll);
    if (means->init)
        means->init();
    csr_set(sie, INTERRUPT_SOFTWARE);
}

uint64_t ipi_take_ids(hart_mask_t *to, uint64_t *base)
{
    uint64_t ids = 0;
    *base = harts[bits_lowest(to->bits)].arch.id.value;
    HART_MASK_FOR_EACH (hart, *to) {
        uint64_t distance = harts[hart].arch.id.value - *base;
        if (distance < 64) {
            ids |= 1ull << distance;
            *to = hart_mask_without(*to, (unsigned)hart);
        }
    }
    return ids;
}

bool ipi_request(unsigned hart, enum hart_request request)
{
    /* Release (amoor.w.rl): pairs with the exchange in ipi_poll. */
    return or_release(&harts[hart].requests, request) == 0;
}

static void raise_by_sbi(hart_mask_t to)
{
    while (to.bits) {
        uint64_t base, ids = ipi_take_ids(&to, &base);
        sbi_send_ipi(ids, base);
    }
}

static void raise_by_imsic(hart_mask_t to)
{
    imsic_fence();
    HART_MASK_FOR_EACH (hart, to)
        imsic_send((unsigned)hart);
}

void ipi_raise(hart_mask_t to)
{
    counter_add(COUNTER_IPI_SEND, hart_mask_count(to));
    means->raise(to);
}

void ipi_send(hart_mask_t to, enum hart_request request)
{
    HART_MASK_FOR_EACH (hart, to)
        ipi_request((unsigned)hart, request);
    ipi_raise(to);
}

void ipi_ping(hart_mask_t to)
{
    /* Relaxed: ipi_send's release publishes it. */
    store_relaxed(&ping.missing, hart_mask_count(to));
    ipi_send(to, HART_REQUEST_PING);
    /* Acquire (lw; fence r,rw), pairs with the release in ipi_poll. */
    while (atomic_load_explicit(&ping.missing, memory_order_acquire) != 0)
        cpu_relax();
}

const struct ipi_means ipi_sbi = {.name = "sbi", .raise = raise_by_sbi};
const struct ipi_means ipi_imsic = {.name = "imsic", .init = imsic_init_hart, .raise = raise_by_imsic};
