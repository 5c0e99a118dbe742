/*
 * Traps from U-mode: system calls by their number, page faults to the space, the unit that a program has not used yet, and for
 * everything else the end of the process with a message. The kernel goes on whatever a program does.
 */
#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/split.h"
#include "arch/trap.h"
#include "kernel/process.h"
#include "kernel/syscall.h"
#include "kernel/user_trap.h"
#include "lib/error.h"
#include "smp/shootdown.h"
#include "trace/counter.h"
#include "trace/inject.h"

static syscall_t *const calls[] = {
    [64] = sys_write,
    [93] = sys_exit,
    [94] = sys_exit_group,
    [96] = sys_set_tid_address,
    [98] = sys_futex,
    [101] = sys_nanosleep,
    [113] = sys_clock_gettime,
    [122] = sys_sched_setaffinity,
    [123] = sys_sched_getaffinity,
    [124] = sys_sched_yield,
    [168] = sys_getcpu,
    [172] = sys_getpid,
    [178] = sys_gettid,
    [214] = sys_brk,
    [215] = sys_munmap,
    [220] = sys_clone,
    [222] = sys_mmap,
    [226] = sys_mprotect,
    [233] = sys_madvise,
    [SYSCALL_PAUSE] = sys_pause,
    [SYSCALL_TICK] = sys_tick,
    [260] = sys_wait4,
};

static NOINLINE long unknown_call(void)
{
    counter_add(COUNTER_SYSCALL_UNKNOWN, 1);
    return -ENOSYS;
}

static void system_call(struct thread *thread, struct user_context *context)
{
    uint64_t number = context->x[USER_A7];
    context->x[USER_PC] += SYSCALL_BYTES;
    syscall_t *call = number < ARRAY_SIZE(calls) ? calls[number] : NULL;
    long result = likely(call) ? call(thread, &context->x[USER_A0]) : unknown_call();
    if (likely(result != SYSCALL_LEAVES))
        context->x[USER_A0] = (uint64_t)result;
}

/* Of a family. */
#define MESSAGES_MAX 20

static int signal_of(uint64_t cause, int error)
{
    if (trap_is_page_fault(cause))
        return error == ERR_NO_MEMORY ? SIGNAL_KILL : SIGNAL_SEGV;
    switch (cause) {
    case SCAUSE_ILLEGAL: return SIGNAL_ILL;
    case SCAUSE_BREAKPOINT: return SIGNAL_TRAP;
    case SCAUSE_FETCH_MISALIGNED:
    case SCAUSE_LOAD_MISALIGNED:
    case SCAUSE_STORE_MISALIGNED: return SIGNAL_BUS;
    default: return SIGNAL_SEGV; /* an access that no memory answers */
    }
}

/* @error: of the space, for page faults */
static void end_process(struct thread *thread, uint64_t cause, uint64_t address, int error)
{
    struct process *process = thread->process;
    /* Relaxed: a count. A thousand processes that die of the same are told of by a few. amoadd.w */
    if (atomic_fetch_add_explicit(&process->family->nmessages, 1, memory_order_relaxed) < MESSAGES_MAX)
        console_format("program %s, process %d, thread %d: %s%s%s at pc %#lx, address %#lx\n", process->name,
            process->pid, thread->tid, trap_cause_text(cause), error ? ": " : "",
            error ? error_text(error) : "", thread->context.x[USER_PC], address);
    process_exit(process, thread, STATUS_KILLED(signal_of(cause, error)));
    hart_attend();
}

static uint64_t access_rights(enum trap_access access)
{
    return access == TRAP_WRITE ? PTE_W : access == TRAP_EXECUTE ? PTE_X : PTE_R;
}

static NOINLINE void other_trap(struct thread *thread, uint64_t cause)
{
    uint64_t address = trap_address();
    int error = 0;
    if (trap_interrupt(cause)) { /* with interrupts off */
        shootdown_quiescent();
        return;
    }
    interrupts_enable();
    shootdown_quiescent();
    if (trap_is_page_fault(cause)) {
        error = space_fault(thread->process->space, VADDR(address), access_rights(trap_access(cause)));
        if (!error)
            return;
    }
    if (cause == SCAUSE_ILLEGAL && user_fp_unused(&thread->context)) {
        thread_use_fp(thread); /* if that was not it, it comes again */
        return;
    }
    end_process(thread, cause, address, error);
}

LEAF_PATH void user_trap(struct user_context *context, uint64_t cause)
{
    struct thread *thread = (struct thread *)context;
    if (plant_due(PLANT_SPLIT_NOFLUSH))
        split_forget_flush();
    if (unlikely(cause != SCAUSE_USER_CALL)) {
        other_trap(thread, cause);
        return;
    }
    interrupts_enable();
    shootdown_quiescent();
    system_call(thread, context);
}

/* In the middle of the kernel's own access. */
static int mend(uint64_t address, enum trap_access access)
{
    struct space *space = space_current();
    return space ? space_fault(space, VADDR(address), access_rights(access)) : ERR_RANGE;
}

void user_trap_init(void)
{
    trap_set_user_fault(mend);
}
