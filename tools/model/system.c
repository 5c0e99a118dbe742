/*
 * Privileged instructions, and traps into the kernel. What a trap costs is charged where it returns, by plugin.c; at its
 * entry stands what depends on its cause.
 */
#include "model.h"

#define SATP_MODE_SHIFT 60
#define SATP_ASID_SHIFT 44

#define PRIVILEGE_USER       0
#define PRIVILEGE_SUPERVISOR 1
#define PRIVILEGE_MACHINE    3

#define MSTATUS_MPRV      (1ull << 17)
#define MSTATUS_MPP_SHIFT 11

#define SCAUSE_FETCH_PAGE_FAULT 12
#define SCAUSE_LOAD_PAGE_FAULT  13
#define SCAUSE_STORE_PAGE_FAULT 15
#define SCAUSE_EXTERNAL         (1ull << 63 | 9)

static unsigned rs1_of(uint32_t insn)
{
    return insn >> 15 & 31;
}

/* rs1 is an address, rs2 an address space, and x0 in place of either means all of them. */
void system_sfence(struct hart *hart, uint32_t insn)
{
    unsigned rs1 = rs1_of(insn), rs2 = insn >> 20 & 31;
    struct tlb_flush flush = {.one_page = rs1 != 0, .one_asid = rs2 != 0};
    if (!hart_modelled(hart))
        return;
    sched_order(hart);
    if (rs1)
        flush.vaddr = guest_register(hart, rs1);
    if (rs2)
        flush.asid = (uint16_t)guest_register(hart, rs2);
    tlb_flush(hart, &flush);
    hart->stat[rs1 ? MODEL_STAT_SFENCE_PAGES : MODEL_STAT_SFENCE_ALL]++;
    charge(hart, MODEL_STAT_TLB, rs1 ? profile.sfence_page : profile.sfence_all);
}

void system_set_satp(struct hart *hart, uint64_t satp)
{
    uint64_t root = (satp & ((1ull << SATP_ASID_SHIFT) - 1)) << PAGE_SHIFT; /* its physical page number */
    tlb_use(hart, satp >> SATP_MODE_SHIFT ? root : 0, (uint16_t)(satp >> SATP_ASID_SHIFT));
}

/* csrrw, csrrs, csrrc and the forms with a constant. */
void system_satp(struct hart *hart, uint32_t insn)
{
    unsigned funct3 = insn >> 12 & 7, rs1 = rs1_of(insn);
    if (!hart_modelled(hart))
        return;
    sched_order(hart);
    uint64_t operand = funct3 & 4 ? rs1 : guest_register(hart, rs1), old = guest_register(hart, GUEST_SATP);
    system_set_satp(hart, (funct3 & 3) == 1 ? operand : (funct3 & 3) == 2 ? old | operand : old & ~operand);
}

void system_trap_entry(struct hart *hart)
{
    if (!hart_modelled(hart))
        return;
    uint64_t cause = guest_register(hart, GUEST_SCAUSE);
    if (cause == SCAUSE_EXTERNAL) /* others come through the firmware, whose handler has seen to it */
        guest_trap_entry(hart);
    if (cause != SCAUSE_FETCH_PAGE_FAULT && cause != SCAUSE_LOAD_PAGE_FAULT &&
        cause != SCAUSE_STORE_PAGE_FAULT)
        return;
    hart->stat[MODEL_STAT_FAULTS]++;
    if (cause != SCAUSE_FETCH_PAGE_FAULT) /* fetches are not translated here */
        tlb_fault(hart, guest_register(hart, GUEST_STVAL), guest_register(hart, GUEST_SEPC));
}

struct system_mode system_mode(struct hart *hart)
{
    uint64_t privilege = guest_register(hart, GUEST_PRIVILEGE);
    struct system_mode mode = {.user = privilege == PRIVILEGE_USER, .trap_entry = ~0ull};
    if (privilege == PRIVILEGE_MACHINE) {
        uint64_t status = guest_register(hart, GUEST_MSTATUS);
        mode.bare = !(status & MSTATUS_MPRV) || (status >> MSTATUS_MPP_SHIFT & 3) == PRIVILEGE_MACHINE;
    } else if (privilege == PRIVILEGE_SUPERVISOR) {
        mode.trap_entry = guest_register(hart, GUEST_STVEC) & ~3ull;
    }
    return mode;
}
