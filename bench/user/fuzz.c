/*
 * Random system calls with random and adversarial arguments: fuzz SEED COUNT. For each hart a process of two threads makes a
 * part of them, in one space that both keep changing; one that dies of what it does is followed by another with
 * another seed, until COUNT calls have been made by processes that came through. Nothing of it may be noticed by the kernel.
 */
#include "bench/user/user.h"
#include "lib/bits.h"
#include "lib/number.h"
#include "lib/rng.h"

#define PART 1000 /* calls of a process */

/* Where calls about memory are let loose most of the time: not where a hart looks first for what is mapped anywhere. */
#define ARENA       0x206000000ul
#define ARENA_BYTES (8ul << 20)

static const struct timespec short_time = {0, 20000}, long_time = {0, 2000000};

static uint64_t any_of(struct rng *rng, const uint64_t *values, size_t n)
{
    return values[rng_next(rng) % n];
}

static uint64_t edge(struct rng *rng)
{
    static const uint64_t edges[] = {0, 1, 7, 0xfff, 0x1000, 0xf000, 0xfffff, 0x40000000, 0x7ffff000,
        0x80000000, 0x1fffff000, 0x3fffff000, 0x400000000, 0x3ffffff000, 0x4000000000, 0x7ffffff000,
        0x8000000000, 1ul << 63, 0xffffffc000000000, 0xfffffff080600000, 0xffffffff80200000,
        0xffffffffbfe04000, 0xffffffffffffffff, 0xfffffffffffff000, 0xfffffffffffffff8};
    return any_of(rng, edges, ARRAY_SIZE(edges));
}

/* Most often whole pages of the arena. */
static uint64_t address(struct rng *rng)
{
    uint64_t in = ARENA + rng_next(rng) % ARENA_BYTES, kind = rng_next(rng) % 16;
    if (kind == 0)
        return edge(rng);
    return kind < 13 ? ALIGN_DOWN(in, USER_PAGE) : kind < 15 ? ALIGN_DOWN(in, 8ul) : in;
}

/* For what is written: nothing of this program's own. */
static uint64_t pointer(struct rng *rng)
{
    uint64_t in = ARENA + rng_next(rng) % ARENA_BYTES;
    return rng_next(rng) % 4 == 0 ? edge(rng) : ALIGN_DOWN(in, 4ul);
}

/* Not to be read as a time that never comes, or as none. */
static uint64_t time_pointer(struct rng *rng)
{
    static const uint64_t wrong[] = {8, 0x4000000000, 0xffffffff80200000, ~0ul};
    return rng_next(rng) % 4 == 0 ? any_of(rng, wrong, ARRAY_SIZE(wrong)) : (uint64_t)&short_time;
}

static uint64_t length(struct rng *rng)
{
    uint64_t kind = rng_next(rng) % 32;
    if (kind == 0)
        return edge(rng);
    if (kind == 1)
        return rng_next(rng) % ARENA_BYTES;
    return (rng_next(rng) % (kind < 8 ? 600 : 5)) * USER_PAGE + (kind < 12 ? rng_next(rng) % USER_PAGE : 0);
}

static uint64_t flag_bits(struct rng *rng, uint64_t usual)
{
    uint64_t kind = rng_next(rng) % 8;
    return kind == 0 ? rng_next(rng) : kind == 1 ? usual ^ 1ul << rng_next(rng) % 64 : usual;
}

static void fuzz_memory(struct rng *rng)
{
    static const uint64_t how[] = {0, 0, MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_POPULATE | MAP_FIXED};
    static const uint64_t rights[] = {0, 1, 3, 3, 3, 5, 7};
    uint64_t at = address(rng), bytes = length(rng), protection = any_of(rng, rights, ARRAY_SIZE(rights));
    switch (rng_next(rng) % 8) {
    case 0:
    case 1:
    case 2: {
        uint64_t flags = any_of(rng, how, ARRAY_SIZE(how)) | MAP_PRIVATE | MAP_ANONYMOUS;
        if (flags & MAP_POPULATE)
            bytes %= 64 * USER_PAGE;
        syscall(SYS_mmap, at, bytes, flag_bits(rng, protection),
            flag_bits(rng, flags) & ~(uint64_t)MAP_POPULATE, rng_next(rng), 0);
        break;
    }
    case 3: syscall(SYS_munmap, at, bytes); break;
    case 4: syscall(SYS_mprotect, at, bytes, flag_bits(rng, protection)); break;
    case 5: syscall(SYS_madvise, at, bytes, rng_next(rng) % 8 ? MADV_DONTNEED : rng_next(rng)); break;
    case 6: syscall(SYS_brk, rng_next(rng) % 2 ? 0x40000000 + rng_next(rng) % 0x100000 : edge(rng)); break;
    default: syscall(SYS_clock_gettime, rng_next(rng) % 9, at); break; /* the kernel touches it */
    }
}

/* A child that is a process ends at once, or changes a little of the memory that it has a copy of. */
static void fuzz_fork(struct rng *rng)
{
    uint64_t ids = rng_next(rng) % 4
                       ? 0
                       : rng_next(rng) & (CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID);
    if (syscall(SYS_clone, SIGCHLD | ids, 0, pointer(rng), rng_next(rng), pointer(rng)) != 0)
        return;
    for (unsigned i = rng_next(rng) % 8; i > 0; i--)
        fuzz_memory(rng);
    exit_group(0);
}

static void fuzz_waits(struct rng *rng)
{
    switch (rng_next(rng) % 5) {
    case 0:
        syscall(SYS_futex, pointer(rng), FUTEX_WAIT | (rng_next(rng) & 128), rng_next(rng) % 2,
            time_pointer(rng));
        break;
    case 1: syscall(SYS_futex, pointer(rng), FUTEX_WAKE | (rng_next(rng) & 128), rng_next(rng)); break;
    case 2: syscall(SYS_futex, pointer(rng), 2 + rng_next(rng), rng_next(rng), pointer(rng)); break;
    case 3: syscall(SYS_nanosleep, time_pointer(rng), pointer(rng)); break;
    default:
        syscall(
            SYS_wait4, flag_bits(rng, ~0ul), pointer(rng), flag_bits(rng, WNOHANG) | WNOHANG, pointer(rng));
        break;
    }
}

static void fuzz_others(struct rng *rng)
{
    uint64_t number;
    switch (rng_next(rng) % 10) {
    case 0: syscall(SYS_sched_yield); break;
    case 1: syscall(SYS_sched_setaffinity, rng_next(rng) % 80, length(rng), pointer(rng)); break;
    case 2: syscall(SYS_sched_getaffinity, rng_next(rng) % 80, rng_next(rng) % 4 * 8, pointer(rng)); break;
    case 3: syscall(SYS_getcpu, pointer(rng), pointer(rng)); break;
    case 4: syscall(SYS_gettid); break;
    case 5:
        syscall(
            SYS_write, rng_next(rng) % 8 == 0 ? 1 : rng_next(rng) | 4, edge(rng) | 1ul << 63, length(rng));
        break;
    case 6:
        syscall(SYS_clone, flag_bits(rng, CLONE_VM) | CLONE_VM, pointer(rng), pointer(rng), 0, pointer(rng));
        break;
    case 7: fuzz_fork(rng); break;
    default:
        number = rng_next(rng) % 2 ? rng_next(rng) % 512 : rng_next(rng);
        if (number < 60 || (number > 270 && number != SYS_pause_work)) /* none that there is */
            syscall(
                (long)number, rng_next(rng), edge(rng), pointer(rng), length(rng), edge(rng), rng_next(rng));
        break;
    }
}

static uint64_t part_seed;

static void fuzz(void *argument)
{
    struct rng rng;
    rng_seed(&rng, part_seed, (uint64_t)argument);
    for (unsigned i = 0; i < PART / 2; i++) {
        uint64_t kind = rng_next(&rng) % 16;
        if (kind < 9)
            fuzz_memory(&rng);
        else if (kind < 12)
            fuzz_waits(&rng);
        else
            fuzz_others(&rng);
    }
}

/* In a child. */
static void fuzz_part(uint64_t seed)
{
    struct user_thread other;
    part_seed = seed;
    if (thread_start(&other, fuzz, (void *)1))
        exit_group(0); /* there is no room now */
    fuzz((void *)0);
    /* The other may take away the right to write where the kernel is to tell of its end. */
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t tid = atomic_load(&other.tid);
        if (tid == 0)
            exit_group(100);
        futex_wait(&other.tid, tid, &long_time);
    }
    exit_group(0);
}

int main(int argc, char **argv)
{
    uint64_t seed, wanted, done = 0, died = 0, refused = 0;
    unsigned running = 0, harts = bits_count(harts_allowed());
    if (argc != 3 || number_parse_range(argv[1], 0, UINT64_MAX, &seed) ||
        number_parse_range(argv[2], 1, 1ull << 40, &wanted))
        return 2;
    for (uint64_t part = 0; done < wanted || running > 0; part++) {
        while (running < harts && done < wanted) {
            long pid = fork();
            if (pid == 0)
                fuzz_part(seed * 1000003 + part);
            if (pid < 0)
                break;
            running++;
            part++;
        }
        int status = 0;
        if (wait_child(-1, &status, 0) > 0)
            running--;
        else if (++refused > 1000)
            return 1; /* no room for a single process */
        if (status == 100 << 8)
            done += PART;
        else
            died++;
    }
    print("fuzz: %lu calls, and %lu processes that died or had no room\n", done, died);
    return 0;
}
