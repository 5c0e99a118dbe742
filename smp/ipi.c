/*
 * Inter-processor interrupts: a request is a bit in the target's word, raised by an SBI call. The bit is set
 * before the interrupt and taken by exchange, so that requests merge and none is lost.
 */
#include "smp/ipi.h"
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/sbi.h"
#include "arch/trap.h"
#include "arch/user.h"
#include "smp/call.h"
#include "trace/counter.h"

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
    if (requests & HART_REQUEST_CALL)
        smp_call_arrived();
    if (requests & HART_REQUEST_SCHED)
        hart_attend();
    if (requests & HART_REQUEST_PING)
        /* Release (amoadd.rl): pairs with the acquire in ipi_ping. */
        atomic_fetch_sub_explicit(&ping.missing, 1, memory_order_release);
}

void ipi_init(void)
{
    trap_set_ipi(ipi_poll);
    csr_set(sie, INTERRUPT_SOFTWARE);
}

/* SBI names targets by a base id and a mask of 64 behind it; sparse ids may need several calls. */
static void raise_interrupts(hart_mask_t to)
{
    while (to.bits) {
        uint64_t base = harts[bits_lowest(to.bits)].arch.id.value, ids = 0;
        HART_MASK_FOR_EACH (hart, to) {
            uint64_t distance = harts[hart].arch.id.value - base;
            if (distance < 64) {
                ids |= 1ull << distance;
                to = hart_mask_without(to, (unsigned)hart);
            }
        }
        sbi_send_ipi(ids, base);
    }
}

void ipi_send(hart_mask_t to, enum hart_request request)
{
    /* Release (amoor.rl): pairs with the exchange in ipi_poll. */
    HART_MASK_FOR_EACH (hart, to)
        atomic_fetch_or_explicit(&harts[hart].requests, request, memory_order_release);
    raise_interrupts(to);
    counter_add(COUNTER_IPI_SEND, hart_mask_count(to));
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
