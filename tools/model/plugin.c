/*
 * Entry points of the plugin and translation: which instruction gets which callback. Between two instructions
 * that touch memory nothing can fault, so their cycles are added at once in front of the first.
 */
#define _GNU_SOURCE
#include "lines.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API_VERSION;

struct hart harts[HARTS_MAX];
unsigned nharts;

static struct qemu_plugin_scoreboard *scoreboard;
static qemu_plugin_u64 credit, pc_entry;
static __thread struct hart *self; /* whose thread this is */

/* What an instruction is, as far as the model charges it. */
enum kind {
    KIND_PLAIN,
    KIND_MEMORY, /* a load or store */
    KIND_ATOMIC, /* AMO or SC */
    KIND_LR,
    KIND_FENCE,
    KIND_FENCE_LIGHT, /* orders no earlier write: no drain */
    KIND_PAUSE,
    KIND_WFI,
    KIND_XRET,
    KIND_SFENCE,
    KIND_CSR_WRITE,
    KIND_MSCRATCH_WRITE, /* the firmware's trap handler begins so: it needs a register to work with */
    KIND_SATP_WRITE,
    KIND_HINT, /* last */
};

_Static_assert(KIND_HINT < 16, "pack() has four bits for it");

static bool compressed_memory(uint32_t insn)
{
    unsigned quadrant = insn & 3, funct3 = insn >> 13 & 7;
    return (quadrant == 0 || quadrant == 2) && (funct3 & 3) >= 1 && funct3 != 0 && funct3 != 4;
}

static enum kind classify_system(uint32_t insn)
{
    unsigned funct3 = insn >> 12 & 7;
    if (insn == 0x10200073 || insn == 0x30200073)
        return KIND_XRET;
    if (insn == 0x10500073)
        return KIND_WFI;
    if (funct3 == 0)
        return insn >> 25 == 9 ? KIND_SFENCE : KIND_PLAIN;
    bool writes = (funct3 & 3) == 1 || (insn >> 15 & 31) != 0;
    if (!writes)
        return KIND_PLAIN;
    switch (insn >> 20) {
    case 0x180: return KIND_SATP_WRITE;
    case 0x340: return KIND_MSCRATCH_WRITE;
    case 0x105: /* stvec, sscratch, sepc: nobody else's business, and the way of every trap */
    case 0x140:
    case 0x141: return KIND_PLAIN;
    default: return KIND_CSR_WRITE;
    }
}

static enum kind classify(uint32_t insn, size_t bytes)
{
    if (bytes == 2)
        return compressed_memory(insn) ? KIND_MEMORY : KIND_PLAIN;
    switch (insn & 0x7f) {
    case 0x03:
    case 0x07:
    case 0x23:
    case 0x27: return KIND_MEMORY;
    case 0x2f: return insn >> 27 == 2 ? KIND_LR : KIND_ATOMIC;
    case 0x0f:
        if (insn == 0x0100000f)
            return KIND_PAUSE;
        if ((insn >> 12 & 7) != 0)
            return KIND_PLAIN;
        return insn >> 24 & 1 ? KIND_FENCE : KIND_FENCE_LIGHT;
    case 0x13: return (insn & 0x000fffff) == 0x00002013 && insn >> 20 ? KIND_HINT : KIND_PLAIN;
    case 0x73: return classify_system(insn);
    default: return KIND_PLAIN;
    }
}

/* --- callbacks --- */

/* A pc, whether the access is untranslated, and a kind in one callback argument. */
static void *pack(uint64_t pc, bool bare, enum kind kind)
{
    return (void *)(pc << 5 | (unsigned)bare << 4 | kind);
}

static uint64_t unpack_pc(void *userdata)
{
    return (uint64_t)((int64_t)(uintptr_t)userdata >> 5);
}

static bool unpack_bare(void *userdata)
{
    return (uintptr_t)userdata & 16;
}

static enum kind unpack_kind(void *userdata)
{
    return (uintptr_t)userdata & 15;
}

static void note_load(struct hart *hart, uint64_t paddr)
{
    uint64_t line = paddr >> LINE_SHIFT;
    if (hart->spin_loaded && hart->spin_line != line)
        hart->spin_wrote = true;
    hart->spin_loaded = true;
    hart->spin_line = line;
}

static void access_ram(struct hart *hart, qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t paddr,
    enum access access, uint64_t pc)
{
    cache_access(hart, paddr, access, pc);
    if (lines_on)
        lines_touch(hart, vaddr, paddr, 1u << qemu_plugin_mem_size_shift(info), access, pc);
}

static void on_memory(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
    struct hart *hart = &harts[vcpu];
    bool store = qemu_plugin_mem_is_store(info);
    if (!hart_modelled(hart)) {
        if (store)
            guest_release(vaddr);
        return;
    }
    enum kind kind = unpack_kind(userdata);
    if (kind == KIND_ATOMIC && store)
        return; /* both halves of one access */
    uint64_t pc = unpack_pc(userdata);
    uint64_t paddr = unpack_bare(userdata) || !hart->root ? vaddr : tlb_translate(hart, vaddr, pc);
    if (paddr - RAM_BASE >= ram_bytes) {
        if (paddr != ~0ull)
            guest_mmio(hart, paddr, store);
        hart->spin_wrote = true;
        return;
    }
    if (guest_is_shared(paddr))
        return;
    if (kind == KIND_MEMORY && !store) {
        note_load(hart, paddr);
        access_ram(hart, info, vaddr, paddr, ACCESS_LOAD, pc);
        return;
    }
    hart->spin_wrote = true;
    if (kind == KIND_ATOMIC) {
        cache_drain(hart);
        charge(hart, MODEL_STAT_ATOMIC, profile.amo - 1);
    }
    access_ram(hart, info, vaddr, paddr, kind == KIND_MEMORY ? ACCESS_STORE : ACCESS_ATOMIC, pc);
}

/* In front of an instruction that others can see. */
static void on_ordered(unsigned vcpu, void *userdata)
{
    struct hart *hart = &harts[vcpu];
    if (!hart_modelled(hart))
        return;
    sched_order(hart);
    if (unpack_kind(userdata) == KIND_FENCE) {
        cache_drain(hart);
        charge(hart, MODEL_STAT_ATOMIC, profile.fence);
    }
    if (unpack_kind(userdata) == KIND_MSCRATCH_WRITE)
        guest_trap_entry(hart);
}

/* In front of an atomic. One on a line that nobody else has touched in this region can be in no order with anybody:
 * asking for the order all the same would cost private work a handover an atomic. */
static void on_atomic(unsigned vcpu, void *userdata)
{
    struct hart *hart = &harts[vcpu];
    if (!hart_modelled(hart))
        return;
    unsigned rs1 = (uintptr_t)userdata & 31;
    bool bare = (uintptr_t)userdata & 32;
    uint64_t paddr = bare ? ~0ull : tlb_probe(hart, guest_register(hart, rs1));
    if (paddr == ~0ull || !cache_is_private(hart, paddr))
        sched_order(hart);
}

static void on_xret(unsigned vcpu, void *userdata)
{
    if (!hart_modelled(&harts[vcpu]))
        return;
    charge(&harts[vcpu], MODEL_STAT_TRAP, profile.trap);
    if (!unpack_bare(
            userdata)) /* firmware may have interrupted between the write of satp and the flush that belongs to it */
        stale_returns(&harts[vcpu], unpack_pc(userdata));
}

/*
 * A loop that has loaded one line since its last pause, and nothing else, and the same as the turn before, will do
 * so until somebody takes the line away. What this turn has loaded must be what the line holds, though:
 *
 *   waiter                                    writer
 *   executes its load, reads the old value
 *   misses; it is ahead: gives up the token
 *                                             writes the new value, the last for a long time
 *   is least: fetches the line
 *   compares the old value, pauses
 *
 * Nobody would wake it. So it takes a turn that hits, which also is the one whose length a turn asleep has. Nor may it
 * sleep with an interrupt on its way, which was sent to a hart that was awake.
 */
static void on_pause(unsigned vcpu, void *userdata)
{
    struct hart *hart = &harts[vcpu];
    (void)userdata;
    if (!hart_modelled(hart))
        return;
    uint64_t now = hart_now(hart), period = now - hart->pause_time;
    bool quiet = hart->spin_loaded && !hart->spin_wrote;
    bool steady = quiet && !hart->spin_missed && hart->pause_line == hart->spin_line;
    hart->pause_time = now;
    hart->pause_line = quiet ? hart->spin_line : 0;
    hart->spin_loaded = hart->spin_wrote = hart->spin_missed = false;
    if (!steady || hart->ipi_at != 0 || !cache_holds(hart, hart->spin_line))
        return;
    hart->spin_period = period;
    /* Out of order, on purpose: should a hart that is behind take the line away at a time before this one, the next
     * turn still begins now. */
    sched_block(hart, HART_SPIN);
    hart->pause_time = hart_now(hart);
}

static void on_sfence(unsigned vcpu, void *insn)
{
    system_sfence(&harts[vcpu], (uint32_t)(uintptr_t)insn);
}

static void on_satp(unsigned vcpu, void *insn)
{
    system_satp(&harts[vcpu], (uint32_t)(uintptr_t)insn);
}

static void on_trap_entry(unsigned vcpu, void *userdata)
{
    (void)userdata;
    system_trap_entry(&harts[vcpu]);
}

static void on_hint(unsigned vcpu, void *userdata)
{
    uint64_t pc = (uint64_t)((int64_t)(uintptr_t)userdata >> 12);
    guest_hint(&harts[vcpu], (uintptr_t)userdata & 0xfff, pc);
}

/* The hart's time has reached its limit, or it comes back from idling. */
static void on_limit(unsigned vcpu, void *userdata)
{
    struct hart *hart = &harts[vcpu];
    (void)userdata;
    if (hart->held)
        guest_hold(hart);
    if (!hart_modelled(hart))
        return;
    if (hart->parked) {
        hart->parked = false;
        sched_await(hart);
    } else {
        sched_order(hart);
    }
}

static void on_idle(qemu_plugin_id_t id, unsigned vcpu)
{
    struct hart *hart = &harts[vcpu];
    (void)id;
    if (hart_modelled(hart) && hart->state == HART_READY && !hart->parked) {
        hart->parked = true;
        sched_leave(hart, HART_IDLE);
    }
}

static void on_init(qemu_plugin_id_t id, unsigned vcpu)
{
    struct hart *hart = self = &harts[vcpu];
    (void)id;
    hart->index = vcpu;
    for (unsigned i = 0; i <= vcpu; i++) /* the scoreboard moves when it grows */
        harts[i].score = qemu_plugin_scoreboard_find(scoreboard, i);
    guest_find_registers(hart);
    hart->held = vcpu != 0;
    hart->score->credit = hart->held ? CREDIT_LIMIT : 0; /* calls back at its first block */
    /* A thread of this class does not push aside the one that wakes it, which is about to wait itself: a handover is
     * then one switch and not two. It needs no privilege, and where it is refused only time is lost. */
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}

/* --- translation --- */

static void instrument(struct qemu_plugin_insn *insn, uint32_t bits, bool bare, enum kind kind)
{
    uint64_t pc = qemu_plugin_insn_vaddr(insn);
    void *what = pack(pc, bare, kind), *rs1 = (void *)(uintptr_t)((bits >> 15 & 31) | (unsigned)bare << 5);
    void *whole = (void *)(uintptr_t)bits;
    switch (kind) {
    case KIND_PLAIN:
    case KIND_FENCE_LIGHT: return;
    case KIND_MEMORY: break;
    case KIND_ATOMIC:
    case KIND_LR: /* the address is rs1 */
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_atomic, QEMU_PLUGIN_CB_R_REGS, rs1);
        break;
    case KIND_FENCE:
    case KIND_CSR_WRITE:
    case KIND_MSCRATCH_WRITE:
    case KIND_WFI:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_ordered, QEMU_PLUGIN_CB_NO_REGS, what);
        return;
    case KIND_PAUSE:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_pause, QEMU_PLUGIN_CB_NO_REGS, what);
        return;
    case KIND_XRET:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_xret, QEMU_PLUGIN_CB_NO_REGS, what);
        return;
    case KIND_SFENCE:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_sfence, QEMU_PLUGIN_CB_R_REGS, whole);
        return;
    case KIND_SATP_WRITE:
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_satp, QEMU_PLUGIN_CB_R_REGS, whole);
        return;
    case KIND_HINT:
        qemu_plugin_register_vcpu_insn_exec_cb(
            insn, on_hint, QEMU_PLUGIN_CB_R_REGS, (void *)(pc << 12 | bits >> 20));
        return;
    }
    qemu_plugin_register_vcpu_mem_cb(insn, on_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, what);
}

/* Names of blocks for reports: the newest of each slot. */
#define NAMES 65536

static struct {
    uint64_t pc;
    const char *symbol;
} names[NAMES];

const char *symbol_at(uint64_t pc)
{
    const char *symbol = names[pc / 2 % NAMES].symbol;
    return names[pc / 2 % NAMES].pc == pc && symbol ? symbol : "?";
}

/* In U-mode they trap. And of hints a program has those that are about nothing but its hart's own time and statistics. */
static bool for_the_kernel(enum kind kind, uint32_t bits)
{
    uint32_t code = bits >> 20;
    if (kind == KIND_HINT)
        return code != MODEL_HINT_TIME && code != MODEL_HINT_MEASURE && code != MODEL_HINT_END;
    return kind == KIND_WFI || kind == KIND_XRET || kind == KIND_SFENCE || kind == KIND_CSR_WRITE ||
           kind == KIND_MSCRATCH_WRITE || kind == KIND_SATP_WRITE;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t count = qemu_plugin_tb_n_insns(tb), first = 0;
    uint64_t start = qemu_plugin_tb_vaddr(tb);
    struct system_mode mode = system_mode(self);
    names[start / 2 % NAMES].pc = start;
    names[start / 2 % NAMES].symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb, on_limit, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_COND_GE, credit, CREDIT_LIMIT, NULL);
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        qemu_plugin_tb_get_insn(tb, 0), QEMU_PLUGIN_INLINE_STORE_U64, pc_entry, start);
    if (start == mode.trap_entry)
        qemu_plugin_register_vcpu_insn_exec_cb(
            qemu_plugin_tb_get_insn(tb, 0), on_trap_entry, QEMU_PLUGIN_CB_R_REGS, NULL);
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t bits = 0;
        size_t bytes = qemu_plugin_insn_size(insn);
        qemu_plugin_insn_data(insn, &bits, bytes);
        enum kind kind = classify(bits, bytes);
        if (mode.user && for_the_kernel(kind, bits))
            kind = KIND_PLAIN;
        instrument(insn, bits, mode.bare, kind);
        if (kind != KIND_PLAIN || i + 1 == count) {
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                qemu_plugin_tb_get_insn(tb, first), QEMU_PLUGIN_INLINE_ADD_U64, credit, i + 1 - first);
            first = i + 1;
        }
    }
}

/* --- installation --- */

static bool take_argument(const char *argument, const char **profile_path, const char **ram_path)
{
    if (strncmp(argument, "profile=", 8) == 0)
        *profile_path = argument + 8;
    else if (strncmp(argument, "ram=", 4) == 0)
        *ram_path = argument + 4;
    else if (strncmp(argument, "lines=", 6) == 0)
        return lines_open(argument + 6);
    else
        return profile_override(argument);
    return true;
}

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *profile_path = NULL, *ram_path = NULL;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "profile=", 8) == 0 && !profile_load(argv[i] + 8))
            return 1;
    }
    for (int i = 0; i < argc; i++) {
        if (!take_argument(argv[i], &profile_path, &ram_path))
            return 1;
    }
    if (!profile_path || !ram_path || !info->system_emulation || strcmp(info->target_name, "riscv64") != 0) {
        fprintf(stderr, "error: model: needs profile=FILE and ram=FILE, on qemu-system-riscv64\n");
        return 1;
    }
    nharts = (unsigned)info->system.max_vcpus;
    if (nharts > HARTS_MAX) {
        fprintf(stderr, "error: model: %u harts, and at most %u can be modelled\n", nharts, HARTS_MAX);
        return 1;
    }
    if (!guest_map(ram_path))
        return 1;
    cache_init(nharts, ram_bytes);
    for (unsigned i = 0; i < nharts; i++)
        tlb_init(&harts[i]);
    scoreboard = qemu_plugin_scoreboard_new(sizeof(struct score));
    credit = (qemu_plugin_u64){scoreboard, offsetof(struct score, credit)};
    pc_entry = (qemu_plugin_u64){scoreboard, offsetof(struct score, pc)};
    qemu_plugin_register_vcpu_init_cb(id, on_init);
    qemu_plugin_register_vcpu_idle_cb(id, on_idle);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
