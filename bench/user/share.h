/*
 * What the kernel's side of a vm.* workload (bench/vm.c) and the program's (bench/user/bench.c) say to each other: a block a
 * thread, in memory of the kernel's that the program sees, too, and one for all of them.
 */
#ifndef BENCH_USER_SHARE_H
#define BENCH_USER_SHARE_H

#include "arch/layout.h"
#include "lib/base.h"
#include "lib/histogram.h"

/* Where a thread sees what is its own, in USER_STACKS_BASE … USER_STACKS_END: 2 MiB for each hart, so that no other hart uses
 * the same tables, with its stack and all that the kernel shows it. */
#define USER_OWN_BASE   (USER_STACKS_BASE + 0x40000000ul)
#define USER_OWN_STRIDE 0x200000ul
#define USER_OWN_STACK  0x100000ul /* the stack, from there */

/* The program's loops, in the order of its table. */
enum user_loop {
    LOOP_MAP_LOCAL,
    LOOP_MAP_UNTOUCHED,
    LOOP_MAP_PIPELINE,
    LOOP_MAP_GLOBAL,
    LOOP_FAULT,
    LOOP_FAULT_SHARED,
    LOOP_PROTECT,
    LOOP_FORK,
    LOOP_SYSCALL,
    LOOP_TICK,
    LOOP_SHOOTDOWN,
    LOOP_SWITCH,
    LOOPS
};

/* Pages of a region, by workload. */
#define USER_LOCAL_PAGES   4
#define USER_FAULT_PAGES   256 /* 1 MiB */
#define USER_PROTECT_PAGES 16
#define USER_FORK_PAGES    64

/* vm.shootdown measures by how many harts had touched the page: so many different numbers, and how many they are. */
#define USER_TARGETS_MAX 8

/* The latencies that a loop tells apart; those of enum bench_latency. */
#define USER_TAKE      0
#define USER_GIVE      1
#define USER_LATENCIES 2

/* Of one thread. Only its hart writes it. */
struct user_share {
    /* By the kernel, while the thread is paused. */
    uint64_t loop;
    uint64_t index, nharts; /* of the threads of its process */
    uint64_t party; /* all threads of the data point: so many meet */
    uint64_t collective; /* whether its threads wait for each other within a round */
    uint64_t rounds; /* between two looks at the clock */
    uint64_t deadline; /* when the span is over */
    uint64_t timed;
    uint64_t reported; /* these are rounds of a trial, and not of a warm-up */
    uint64_t
        clock; /* where the program sees the model's time of this hart; 0: the cycle counter is the clock */
    uint64_t common; /* where it sees struct user_common */
    uint64_t latency[USER_LATENCIES]; /* and the histograms, struct histogram */
    uint64_t told; /* of vm.shootdown: the last time that this thread knows of */

    /* By the program. */
    uint64_t ops;
    uint64_t failed; /* calls that did, which they must not */
    uint64_t began, ended; /* of the last span */
    uint64_t region; /* that it keeps; 0: none yet */
    uint64_t forked; /* the other process of vm.switch is there */
    uint64_t wrong; /* pages whose contents were */
    /* Of vm.shootdown: numbers of other harts that had the page, and how long its unmapping took how often. */
    uint64_t targets[USER_TARGETS_MAX], cycles[USER_TARGETS_MAX], times[USER_TARGETS_MAX];
} CACHE_ALIGNED;

/* Of all threads of the data point. A word that one writes and others poll is on a line of its own. */
struct user_common {
    struct {
        _Atomic uint64_t arrived, round;
    } CACHE_ALIGNED barrier;
    struct {
        _Atomic uint64_t told; /* how many are to touch the page, and which time it is in the upper half */
        _Atomic uint64_t done CACHE_ALIGNED; /* times that a thread has touched it */
    } CACHE_ALIGNED touch;
    _Atomic uint64_t over CACHE_ALIGNED; /* the span is, where all must know at once */
    struct {
        _Atomic uint64_t region; /* an address that the thread before hands to this one; 0: none yet */
    } CACHE_ALIGNED slot[64];
};

#endif
