/* What Linux answers to mmap and its kin, and what memory then holds. */
#include "bench/user/user.h"

#define RW       (PROT_READ | PROT_WRITE)
#define PAGES(n) ((n)*USER_PAGE)

static volatile uint64_t *word(long address)
{
    __asm__("" : "+r"(address));
    return (volatile uint64_t *)address;
}

static long unmap(long at, size_t bytes)
{
    return syscall(SYS_munmap, at, bytes);
}

static long protect(long at, size_t bytes, int protection)
{
    return syscall(SYS_mprotect, at, bytes, protection);
}

static long discard(long at, size_t bytes)
{
    return syscall(SYS_madvise, at, bytes, MADV_DONTNEED);
}

static void mmap_refuses(void)
{
    expect_equal(map(0, 0, RW, 0), -EINVAL);
    expect_equal(map(0x200000001, PAGES(1), RW, MAP_FIXED), -EINVAL);
    expect_equal(syscall(SYS_mmap, 0, PAGES(1), RW, MAP_ANONYMOUS, -1, 0), -EINVAL);
    expect_equal(syscall(SYS_mmap, 0, PAGES(1), RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1), -EINVAL);
    expect_equal(syscall(SYS_mmap, 0, PAGES(1), RW, MAP_PRIVATE, 3, 0), -EBADF);
    expect_equal(map(0, ~0ul - USER_PAGE, RW, 0), -ENOMEM);
    expect_equal(map(0, 1ul << 40, RW, 0), -ENOMEM);
    expect_equal(map(0xffffffff80200000, PAGES(1), RW, MAP_FIXED), -ENOMEM);
    expect_equal(map(0, PAGES(1), RW, MAP_FIXED), -EPERM);
    expect_equal(map(0, 1ul << 40, RW, MAP_FIXED), -ENOMEM);
    expect_equal(map(0, PAGES(1), RW | PROT_EXEC, 0), -EACCES); /* not Linux's answer, but this kernel's */
}

static void mmap_places(void)
{
    long at = map(0, PAGES(4), RW, 0);
    expect(at > 0 && at % (long)USER_PAGE == 0);
    for (unsigned i = 0; i < 4; i++)
        expect_equal(*word(at + (long)PAGES(i)), 0);
    *word(at) = 1;
    *word(at + (long)PAGES(1)) = 2;
    expect_equal(map((uint64_t)at, PAGES(1), RW, MAP_FIXED_NOREPLACE), -EEXIST);
    long other = map((uint64_t)at, PAGES(1), RW, 0); /* a hint that is taken */
    expect(other > 0 && (other < at || other >= at + (long)PAGES(4)));
    expect_equal(map((uint64_t)at, PAGES(1), RW, MAP_FIXED), at);
    expect_equal(*word(at), 0); /* what was there is gone, its neighbour is not */
    expect_equal(*word(at + (long)PAGES(1)), 2);
    expect_equal(unmap(at + (long)PAGES(1), PAGES(1)), 0);
    expect_equal(map((uint64_t)at + PAGES(1), PAGES(1), RW, 0), at + (long)PAGES(1)); /* one that is free */
    expect_equal(*word(at + (long)PAGES(1)), 0);
    expect_equal(unmap(at, PAGES(4)), 0);
    expect_equal(unmap(at, PAGES(4)), 0); /* holes are no error */
    expect_equal(unmap(at + 1, PAGES(1)), -EINVAL);
    expect_equal(unmap(at, 0), -EINVAL);
    expect_equal(unmap(0, PAGES(1)), 0);
    expect_equal(unmap(0, 0x10000), 0);
    expect_equal(unmap(USER_PAGE, 1ul << 40), -EINVAL);
    expect_equal(unmap(other, PAGES(1)), 0);
}

/* Far more than there is memory, as nobody touches it. */
static void mmap_promises(void)
{
    long at = map(0, 4ul << 30, RW, 0);
    expect(at > 0);
    for (unsigned i = 0; i < 4; i++)
        *word(at + ((long)i << 30) + 0x123000) = i + 1;
    for (unsigned i = 0; i < 4; i++)
        expect_equal(*word(at + ((long)i << 30) + 0x123000), i + 1);
    expect_equal(unmap(at, 4ul << 30), 0);
}

static void protect_keeps(void)
{
    long at = map(0, PAGES(8), RW, 0);
    expect(at > 0);
    for (unsigned i = 0; i < 8; i++)
        *word(at + (long)PAGES(i)) = i + 1;
    expect_equal(protect(at + (long)PAGES(2), PAGES(3), PROT_NONE), 0);
    expect_equal(syscall(SYS_clock_gettime, 1, at + (long)PAGES(2)), -EFAULT);
    expect_equal(syscall(SYS_clock_gettime, 1, at + (long)PAGES(5)), 0);
    expect_equal(protect(at + (long)PAGES(2), PAGES(3), PROT_READ), 0);
    expect_equal(*word(at + (long)PAGES(3)), 4);
    expect_equal(syscall(SYS_clock_gettime, 1, at + (long)PAGES(3)), -EFAULT);
    expect_equal(protect(at, PAGES(8), RW), 0);
    *word(at + (long)PAGES(3)) = 44;
    expect_equal(*word(at + (long)PAGES(3)), 44);
    expect_equal(protect(at + 1, PAGES(1), RW), -EINVAL);
    expect_equal(protect(at, 0, RW), 0);
    expect_equal(protect(at, PAGES(1), 64), -EINVAL);
    expect_equal(unmap(at + (long)PAGES(4), PAGES(1)), 0);
    expect_equal(protect(at, PAGES(8), PROT_READ), -ENOMEM);
    expect_equal(protect(at, PAGES(1), RW | PROT_EXEC), -EACCES);
    expect_equal(unmap(at, PAGES(8)), 0);
}

static void discard_zeroes(void)
{
    long at = map(0, PAGES(4), RW, 0);
    expect(at > 0);
    for (unsigned i = 0; i < 4; i++)
        *word(at + (long)PAGES(i)) = i + 1;
    expect_equal(discard(at + (long)PAGES(1), PAGES(2)), 0);
    expect_equal(*word(at), 1);
    expect_equal(*word(at + (long)PAGES(1)), 0);
    expect_equal(*word(at + (long)PAGES(2)), 0);
    expect_equal(*word(at + (long)PAGES(3)), 4);
    expect_equal(discard(at + 1, PAGES(1)), -EINVAL);
    expect_equal(discard(at, 0), 0);
    expect_equal(syscall(SYS_madvise, at, PAGES(1), 12345), -EINVAL);
    expect_equal(unmap(at + (long)PAGES(1), PAGES(1)), 0);
    expect_equal(discard(at, PAGES(4)), -ENOMEM);
    expect_equal(syscall(SYS_madvise, at, PAGES(4), MADV_WILLNEED), -ENOMEM);
    expect_equal(syscall(SYS_madvise, at, PAGES(1), MADV_WILLNEED), 0);
    expect_equal(syscall(SYS_madvise, 0, PAGES(1), MADV_WILLNEED), -ENOMEM);
    expect_equal(discard(at, -at), -EINVAL);
    expect_equal(discard(at, ~0ul), -EINVAL);
    expect_equal(*word(at + (long)PAGES(3)), 0); /* the rest has been, as on Linux */
    expect_equal(unmap(at, PAGES(4)), 0);
}

static void brk_moves(void)
{
    long first = syscall(SYS_brk, 0);
    expect(first > 0);
    expect_equal(syscall(SYS_brk, 1), first);
    expect_equal(syscall(SYS_brk, first + 10000), first + 10000);
    expect_equal(*word((first + 9000) & ~7l), 0);
    *word((first + 9000) & ~7l) = 5;
    expect_equal(syscall(SYS_brk, first + 100), first + 100);
    expect_equal(syscall(SYS_brk, first + 10000), first + 10000);
    expect_equal(*word((first + 9000) & ~7l), 0);
    expect_equal(syscall(SYS_brk, -1), first + 10000);
    expect_equal(syscall(SYS_brk, first), first);
    expect_equal(syscall(SYS_brk, 0), first);
}

/* Many areas side by side, every other one taken away, the rest as it was. */
static void areas_are_apart(void)
{
    long at = map(0, PAGES(1024), RW, 0);
    expect(at > 0);
    for (unsigned i = 0; i < 1024; i++)
        *word(at + (long)PAGES(i)) = i + 1;
    for (unsigned i = 0; i < 1024; i += 2)
        expect_equal(unmap(at + (long)PAGES(i), PAGES(1)), 0);
    for (unsigned i = 0; i < 1024; i++) {
        long answer = syscall(SYS_clock_gettime, 1, at + (long)PAGES(i) + 16);
        expect_equal(answer, i % 2 ? 0 : -EFAULT);
        if (i % 2)
            expect_equal(*word(at + (long)PAGES(i)), i + 1);
    }
    expect_equal(unmap(at, PAGES(1024)), 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    mmap_refuses();
    mmap_places();
    mmap_promises();
    protect_keeps();
    discard_zeroes();
    brk_moves();
    areas_are_apart();
    return 0;
}
