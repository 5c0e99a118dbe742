/* How many instructions a system call takes that does nothing, by the hart's own counter of them: exact where nothing else runs
 * on the hart, on QEMU with -icount. */
#include "bench/user/user.h"

#define CALLS 1000

static ALWAYS_INLINE uint64_t instructions(void)
{
    uint64_t count;
    __asm__ volatile("rdinstret %0" : "=r"(count)::"memory");
    return count;
}

/* An unrolled loop would count the loop's own. */
static NOINLINE uint64_t measure(void)
{
    register long a7 __asm__("a7") = SYS_getpid;
    register long a0 __asm__("a0");
    uint64_t before = instructions();
    for (unsigned i = 0; i < CALLS; i++)
        __asm__ volatile("ecall" : "=r"(a0) : "r"(a7) : "memory");
    return instructions() - before;
}

static NOINLINE uint64_t measure_empty(void)
{
    uint64_t before = instructions();
    for (unsigned i = 0; i < CALLS; i++)
        __asm__ volatile("" ::: "memory");
    return instructions() - before;
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    measure();
    uint64_t spent = measure() - measure_empty();
    print("null: %lu.%02lu instructions a call\n", spent / CALLS, spent % CALLS / 10);
    return 0;
}
