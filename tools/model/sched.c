/*
 * Virtual time. One hart runs at a time: the ready one that is furthest behind, with ties to the lower index. Before
 * anything that others can see (a miss, an atomic, a fence, a device) it waits until nobody is behind it
 * (sched_order). So the order of all that is visible depends on virtual time alone, and not on how the host
 * runs the threads.
 *
 * On what hits in its own cache a hart may run ahead of the next by `quantum` cycles. One that polls a line ahead of
 * its time sees too late what was written in between, so that must be short. A hart that has touched no line
 * that several use and some write for PRIVATE_CYCLES is at work of its own, and may run ahead RUN_AHEAD_QUANTA times
 * as far: handing the token over costs the host microseconds. Only its next contended access can be early by that.
 *
 * Generated code adds each instruction to `credit` and calls back when that passes CREDIT_LIMIT, a constant;
 * credit is preset at each grant so that this happens when the hart's time reaches its limit.
 */
#include "model.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RUN_AHEAD_QUANTA 32
#define PRIVATE_CYCLES   20000

/* A hart alone has no limit but must come back some time to be told of the others. */
#define ALONE (1ull << 40)

/* Without a sign of life for so long, looked for so often, a wait is taken for a deadlock inside QEMU. Longer than
 * a loaded host keeps a thread from running. */
#define WATCHDOG_NS 10000000000ll
#define PATIENCE_NS 200000000ll

uint64_t rescues;

static _Atomic unsigned holder = NO_HART;
static _Atomic uint64_t grants; /* for the watchdog: the token moves */

static bool before(const struct hart *a, const struct hart *b)
{
    return a->time < b->time || (a->time == b->time && a->index < b->index);
}

static struct hart *least_ready(const struct hart *except)
{
    struct hart *least = NULL;
    for (unsigned i = 0; i < nharts; i++) {
        struct hart *hart = &harts[i];
        if (hart->state == HART_READY && hart != except && (!least || before(hart, least)))
            least = hart;
    }
    return least;
}

/* The running hart's time, as of now, with a limit from the next behind it. */
static void set_limit(struct hart *hart, const struct hart *next)
{
    uint64_t now = hart_now(hart);
    uint64_t ahead = now < hart->contended_at + PRIVATE_CYCLES ? 1 : RUN_AHEAD_QUANTA;
    hart->limit = next ? next->time + ahead * profile.quantum : now + ALONE;
    if (hart->limit < now)
        hart->limit = now;
    hart->score->credit = CREDIT_LIMIT - (hart->limit - now);
}

static void grant(struct hart *hart)
{
    atomic_store_explicit(&holder, hart->index, memory_order_relaxed);
    atomic_fetch_add_explicit(&grants, 1, memory_order_relaxed);
    hart->limit = hart->time;
    hart->score->credit = CREDIT_LIMIT;
    __atomic_store_n(&hart->token, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &hart->token, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void report_deadlock(void)
{
    fprintf(stderr, "error: model: deadlock: no hart can go on\n");
    for (unsigned i = 0; i < nharts; i++) {
        static const char *const names[] = {"outside the region", "ready", "spins on a line", "idle"};
        if (harts[i].state != HART_FREE)
            fprintf(stderr, "error: model: hart %u %s at pc %#llx in %s\n", i, names[harts[i].state],
                (unsigned long long)harts[i].score->pc, symbol_at(harts[i].score->pc));
    }
    fflush(NULL);
    _exit(3);
}

static bool all_free(void)
{
    for (unsigned i = 0; i < nharts; i++) {
        if (harts[i].state != HART_FREE)
            return false;
    }
    return true;
}

void sched_start(void)
{
    struct hart *next = least_ready(NULL);
    if (next)
        grant(next);
    else if (!all_free())
        report_deadlock();
}

/* Something that changes as long as the token moves or its holder executes. */
static uint64_t sign_of_life(void)
{
    unsigned now = atomic_load_explicit(&holder, memory_order_relaxed);
    uint64_t sign = atomic_load_explicit(&grants, memory_order_relaxed) << 32;
    return now == NO_HART ? sign : sign ^ __atomic_load_n(&harts[now].score->credit, __ATOMIC_RELAXED);
}

/* The holder is stuck inside QEMU, which may be waiting for all harts to reach a safe point while they wait here. Let
 * all of them go: the region is worthless, and says so, but the run goes on. */
static void rescue(void)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&busy))
        return;
    unsigned now = atomic_load_explicit(&holder, memory_order_relaxed);
    fprintf(stderr,
        "error: model: hart %u holds the token and does not move, at pc %#llx; all harts let go\n", now,
        (unsigned long long)(now == NO_HART ? 0 : harts[now].score->pc));
    rescues++;
    guest_abandon();
    for (unsigned i = 0; i < nharts; i++) {
        if (harts[i].state == HART_FREE)
            continue;
        harts[i].state = HART_FREE;
        __atomic_store_n(&harts[i].token, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &harts[i].token, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    atomic_flag_clear(&busy);
}

void sched_await(struct hart *hart)
{
    const struct timespec patience = {.tv_nsec = PATIENCE_NS};
    uint64_t seen = 0;
    int64_t still = 0;
    while (!__atomic_load_n(&hart->token, __ATOMIC_ACQUIRE)) {
        if (syscall(SYS_futex, &hart->token, FUTEX_WAIT_PRIVATE, 0, &patience, NULL, 0) == 0)
            continue;
        uint64_t sign = sign_of_life();
        still = sign == seen ? still + PATIENCE_NS : 0;
        seen = sign;
        if (still > WATCHDOG_NS && hart_modelled(hart))
            rescue();
    }
    __atomic_store_n(&hart->token, 0, __ATOMIC_RELAXED);
    if (hart_modelled(hart))
        set_limit(hart, least_ready(hart));
    else
        hart->score->credit = 0;
}

void sched_leave(struct hart *hart, enum hart_state state)
{
    hart->time = hart_now(hart);
    hart->state = state;
    hart->score->credit =
        state == HART_FREE ? 0 : CREDIT_LIMIT; /* a modelled hart comes back at its next block */
    atomic_store_explicit(&holder, NO_HART, memory_order_relaxed);
    sched_start();
}

void sched_block(struct hart *hart, enum hart_state state)
{
    sched_leave(hart, state);
    sched_await(hart);
}

void sched_order(struct hart *hart)
{
    while (hart_modelled(hart)) {
        struct hart *next = least_ready(hart);
        hart->time = hart_now(hart);
        if (!next || before(hart, next)) {
            set_limit(hart, next);
            return;
        }
        sched_block(hart, HART_READY);
    }
}

void sched_contended(struct hart *hart)
{
    hart->contended_at = hart_now(hart);
    set_limit(hart, least_ready(hart));
}

void sched_wake(struct hart *running, struct hart *woken, uint64_t time)
{
    if (woken->state == HART_SPIN) {
        /* It looks once a turn of its loop: go on at the first look behind the event. */
        uint64_t turns =
            time > woken->time ? (time - woken->time + woken->spin_period - 1) / woken->spin_period : 0;
        time = woken->time + turns * woken->spin_period;
        woken->stat[MODEL_STAT_SPIN] += time - woken->time;
        woken->charged += time - woken->time;
    } else if (time > woken->time) {
        woken->stat[MODEL_STAT_IPI_WAIT] += time - woken->time;
        woken->charged += time - woken->time;
    }
    woken->time = time > woken->time ? time : woken->time;
    woken->state = HART_READY;
    if (woken->time + profile.quantum < running->limit)
        set_limit(running, least_ready(running));
}
