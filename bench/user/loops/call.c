/* Loops about the way into the kernel and from hart to hart. */
#include "bench/user/loops/loop.h"

/* With nothing in registers that it does not look at. */
static ALWAYS_INLINE void get_pid(void)
{
    register long a0 __asm__("a0");
    register long a7 __asm__("a7") = SYS_getpid;
    __asm__ volatile("ecall" : "=r"(a0) : "r"(a7) : "memory");
}

/* A system call that does nothing to speak of. */
static ALWAYS_INLINE void null_call(struct user_share *share, const bool timed)
{
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        get_pid();
        if (timed)
            record(share, USER_TAKE, since, now(share));
    }
    share->ops += share->rounds;
}

LOOP(null_call)

/* One that makes an interrupt pending for this hart, which is then taken in user mode. What it costs more than vm.syscall is
 * the interrupt. */
static ALWAYS_INLINE void tick(struct user_share *share, const bool timed)
{
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        syscall(SYS_tick);
        if (timed)
            record(share, USER_TAKE, since, now(share));
    }
    share->ops += share->rounds;
}

LOOP(tick)

/*
 * Thread 0 maps a page, it and so many others touch it, and it unmaps the page: for no other, one other, … all others in
 * turn. An operation is that unmap. Each number has a place of its own, so that who has not touched the page at one has no
 * table of it, either.
 */
static void unmap_one(struct user_share *share, uint64_t times, uint64_t targets, unsigned which)
{
    struct user_common *common = common_of(share);
    volatile uint64_t *word = map_shared(share, SHARED_BASE + which * SHARED_STRIDE, 1);
    *word = times;
    /* Release: the page is mapped. Acquire below: who has touched it has done so. */
    atomic_store_explicit(&common->touch.done, 0, memory_order_relaxed);
    atomic_store_explicit(&common->touch.told, times << 32 | targets, memory_order_release);
    while (atomic_load_explicit(&common->touch.done, memory_order_acquire) != share->nharts - 1)
        relax();
    uint64_t since = now(share);
    unmap_region(share, (void *)word, 1);
    uint64_t until = now(share), reading = now(share), cost = now(share) - reading;
    share->targets[which] = targets;
    if (share->reported) {
        share->cycles[which] += until - since - cost;
        share->times[which]++;
    }
    if (share->timed && targets == share->nharts - 1)
        record(share, USER_TAKE, since, until);
    share->ops++;
}

/* The numbers of other harts that are measured: 0, 1, 2, … where there is room for all, else powers of two; at last all. */
static uint64_t targets_of(unsigned which, uint64_t others)
{
    uint64_t targets = others < USER_TARGETS_MAX || which == 0 ? which : 1ull << (which - 1);
    return targets < others ? targets : others;
}

/* What the others do: touch the page if they are among so many, and say so. */
static void touch_when_told(struct user_share *share, unsigned which)
{
    struct user_common *common = common_of(share);
    uint64_t told;
    while ((told = atomic_load_explicit(&common->touch.told, memory_order_acquire)) >> 32 == share->told)
        relax();
    share->told = told >> 32;
    if (share->index <= (told & 0xffffffff))
        share->wrong += *word_of((void *)(SHARED_BASE + which * SHARED_STRIDE), 0) != share->told;
    atomic_fetch_add_explicit(&common->touch.done, 1, memory_order_release); /* amoadd.rl */
}

static ALWAYS_INLINE void shootdown(struct user_share *share, const bool timed)
{
    uint64_t others = share->nharts - 1;
    (void)timed;
    for (uint64_t i = 0; i < share->rounds; i++) {
        for (unsigned which = 0; which == 0 || targets_of(which - 1, others) != others; which++) {
            if (share->index == 0)
                unmap_one(share, ++share->told, targets_of(which, others), which);
            else
                touch_when_told(share, which);
        }
    }
}

LOOP(shootdown)

/* To the other process on this hart and back: two switches, which are the operations. The other one is forked once, does
 * nothing but yield, and ends with the family. */
static ALWAYS_INLINE void switch_process(struct user_share *share, const bool timed)
{
    if (!share->forked) {
        long child = fork();
        while (child == 0)
            syscall(SYS_sched_yield);
        share->failed += child < 0;
        share->forked = 1;
    }
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        syscall(SYS_sched_yield);
        if (timed)
            record(share, USER_TAKE, since, now(share));
    }
    share->ops += 2 * share->rounds;
}

LOOP(switch_process)
