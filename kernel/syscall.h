/* System calls: Linux's numbers and meanings on riscv64 for what there is. docs/user-mode.md has the list. */
#ifndef KERNEL_SYSCALL_H
#define KERNEL_SYSCALL_H

#include "kernel/errno.h"
#include "kernel/thread.h"

/* Not Linux's: the word that somebody resumes the thread with (kernel/thread.h). Of the numbers that are an
 * architecture's own, one that RISC-V does not use. */
#define SYSCALL_PAUSE 244

/* Nor is this: an interrupt that is pending for this hart when the program goes on, as a timer's may be. For benchmarks, under whose
 * model there is no timer. */
#define SYSCALL_TICK 245

/* What a handler returns whose thread does not go on at once: whoever wakes it writes the result. No errno is near. */
#define SYSCALL_LEAVES (-(1L << 62))

/* @args: a0 … a5 as the program gave them. Interrupts are on, the thread's space is entered. */
typedef long syscall_t(struct thread *thread, const uint64_t *args);

syscall_t sys_exit, sys_exit_group, sys_write, sys_clone, sys_wait4, sys_pause,
    sys_tick; /* syscall_process.c */
syscall_t sys_getpid, sys_gettid, sys_set_tid_address;
syscall_t sys_futex, sys_nanosleep, sys_clock_gettime; /* syscall_wait.c */
syscall_t sys_sched_yield, sys_sched_setaffinity, sys_sched_getaffinity, sys_getcpu;
syscall_t sys_mmap, sys_munmap, sys_mprotect, sys_madvise, sys_brk; /* syscall_memory.c */

/** syscall_answer - write a thread's result, which nobody else has. */
static inline void syscall_answer(struct thread *thread, long result)
{
    thread->context.x[USER_A0] = (uint64_t)result;
}

/* An ecall has no short form. */
#define SYSCALL_BYTES 4

/** syscall_again - for park functions: when the thread goes on it makes the same system call again. What it asks for is still in its
 *  registers: no result has been written. */
static inline void syscall_again(struct thread *thread)
{
    thread->context.x[USER_PC] -= SYSCALL_BYTES;
}

#endif
