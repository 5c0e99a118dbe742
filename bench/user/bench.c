/*
 * The program of the vm.* workloads (bench/vm.c): a thread a hart, each of which does the rounds that it is told, in user
 * mode from the first to the last, and pauses. What a round is, and what it is to show, is said at each loop (loops/).
 *
 * Latencies are taken here and not in the kernel, so that the way in and out of it is in them. Under the model the clock
 * is a hint and a word of the model's page, which the program sees read-only; else it is the cycle counter.
 */
#include "bench/user/loops/loop.h"

/* In the order of enum user_loop. */
static loop_t *const loops[] = {
    loop_map_local,
    loop_map_untouched,
    loop_map_pipeline,
    loop_map_global,
    loop_fault,
    loop_fault_shared,
    loop_protect,
    loop_fork_write,
    loop_null_call,
    loop_tick,
    loop_shootdown,
    loop_switch_process,
};

_Static_assert(ARRAY_SIZE(loops) == LOOPS, "one for each");

void record(struct user_share *share, unsigned kind, uint64_t since, uint64_t until)
{
    uint64_t reading = now(share), cost = now(share) - reading, took = until - since;
    histogram_record((struct histogram *)share->latency[kind], took > cost ? took - cost : 0);
}

void *map_region(struct user_share *share, size_t pages)
{
    long address = map(0, pages * USER_PAGE, PROT_RW, 0);
    if (address < 0)
        share->failed++;
    return address < 0 ? NULL : (void *)address;
}

void *map_shared(struct user_share *share, uint64_t where, size_t pages)
{
    if (map(where, pages * USER_PAGE, PROT_RW, MAP_FIXED) == (long)where)
        return (void *)where;
    share->failed++;
    return NULL;
}

void *kept_region(struct user_share *share, size_t pages)
{
    if (!share->region) {
        share->region = (uint64_t)map_region(share, pages);
        write_pages((void *)share->region, pages, 1);
    }
    return (void *)share->region;
}

void unmap_region(struct user_share *share, void *region, size_t pages)
{
    share->failed += syscall(SYS_munmap, region, pages * USER_PAGE) != 0;
}

void meet(const struct user_share *share)
{
    struct user_common *common = common_of(share);
    /* Relaxed: it changes only when this thread has arrived, too. */
    uint64_t round = atomic_load_explicit(&common->barrier.round, memory_order_relaxed);
    /* Both orders: what each wrote before is visible to all behind. amoadd.d.aqrl; fence rw,w; sd; ld; fence r,rw. */
    if (atomic_fetch_add_explicit(&common->barrier.arrived, 1, memory_order_acq_rel) + 1 == share->party) {
        atomic_store_explicit(&common->barrier.arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&common->barrier.round, round + 1, memory_order_release);
        return;
    }
    while (atomic_load_explicit(&common->barrier.round, memory_order_acquire) == round)
        relax();
}

/* Whether the span is over. In loops whose threads wait for each other all must answer alike: thread 0 decides before it comes to
 * the barrier. */
static bool is_over(struct user_share *share)
{
    struct user_common *common = common_of(share);
    bool over = now(share) >= share->deadline;
    if (!share->collective)
        return over;
    /* Relaxed both: the barrier orders them. */
    if (share->index == 0)
        atomic_store_explicit(&common->over, over, memory_order_relaxed);
    meet(share);
    over = atomic_load_explicit(&common->over, memory_order_relaxed);
    meet(share); /* before thread 0 decides again */
    return over;
}

/*
 * A span: all of it in user mode, from the moment when all threads are there until the last has done its part, so that what the
 * kernel does to let them in and out is not in what is measured. A thread that is done waits here, where it is
 * interrupted as before.
 */
static void spend(struct user_share *share)
{
    meet(share);
    MODEL_HINT(MODEL_HINT_MEASURE);
    share->began = now(share);
    do
        loops[share->loop](share);
    while (!is_over(share));
    share->ended = now(share);
    MODEL_HINT(MODEL_HINT_END);
    meet(share);
}

/* A thread stays on its hart, and does what it is resumed for. */
static void work(void *hart)
{
    if (thread_pin((unsigned)(uintptr_t)hart) != 0)
        exit_group(1);
    for (;;)
        spend((struct user_share *)pause_work());
}

static unsigned number(const char *text)
{
    unsigned value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return value;
}

#define STACK_BYTES  (16 * USER_PAGE)
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

extern long clone_thread(uint64_t flags, void *stack, _Atomic uint32_t *parent_tid, uint64_t tls,
    _Atomic uint32_t *child_tid, void (*function)(void *argument), void *argument); /* crt0.S */

/* On a stack in the hart's own tables, which thread_start() would not know. */
static bool begin_thread(uintptr_t hart)
{
    uint64_t stack = USER_OWN_BASE + hart * USER_OWN_STRIDE + USER_OWN_STACK;
    return map(stack, STACK_BYTES, PROT_RW, MAP_FIXED) == (long)stack &&
           clone_thread(THREAD_FLAGS, (void *)(stack + STACK_BYTES), NULL, 0, NULL, work, (void *)hart) > 0;
}

/* bench FIRST COUNT: so many threads, on the harts from the first on. This one only makes them: its stack is with what else a
 * program begins with. */
int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    uintptr_t first = number(argv[1]), count = number(argv[2]);
    for (uintptr_t i = 0; i < count; i++)
        if (!begin_thread(first + i))
            return 1;
    syscall(SYS_exit, 0);
    return 0;
}
