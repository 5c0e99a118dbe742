/* Threads: made, joined, excluded by a mutex, pinned, asleep, and ended in the middle of what they do. */
#include "bench/user/user.h"
#include "lib/bits.h"
#include "lib/string.h"

#define THREADS 12
#define ROUNDS  300

static struct mutex mutex;
static volatile uint64_t counter, copy;

static void count(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        mutex_lock(&mutex);
        expect_equal(counter, copy);
        counter = counter + 1;
        if (i % 16 == 0)
            syscall(SYS_sched_yield);
        copy = copy + 1;
        mutex_unlock(&mutex);
    }
}

static void run_threads(unsigned n, void (*function)(void *), void *argument)
{
    struct user_thread threads[THREADS];
    for (unsigned i = 0; i < n; i++)
        expect_equal(thread_start(&threads[i], function, argument), 0);
    for (unsigned i = 0; i < n; i++)
        thread_join(&threads[i]);
}

static void mutex_excludes(void)
{
    run_threads(THREADS, count, NULL);
    expect_equal(counter, THREADS * ROUNDS);
}

static _Atomic uint32_t ping, pong;

static void answer(void *argument)
{
    (void)argument;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        while (atomic_load(&ping) != i)
            futex_wait(&ping, i - 1, NULL);
        atomic_store(&pong, i);
        futex_wake(&pong, 1);
    }
}

static void futexes_wake(void)
{
    struct user_thread thread;
    struct timespec short_time = {0, 2000000}, wrong = {0, 1000000000};
    _Atomic uint32_t word = 7;
    expect_equal(thread_start(&thread, answer, NULL), 0);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        atomic_store(&ping, i);
        futex_wake(&ping, 1);
        while (atomic_load(&pong) != i)
            futex_wait(&pong, i - 1, NULL);
    }
    thread_join(&thread);
    expect_equal(futex_wait(&word, 8, NULL), -EAGAIN);
    expect_equal(futex_wait(&word, 7, &short_time), -ETIMEDOUT);
    expect_equal(futex_wait(&word, 7, &wrong), -EINVAL);
    expect_equal(futex_wake(&word, 1), 0);
}

static void pinned(void *argument)
{
    uint64_t allowed = harts_allowed();
    (void)argument;
    for (uint64_t left = allowed; left; left &= left - 1) {
        unsigned hart = bits_lowest(left);
        expect_equal(thread_pin(hart), 0);
        expect_equal(current_hart(), hart);
        expect_equal(harts_allowed(), 1ull << hart);
        syscall(SYS_sched_yield);
        expect_equal(current_hart(), hart);
    }
    uint64_t none = 0;
    expect_equal(syscall(SYS_sched_setaffinity, 0, 8, &none), -EINVAL);
    expect_equal(syscall(SYS_sched_setaffinity, 0x7fffffff, 8, &allowed), -ESRCH);
    expect_equal(syscall(SYS_sched_setaffinity, 0, 8, &allowed), 0);
    expect_equal(harts_allowed(), allowed);
}

static void pins_hold(void)
{
    run_threads(4, pinned, NULL);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    expect_equal(syscall(SYS_clock_gettime, 1, &now), 0);
    return (uint64_t)now.seconds * 1000000000 + (uint64_t)now.nanoseconds;
}

static void sleeper(void *argument)
{
    struct timespec span = {0, 5000000};
    (void)argument;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = now_ns();
        expect_equal(syscall(SYS_nanosleep, &span, 0), 0);
        expect(now_ns() - before >= 5000000);
    }
}

static void sleeps_last(void)
{
    run_threads(THREADS, sleeper, NULL);
}

/* Every register that a program may rely on, the floating-point ones too, while others do the same on the same harts. */
static void keeper(void *argument)
{
    uint64_t mine = (uint64_t)argument;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t got;
        __asm__ volatile(
            ".option push\n .option arch, +d\n fmv.d.x f7, %1\n fmv.d.x f31, %1\n"
            "mv s11, %1\n mv t6, %1\n mv tp, %1\n li a7, 124\n li a0, 0\n ecall\n"
            "fmv.x.d %0, f7\n fmv.x.d t0, f31\n and %0, %0, t0\n and %0, %0, s11\n and %0, %0, t6\n"
            "and %0, %0, tp\n .option pop"
            : "=&r"(got)
            : "r"(mine)
            : "a0", "a7", "t0", "t6", "s11", "memory");
        expect_equal(got, mine);
    }
}

static void registers_stay(void)
{
    struct user_thread threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++)
        expect_equal(thread_start(&threads[i], keeper, (void *)(0x0101010101010101ull * (i + 1))), 0);
    keeper((void *)0x4242424242424242ull);
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
}

static void spin(void *argument)
{
    for (;;)
        if (argument)
            syscall(SYS_sched_yield);
}

static void wait_forever(void *argument)
{
    static _Atomic uint32_t word;
    struct timespec long_time = {1000000, 0};
    for (;;)
        futex_wait(&word, 0, argument ? &long_time : NULL);
}

static void sleep_forever(void *argument)
{
    struct timespec forever = {INT64_MAX, 0};
    (void)argument;
    syscall(SYS_nanosleep, &forever, 0);
}

/* The process ends with 7 while its threads run, wait and sleep. */
static void exit_among_threads(void)
{
    static struct user_thread threads[6];
    void (*const functions[])(void *) = {
        spin, wait_forever, sleep_forever, wait_forever, spin, sleep_forever};
    for (unsigned i = 0; i < 6; i++)
        expect_equal(thread_start(&threads[i], functions[i], i % 2 ? &mutex : NULL), 0);
    for (unsigned i = 0; i < 20; i++)
        syscall(SYS_sched_yield);
    exit_group(7);
}

/* So does a fault. */
static void fault_among_threads(void)
{
    static struct user_thread threads[4];
    for (unsigned i = 0; i < 4; i++)
        expect_equal(thread_start(&threads[i], i % 2 ? wait_forever : spin, &mutex), 0);
    syscall(SYS_sched_yield);
    __asm__ volatile("sd zero, 8(zero)" ::: "memory");
}

static const struct part {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"mutex", mutex_excludes},
    {"futex", futexes_wake},
    {"pin", pins_hold},
    {"sleep", sleeps_last},
    {"registers", registers_stay},
    {"exit_group", exit_among_threads},
    {"fault", fault_among_threads},
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
