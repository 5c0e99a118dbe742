/*
 * The vm.* workloads: the same harness around different loops of one program. What a round is, and where it comes from, is said at
 * each loop in bench/user/bench.c.
 */
#include "bench/vm.h"
#include "bench/workloads.h"

#define SPLITS     (1u << BENCH_VM_SPLIT | 1u << BENCH_VM_ASID)
#define LOCKS      (1u << BENCH_VM_PTLOCK)
#define SHOOTDOWNS (1u << BENCH_VM_SHOOTDOWN)

/* Until each hart has gone once through the frames that it takes turns with: some ten, or a MiB of them. */
#define WARM_UP(loop) ((loop) == LOOP_FAULT || (loop) == LOOP_FAULT_SHARED ? 1500000 : 500000)

/* Rounds: enough between two looks at the clock that those cost under a per cent. */
#define WORKLOAD(id, measures_, loop_, varies_, rounds_, ...)                                                \
    static const struct bench_vm vm_##id = {.varies = varies_, .loop = loop_, __VA_ARGS__};                  \
    const struct workload workload_vm_##id = {                                                               \
        .name = "vm." #id,                                                                                   \
        .measures = measures_,                                                                               \
        .axis = BENCH_VM,                                                                                    \
        .vm = &vm_##id,                                                                                      \
        .rounds = rounds_,                                                                                   \
        .warm_up_cycles = WARM_UP(loop_),                                                                    \
        .available = vm_available,                                                                           \
        .setup = vm_setup,                                                                                   \
        .run = vm_run,                                                                                       \
        .teardown = vm_teardown,                                                                             \
        .check = vm_check,                                                                                   \
        .conclude = vm_conclude,                                                                             \
    }

WORKLOAD(map_local, "4 pages mapped, written to and unmapped by each thread", LOOP_MAP_LOCAL,
    LOCKS | SHOOTDOWNS, 16);
WORKLOAD(map_untouched, "a page mapped and unmapped", LOOP_MAP_UNTOUCHED, LOCKS | SHOOTDOWNS, 256);
WORKLOAD(map_pipeline, "4 pages mapped and written to, and by the next thread, too, which unmaps them",
    LOOP_MAP_PIPELINE, LOCKS | SHOOTDOWNS, 16, .collective = true);
WORKLOAD(map_global, "4 pages mapped by each thread, written to by all, unmapped", LOOP_MAP_GLOBAL,
    LOCKS | SHOOTDOWNS, 16, .collective = true);
WORKLOAD(fault, "a MiB mapped, each page touched, unmapped; by the page", LOOP_FAULT, LOCKS | SHOOTDOWNS, 1);
WORKLOAD(fault_shared, "a MiB mapped by one thread, touched by all, unmapped; by the page", LOOP_FAULT_SHARED,
    LOCKS | SHOOTDOWNS, 1, .collective = true);
WORKLOAD(protect, "16 pages made read-only and writable again, and written to", LOOP_PROTECT,
    LOCKS | SHOOTDOWNS, 64);
WORKLOAD(fork, "a process of 64 pages forked, the child writes half of them and ends", LOOP_FORK,
    LOCKS | SHOOTDOWNS, 16, .alone = true);
WORKLOAD(syscall, "a system call that does nothing", LOOP_SYSCALL, SPLITS, 2048);
WORKLOAD(tick, "a system call, and an interrupt behind it in user mode", LOOP_TICK, SPLITS, 1024);
WORKLOAD(shootdown, "one page unmapped that other harts have used", LOOP_SHOOTDOWN, SHOOTDOWNS, 16,
    .collective = true);
WORKLOAD(switch, "from a process to another on the same hart", LOOP_SWITCH, SPLITS, 512, .alone = true);
