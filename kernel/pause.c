/* Threads that pause and are resumed: see thread.h. */
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/csr.h"
#include "kernel/sched_private.h"
#include "kernel/syscall.h"
#include "lib/error.h"
#include "smp/ipi.h"

static void tell_resumer(struct thread *thread, enum resumed what)
{
    unsigned hart = thread->resumer;
    if (hart == HART_NONE)
        return;
    thread->resumer = HART_NONE;
    /* Release (fence rw,w; sw), pairs with is_over(). */
    store_release(&sched_queues[hart].resumed, what);
    if (hart != hart_index())
        ipi_send(hart_mask_one(hart), HART_REQUEST_SCHED);
}

void sched_ended(struct thread *thread)
{
    tell_resumer(thread, RESUMED_ENDED);
}

static bool pause_park(struct thread *thread)
{
    struct family *family = thread->process->family;
    if (!thread_parks(thread))
        return true;
    /* Release (fence rw,w; sw), pairs with process_paused_thread(). */
    store_release(&thread->paused, 1);
    tell_resumer(thread, RESUMED_PAUSED);
    if (thread_block(thread)) {
        store_relaxed(&thread->paused, 0);
        return true;
    }
    family_rests(family);
    return false;
}

long sys_pause(struct thread *thread, const uint64_t *args)
{
    (void)args;
    return thread_leave(thread, pause_park);
}

struct thread *process_paused_thread(struct process *process, unsigned hart)
{
    for (struct thread *thread = process->threads; thread; thread = thread->next)
        if (thread->hart == hart && atomic_load_explicit(&thread->paused, memory_order_acquire))
            return thread;
    return NULL;
}

/* Claims one that has paused, and tells it. */
static bool unpause(struct thread *thread, uint64_t word)
{
    if (!atomic_load_explicit(&thread->paused, memory_order_acquire) || !thread_claim(thread))
        return false;
    syscall_answer(thread, (long)word);
    store_relaxed(&thread->paused, 0);
    atomic_fetch_add_explicit(
        &thread->process->family->nactive, 1, memory_order_relaxed); /* as in kill_all() */
    return true;
}

int thread_answer_pause(struct thread *thread, uint64_t word)
{
    if (!unpause(thread, word))
        return ERR_STATE;
    sched_ready(thread);
    return 0;
}

int thread_resume(struct thread *thread, uint64_t word)
{
    _Atomic uint32_t *resumed = &sched_queue()->resumed;
    if (!unpause(thread, word))
        return ERR_STATE;
    thread->resumer = hart_index();
    store_relaxed(resumed, RESUMED_RUNS); /* the thread is this hart's */
    sched_enqueue(thread, hart_index());
    sched_loop(NULL);
    return atomic_load_explicit(resumed, memory_order_relaxed) == RESUMED_PAUSED ? 0 : ERR_STATE;
}

long sys_tick(struct thread *thread, const uint64_t *args)
{
    (void)thread;
    (void)args;
    interrupts_disable(); /* it is to come in user mode */
    csr_set(sip, INTERRUPT_SOFTWARE);
    return 0;
}
