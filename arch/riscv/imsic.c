/* See imsic.h. The CSRs go by their numbers, as the assembler need not know them. */
#include "arch/imsic.h"
#include "arch/csr.h"
#include "arch/layout.h"
#include "arch_private.h"

#define CSR_SISELECT "0x150"
#define CSR_SIREG    "0x151"
#define CSR_STOPEI   "0x15c"

/* What siselect selects. */
#define EIDELIVERY  0x70
#define EITHRESHOLD 0x72
#define EIE0        0xc0 /* enables of the identities 0 … 63 */

/* The one in use. 0 is none. */
#define IDENTITY 1

static volatile uint32_t *pages[HART_MAX];

void imsic_set_page(unsigned hart, paddr_t page)
{
    pages[hart] = (volatile uint32_t *)(MMIO_MAP_BASE + page.value);
}

static void write_indirect(uint64_t which, uint64_t value)
{
    __asm__ volatile("csrw " CSR_SISELECT ", %0\n csrw " CSR_SIREG ", %1" ::"r"(which), "r"(value)
                     : "memory");
}

void imsic_init_hart(void)
{
    write_indirect(EIDELIVERY, 1);
    write_indirect(EITHRESHOLD, 0);
    write_indirect(EIE0, 1ul << IDENTITY);
    csr_set(sie, INTERRUPT_EXTERNAL);
}

void imsic_fence(void)
{
    /* What this hart wrote is seen before an interrupt is. Pairs with the fence of imsic_claim(). */
    __asm__ volatile("fence rw, o" ::: "memory");
}

void imsic_send(unsigned hart)
{
    *pages[hart] = IDENTITY;
}

void imsic_claim(void)
{
    /* Which it was does not matter: there is one. After the claim another one interrupts again, so what is asked for behind it is
     * not missed. */
    __asm__ volatile("csrw " CSR_STOPEI ", x0\n fence io, rw" ::: "memory");
}
