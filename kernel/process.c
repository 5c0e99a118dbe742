/* Processes and families: beginning, end, and who waits for whom. See process.h. */
#include "kernel/process.h"
#include "arch/atomic.h"
#include "arch/panic.h"
#include "kernel/errno.h"
#include "kernel/sched.h"
#include "kernel/syscall.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/shootdown.h"

/* Without a space. */
static struct process *make(struct family *family, const char *name, long *error)
{
    *error = -ENOMEM;
    struct process *process = kzalloc(sizeof(*process));
    if (!process)
        return NULL;
    process->pid = id_take();
    if (process->pid == 0) {
        *error = -EAGAIN;
        kfree(process);
        return NULL;
    }
    process->family = family;
    memcpy(process->name, name, MIN(strlen(name), sizeof(process->name) - 1));
    return process;
}

/* Under the family's lock. */
static void list(struct process *process, struct process *parent)
{
    struct family *family = process->family;
    process->next_all = family->all;
    if (process->next_all)
        process->next_all->prev_all = process;
    family->all = process;
    process->parent = parent;
    if (!parent)
        return;
    process->next_child = parent->children;
    if (process->next_child)
        process->next_child->prev_child = process;
    parent->children = process;
}

static void unlist_child(struct process *process)
{
    if (process->next_child)
        process->next_child->prev_child = process->prev_child;
    if (process->prev_child)
        process->prev_child->next_child = process->next_child;
    else if (process->parent)
        process->parent->children = process->next_child;
    process->next_child = process->prev_child = process->parent = NULL;
}

static void unlist(struct process *process)
{
    if (process->next_all)
        process->next_all->prev_all = process->prev_all;
    if (process->prev_all)
        process->prev_all->next_all = process->next_all;
    else
        process->family->all = process->next_all;
    unlist_child(process);
}

void process_free(struct process *process)
{
    id_give(process->pid);
    kfree(process);
}

struct family *family_create(const char *name)
{
    struct family *family = kzalloc(sizeof(*family));
    long unused;
    if (!family)
        return NULL;
    lock_init(&family->lock, kernel_frames.lock_kind, "family");
    family->root = make(family, name, &unused);
    if (family->root && space_create(&kernel_spaces, &family->root->space) == 0) {
        list(family->root, NULL);
        return family;
    }
    if (family->root)
        process_free(family->root);
    kfree(family);
    return NULL;
}

void family_destroy(struct family *family)
{
    struct process *root = family->root;
    ASSERT(family->all == root && !root->next_all && root->nthreads == 0);
    if (root->space)
        space_put(root->space);
    process_free(root);
    kfree(family);
}

struct process *process_fork(struct process *parent, long *error)
{
    struct process *child = make(parent->family, parent->name, error);
    struct lock_node node;
    if (!child)
        return NULL;
    int failed = space_fork(parent->space, &child->space);
    if (failed) {
        *error = errno_of(failed);
        process_free(child);
        return NULL;
    }
    lock_acquire(&parent->family->lock, &node);
    list(child, parent);
    lock_release(&parent->family->lock, &node);
    return child;
}

void process_drop(struct process *process)
{
    struct lock_node node;
    lock_acquire(&process->family->lock, &node);
    unlist(process);
    lock_release(&process->family->lock, &node);
    space_put(process->space);
    process_free(process);
}

/* Under the family's lock: whom the caller has to wake, linked by next_ready. */
static struct thread *kill_all(struct process *process, const struct thread *but)
{
    struct thread *woken = NULL;
    for (struct thread *thread = process->threads; thread; thread = thread->next) {
        if (thread == but || !thread_kill(thread))
            continue;
        if (atomic_load_explicit(&thread->paused, memory_order_relaxed)) {
            store_relaxed(&thread->paused, 0);
            /* Relaxed: the caller has the family, or is one that keeps it active. amoadd.w */
            atomic_fetch_add_explicit(&process->family->nactive, 1, memory_order_relaxed);
        }
        thread->next_ready = woken;
        woken = thread;
    }
    return woken;
}

void process_exit(struct process *process, struct thread *self, int status)
{
    struct thread *woken = NULL;
    struct lock_node node;
    lock_acquire(&process->family->lock, &node);
    bool others = process->nthreads > 1;
    if (!atomic_load_explicit(&process->exiting, memory_order_relaxed)) {
        process->status = status;
        /* All orders, pairs with thread_parks(). amoswap.w.aqrl */
        atomic_exchange_explicit(&process->exiting, 1, memory_order_seq_cst);
        woken = kill_all(process, self);
    }
    lock_release(&process->family->lock, &node);
    thread_wake_all(woken);
    if (others)
        sched_kick();
}

/* Under the family's lock: its children have nobody any more who asks for them. Returns those that are to be freed. */
static struct process *orphan(struct process *process)
{
    struct process *dead = NULL, *child;
    while ((child = process->children) != NULL) {
        unlist_child(child);
        if (!child->zombie)
            continue;
        unlist(child);
        child->next_all = dead;
        dead = child;
    }
    return dead;
}

/* Under the family's lock: all that wait for children of a process, linked by next_ready. */
static struct thread *take_waiters(struct process *process)
{
    struct thread *woken = NULL, *thread;
    while ((thread = process->waiters) != NULL) {
        process_waiter_remove(process, thread);
        if (!thread_claim(thread))
            continue;
        thread->next_ready = woken;
        woken = thread;
    }
    return woken;
}

void process_ended(struct process *process)
{
    struct family *family = process->family;
    struct thread *woken = NULL;
    struct lock_node node;
    /* No thread uses it any more, so its harts are quiet; but under `lazy` one may be finishing what it has unmapped there. */
    EXPENSIVE_ASSERT(vm_design.shootdown->lazy || space_validate(process->space) == 0);
    space_put(process->space);
    process->space = NULL;
    lock_acquire(&family->lock, &node);
    struct process *dead = orphan(process);
    process->zombie = true;
    if (process->parent) {
        woken = take_waiters(process->parent);
    } else if (process != family->root) {
        unlist(process);
        process->next_all = dead;
        dead = process;
    }
    lock_release(&family->lock, &node);
    thread_wake_all(woken);
    while (dead) {
        struct process *next = dead->next_all;
        process_free(dead);
        dead = next;
    }
}

/* Under the family's lock. */
static struct process *find_child(struct process *process, int pid, bool *any)
{
    *any = false;
    for (struct process *child = process->children; child; child = child->next_child) {
        if (pid != -1 && child->pid != pid)
            continue;
        *any = true;
        if (child->zombie)
            return child;
    }
    return NULL;
}

struct process *process_take_child(struct process *process, int pid, bool *any)
{
    struct lock_node node;
    lock_acquire(&process->family->lock, &node);
    struct process *child = find_child(process, pid, any);
    if (child)
        unlist(child);
    lock_release(&process->family->lock, &node);
    return child;
}

void process_waiter_remove(struct process *process, struct thread *thread)
{
    struct thread **place = &process->waiters;
    if (!thread->is_waiter)
        return;
    while (*place != thread)
        place = &(*place)->waiter_next;
    *place = thread->waiter_next;
    thread->is_waiter = false;
}

/* A child that ended since the handler looked is seen here, as both ends are under the lock. */
bool process_wait_park(struct thread *thread)
{
    struct process *process = thread->process;
    struct lock_node node;
    bool any;
    syscall_again(thread);
    if (!thread_parks(thread))
        return true;
    lock_acquire(&process->family->lock, &node);
    int pid = (int)thread->context.x[USER_A0];
    bool waits = !find_child(process, pid > 0 ? pid : -1, &any) && any;
    if (waits) {
        thread->waiter_next = process->waiters;
        process->waiters = thread;
        thread->is_waiter = true;
    }
    lock_release(&process->family->lock, &node);
    return waits ? thread_block(thread) : thread_stays(thread);
}

void family_rests(struct family *family)
{
    /* Acquire and release (amoadd.w.aqrl): whoever finds the family at rest sees what all its threads did. */
    if (atomic_fetch_sub_explicit(&family->nactive, 1, memory_order_acq_rel) == 1)
        sched_at_rest(family);
}

void family_kill(struct family *family)
{
    for (struct process *process = family->all; process; process = process->next_all)
        process_exit(process, NULL, STATUS_KILLED(SIGNAL_KILL));
}
