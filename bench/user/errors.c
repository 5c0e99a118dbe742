/* Wrong pointers and wrong numbers to every system call. */
#include "bench/user/user.h"

static long bad[16];
static unsigned nbad;

static void gather_bad(void)
{
    long pages = map(0, 3 * USER_PAGE, PROT_READ | PROT_WRITE, 0);
    expect(pages > 0);
    expect_equal(syscall(SYS_munmap, pages + (long)USER_PAGE, USER_PAGE), 0);
    expect_equal(syscall(SYS_mprotect, pages + 2 * (long)USER_PAGE, USER_PAGE, PROT_NONE), 0);
    const long addresses[] = {
        8, /* the null page */
        pages + (long)USER_PAGE, /* nothing */
        pages + (long)USER_PAGE - 4, /* half of it nothing */
        pages + 2 * (long)USER_PAGE, /* no access */
        0x3ffffffffc, /* over the end of the low half */
        0x4000000000, /* the high half, as it were */
        0x8000000000, /* not canonical */
        (long)0xffffffff80200000, /* the kernel's code */
        (long)0xffffffff80600000, /* its data */
        (long)0xfffffff080600000, /* its view of all memory */
        -8,
        -4096,
    };
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
        bad[nbad++] = addresses[i];
}

static void pointers_are_not_trusted(long at)
{
    struct timespec time = {0, 1000};
    expect_equal(syscall(SYS_write, 1, at, 64), -EFAULT);
    expect_equal(syscall(SYS_clock_gettime, 1, at), -EFAULT);
    expect_equal(syscall(SYS_nanosleep, at, 0), -EFAULT);
    expect_equal(syscall(SYS_sched_setaffinity, 0, 8, at), -EFAULT);
    expect_equal(syscall(SYS_sched_getaffinity, 0, 8, at), -EFAULT);
    if (at % 4096 != 4092) /* there a word is whole */
        expect_equal(syscall(SYS_getcpu, at, 0), -EFAULT);
    if (at % 4096 != 4092) {
        expect_equal(syscall(SYS_getcpu, 0, at), -EFAULT);
        expect_equal(syscall(SYS_futex, at, FUTEX_WAIT, 0, &time), -EFAULT);
        expect_equal(syscall(SYS_futex, &time, FUTEX_WAIT, 0, at), -EFAULT);
        expect_equal(syscall(SYS_set_tid_address, at), syscall(SYS_gettid));
        syscall(SYS_set_tid_address, 0);
    }
    if (fork() == 0)
        exit_group(3);
    if (at % 4096 != 4092)
        expect_equal(syscall(SYS_wait4, -1, at, 0), -EFAULT);
    else
        syscall(SYS_wait4, -1, 0, 0);
}

static void numbers_are_looked_at(void)
{
    struct timespec wrong[] = {{-1, 0}, {0, -1}, {0, 1000000000}, {1, INT64_MAX}};
    uint32_t value = 1;
    const char text[] = "x";
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        expect_equal(syscall(SYS_nanosleep, &wrong[i], 0), -EINVAL);
    expect_equal(syscall(SYS_write, 0, text, 1), -EBADF);
    expect_equal(syscall(SYS_write, 3, text, 1), -EBADF);
    expect_equal(syscall(SYS_write, -1, text, 1), -EBADF);
    expect_equal(syscall(SYS_write, 1, text, 0), 0);
    expect_equal(syscall(SYS_write, 1, text, -1), -EFAULT);
    expect_equal(syscall(SYS_clock_gettime, 77, &wrong[0]), -EINVAL);
    expect_equal(syscall(SYS_futex, (char *)&value + 1, FUTEX_WAIT, 1, 0), -EINVAL);
    expect_equal(syscall(SYS_futex, &value, 99, 1, 0), -ENOSYS);
    expect_equal(syscall(SYS_sched_getaffinity, 0, 4, &value), -EINVAL);
    expect_equal(syscall(SYS_clone, CLONE_THREAD), -EINVAL);
    expect_equal(syscall(SYS_clone, CLONE_VM), -EINVAL);
    expect_equal(syscall(SYS_clone, 1ul << 40 | CLONE_THREAD), -EINVAL);
    expect_equal(syscall(SYS_wait4, -1, 0, 0), -ECHILD);
    expect_equal(syscall(SYS_wait4, -1, 0, WNOHANG), -ECHILD);
    expect_equal(syscall(SYS_wait4, -1, 0, 1ul << 40 | WNOHANG | WUNTRACED | WCONTINUED), -ECHILD);
    expect_equal(syscall(SYS_wait4, -1, 0, 0x1234), -EINVAL);
}

/* Of two things that are wrong, what Linux looks at first. */
static void first_things_come_first(void)
{
    struct timespec wrong = {0, 1000000000};
    char word[8];
    expect_equal(syscall(SYS_futex, word + 1, FUTEX_WAIT, 1, 8), -EFAULT);
    expect_equal(syscall(SYS_futex, 8, FUTEX_WAIT, 1, &wrong), -EINVAL);
    expect_equal(syscall(SYS_futex, 0x8000000001, FUTEX_WAKE, 1), -EINVAL);
    expect_equal(syscall(SYS_mmap, 0, USER_PAGE, PROT_READ, 0, -1, 0), -EBADF);
    expect_equal(syscall(SYS_mmap, 0, USER_PAGE, PROT_READ, 0, -1, 1), -EINVAL);
    expect_equal(syscall(SYS_mmap, 0, 0, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0), -EINVAL);
    expect_equal(syscall(SYS_mmap, 0, USER_PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), -EINVAL);
    expect_equal(syscall(SYS_mprotect, USER_PAGE, 0, 0x1000), 0);
    expect_equal(syscall(SYS_mprotect, USER_PAGE + 1, 0, 0), -EINVAL);
    expect_equal(syscall(SYS_write, 7, 8, -1), -EBADF);
    expect_equal(syscall(SYS_sched_setaffinity, 0x7fffffff, 8, 8), -EFAULT);
    expect_equal(syscall(SYS_sched_setaffinity, 0x7fffffff, 0, 8), -ESRCH);
    expect_equal(syscall(SYS_sched_setaffinity, 0, 0, 8), -EINVAL);
}

static void others_are_not_there(void)
{
    const long numbers[] = {0, 1, 63, 95, 177, 221, 243, 259, 261, 280, 1000, -1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        expect_equal(syscall(numbers[i], 1, 2, 3, 4, 5, 6), -ENOSYS);
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    gather_bad();
    for (unsigned i = 0; i < nbad; i++)
        pointers_are_not_trusted(bad[i]);
    numbers_are_looked_at();
    first_things_come_first();
    others_are_not_there();
    return 0;
}
