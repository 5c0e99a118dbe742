/*
 * What the vm.* workloads have in common: programs in user mode (bench/user/bench.c), one thread a hart that is pinned to it,
 * which do the rounds. bench/vm_workloads.c says which there are.
 */
#ifndef BENCH_VM_H
#define BENCH_VM_H

#include "bench/bench.h"
#include "bench/user/share.h"

/* The workload's part that is virtual memory's: struct workload.vm. */
struct bench_vm {
    unsigned
        varies; /* the choices that it is about, 1 << enum bench_vm_choice each: it is measured over those */
    enum user_loop loop; /* what the threads do */
    bool collective; /* threads wait for each other within a round, so all do as many of them */
    bool alone; /* a process a hart, and not a thread a hart of one process */
};

/** vm_available, vm_setup, vm_run, vm_teardown, vm_check, vm_conclude - those of every such workload; see struct workload. */
int vm_available(struct writer *why);
int vm_setup(struct bench_run *run);
void vm_run(struct bench_hart *hart, uint64_t rounds);
void vm_teardown(struct bench_run *run);
int vm_check(struct bench_run *run, struct writer *why);
void vm_conclude(struct bench_run *run);

/** vm_begin - before everything else of a data point: its design is the kernel's. 0, or an error; then comes vm_end(), too.
 *  vm_end - after everything else: as it was. The harts are quiet. */
int vm_begin(struct bench_run *run);
void vm_end(void);

#endif
