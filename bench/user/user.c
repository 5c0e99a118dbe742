/* What user.h declares and is too large for a header. */
#include "bench/user/user.h"
#include "lib/writer.h"

#define STACK_BYTES (16 * USER_PAGE)
#define THREAD_FLAGS                                                                                         \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |                      \
        CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

extern long clone_thread(uint64_t flags, void *stack, _Atomic uint32_t *parent_tid, uint64_t tls,
    _Atomic uint32_t *child_tid, void (*function)(void *argument), void *argument);

long thread_start(struct user_thread *thread, void (*function)(void *argument), void *argument)
{
    long stack = map(0, STACK_BYTES, PROT_READ | PROT_WRITE, 0);
    if (stack < 0)
        return stack;
    thread->stack = (void *)stack;
    long tid = clone_thread(
        THREAD_FLAGS, (char *)stack + STACK_BYTES, &thread->tid, 0, &thread->tid, function, argument);
    if (tid < 0)
        syscall(SYS_munmap, stack, STACK_BYTES);
    return tid < 0 ? tid : 0;
}

void thread_join(struct user_thread *thread)
{
    uint32_t tid;
    while ((tid = atomic_load(&thread->tid)) != 0)
        futex_wait(&thread->tid, tid, NULL);
    syscall(SYS_munmap, thread->stack, STACK_BYTES);
}

void mutex_lock(struct mutex *mutex)
{
    uint32_t state = 0;
    if (atomic_compare_exchange_strong(&mutex->state, &state, 1))
        return;
    if (state != 2)
        state = atomic_exchange(&mutex->state, 2);
    while (state != 0) {
        futex_wait(&mutex->state, 2, NULL);
        state = atomic_exchange(&mutex->state, 2);
    }
}

void mutex_unlock(struct mutex *mutex)
{
    if (atomic_exchange(&mutex->state, 0) == 2)
        futex_wake(&mutex->state, 1);
}

void print(const char *format, ...)
{
    char text[256];
    struct buffer_writer buffer;
    va_list args;
    buffer_writer_init(&buffer, text, sizeof(text));
    va_start(args, format);
    writer_vformat(&buffer.writer, format, args);
    va_end(args);
    syscall(SYS_write, 1, text, buffer.length);
}

void expect_failed(const char *condition, const char *file, int line)
{
    print("# %s:%d: not true: %s\n", file, line, condition);
    exit_group(1);
}

void expect_equal_failed(const char *what, long got, long wanted, const char *file, int line)
{
    print("# %s:%d: %s is %ld, not %ld\n", file, line, what, got, wanted);
    exit_group(1);
}
