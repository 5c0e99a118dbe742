/* SBI calls: see sbi.h. The calling convention clobbers a0 and a1 only. */
#include "arch/sbi.h"

#define SBI_EXT_BASE 0x10
#define SBI_EXT_TIME 0x54494D45
#define SBI_EXT_IPI  0x735049
#define SBI_EXT_RFNC 0x52464E43
#define SBI_EXT_HSM  0x48534D
#define SBI_EXT_SRST 0x53525354
#define SBI_EXT_DBCN 0x4442434E

#define SBI_BASE_PROBE     3
#define SBI_RFNC_VMA       1
#define SBI_RFNC_VMA_ASID  2
#define SBI_HSM_START      0
#define SBI_HSM_STATUS     2
#define SBI_DBCN_WRITE     0
#define SBI_DBCN_READ      1
#define SBI_SRST_SHUTDOWN  0
#define SBI_SRST_NO_REASON 0
#define SBI_SRST_FAILURE   1

static struct sbi_result sbi_call(long extension, long function, uint64_t arg0, uint64_t arg1, uint64_t arg2)
{
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register long a6 __asm__("a6") = function;
    register long a7 __asm__("a7") = extension;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (struct sbi_result){.error = (long)a0, .value = (long)a1};
}

static struct sbi_result sbi_call5(
    long extension, long function, uint64_t arg0, uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4)
{
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register uint64_t a3 __asm__("a3") = arg3;
    register uint64_t a4 __asm__("a4") = arg4;
    register long a6 __asm__("a6") = function;
    register long a7 __asm__("a7") = extension;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return (struct sbi_result){.error = (long)a0, .value = (long)a1};
}

const char *sbi_check(void)
{
    static const struct {
        long id;
        const char *name;
    } needed[] = {
        {SBI_EXT_TIME, "TIME"},
        {SBI_EXT_IPI, "IPI"},
        {SBI_EXT_RFNC, "RFENCE"},
        {SBI_EXT_HSM, "HSM"},
        {SBI_EXT_SRST, "SRST"},
        {SBI_EXT_DBCN, "DBCN"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        struct sbi_result probe = sbi_call(SBI_EXT_BASE, SBI_BASE_PROBE, (uint64_t)needed[i].id, 0, 0);
        if (probe.error != SBI_SUCCESS || probe.value == 0)
            return needed[i].name;
    }
    return NULL;
}

/* What this hart wrote is seen by the hart that the firmware is about to wake, by a word in memory or a store to a
 * device: SBI promises no order of its own. Pairs with the wake-up itself: the other reads nothing before it. */
static void fence_before_waking(void)
{
    __asm__ volatile("fence rw, ow" ::: "memory");
}

struct sbi_result sbi_hart_start(hart_id_t id, paddr_t entry, uint64_t argument)
{
    fence_before_waking();
    return sbi_call(SBI_EXT_HSM, SBI_HSM_START, id.value, entry.value, argument);
}

struct sbi_result sbi_hart_status(hart_id_t id)
{
    return sbi_call(SBI_EXT_HSM, SBI_HSM_STATUS, id.value, 0, 0);
}

struct sbi_result sbi_send_ipi(uint64_t mask, uint64_t base)
{
    fence_before_waking();
    return sbi_call(SBI_EXT_IPI, 0, mask, base, 0);
}

struct sbi_result sbi_remote_flush(uint64_t mask, uint64_t base, vaddr_t start, uint64_t bytes, uint64_t asid)
{
    /* All addresses begin at 0, and are as many as that says. */
    uint64_t first = bytes == SBI_FLUSH_ALL ? 0 : start.value;
    fence_before_waking();
    return sbi_call5(SBI_EXT_RFNC, asid == SBI_EVERY_ASID ? SBI_RFNC_VMA : SBI_RFNC_VMA_ASID, mask, base,
        first, bytes, asid);
}

void sbi_set_timer(uint64_t when)
{
    sbi_call(SBI_EXT_TIME, 0, when, 0, 0);
}

size_t sbi_console_write(paddr_t bytes, size_t count)
{
    struct sbi_result moved = sbi_call(SBI_EXT_DBCN, SBI_DBCN_WRITE, count, bytes.value, 0);
    return moved.error == SBI_SUCCESS ? (size_t)moved.value : count;
}

size_t sbi_console_read(paddr_t bytes, size_t capacity)
{
    struct sbi_result moved = sbi_call(SBI_EXT_DBCN, SBI_DBCN_READ, capacity, bytes.value, 0);
    return moved.error == SBI_SUCCESS ? (size_t)moved.value : 0;
}

void sbi_shutdown(bool failed)
{
    for (;;)
        sbi_call(SBI_EXT_SRST, 0, SBI_SRST_SHUTDOWN, failed ? SBI_SRST_FAILURE : SBI_SRST_NO_REASON, 0);
}
