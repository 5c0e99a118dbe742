/* Does what a program may not: the kind is the argument. Ends with 0 if it was let. */
#include "bench/user/user.h"
#include "lib/string.h"

/* The compiler is not to know what is there. */
static volatile uint64_t *at(uint64_t address)
{
    __asm__("" : "+r"(address));
    return (volatile uint64_t *)address;
}

static void read_null(void)
{
    *at(8);
}

static void write_null(void)
{
    *at(8) = 1;
}

static void read_kernel(void)
{
    *at(0xffffffff80200000);
}

static void write_kernel(void)
{
    *at(0xffffffff80600000) = 1;
}

static void read_direct(void)
{
    *at(0xfffffff080600000);
}

static void read_far(void)
{
    *at(0x8000000000); /* not canonical */
}

static void write_text(void)
{
    *at((uint64_t)write_text) = 0;
}

static void jump(uint64_t address)
{
    __asm__ volatile("jr %0" : : "r"(address));
}

static void run_data(void)
{
    static volatile uint32_t code = 0x8067;
    jump((uint64_t)&code);
}

static void run_kernel(void)
{
    jump(0xffffffff80200000);
}

static void run_null(void)
{
    jump(0);
}

static void illegal(void)
{
    __asm__ volatile(".word 0");
}

static void breakpoint(void)
{
    __asm__ volatile("ebreak");
}

static void privileged(void)
{
    __asm__ volatile("csrr t0, sstatus" ::: "t0");
}

static void supervisor_return(void)
{
    __asm__ volatile("sret");
}

static void wild_stack(void)
{
    __asm__ volatile("li sp, -64\n sd ra, 0(sp)" ::: "memory");
}

static void overflow_stack(void)
{
    __asm__ volatile("1: addi sp, sp, -2048\n sd zero, 0(sp)\n j 1b" ::: "memory");
}

static void return_unmapped(void)
{
    long page = map(0, USER_PAGE, PROT_READ | PROT_WRITE, 0);
    expect(page > 0);
    *at((uint64_t)page) = 1;
    expect_equal(syscall(SYS_munmap, page, USER_PAGE), 0);
    *at((uint64_t)page);
}

static void write_protected(void)
{
    long page = map(0, USER_PAGE, PROT_READ | PROT_WRITE, 0);
    expect(page > 0);
    *at((uint64_t)page) = 1;
    expect_equal(syscall(SYS_mprotect, page, USER_PAGE, PROT_READ), 0);
    expect_equal(*at((uint64_t)page), 1);
    *at((uint64_t)page) = 2;
}

static const struct kind {
    const char *name;
    void (*run)(void);
} kinds[] = {
    {"read_null", read_null},
    {"write_null", write_null},
    {"read_kernel", read_kernel},
    {"write_kernel", write_kernel},
    {"read_direct", read_direct},
    {"read_far", read_far},
    {"write_text", write_text},
    {"run_data", run_data},
    {"run_kernel", run_kernel},
    {"run_null", run_null},
    {"illegal", illegal},
    {"breakpoint", breakpoint},
    {"privileged", privileged},
    {"supervisor_return", supervisor_return},
    {"wild_stack", wild_stack},
    {"overflow_stack", overflow_stack},
    {"return_unmapped", return_unmapped},
    {"write_protected", write_protected},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(kinds); i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            kinds[i].run();
    return 0;
}
