/*
 * Calls into the SBI firmware. Source: RISC-V Supervisor Binary Interface Specification 2.0: base, TIME, IPI,
 * RFENCE, HSM, SRST and DBCN extensions.
 */
#ifndef ARCH_SBI_H
#define ARCH_SBI_H

#include "lib/base.h"
#include "arch/addr.h"
#include "arch/hart.h"

enum sbi_error {
    SBI_SUCCESS = 0,
    SBI_ERR_FAILED = -1,
    SBI_ERR_NOT_SUPPORTED = -2,
    SBI_ERR_INVALID_PARAM = -3,
    SBI_ERR_DENIED = -4,
    SBI_ERR_INVALID_ADDRESS = -5,
    SBI_ERR_ALREADY_AVAILABLE = -6,
};

struct sbi_result {
    long error;
    long value;
};

enum sbi_hart_state {
    SBI_HART_STARTED = 0,
    SBI_HART_STOPPED = 1,
    SBI_HART_START_PENDING = 2,
    SBI_HART_STOP_PENDING = 3,
};

/** sbi_check - whether the extensions that the kernel cannot do without are there (IPI, RFENCE, HSM, SRST, DBCN, TIME).
 *  Returns NULL, or the name of the first that is missing. */
const char *sbi_check(void);

/** sbi_hart_start - start a stopped hart at physical address @entry with a0 = id, a1 = @argument. It sees what the
 *  caller wrote before. */
struct sbi_result sbi_hart_start(hart_id_t id, paddr_t entry, uint64_t argument);

/** sbi_hart_status - its state, an enum sbi_hart_state, as the result's value. */
struct sbi_result sbi_hart_status(hart_id_t id);

/** sbi_send_ipi - raise a software interrupt on the harts base + i of the mask's set bits i; their handlers see what
 *  the caller wrote before. */
struct sbi_result sbi_send_ipi(uint64_t mask, uint64_t base);

/* For sbi_remote_flush(): all addresses; all address spaces, and what is in every one. */
#define SBI_FLUSH_ALL  UINT64_MAX
#define SBI_EVERY_ASID UINT64_MAX

/** sbi_remote_flush - sfence.vma of @bytes from an address of one ASID on the harts base + i of the mask's set bits i.
 *  They have done so on return, and see what the caller wrote before. */
struct sbi_result sbi_remote_flush(
    uint64_t mask, uint64_t base, vaddr_t start, uint64_t bytes, uint64_t asid);

/** sbi_set_timer - raise this hart's timer interrupt when `time` reaches @when, and clear an earlier one. */
void sbi_set_timer(uint64_t when);

/** sbi_console_write, sbi_console_read - returns the bytes moved, which may be fewer than asked for. After an error
 *  a read has moved none, and a write all: they are lost, or a firmware without a console would be waited for.
 *  The buffer must be inside one physically contiguous piece of the kernel's image or direct map. */
size_t sbi_console_write(paddr_t bytes, size_t count);
size_t sbi_console_read(paddr_t bytes, size_t capacity);

/** sbi_shutdown - power off. @failed: the reason given to the firmware, which may ignore it: arch/power.h. */
void sbi_shutdown(bool failed) NORETURN;

#endif
