/* Processes: copies of memory, children and who waits for them. */
#include "bench/user/user.h"
#include "lib/string.h"

static volatile uint64_t shared_at_first = 1;

static int status_of(long pid)
{
    int status = -1;
    expect_equal(wait_child(pid, &status, 0), pid);
    return status;
}

static void memory_is_copied(void)
{
    long area = map(0, 64 * USER_PAGE, PROT_READ | PROT_WRITE, 0);
    volatile uint64_t *words = (volatile uint64_t *)area;
    expect(area > 0);
    for (unsigned i = 0; i < 64; i += 2)
        words[i * 512] = i;
    long pid = fork();
    expect(pid >= 0);
    for (unsigned i = 0; i < 64; i++) {
        expect_equal(words[i * 512], i % 2 ? 0 : i);
        if (i % 3 == 0)
            words[i * 512] = pid == 0 ? 1000 + i : 2000 + i;
    }
    shared_at_first = pid == 0 ? 2 : 3;
    for (unsigned i = 0; i < 64; i++)
        expect_equal(words[i * 512], i % 3 == 0 ? (pid == 0 ? 1000 + i : 2000 + i) : i % 2 ? 0 : i);
    if (pid == 0)
        exit_group(shared_at_first == 2 ? 42 : 1);
    expect_equal(status_of(pid), 42 << 8);
    expect_equal(shared_at_first, 3);
    expect_equal(syscall(SYS_munmap, area, 64 * USER_PAGE), 0);
}

/* Returns how many processes are in a tree. */
static int tree(unsigned depth, unsigned breadth)
{
    int count = 1;
    long children[4];
    for (unsigned i = 0; depth > 0 && i < breadth; i++) {
        children[i] = fork();
        expect(children[i] >= 0);
        if (children[i] == 0)
            exit_group(tree(depth - 1, breadth));
    }
    for (unsigned i = 0; depth > 0 && i < breadth; i++)
        count += status_of(children[i]) >> 8;
    return count;
}

static void orphans_go_on(void)
{
    long pid = fork();
    expect(pid >= 0);
    if (pid == 0) {
        for (unsigned i = 0; i < 3; i++) {
            if (fork() == 0) {
                for (unsigned k = 0; k < 50; k++)
                    syscall(SYS_sched_yield);
                exit_group(0);
            }
        }
        exit_group(9);
    }
    expect_equal(status_of(pid), 9 << 8);
    expect_equal(wait_child(-1, NULL, 0), -ECHILD); /* the grandchildren are nobody's */
}

static void waits_are_chosen(void)
{
    _Atomic uint32_t word = 0;
    struct timespec while_ = {0, 20000000};
    long quick = fork();
    if (quick == 0)
        exit_group(1);
    long slow = fork();
    if (slow == 0) {
        futex_wait(&word, 0, &while_);
        __asm__ volatile("ebreak");
    }
    expect_equal(wait_child(slow, NULL, WNOHANG), 0);
    expect_equal(wait_child(quick + slow, NULL, 0), -ECHILD);
    expect_equal(status_of(slow), SIGTRAP);
    expect_equal(status_of(quick), 1 << 8);
    long any = fork();
    if (any == 0)
        exit_group(255);
    int status = 0;
    expect_equal(wait_child(-1, &status, WAIT_ALL), any);
    expect_equal(status, 255 << 8);
}

/* Threads of one process that fork at the same time, and each waits for its own. */
static void fork_often(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 12; i++) {
        long pid = fork();
        expect(pid >= 0);
        if (pid == 0) {
            shared_at_first = i;
            exit_group((int)shared_at_first + 1);
        }
        expect_equal(status_of(pid), (int)(i + 1) << 8);
    }
}

static void threads_fork(void)
{
    struct user_thread threads[4];
    for (unsigned i = 0; i < 4; i++)
        expect_equal(thread_start(&threads[i], fork_often, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        thread_join(&threads[i]);
}

static void ids_are_told(void)
{
    static _Atomic uint32_t parent_tid, child_tid;
    uint32_t old = child_tid;
    long pid =
        syscall(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, 0, &parent_tid, 0, &child_tid);
    expect(pid >= 0);
    if (pid == 0)
        exit_group(child_tid == syscall(SYS_getpid) && syscall(SYS_gettid) == syscall(SYS_getpid) ? 0 : 1);
    expect_equal(parent_tid, pid);
    expect_equal(child_tid, old);
    expect_equal(status_of(pid), 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    memory_is_copied();
    expect_equal(tree(3, 3), 1 + 3 + 9 + 27);
    expect_equal(tree(5, 2), 63);
    orphans_go_on();
    waits_are_chosen();
    threads_fork();
    ids_are_told();
    return 0;
}
