/* Run queues and the loop in which a hart runs threads: see sched.h. */
#include "kernel/sched_private.h"
#include "arch/atomic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/model.h"
#include "arch/panic.h"
#include "arch/sbi.h"
#include "arch/trap.h"
#include "arch/uaccess.h"
#include "kernel/errno.h"
#include "kernel/futex.h"
#include "kernel/syscall.h"
#include "lib/error.h"
#include "mm/memory.h"
#include "smp/barrier.h"
#include "smp/call.h"
#include "smp/ipi.h"
#include "smp/shootdown.h"

/* A thread runs so long while others wait: a hundred switches a second cost nothing that one could measure, and a program
 * that answers a person gets its turn before they notice. */
#define SLICE_HZ 100

struct sched_hart sched_queues[HART_MAX];

static struct {
    hart_mask_t harts; /* that threads may use */
    const struct family *family; /* that family_run() runs */
    struct barrier barrier; /* at the end of that */
    _Atomic uint64_t active CACHE_ALIGNED; /* that run threads now */
    _Atomic uint64_t idle CACHE_ALIGNED; /* of those, that have none: a hint */
} sched;

/* --- the queues ------------------------------------------------------------------------------------- */

void sched_enqueue(struct thread *thread, unsigned hart)
{
    struct sched_hart *queue = &sched_queues[hart];
    struct lock_node node;
    thread->hart = hart;
    thread->next_ready = NULL;
    lock_acquire(&queue->lock, &node);
    if (queue->first)
        queue->last->next_ready = thread;
    else
        queue->first = thread;
    queue->last = thread;
    /* Relaxed: changed under the lock; who reads it without takes the lock then, or is told by `idle`. */
    store_relaxed(&queue->nready, atomic_load_explicit(&queue->nready, memory_order_relaxed) + 1);
    lock_release(&queue->lock, &node);
}

static bool may_run(const struct thread *thread, unsigned hart)
{
    /* Of one that is about to end it does not matter where; the hart that it is pinned to may have nothing else to do here. */
    return atomic_load_explicit(&thread->affinity, memory_order_relaxed) >> hart & 1 ||
           atomic_load_explicit(&thread->process->exiting, memory_order_relaxed);
}

/* Under the queue's lock. @place: of the one behind @before */
static void unlink(struct sched_hart *queue, struct thread **place, struct thread *before)
{
    struct thread *thread = *place;
    *place = thread->next_ready;
    if (queue->last == thread)
        queue->last = before;
    store_relaxed(&queue->nready, atomic_load_explicit(&queue->nready, memory_order_relaxed) - 1);
}

/* The first of a queue that may run here. @misplaced: gets those before it that may not run where they are queued any more */
static struct thread *take_from(struct sched_hart *queue, struct thread **misplaced)
{
    struct thread *before = NULL, *thread, **place = &queue->first;
    struct lock_node node;
    if (atomic_load_explicit(&queue->nready, memory_order_relaxed) == 0)
        return NULL;
    lock_acquire(&queue->lock, &node);
    while ((thread = *place) != NULL && !may_run(thread, hart_index())) {
        if (misplaced) {
            unlink(queue, place, before);
            thread->next_ready = *misplaced;
            *misplaced = thread;
        } else {
            before = thread;
            place = &thread->next_ready;
        }
    }
    if (thread)
        unlink(queue, place, before);
    lock_release(&queue->lock, &node);
    return thread;
}

/* The first of this hart's. Those that have been sent to other harts while they waited here go there now: a hart that is never
 * without work takes nothing from others. */
static struct thread *take_own(void)
{
    struct thread *misplaced = NULL, *thread = take_from(sched_queue(), &misplaced), *next;
    for (; misplaced; misplaced = next) {
        next = misplaced->next_ready;
        sched_ready(misplaced);
    }
    return thread;
}

static struct thread *steal(void)
{
    for (unsigned k = 1; k < hart_count(); k++) {
        struct thread *thread = take_from(&sched_queues[(hart_index() + k) % hart_count()], NULL);
        if (thread)
            return thread;
    }
    return NULL;
}

bool sched_has_other(void)
{
    return atomic_load_explicit(&sched_queue()->nready, memory_order_relaxed) != 0;
}

/* Where it ran last, if that hart has nothing to do; one that has nothing to do; where it ran last. A hart that is chosen because it
 * has nothing to do has something from then on: or all that become ready before it wakes would queue up there. */
static unsigned choose_hart(const struct thread *thread)
{
    uint64_t may = atomic_load_explicit(&thread->affinity, memory_order_relaxed) & sched.harts.bits, idle;
    uint64_t last = 1ull << thread->hart;
    while ((idle = atomic_load_explicit(&sched.idle, memory_order_relaxed) & may) != 0) {
        uint64_t bit = idle & last ? last : idle & -idle;
        /* Relaxed: a hint. amoand.d */
        if (atomic_fetch_and_explicit(&sched.idle, ~bit, memory_order_relaxed) & bit)
            return bits_lowest_of_one(bit);
    }
    if (may & last)
        return thread->hart;
    uint64_t active = atomic_load_explicit(&sched.active, memory_order_relaxed) & may;
    return bits_lowest(active ? active : may ? may : sched.harts.bits);
}

/*
 * A hart that becomes idle says so by a swap with all orders and then looks for work; here work is put into its queue and then
 * the word is taken back, by such a swap. One of the two sees the other.
 */
void sched_ready(struct thread *thread)
{
    unsigned hart = choose_hart(thread);
    sched_enqueue(thread, hart);
    if (hart != hart_index() &&
        atomic_exchange_explicit(&sched_queues[hart].idle, 0, memory_order_seq_cst) != 0)
        ipi_send(hart_mask_one(hart), HART_REQUEST_SCHED);
}

void sched_kick(void)
{
    /* Sequentially consistent: a hart that is not among them yet looks again what it may run. */
    hart_mask_t active = {atomic_load_explicit(&sched.active, memory_order_seq_cst)};
    if (hart_mask_without(active, hart_index()).bits)
        ipi_send(hart_mask_without(active, hart_index()), HART_REQUEST_SCHED);
}

void sched_at_rest(const struct family *family)
{
    if (sched.family == family)
        sched_kick();
}

static void timer_interrupt(void)
{
    csr_clear(sie, INTERRUPT_TIMER);
    sched_queue()->slice_over = true;
    hart_attend();
}

/* --- the loop --------------------------------------------------------------------------------------- */

static bool is_over(const struct family *family)
{
    /* Acquire (lw; fence r,rw), pairs with family_rests() and thread_tell_resumer(). */
    if (family)
        return atomic_load_explicit(&family->nactive, memory_order_acquire) == 0;
    return atomic_load_explicit(&sched_queue()->resumed, memory_order_acquire) != RESUMED_RUNS;
}

/* Before and after a thread uses this hart. Its registers are in memory when it is not running, and what another hart may
 * need of them, but its last hart need not load them again. */
static void take_fp(struct thread *thread)
{
    struct sched_hart *queue = sched_queue();
    if (!thread->fp_used)
        return;
    if (queue->fp_owner != thread || thread->fp_hart != hart_index()) {
        user_fp_load(&thread->fp);
        queue->fp_owner = thread;
        thread->fp_hart = hart_index();
    }
    user_fp_clean(&thread->context);
}

void thread_store_fp(struct thread *thread)
{
    if (user_fp_dirty(&thread->context)) {
        user_fp_store(&thread->fp);
        user_fp_clean(&thread->context);
    }
}

void thread_use_fp(struct thread *thread)
{
    thread->fp_used = true;
    take_fp(thread);
}

static bool is_exiting(const struct thread *thread)
{
    /* Acquire (lw; fence r,rw), pairs with process_exit(). */
    return atomic_load_explicit(&thread->process->exiting, memory_order_acquire) != 0;
}

/* Whether it is to leave the hart. What wanted attention is looked at here, or by the loop. */
static bool has_to_leave(struct thread *thread)
{
    struct sched_hart *queue = sched_queue();
    hart_attended();
    if (thread->park || is_exiting(thread) || !may_run(thread, hart_index()))
        return true;
    sched_wake_sleepers();
    return queue->slice_over && sched_has_other();
}

static void start_slice(void)
{
    sched_queue()->slice_over = false;
    if (clock_kind() == CLOCK_HOST)
        sched_set_timer(time_now() + time_hz() / SLICE_HZ);
}

static void store_child_tid(struct thread *thread)
{
    if (thread->set_child_tid == 0)
        return;
    user_store_word(
        thread->set_child_tid, (uint32_t)thread->tid); /* Linux does not look at the result either */
    thread->set_child_tid = 0;
}

static void run_thread(struct thread *thread)
{
    thread->hart = hart_index();
    space_enter(thread->process->space);
    store_child_tid(thread);
    take_fp(thread);
    start_slice();
    while (!has_to_leave(thread)) {
        if (sched_queue()->slice_over)
            start_slice();
        shootdown_quiescent();
        user_enter(&thread->context);
    }
    thread_store_fp(thread);
    thread_park_t *park = is_exiting(thread) ? thread_end : thread->park;
    thread->park = NULL;
    /* From here on the thread may be another hart's, unless it is ready. */
    if (!park || park(thread))
        sched_ready(thread);
}

/* Interrupts are off between the look and the sleep, where wfi still wakes for one that is pending. Under the model, whose
 * harts have no timer, a hart with sleepers stays awake. */
static void sleep(struct sched_hart *queue)
{
    uint64_t deadline = atomic_load_explicit(&queue->next_deadline, memory_order_relaxed);
    bool timed = deadline != UINT64_MAX;
    interrupts_disable();
    if (!arch_hart_self()->attention && !(timed && clock_kind() == CLOCK_MODEL)) {
        if (timed)
            sched_set_timer(deadline);
        else
            csr_clear(sie, INTERRUPT_TIMER);
        cpu_wait();
    }
    interrupts_enable();
}

static void idle(const struct family *family)
{
    struct sched_hart *queue = sched_queue();
    uint64_t bit = 1ull << hart_index();
    struct thread *thread = NULL;
    space_leave();
    for (;;) {
        if (!(atomic_load_explicit(&sched.idle, memory_order_relaxed) & bit))
            atomic_fetch_or_explicit(&sched.idle, bit, memory_order_relaxed); /* a hint */
        /* All orders: see sched_ready(). amoswap.w.aqrl */
        atomic_exchange_explicit(&queue->idle, 1, memory_order_seq_cst);
        hart_attended();
        sched_wake_sleepers();
        if (is_over(family) || (thread = take_own()) != NULL || (thread = steal()) != NULL)
            break;
        shootdown_quiescent();
        sleep(queue);
    }
    store_relaxed(&queue->idle, 0); /* who finds 1 sends an interrupt for nothing */
    atomic_fetch_and_explicit(&sched.idle, ~bit, memory_order_relaxed);
    if (thread)
        run_thread(thread);
}

void sched_loop(const struct family *family)
{
    uint64_t bit = 1ull << hart_index();
    user_fence_code(); /* programs may have been loaded since */
    csr_write(scounteren, 7); /* programs may read cycle, time and instret */
    /* Sequentially consistent: see sched_kick(). amoor.d.aqrl */
    atomic_fetch_or_explicit(&sched.active, bit, memory_order_seq_cst);
    while (!is_over(family)) {
        sched_wake_sleepers();
        struct thread *thread = take_own();
        if (thread)
            run_thread(thread);
        else
            idle(family);
    }
    atomic_fetch_and_explicit(&sched.active, ~bit, memory_order_relaxed);
    csr_clear(sie, INTERRUPT_TIMER);
    hart_attended();
    space_leave();
}

/* --- from outside ----------------------------------------------------------------------------------- */

void sched_use(hart_mask_t usable)
{
    sched.harts = usable;
}

hart_mask_t sched_harts(void)
{
    return sched.harts;
}

/* Under the model's clock programs run in virtual time, so what comes of them does not depend on the host. */
static void run_share(void *argument)
{
    bool modelled = clock_kind() == CLOCK_MODEL;
    if (modelled)
        model_enter(hart_mask_count(sched.harts));
    sched_loop(argument);
    if (!modelled)
        return;
    barrier_wait(&sched.barrier); /* who has left answers no shootdown that others wait for */
    model_leave();
}

int family_run(struct family *family)
{
    sched.family = family;
    barrier_init(&sched.barrier, hart_mask_count(sched.harts));
    smp_call(sched.harts, run_share, family);
    sched.family = NULL;
    return family->root->zombie && family->all == family->root && !family->root->next_all ? 0 : ERR_STATE;
}

void sched_init(void)
{
    for (unsigned i = 0; i < HART_MAX; i++) {
        lock_init(&sched_queues[i].lock, kernel_frames.lock_kind, "sched.queue");
        sched_queues[i].next_deadline = UINT64_MAX;
    }
    sched.harts = hart_mask_first(hart_count());
    trap_set_timer(timer_interrupt);
}
