/*
 * Traps from the kernel's own code: software interrupts go to smp/'s handler, and an exception is the end of the
 * run unless a test has announced it. The timer's interrupt is never taken: it only ends a wfi (time_sleep).
 */
#include "arch/trap.h"
#include "arch/csr.h"
#include "arch/hart.h"
#include "arch_private.h"

/* tests of misuse announce a fault per hart; 1 is no scause of an exception that a test provokes */
#define FAULT_EXPECTED 1

static uint64_t expected[HART_MAX];
static void (*ipi_handler)(void);

void trap_set_ipi(void (*handler)(void))
{
    ipi_handler = handler;
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

static void exception(struct trap_frame *frame)
{
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

void trap_handle(struct trap_frame *frame)
{
    if (unlikely(!is_on_stack(frame)))
        panic_stack(frame);
    switch (frame->scause) {
    case SCAUSE_SOFTWARE:
        csr_clear(sip, INTERRUPT_SOFTWARE);
        /* Pairs with the fence of sbi_send_ipi(): a request that comes after the handler has looked interrupts again.
         * To a fence the write of a CSR is device output. */
        __asm__ volatile("fence o, rw" ::: "memory");
        if (ipi_handler)
            ipi_handler();
        break;
    default: exception(frame); break;
    }
}
