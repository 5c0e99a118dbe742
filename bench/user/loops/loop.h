/* What the loops of the program `bench` have in common. Each is a function of the thread's block that does share->rounds rounds. */
#ifndef BENCH_USER_LOOPS_LOOP_H
#define BENCH_USER_LOOPS_LOOP_H

#include "arch/model_page.h"
#include "bench/user/share.h"
#include "bench/user/user.h"

#define PROT_RW (PROT_READ | PROT_WRITE)

/* Where regions lie that several threads use: 2 MiB apart, so that harts that touch one share no table with those that touch
 * another. Within the mmap zone, behind all that a call without an address finds first. */
#define SHARED_BASE   0x3f7000000ul
#define SHARED_STRIDE 0x200000ul

#define MODEL_HINT(code) __asm__ volatile("slti x0, x0, %0" ::"i"(code) : "memory")

/* LOOP(name) defines loop_NAME from a function NAME that takes `const bool timed` behind the block, so that the untimed spans
 * carry nothing of the timing. */
#define LOOP(name)                                                                                           \
    void loop_##name(struct user_share *share)                                                               \
    {                                                                                                        \
        if (share->timed)                                                                                    \
            name(share, true);                                                                               \
        else                                                                                                 \
            name(share, false);                                                                              \
    }

typedef void loop_t(struct user_share *share);

loop_t loop_map_local, loop_map_untouched, loop_map_pipeline, loop_map_global; /* map.c */
loop_t loop_fault, loop_fault_shared, loop_protect, loop_fork_write; /* page.c */
loop_t loop_null_call, loop_tick, loop_shootdown, loop_switch_process; /* call.c */

/** now - the clock, as the kernel's clock_now() reads it. */
static ALWAYS_INLINE uint64_t now(const struct user_share *share)
{
    uint64_t cycles;
    if (share->clock) {
        MODEL_HINT(MODEL_HINT_TIME);
        return *(const volatile uint64_t *)share->clock;
    }
    __asm__ volatile("rdcycle %0" : "=r"(cycles)::"memory");
    return cycles;
}

/** record - a latency; what a reading of the clock costs by itself is taken off. */
void record(struct user_share *share, unsigned kind, uint64_t since, uint64_t until);

/** meet - return when all threads of the data point have called it. */
void meet(const struct user_share *share);

/** map_region, unmap_region - anonymous memory; what fails is counted. map_shared - at a fixed address.
 *  kept_region - one that the thread has from its first call on, written to. */
void *map_region(struct user_share *share, size_t pages);
void *map_shared(struct user_share *share, uint64_t where, size_t pages);
void *kept_region(struct user_share *share, size_t pages);
void unmap_region(struct user_share *share, void *region, size_t pages);

static inline struct user_common *common_of(const struct user_share *share)
{
    return (struct user_common *)share->common;
}

/** word_of - the first word of a page. Of one that has just been mapped it is 0. */
static ALWAYS_INLINE volatile uint64_t *word_of(void *region, size_t page)
{
    return (volatile uint64_t *)((uint8_t *)region + page * USER_PAGE);
}

static ALWAYS_INLINE void write_pages(void *region, size_t pages, uint64_t value)
{
    for (size_t i = 0; i < pages; i++)
        *word_of(region, i) = value;
}

/** relax - in a loop that waits for another hart: pause, as cpu_relax(). */
static ALWAYS_INLINE void relax(void)
{
    __asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory");
}

#endif
