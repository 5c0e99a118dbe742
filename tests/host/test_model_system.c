/* The machine model's reading of privileged instructions and of traps, with registers and a TLB that are a few lines here. */
#include "unit.h"

#include <string.h>

#include "tools/model/system.c"

#define NOW 1000ull

struct profile profile = {.sfence_page = 20, .sfence_all = 40};

static struct hart hart;
static struct score score;
static uint64_t registers[GUEST_REGISTERS];
static struct tlb_flush flushed;
static uint64_t root, faulted;
static uint16_t asid;
static unsigned interrupts;

uint64_t guest_register(struct hart *running, unsigned which)
{
    assert_ptr_equal(running, &hart);
    return registers[which];
}

void tlb_flush(struct hart *running, const struct tlb_flush *flush)
{
    (void)running;
    flushed = *flush;
}

void tlb_use(struct hart *running, uint64_t table, uint16_t id)
{
    (void)running;
    root = table;
    asid = id;
}

void tlb_fault(struct hart *running, uint64_t vaddr, uint64_t pc)
{
    (void)running;
    assert_int_equal(pc, registers[GUEST_SEPC]);
    faulted = vaddr;
}

void guest_trap_entry(struct hart *running)
{
    (void)running;
    interrupts++;
}

void sched_order(struct hart *running)
{
    (void)running;
}

static int setup(void **state)
{
    (void)state;
    memset(&hart, 0, sizeof(hart));
    memset(registers, 0, sizeof(registers));
    hart.state = HART_READY;
    hart.score = &score;
    hart.limit = NOW;
    score.credit = CREDIT_LIMIT;
    root = faulted = ~0ull;
    interrupts = 0;
    return 0;
}

/* sfence.vma of x10 and x11, or x0 in place of either */
static uint64_t sfence(unsigned rs1, unsigned rs2)
{
    uint64_t before = hart_now(&hart);
    system_sfence(&hart, 0x12000073 | rs1 << 15 | rs2 << 20);
    return hart_now(&hart) - before;
}

static void each_form_of_sfence_names_something_else(void **state)
{
    (void)state;
    registers[10] = 0x12345678;
    registers[11] = 7;
    assert_int_equal(sfence(0, 0), 40);
    assert_true(!flushed.one_page && !flushed.one_asid);
    assert_int_equal(sfence(0, 11), 40);
    assert_true(!flushed.one_page && flushed.one_asid && flushed.asid == 7);
    assert_int_equal(sfence(10, 0), 20);
    assert_true(flushed.one_page && !flushed.one_asid && flushed.vaddr == 0x12345678);
    assert_int_equal(sfence(10, 11), 20);
    assert_true(flushed.one_page && flushed.one_asid && flushed.vaddr == 0x12345678 && flushed.asid == 7);
    registers[11] = 0; /* the number, not the register, is zero */
    sfence(0, 11);
    assert_true(flushed.one_asid && flushed.asid == 0);
    assert_int_equal(hart.stat[MODEL_STAT_SFENCE_ALL], 3);
    assert_int_equal(hart.stat[MODEL_STAT_SFENCE_PAGES], 2);
}

#define SATP(id, page) (8ull << 60 | (uint64_t)(id) << 44 | (page))

static void write_satp(unsigned funct3, unsigned rs1)
{
    system_satp(&hart, 0x18000073 | funct3 << 12 | rs1 << 15);
}

static void every_form_of_a_write_to_satp_counts(void **state)
{
    (void)state;
    registers[GUEST_SATP] = SATP(5, 0x80100);
    registers[10] = SATP(0xffff, 0x80200);
    write_satp(1, 10); /* csrrw */
    assert_int_equal(root, 0x80200000);
    assert_int_equal(asid, 0xffff);
    registers[10] = SATP(2, 0x00003);
    write_satp(2, 10); /* csrrs */
    assert_int_equal(root, 0x80103000);
    assert_int_equal(asid, 7);
    registers[10] = SATP(1, 0) - SATP(0, 0);
    write_satp(3, 10); /* csrrc */
    assert_int_equal(root, 0x80100000);
    assert_int_equal(asid, 4);
    write_satp(6, 17); /* csrrsi */
    assert_int_equal(root, 0x80111000);
    write_satp(5, 0); /* csrrwi: translation goes off */
    assert_int_equal(root, 0);
}

static void trap(uint64_t cause)
{
    registers[GUEST_SCAUSE] = cause;
    registers[GUEST_STVAL] = 0x1234;
    registers[GUEST_SEPC] = 0x8000;
    system_trap_entry(&hart);
}

static void a_trap_is_told_by_its_cause(void **state)
{
    (void)state;
    trap(8); /* a system call */
    trap(1ull << 63 | 1); /* a software interrupt, which came by the firmware */
    assert_int_equal(hart.stat[MODEL_STAT_FAULTS] + interrupts, 0);
    trap(1ull << 63 | 9);
    assert_int_equal(interrupts, 1);
    trap(12);
    assert_int_equal(faulted, ~0ull);
    trap(13);
    assert_int_equal(faulted, 0x1234);
    trap(15);
    assert_int_equal(hart.stat[MODEL_STAT_FAULTS], 3);
}

static void nothing_counts_outside_of_a_region(void **state)
{
    (void)state;
    hart.state = HART_FREE;
    trap(13);
    sfence(0, 0);
    write_satp(1, 10);
    assert_int_equal(hart.stat[MODEL_STAT_FAULTS] + hart.stat[MODEL_STAT_SFENCE_ALL], 0);
    assert_true(faulted == ~0ull && root == ~0ull);
}

static struct system_mode mode_of(uint64_t privilege, uint64_t status)
{
    registers[GUEST_PRIVILEGE] = privilege;
    registers[GUEST_MSTATUS] = status;
    registers[GUEST_STVEC] = 0xffffffff80200001;
    return system_mode(&hart);
}

static void code_is_of_a_mode(void **state)
{
    (void)state;
    assert_true(mode_of(0, 0).user && !mode_of(0, 0).bare);
    assert_true(!mode_of(1, 0).user && !mode_of(1, 0).bare);
    assert_int_equal(mode_of(1, 0).trap_entry, 0xffffffff80200000);
    assert_int_equal(mode_of(0, 0).trap_entry, ~0ull);
    assert_true(mode_of(3, 0).bare);
    assert_true(mode_of(3, 1ull << 11).bare); /* the mode that it came from matters with MPRV only */
    assert_false(mode_of(3, 1ull << 17 | 1ull << 11).bare);
    assert_false(mode_of(3, 1ull << 17).bare);
    assert_true(mode_of(3, 1ull << 17 | 3ull << 11).bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_form_of_sfence_names_something_else, setup),
        cmocka_unit_test_setup(every_form_of_a_write_to_satp_counts, setup),
        cmocka_unit_test_setup(a_trap_is_told_by_its_cause, setup),
        cmocka_unit_test_setup(nothing_counts_outside_of_a_region, setup),
        cmocka_unit_test_setup(code_is_of_a_mode, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
