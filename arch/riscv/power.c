/* See power.h. Values of the register: QEMU's include/hw/misc/sifive_test.h. */
#include "arch/power.h"
#include "arch/cpu.h"
#include "arch/layout.h"
#include "arch/sbi.h"

#define FINISHER_FAIL   0x3333
#define FINISHER_STATUS (1u << 16) /* the exit status stands in the upper half */

/* Turns of waiting for the finisher, about a second: QEMU ends when its main loop gets to it, and a firmware that is
 * asked in the meantime tells the finisher of a success, which is what QEMU would exit with. */
#define FINISHER_TURNS 10000000

static volatile uint32_t *finisher;

void power_init(paddr_t exit_device)
{
    if (exit_device.value < MMIO_MAP_BYTES)
        finisher = (volatile uint32_t *)(MMIO_MAP_BASE + exit_device.value);
}

void power_off(bool failed)
{
    if (failed && finisher) {
        *finisher = FINISHER_FAIL | FINISHER_STATUS;
        for (unsigned i = 0; i < FINISHER_TURNS; i++)
            cpu_relax();
    }
    sbi_shutdown(failed);
}
