/* What is right by chance only, unless the kernel sees to it: who runs where, and who is still where when something ends. */
#include "bench/user/user.h"
#include "lib/bits.h"
#include "lib/string.h"

/* A process ends on another hart than the one that it has just left, which may not have gone on yet. */
static void ends_elsewhere(void)
{
    uint64_t harts = harts_allowed();
    for (unsigned i = 0; i < 50; i++) {
        long pid = fork();
        expect(pid >= 0);
        if (pid == 0) {
            uint64_t others = harts & ~(1ull << current_hart());
            if (others != 0)
                thread_pin(i % 2 ? bits_lowest(others) : bits_highest(others));
            exit_group(3);
        }
        int status = 0;
        expect_equal(wait_child(pid, &status, 0), pid);
        expect_equal(status, 3 << 8);
    }
}

static _Atomic uint32_t arrived, over;

static _Atomic uint64_t met_on;

static void meet(void *argument)
{
    atomic_fetch_or(&met_on, 1ull << current_hart());
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < (uint32_t)(uint64_t)argument)
        ;
}

/* As many threads as harts, which do not give way: each finds a hart without work, but for a few where one was late. */
static void threads_spread(void)
{
    static struct user_thread threads[64];
    struct timespec while_ = {0, 2000000};
    unsigned n = bits_count(harts_allowed()), met = 0;
    for (unsigned round = 0; round < 20; round++) {
        atomic_store(&arrived, 0);
        syscall(SYS_nanosleep, &while_, 0);
        for (unsigned i = 1; i < n; i++)
            expect_equal(thread_start(&threads[i], meet, (void *)(uint64_t)n), 0);
        meet((void *)(uint64_t)n);
        for (unsigned i = 1; i < n; i++)
            thread_join(&threads[i]);
        met += bits_count(atomic_exchange(&met_on, 0));
    }
    if (met < 20 * n * 7 / 8)
        print("# %u threads met on %u harts 20 times\n", n, met);
    expect(met >= 20 * n * 7 / 8);
}

static void spin_on(void *argument)
{
    expect_equal(thread_pin((unsigned)(uint64_t)argument), 0);
    atomic_fetch_add(&arrived, 1);
    while (!atomic_load(&over))
        ;
}

static _Atomic uint32_t moved_tid;

static void is_moved(void *argument)
{
    (void)argument;
    expect_equal(thread_pin(bits_lowest(harts_allowed())), 0);
    atomic_store(&moved_tid, (uint32_t)syscall(SYS_gettid));
    while (!atomic_load(&over))
        if (current_hart() == (unsigned)(uint64_t)argument)
            atomic_store(&over, 1);
}

/* A thread that waits for its turn on a hart is sent to another one, which is busy, too: it gets its turn there. */
static void moved_while_ready(void)
{
    struct user_thread spinners[2], moved;
    uint64_t harts = harts_allowed();
    unsigned first = bits_lowest(harts), second = bits_lowest(harts & (harts - 1));
    if (bits_count(harts) < 3)
        return;
    expect_equal(thread_pin(bits_highest(harts)), 0);
    expect_equal(thread_start(&spinners[0], spin_on, (void *)(uint64_t)first), 0);
    expect_equal(thread_start(&spinners[1], spin_on, (void *)(uint64_t)second), 0);
    expect_equal(syscall(SYS_sched_setaffinity, 0, 8, &harts), 0);
    expect_equal(thread_start(&moved, is_moved, (void *)(uint64_t)second), 0);
    while (atomic_load(&arrived) < 2 || atomic_load(&moved_tid) == 0)
        syscall(SYS_sched_yield);
    uint64_t there = 1ull << second;
    expect_equal(syscall(SYS_sched_setaffinity, atomic_load(&moved_tid), 8, &there), 0);
    thread_join(&moved);
    thread_join(&spinners[0]);
    thread_join(&spinners[1]);
}

static void write_much(void *argument)
{
    syscall(SYS_write, 1, argument, 1ul << 30);
}

/* A process does not end when all has been written that one of its threads wanted to write, which takes minutes. */
static void ends_in_a_write(void)
{
    struct user_thread thread;
    struct timespec while_ = {0, 100000};
    long zeros = map(0, 1ul << 30, PROT_READ, 0), pid;
    int status = 0;
    expect(zeros > 0);
    pid = fork();
    if (pid == 0) {
        expect_equal(thread_start(&thread, write_much, (void *)zeros), 0);
        syscall(SYS_nanosleep, &while_, 0);
        exit_group(5);
    }
    expect_equal(wait_child(pid, &status, 0), pid);
    print("\n");
    expect_equal(status, 5 << 8);
}

static void touch(void *argument)
{
    *(volatile uint64_t *)argument = 1;
}

/* A process, a thread, an area; whatever of it cannot be had is done without. */
static void little_of_all(void)
{
    struct user_thread thread;
    long area = map(0, 4 * USER_PAGE, PROT_READ | PROT_WRITE, 0);
    if (area < 0)
        exit_group(3);
    touch((void *)area);
    long pid = fork();
    if (pid == 0) {
        touch((void *)area);
        exit_group(0);
    }
    if (thread_start(&thread, touch, (void *)(area + 4096)) == 0)
        thread_join(&thread);
    if (pid > 0)
        expect_equal(wait_child(pid, NULL, 0), pid);
    expect_equal(wait_child(-1, NULL, 0), -ECHILD);
    syscall(SYS_mprotect, area, USER_PAGE, PROT_READ);
    syscall(SYS_munmap, area + (long)USER_PAGE, USER_PAGE);
}

static const struct part {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"ends_elsewhere", ends_elsewhere},
    {"threads_spread", threads_spread},
    {"moved_while_ready", moved_while_ready},
    {"little_of_all", little_of_all},
    {"ends_in_a_write", ends_in_a_write},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(parts); i++) {
        if (strcmp(argv[1], parts[i].name) == 0) {
            parts[i].run();
            return 0;
        }
    }
    return 2;
}
