/* System calls about processes and threads, and what they write. */
#include "arch/console.h"
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/syscall.h"
#include "lib/error.h"

/* Linux's flags of clone(). */
#define CLONE_SIGNAL         0x000000fful
#define CLONE_VM             0x00000100ul
#define CLONE_FS             0x00000200ul
#define CLONE_FILES          0x00000400ul
#define CLONE_SIGHAND        0x00000800ul
#define CLONE_THREAD         0x00010000ul
#define CLONE_SYSVSEM        0x00040000ul
#define CLONE_SETTLS         0x00080000ul
#define CLONE_PARENT_SETTID  0x00100000ul
#define CLONE_CHILD_CLEARTID 0x00200000ul
#define CLONE_DETACHED       0x00400000ul
#define CLONE_CHILD_SETTID   0x01000000ul

/* What there is nothing of here, so that it makes no difference who shares it. */
#define CLONE_WITHOUT_EFFECT (CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_DETACHED)
#define CLONE_KNOWN                                                                                          \
    (CLONE_SIGNAL | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID |           \
        CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_WITHOUT_EFFECT)

/* Flags of wait4(). */
#define WNOHANG    1u
#define WUNTRACED  2u /* and those that stop or go on, which none does here */
#define WCONTINUED 8u
#define WAIT_ALL   0x40000000u /* __WALL: children that are threads, too: there are none */

long errno_of(int error)
{
    switch (error) {
    case 0: return 0;
    case ERR_NO_MEMORY:
    case ERR_RANGE: return -ENOMEM;
    case ERR_PERMISSION: return -EACCES;
    case ERR_EXISTS: return -EEXIST;
    default: return -EINVAL;
    }
}

LEAF_PATH long sys_getpid(struct thread *thread, const uint64_t *args)
{
    (void)args;
    return thread->process->pid;
}

LEAF_PATH long sys_gettid(struct thread *thread, const uint64_t *args)
{
    (void)args;
    return thread->tid;
}

long sys_set_tid_address(struct thread *thread, const uint64_t *args)
{
    thread->clear_child_tid = args[0];
    return thread->tid;
}

long sys_exit(struct thread *thread, const uint64_t *args)
{
    struct process *process = thread->process;
    struct lock_node node;
    /* As on Linux the first thread's is the process's, unless that is ended as a whole. */
    lock_acquire(&process->family->lock, &node);
    if (thread->tid == process->pid && !atomic_load_explicit(&process->exiting, memory_order_relaxed))
        process->status = STATUS_EXITED((int)args[0]);
    lock_release(&process->family->lock, &node);
    return thread_leave(thread, thread_end);
}

long sys_exit_group(struct thread *thread, const uint64_t *args)
{
    process_exit(thread->process, thread, STATUS_EXITED((int)args[0]));
    return thread_leave(thread, thread_end);
}

/* Linux's limit of what is read or written at once. */
#define WRITE_BYTES_MAX 0x7ffff000ul

static bool write_park(struct thread *thread)
{
    syscall_again(thread); /* thread->written says where it stopped */
    return true;
}

/*
 * The console is not held while memory is read, which may wait. Much may take minutes: the hart has others to run meanwhile, and
 * threads to wake, and the process may be ended.
 */
long sys_write(struct thread *thread, const uint64_t *args)
{
    char bytes[256];
    uint64_t from = args[1];
    size_t count = args[2], done = thread->written;
    thread->written = 0;
    if ((int)args[0] != 1 && (int)args[0] != 2)
        return -EBADF;
    if (!user_range_valid(from, count))
        return -EFAULT;
    count = MIN(count, WRITE_BYTES_MAX);
    while (done < count) {
        size_t part = MIN(count - done, sizeof(bytes));
        if (copy_from_user(bytes, from + done, part))
            return done ? (long)done : -EFAULT;
        console_lock();
        console_writer()->put(console_writer(), bytes, part);
        console_unlock();
        done += part;
        if (done < count && hart_is_wanted()) {
            thread->written = done;
            return thread_leave(thread, write_park);
        }
    }
    return (long)done;
}

/* What a new thread has of the one that makes it. */
static void copy_thread(struct thread *to, struct thread *from, const uint64_t *args)
{
    uint64_t flags = args[0], stack = args[1], tls = args[3], child_tid = args[4];
    thread_store_fp(from);
    to->context = from->context;
    to->fp = from->fp;
    to->fp_used = from->fp_used;
    atomic_store_explicit(&to->affinity, atomic_load_explicit(&from->affinity, memory_order_relaxed),
        memory_order_relaxed); /* nobody knows it yet */
    syscall_answer(to, 0);
    if (stack != 0)
        to->context.x[USER_SP] = stack;
    if (flags & CLONE_SETTLS)
        to->context.x[USER_TP] = tls;
    if (flags & CLONE_CHILD_SETTID)
        to->set_child_tid = child_tid;
    if (flags & CLONE_CHILD_CLEARTID)
        to->clear_child_tid = child_tid;
}

/* Threads that live in a space of others have all that a space's threads have; other mixtures are not for programs. */
static bool clone_flags_valid(uint64_t flags)
{
    if (flags & ~CLONE_KNOWN)
        return false;
    if (flags & CLONE_THREAD)
        return (flags & CLONE_VM) && (flags & CLONE_SIGHAND);
    return !(flags & (CLONE_VM | CLONE_SIGHAND));
}

long sys_clone(struct thread *thread, const uint64_t *args)
{
    uint64_t flags = (uint32_t)args[0], parent_tid = args[2]; /* Linux looks at no more of them */
    struct process *process = thread->process;
    long error;
    if (!clone_flags_valid(flags))
        return -EINVAL;
    if (!(flags & CLONE_THREAD)) {
        process = process_fork(process, &error);
        if (!process)
            return error;
    }
    struct thread *child = thread_new(process, &error);
    if (child) {
        int tid = child->tid;
        copy_thread(child, thread, args);
        if (flags & CLONE_PARENT_SETTID)
            user_store_word(parent_tid, (uint32_t)tid); /* Linux does not look at the result either */
        if (thread_add(child))
            return tid;
        thread_free(child);
        error = -EINTR; /* the caller is about to be ended, and never sees it */
    }
    if (process != thread->process)
        process_drop(process);
    return error;
}

/* Process groups are not there: 0 and what is below −1 mean every child. */
long sys_wait4(struct thread *thread, const uint64_t *args)
{
    int pid = (int)args[0];
    uint64_t status_at = args[1];
    uint32_t options = (uint32_t)args[2];
    bool any;
    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | WAIT_ALL))
        return -EINVAL;
    struct process *child = process_take_child(thread->process, pid > 0 ? pid : -1, &any);
    if (!child) {
        if (!any)
            return -ECHILD;
        return options & WNOHANG ? 0 : thread_leave(thread, process_wait_park);
    }
    uint32_t status = (uint32_t)child->status;
    long result = child->pid;
    process_free(child);
    if (status_at != 0 && copy_to_user(status_at, &status, sizeof(status)))
        return -EFAULT;
    return result;
}
