/*
 * The guest's side of the model: hints, the page that both see, the region of interest, and interrupts between
 * harts. arch/riscv/model.c is the other end, arch/model_page.h the layout.
 */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

uint8_t *ram;
uint64_t ram_bytes;

static struct model_page *page;
static uint64_t page_address;
static unsigned arrived;
static unsigned arrived_harts[HARTS_MAX];

bool guest_map(const char *path)
{
    struct stat status;
    int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &status) < 0) {
        fprintf(stderr, "error: model: the file behind the guest's RAM, %s: %s\n", path, strerror(errno));
        return false;
    }
    ram_bytes = (uint64_t)status.st_size;
    ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (ram == MAP_FAILED) {
        fprintf(stderr, "error: model: cannot map %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

bool guest_is_shared(uint64_t paddr)
{
    return page && paddr - page_address < sizeof(struct model_page);
}

/* --- registers --- */

static const char *const register_names[GUEST_REGISTERS] = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2",
    "fp", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8",
    "s9", "s10", "s11", "t3", "t4", "t5", "t6", [GUEST_SATP] = "satp", "stvec", "scause", "stval", "sepc",
    "mstatus", "priv"};

void guest_find_registers(struct hart *hart)
{
    GArray *all = qemu_plugin_get_registers();
    hart->register_bytes = g_byte_array_new();
    for (unsigned i = 0; i < all->len; i++) {
        const qemu_plugin_reg_descriptor *reg = (qemu_plugin_reg_descriptor *)all->data + i;
        for (unsigned k = 0; k < GUEST_REGISTERS; k++) {
            if (strcmp(reg->name, register_names[k]) == 0)
                hart->registers[k] = reg->handle;
        }
    }
    for (unsigned k = 1; k < GUEST_REGISTERS; k++) {
        if (!hart->registers[k]) {
            fprintf(stderr, "error: model: this QEMU does not show the register %s\n", register_names[k]);
            _exit(3);
        }
    }
}

uint64_t guest_register(struct hart *hart, unsigned which)
{
    uint64_t value = 0;
    GByteArray *bytes = g_byte_array_set_size(hart->register_bytes, 0);
    if (hart->registers[which] && qemu_plugin_read_register(hart->registers[which], bytes) > 0)
        memcpy(&value, bytes->data, bytes->len < 8 ? bytes->len : 8);
    return value;
}

/* --- the region --- */

static void greet(struct hart *hart)
{
    page_address = guest_register(hart, GUEST_A0);
    if (page_address < RAM_BASE || page_address - RAM_BASE > ram_bytes - sizeof(*page)) {
        fprintf(stderr, "error: model: the guest gave %#llx for the shared page\n",
            (unsigned long long)page_address);
        return;
    }
    page = (struct model_page *)(ram + (page_address - RAM_BASE));
    page->clock_hz = profile.clock_mhz * 1000000;
    snprintf(page->profile, sizeof(page->profile), "%.39s", profile.name);
    page->version = MODEL_PAGE_VERSION;
    __atomic_store_n(&page->magic, MODEL_PAGE_MAGIC, __ATOMIC_RELEASE);
}

static void reset_hart(struct hart *hart)
{
    tlb_reset(hart);
    memset(hart->stat, 0, sizeof(hart->stat));
    hart->stale = hart->contended_at = hart->charged = hart->time = hart->region_start = hart->ipi_at = 0;
    hart->spin_loaded = hart->spin_wrote = hart->spin_missed = hart->ended = false;
    hart->pause_line = hart->pause_time = hart->spin_period = 0;
    hart->state = HART_READY;
}

static void begin_region(void)
{
    cache_reset();
    stale_reset();
    lines_begin(page ? page->label : 0);
    for (unsigned i = 0; i < arrived; i++)
        reset_hart(&harts[arrived_harts[i]]);
    arrived = 0;
    sched_start();
}

/* All members meet here in host time; from then on they run in virtual time, which begins at 0. */
static void enter(struct hart *hart)
{
    static unsigned lock;
    unsigned wanted = (unsigned)guest_register(hart, GUEST_A0);
    system_set_satp(hart, guest_register(hart, GUEST_SATP));
    hart->parked = false; /* a rescue may have left both behind */
    hart->token = 0;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        usleep(50);
    arrived_harts[arrived++] = hart->index;
    if (arrived >= wanted)
        begin_region();
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    sched_await(hart);
}

static void begin_statistics(struct hart *hart)
{
    memset(hart->stat, 0, sizeof(hart->stat));
    hart->charged = 0;
    hart->ended = false;
    hart->region_start = hart_now(hart);
    lines_measure(hart);
}

static void end_statistics(struct hart *hart)
{
    if (hart->ended)
        return;
    uint64_t cycles = hart_now(hart) - hart->region_start;
    hart->stat[MODEL_STAT_INSNS] = hart->stat[MODEL_STAT_COMPUTE] = cycles - hart->charged;
    hart->stat[MODEL_STAT_RESCUES] = rescues;
    if (page)
        memcpy(page->stats[hart->index], hart->stat, sizeof(hart->stat));
    hart->ended = true;
}

static void leave(struct hart *hart)
{
    end_statistics(hart);
    if (page) /* from the region's beginning to its end, whenever statistics are taken */
        page->stats[hart->index][MODEL_STAT_STALE] = hart->stale;
    lines_leave(hart);
    sched_leave(hart, HART_FREE);
}

/* What shootdowns say of themselves. In their order: what a hart that is behind has still to do comes first. */
static void hint_flush(struct hart *hart, unsigned code, uint64_t pc)
{
    uint64_t shootdown = guest_register(hart, GUEST_A0);
    sched_order(hart);
    if (code == MODEL_HINT_FLUSHING)
        stale_flushing(shootdown);
    else
        stale_flushed(hart, shootdown, guest_register(hart, GUEST_A0 + 1), guest_register(hart, GUEST_A0 + 2),
            guest_register(hart, GUEST_A0 + 3), pc);
}

void guest_hint(struct hart *hart, unsigned code, uint64_t pc)
{
    if (code == MODEL_HINT_HELLO) {
        greet(hart);
    } else if (code == MODEL_HINT_ENTER) {
        if (!hart_modelled(hart))
            enter(hart);
    } else if (hart_modelled(hart)) {
        hart->spin_wrote = true; /* who looks at the clock waits for more than a line */
        if (code == MODEL_HINT_TIME && page)
            page->time[hart->index].now = hart_now(hart);
        else if (code == MODEL_HINT_MEASURE)
            begin_statistics(hart);
        else if (code == MODEL_HINT_END)
            end_statistics(hart);
        else if (code == MODEL_HINT_LEAVE)
            leave(hart);
        else if (code == MODEL_HINT_FLUSHING || code == MODEL_HINT_FLUSHED)
            hint_flush(hart, code, pc);
    }
}

/* Behind every deadline, and far from overflowing when a span is added. */
#define END_OF_TIME (1ull << 60)

void guest_abandon(void)
{
    for (unsigned i = 0; page && i < nharts; i++) {
        page->time[i].now = END_OF_TIME;
        page->stats[i][MODEL_STAT_RESCUES] = rescues;
    }
}

/* --- interrupts --- */

/* The machine-level software interrupt words of the ACLINT, one a hart; and where there is an IMSIC (aia=aplic-imsic), the pages
 * of the harts' interrupt files of M-mode, for the firmware, and S-mode, for the kernel. */
#define MSWI_BASE        0x2000000ull
#define IMSIC_M_BASE     0x24000000ull
#define IMSIC_S_BASE     0x28000000ull
#define IMSIC_PAGE_BYTES 0x1000ull

/* The test finisher, whose register powers the machine off: for the firmware, and where the kernel maps it
 * (MMIO_MAP_BASE in arch/layout.h). */
#define POWER_OFF        0x100000ull
#define POWER_OFF_MAPPED (0xffffffffc0000000ull + POWER_OFF)

static bool is_file_of(uint64_t paddr, uint64_t base, uint64_t *hart)
{
    *hart = (paddr - base) / IMSIC_PAGE_BYTES;
    return paddr >= base && *hart < nharts;
}

/* Which hart a store to this physical address interrupts; nharts for none. */
static uint64_t interrupted_hart(uint64_t paddr)
{
    uint64_t hart;
    if (is_file_of(paddr, IMSIC_M_BASE, &hart) || is_file_of(paddr, IMSIC_S_BASE, &hart))
        return hart;
    hart = (paddr - MSWI_BASE) / 4;
    return paddr >= MSWI_BASE && hart < nharts ? hart : nharts;
}

void guest_hold(struct hart *hart)
{
    while (__atomic_load_n(&hart->held, __ATOMIC_ACQUIRE))
        usleep(1000);
    hart->score->credit = 0;
}

/* QEMU ends once all its harts have come to rest, which a held one does not. */
static void release_all(void)
{
    for (unsigned i = 0; i < nharts; i++)
        __atomic_store_n(&harts[i].held, false, __ATOMIC_RELEASE);
}

void guest_release(uint64_t vaddr)
{
    uint64_t target = interrupted_hart(vaddr); /* firmware runs untranslated */
    if (vaddr == POWER_OFF || vaddr == POWER_OFF_MAPPED)
        release_all();
    if (target < nharts && harts[target].held)
        __atomic_store_n(&harts[target].held, false, __ATOMIC_RELEASE);
}

/*
 * QEMU interrupts a hart at its next block, whatever the model says is the time that an interrupt needs. So what is
 * left of that time passes here, in front of the handler's first instruction: the hart answers when it should, and
 * has done less of its own work than it could have, by at most that time.
 */
void guest_trap_entry(struct hart *hart)
{
    uint64_t now = hart_now(hart);
    if (hart->ipi_at > now)
        charge(hart, MODEL_STAT_IPI_WAIT, hart->ipi_at - now);
    hart->ipi_at = 0;
}

void guest_mmio(struct hart *hart, uint64_t paddr, bool store)
{
    charge(hart, MODEL_STAT_MMIO, profile.mmio);
    uint64_t target = interrupted_hart(paddr);
    if (!store || target == nharts)
        return;
    if (target == hart->index) { /* it acknowledges all that have come: none of them will trap again */
        hart->ipi_at = 0;
        return;
    }
    struct hart *to = &harts[target];
    uint64_t when = hart_now(hart) + profile.ipi;
    hart->stat[MODEL_STAT_IPIS]++;
    if (to->state == HART_IDLE || to->state == HART_SPIN)
        sched_wake(hart, to, when);
    else if (to->state == HART_READY && to->ipi_at == 0)
        to->ipi_at = when;
}
