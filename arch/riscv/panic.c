/* Panic: one hart reports, all the others stop, the machine powers off with failure. */
#include <stdatomic.h>

#include "arch/panic.h"
#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/hart.h"
#include "arch/power.h"
#include "arch/symbols.h"
#include "arch_private.h"

static void (*stop_others)(void);
static _Atomic(struct arch_hart *) reporter; /* the first hart that panicked */

static const char *const register_names[32] = {"pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10",
    "s11", "t3", "t4", "t5", "t6"};

static const char *const exception_names[] = {"instruction address misaligned", "instruction access fault",
    "illegal instruction", "breakpoint", "load address misaligned", "load access fault",
    "store address misaligned", "store access fault", "system call from U-mode", "system call from S-mode",
    "reserved", "system call from M-mode", "instruction page fault", "load page fault", "reserved",
    "store page fault"};

void panic_set_stop(void (*stop)(void))
{
    stop_others = stop;
}

/* The first hart to come here reports, any other just stops; a fault while reporting is the end of the run. */
static void panic_begin(void)
{
    struct arch_hart *first = NULL, *self = arch_hart_self();
    interrupts_disable();
    /* Relaxed: what it decides is all that it says. lr.d; bne; sc.d; bnez. */
    if (!atomic_compare_exchange_strong_explicit(
            &reporter, &first, self, memory_order_relaxed, memory_order_relaxed)) {
        if (first == self)
            power_off(true);
        for (;;)
            cpu_wait();
    }
    if (stop_others)
        stop_others();
    console_break();
}

static void panic_end(uint64_t pc, uint64_t return_address, uint64_t frame_pointer) NORETURN;

static void panic_end(uint64_t pc, uint64_t return_address, uint64_t frame_pointer)
{
    console_format("backtrace of hart %u:\n", hart_index());
    backtrace_print(pc, return_address, frame_pointer, (uint64_t)arch_hart_self()->stack_base);
    power_off(true);
}

void panic(const char *format, ...)
{
    va_list args;
    panic_begin();
    va_start(args, format);
    console_lock();
    console_format("\npanic: hart %u: ", hart_index());
    writer_vformat(console_writer(), format, args);
    console_format("\n");
    console_unlock();
    va_end(args);
    uint64_t caller = (uint64_t)__builtin_return_address(0);
    const uint64_t *frame = __builtin_frame_address(0);
    panic_end(caller, 0, frame[-2]);
}

const char *trap_cause_text(uint64_t cause)
{
    return cause < ARRAY_SIZE(exception_names) ? exception_names[cause] : "unknown";
}

static void report_trap(const struct trap_frame *frame, const char *why)
{
    const char *name = trap_cause_text(frame->scause);
    console_format("\npanic: hart %u: %s%s (scause %lu) at pc %#018lx, stval %#018lx, sstatus %#018lx\n",
        hart_index(), why, name, frame->scause, frame->x[TRAP_FRAME_PC], frame->stval, frame->sstatus);
    for (unsigned i = 0; i < ARRAY_SIZE(register_names); i++) {
        uint64_t value = i == 4 ? (uint64_t)arch_hart_self() : frame->x[i];
        console_format("  %-3s %016lx%s", register_names[i], value, i % 4 == 3 ? "\n" : "");
    }
}

void panic_trap(const struct trap_frame *frame)
{
    panic_begin();
    console_lock();
    report_trap(frame, "");
    console_unlock();
    panic_end(frame->x[TRAP_FRAME_PC], frame->x[TRAP_FRAME_RA], frame->x[TRAP_FRAME_FP]);
}

/* Both below the stack and outside of it altogether; an interrupt that the rest of a stack has no room for is one, too. */
void panic_stack(const struct trap_frame *frame)
{
    panic_begin();
    uint64_t base = (uint64_t)arch_hart_self()->stack_base, sp = frame->x[TRAP_FRAME_X2];
    bool below = base + sizeof(*frame) - sp < HART_STACK_BYTES;
    console_lock();
    report_trap(
        frame, below ? "stack overflow, noticed by: " : "the stack pointer is outside of the stack: ");
    console_format("the stack is %#018lx - %#018lx\n", base, base + HART_STACK_BYTES);
    console_unlock();
    panic_end(frame->x[TRAP_FRAME_PC], frame->x[TRAP_FRAME_RA], frame->x[TRAP_FRAME_FP]);
}
