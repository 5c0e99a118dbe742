/* System calls about time, words that are waited for, and harts. */
#include "arch/clock.h"
#include "arch/uaccess.h"
#include "kernel/futex.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/syscall.h"

#define NS_PER_S 1000000000ull

/* Linux's clocks that are here: all count from boot. */
#define CLOCK_REALTIME         0
#define CLOCK_MONOTONIC        1
#define CLOCK_MONOTONIC_RAW    4
#define CLOCK_REALTIME_COARSE  5
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_BOOTTIME         7

/* Operations of futex(). */
#define FUTEX_WAIT    0
#define FUTEX_WAKE    1
#define FUTEX_PRIVATE 128

/* struct timespec of a 64-bit machine. */
struct timespec {
    int64_t seconds, nanoseconds;
};

/* The time so long from now; never for what is longer than the clock counts. */
static int read_deadline(uint64_t from, uint64_t *deadline)
{
    struct timespec span;
    if (copy_from_user(&span, from, sizeof(span)))
        return -EFAULT;
    if (span.seconds < 0 || span.nanoseconds < 0 || (uint64_t)span.nanoseconds >= NS_PER_S)
        return -EINVAL;
    uint64_t hz = time_hz(), now = time_now(), ticks;
    if (__builtin_mul_overflow((uint64_t)span.seconds, hz, &ticks) ||
        __builtin_add_overflow(
            ticks, DIV_CEIL((uint64_t)span.nanoseconds * (hz / 1000), NS_PER_S / 1000), &ticks) ||
        __builtin_add_overflow(now, ticks, deadline) || *deadline == UINT64_MAX)
        *deadline = UINT64_MAX - 1;
    return 0;
}

long sys_clock_gettime(struct thread *thread, const uint64_t *args)
{
    uint64_t now = time_now(), hz = time_hz();
    struct timespec time = {(int64_t)(now / hz), (int64_t)(now % hz * NS_PER_S / hz)};
    (void)thread;
    switch ((int)args[0]) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: return copy_to_user(args[1], &time, sizeof(time)) ? -EFAULT : 0;
    default: return -EINVAL;
    }
}

static bool sleep_park(struct thread *thread)
{
    syscall_answer(thread, 0);
    if (!thread_parks(thread))
        return true;
    sched_sleep(thread);
    return thread_block(thread);
}

/* There are no signals, so nothing is ever left of the time. */
long sys_nanosleep(struct thread *thread, const uint64_t *args)
{
    int error = read_deadline(args[0], &thread->deadline);
    return error ? error : thread_leave(thread, sleep_park);
}

long sys_futex(struct thread *thread, const uint64_t *args)
{
    uint64_t address = args[0], timeout = args[3];
    uint32_t operation = (uint32_t)args[1] & ~FUTEX_PRIVATE, value = (uint32_t)args[2];
    if (operation != FUTEX_WAIT && operation != FUTEX_WAKE)
        return -ENOSYS;
    thread->has_deadline = operation == FUTEX_WAIT && timeout != 0;
    int error = thread->has_deadline ? read_deadline(timeout, &thread->deadline) : 0;
    if (error)
        return error;
    if (!IS_ALIGNED(address, sizeof(uint32_t)))
        return -EINVAL;
    if (!user_range_valid(address, sizeof(uint32_t)))
        return -EFAULT;
    if (operation == FUTEX_WAKE) /* Linux wakes one when asked for none or less */
        return futex_wake(thread, address, (int)value > 0 ? value : 1);
    thread->futex_address = address;
    thread->futex_value = value;
    return thread_leave(thread, futex_park);
}

static bool yield_park(struct thread *thread)
{
    syscall_answer(thread, 0);
    return true;
}

long sys_sched_yield(struct thread *thread, const uint64_t *args)
{
    (void)args;
    return sched_has_other() ? thread_leave(thread, yield_park) : 0;
}

/* A thread of the same process by its number, 0 for the caller; nobody may touch others'. Under the family's lock. */
static struct thread *find_thread(struct thread *self, int tid)
{
    if (tid == 0 || tid == self->tid)
        return self;
    for (struct thread *thread = self->process->threads; thread; thread = thread->next)
        if (thread->tid == tid)
            return thread;
    return NULL;
}

long sys_sched_setaffinity(struct thread *thread, const uint64_t *args)
{
    struct family *family = thread->process->family;
    size_t bytes = MIN(args[1], sizeof(uint64_t));
    uint64_t mask = 0;
    struct lock_node node;
    if (copy_from_user(&mask, args[2], bytes))
        return -EFAULT;
    mask &= sched_harts().bits;
    lock_acquire(&family->lock, &node);
    struct thread *found = find_thread(thread, (int)args[0]);
    if (found && mask != 0)
        /* Relaxed: it is a wish; the thread's hart is told below. */
        atomic_store_explicit(&found->affinity, mask, memory_order_relaxed);
    lock_release(&family->lock, &node);
    if (!found)
        return -ESRCH;
    if (mask == 0)
        return -EINVAL;
    if (found == thread)
        hart_attend();
    else
        sched_kick();
    return 0;
}

long sys_sched_getaffinity(struct thread *thread, const uint64_t *args)
{
    struct family *family = thread->process->family;
    uint64_t mask = 0;
    struct lock_node node;
    if (args[1] < sizeof(mask) || args[1] % sizeof(mask) != 0)
        return -EINVAL;
    lock_acquire(&family->lock, &node);
    struct thread *found = find_thread(thread, (int)args[0]);
    if (found)
        mask = atomic_load_explicit(&found->affinity, memory_order_relaxed);
    lock_release(&family->lock, &node);
    if (!found)
        return -ESRCH;
    return copy_to_user(args[2], &mask, sizeof(mask)) ? -EFAULT : (long)sizeof(mask);
}

long sys_getcpu(struct thread *thread, const uint64_t *args)
{
    uint32_t hart = hart_index(), node = 0;
    (void)thread;
    if (args[0] != 0 && copy_to_user(args[0], &hart, sizeof(hart)))
        return -EFAULT;
    return args[1] != 0 && copy_to_user(args[1], &node, sizeof(node)) ? -EFAULT : 0;
}
