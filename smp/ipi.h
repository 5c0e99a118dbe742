/* Inter-processor interrupts: requests to other harts, acted on in the interrupt. */
#ifndef SMP_IPI_H
#define SMP_IPI_H

#include "smp/hart.h"

/* How an interrupt is raised. */
struct ipi_means {
    const char *name;
    void (*init)(void); /* on each hart, interrupts off; NULL: nothing to do */
    void (*raise)(hart_mask_t to);
};

extern const struct ipi_means ipi_sbi; /* by the firmware */
extern const struct ipi_means ipi_imsic; /* by the machine: arch/imsic.h */

/** ipi_choose - by which means; boot code, before the first ipi_init(). ipi_chosen - which it was. */
void ipi_choose(const struct ipi_means *means);
const struct ipi_means *ipi_chosen(void);

/** ipi_init - this hart takes software interrupts from now on. Boot code, once a hart, interrupts off. */
void ipi_init(void);

/**
 * ipi_send - ask the harts of a mask for something. Returns once the interrupts are raised, not taken.
 * What the caller wrote before is visible to the handler (release, paired with its acquire). Any context.
 */
void ipi_send(hart_mask_t to, enum hart_request request);

/**
 * ipi_request - the first half of ipi_send(), for one hart. Returns whether nothing else was asked of it: only then does it
 * have to be interrupted, by ipi_raise(), as otherwise whoever asked before has done so or is about to.
 */
bool ipi_request(unsigned hart, enum hart_request request);
void ipi_raise(hart_mask_t to);

/** ipi_take_ids - as SBI names harts: those of the mask, which is not empty, whose ids are the lowest, *base, to *base + 63.
 *  They are taken out of it; returns them as a mask from *base. */
uint64_t ipi_take_ids(hart_mask_t *to, uint64_t *base);

/**
 * ipi_ping - interrupt the harts of a mask and return when each has acknowledged from its handler: the least that
 * any shootdown costs.
 * @to: online harts, not the caller's; their interrupts must not stay off. One ping at a time in the whole system.
 */
void ipi_ping(hart_mask_t to);

/** ipi_halted - how many harts have obeyed HART_REQUEST_STOP. */
unsigned ipi_halted(void);

/** ipi_poll - act on requests that have come, for wait loops that run with interrupts off. Interrupts off. */
void ipi_poll(void);

#endif
