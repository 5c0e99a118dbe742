/*
 * What programs for U-mode stand on, without a C library: Linux's system calls as functions, which return its negated error
 * numbers, and a few things on top of them. lib/ may be used, too.
 */
#ifndef BENCH_USER_USER_H
#define BENCH_USER_USER_H

#include <stdatomic.h>

#include "kernel/errno.h"
#include "lib/base.h"

/* Linux's numbers on riscv64. */
enum {
    SYS_write = 64,
    SYS_exit = 93,
    SYS_exit_group = 94,
    SYS_set_tid_address = 96,
    SYS_futex = 98,
    SYS_nanosleep = 101,
    SYS_clock_gettime = 113,
    SYS_sched_setaffinity = 122,
    SYS_sched_getaffinity = 123,
    SYS_sched_yield = 124,
    SYS_getcpu = 168,
    SYS_getpid = 172,
    SYS_gettid = 178,
    SYS_brk = 214,
    SYS_munmap = 215,
    SYS_clone = 220,
    SYS_mmap = 222,
    SYS_mprotect = 226,
    SYS_madvise = 233,
    SYS_pause_work = 244, /* not Linux's: kernel/syscall.h */
    SYS_tick = 245, /* nor this */
    SYS_wait4 = 260,
};

enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
enum {
    MAP_SHARED = 1,
    MAP_PRIVATE = 2,
    MAP_FIXED = 0x10,
    MAP_ANONYMOUS = 0x20,
    MAP_POPULATE = 0x8000,
    MAP_FIXED_NOREPLACE = 0x100000,
};
enum { MADV_WILLNEED = 3, MADV_DONTNEED = 4 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_PRIVATE = 128 };
enum { WNOHANG = 1, WUNTRACED = 2, WCONTINUED = 8, WAIT_ALL = 0x40000000 };
enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGKILL = 9, SIGSEGV = 11, SIGCHLD = 17 };
enum {
    CLONE_VM = 0x100,
    CLONE_FS = 0x200,
    CLONE_FILES = 0x400,
    CLONE_SIGHAND = 0x800,
    CLONE_THREAD = 0x10000,
    CLONE_SYSVSEM = 0x40000,
    CLONE_SETTLS = 0x80000,
    CLONE_PARENT_SETTID = 0x100000,
    CLONE_CHILD_CLEARTID = 0x200000,
    CLONE_CHILD_SETTID = 0x1000000,
};

#define USER_PAGE 4096ul

struct timespec {
    int64_t seconds, nanoseconds;
};

static ALWAYS_INLINE long syscall6(
    long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t a0 __asm__("a0") = a;
    register uint64_t a1 __asm__("a1") = b;
    register uint64_t a2 __asm__("a2") = c;
    register uint64_t a3 __asm__("a3") = d;
    register uint64_t a4 __asm__("a4") = e;
    register uint64_t a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return (long)a0;
}

/* syscall(number, up to six arguments): each is made a word. */
#define syscall(...) syscall_words(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define syscall_words(number, a, b, c, d, e, f, ...)                                                         \
    syscall6(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))

static inline void exit_group(int status) NORETURN;
static inline void exit_group(int status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

static inline long map(uint64_t at, size_t bytes, int protection, int flags)
{
    return syscall(SYS_mmap, at, bytes, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static inline long fork(void)
{
    return syscall(SYS_clone, SIGCHLD);
}

static inline long wait_child(long pid, int *status, int options)
{
    return syscall(SYS_wait4, pid, status, options);
}

static inline long futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE, value, timeout);
}

static inline long futex_wake(_Atomic uint32_t *word, int count)
{
    return syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE, count);
}

/** thread_pin - let the calling thread run on one hart only. */
static inline long thread_pin(unsigned hart)
{
    uint64_t mask = 1ull << hart;
    return syscall(SYS_sched_setaffinity, 0, sizeof(mask), &mask);
}

/** harts_allowed - the harts that the calling thread may use. */
static inline uint64_t harts_allowed(void)
{
    uint64_t mask = 0;
    syscall(SYS_sched_getaffinity, 0, sizeof(mask), &mask);
    return mask;
}

static inline unsigned current_hart(void)
{
    uint32_t hart = 0;
    syscall(SYS_getcpu, &hart, 0);
    return hart;
}

/** pause_work - wait for somebody to ask for work: kernel/thread.h. Returns their word. */
static inline uint64_t pause_work(void)
{
    return (uint64_t)syscall(SYS_pause_work);
}

/* A thread that can be joined. */
struct user_thread {
    _Atomic uint32_t tid; /* 0 when it has ended */
    void *stack;
};

/** thread_start - run a function in a new thread. 0 or an errno. thread_join - return when it has ended. */
long thread_start(struct user_thread *thread, void (*function)(void *argument), void *argument);
void thread_join(struct user_thread *thread);

/* A mutex by a futex. Source: Drepper, "Futexes Are Tricky", 2011, the third one. */
struct mutex {
    _Atomic uint32_t state; /* 0: free, 1: held, 2: held, and somebody may wait */
};

void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/** print - formatted output as lib/writer.h has it, in one write(). */
void print(const char *format, ...) PRINTF_LIKE(1, 2);

/** expect - print what was expected and end the process with 1, unless it is so. */
#define expect(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            expect_failed(#condition, __FILE__, __LINE__);                                                   \
    } while (0)
#define expect_equal(got, wanted)                                                                            \
    do {                                                                                                     \
        long got_ = (long)(got), wanted_ = (long)(wanted);                                                   \
        if (got_ != wanted_)                                                                                 \
            expect_equal_failed(#got, got_, wanted_, __FILE__, __LINE__);                                    \
    } while (0)

void expect_failed(const char *condition, const char *file, int line) NORETURN;
void expect_equal_failed(const char *what, long got, long wanted, const char *file, int line) NORETURN;

int main(int argc, char **argv);

#endif
