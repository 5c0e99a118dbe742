/*
 * Traps from the kernel's own code: software interrupts, and external ones, which are the same by another way (imsic.h), go to
 * smp/'s handler, the timer's to the scheduler's, which lets
 * it come only while programs run, and an exception is the end of the run unless a test has announced it or it is in an
 * access to a program's memory.
 */
#include "arch/trap.h"
#include "arch/cpu.h"
#include "arch/csr.h"
#include "arch/hart.h"
#include "arch_private.h"

/* tests of misuse announce a fault per hart; 1 is no scause of an exception that a test provokes */
#define FAULT_EXPECTED 1

static uint64_t expected[HART_MAX];
static void (*ipi_handler)(void);
static void (*timer_handler)(void);
static int (*user_fault_handler)(uint64_t address, enum trap_access access);

void trap_set_ipi(void (*handler)(void))
{
    ipi_handler = handler;
}

void trap_set_timer(void (*handler)(void))
{
    timer_handler = handler;
}

void trap_set_user_fault(int (*handler)(uint64_t address, enum trap_access access))
{
    user_fault_handler = handler;
}

void trap_expect_fault(void)
{
    expected[hart_index()] = FAULT_EXPECTED;
}

uint64_t trap_expected(void)
{
    uint64_t cause = expected[hart_index()];
    expected[hart_index()] = 0;
    return cause == FAULT_EXPECTED ? 0 : cause;
}

/* Length of the instruction at a pc: 16 bits unless its two lowest bits are set (no longer ones exist here). */
static unsigned instruction_bytes(uint64_t pc)
{
    return (*(const uint16_t *)pc & 3) == 3 ? 4 : 2;
}

/* SUM is off, and interrupts on, while somebody looks for what is missing. */
static void user_access_fault(struct trap_frame *frame)
{
    int error = -1;
    if (trap_is_page_fault(frame->scause) && frame->stval < USER_END && user_fault_handler) {
        interrupts_enable();
        error = user_fault_handler(frame->stval, trap_access(frame->scause));
        interrupts_disable();
    }
    if (error)
        frame->x[TRAP_FRAME_PC] = uaccess_fault_pc();
}

static void exception(struct trap_frame *frame)
{
    if (uaccess_is_at(frame->x[TRAP_FRAME_PC])) {
        user_access_fault(frame);
        return;
    }
    uint64_t *announced = &expected[hart_index()];
    if (*announced != FAULT_EXPECTED)
        panic_trap(frame);
    *announced = frame->scause;
    if (frame->scause == SCAUSE_FETCH_PAGE_FAULT)
        frame->x[TRAP_FRAME_PC] = frame->x[TRAP_FRAME_RA];
    else
        frame->x[TRAP_FRAME_PC] += instruction_bytes(frame->x[TRAP_FRAME_PC]);
}

static bool is_on_stack(const void *frame)
{
    return (uintptr_t)frame - (uintptr_t)arch_hart_self()->stack_base < HART_STACK_BYTES;
}

static void software_interrupt(void)
{
    csr_clear(sip, INTERRUPT_SOFTWARE);
    /* Pairs with the fence of sbi_send_ipi(): a request that comes after the handler has looked interrupts again.
     * To a fence the write of a CSR is device output. */
    __asm__ volatile("fence o, rw" ::: "memory");
    if (ipi_handler)
        ipi_handler();
}

static void external_interrupt(void)
{
    imsic_claim();
    if (ipi_handler)
        ipi_handler();
}

bool trap_interrupt(uint64_t cause)
{
    switch (cause) {
    case SCAUSE_SOFTWARE: software_interrupt(); return true;
    case SCAUSE_EXTERNAL: external_interrupt(); return true;
    case SCAUSE_TIMER:
        if (timer_handler)
            timer_handler();
        return timer_handler;
    default: return false;
    }
}

void trap_handle(struct trap_frame *frame)
{
    if (unlikely(!is_on_stack(frame)))
        panic_stack(frame);
    if (likely(frame->scause == SCAUSE_SOFTWARE))
        software_interrupt();
    else if (!trap_interrupt(frame->scause))
        exception(frame);
}
