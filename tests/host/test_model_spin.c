/*
 * The model's callbacks around a wait loop, with QEMU, the scheduler and the caches a few lines here: which loops may be
 * put to sleep, and which would never wake.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <string.h>

#undef _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* QEMU finds its entry point by name */
#include "tools/model/plugin.c"

#define LINE (RAM_BASE + 0x1000)

struct profile profile = {.mmio = 100, .amo = 12};
bool lines_on;
uint64_t rescues;

static struct score score;
static bool miss; /* the next access is one */
static unsigned sleeps;

/* --- what the plugin calls --- */

void cache_access(struct hart *hart, uint64_t paddr, enum access access, uint64_t pc)
{
    (void)paddr, (void)access, (void)pc;
    hart->spin_missed |= miss;
}

bool cache_holds(const struct hart *hart, uint64_t line)
{
    (void)hart;
    return line == LINE >> LINE_SHIFT;
}

void sched_block(struct hart *hart, enum hart_state state)
{
    (void)hart;
    assert_int_equal(state, HART_SPIN);
    sleeps++;
}

bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info)
{
    return info;
}

/* All else is not reached. */
#define UNUSED(type, name, ...)                                                                              \
    type name(__VA_ARGS__);                                                                                  \
    type name(__VA_ARGS__)                                                                                   \
    {                                                                                                        \
        abort();                                                                                             \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
UNUSED(void, cache_init, unsigned count, uint64_t bytes)
UNUSED(void, cache_drain, struct hart *hart)
UNUSED(bool, cache_is_private, const struct hart *hart, uint64_t paddr)
UNUSED(void, sched_order, struct hart *hart)
UNUSED(void, sched_await, struct hart *hart)
UNUSED(void, sched_leave, struct hart *hart, enum hart_state state)
UNUSED(void, tlb_init, struct hart *hart)
UNUSED(uint64_t, tlb_translate, struct hart *hart, uint64_t vaddr, uint64_t pc)
UNUSED(uint64_t, tlb_probe, const struct hart *hart, uint64_t vaddr)
UNUSED(void, system_sfence, struct hart *hart, uint32_t insn)
UNUSED(void, system_satp, struct hart *hart, uint32_t insn)
UNUSED(void, system_trap_entry, struct hart *hart)
UNUSED(struct system_mode, system_mode, struct hart *hart)
UNUSED(void, system_set_satp, struct hart *hart, uint64_t satp)
UNUSED(void, stale_reset, void)
UNUSED(void, stale_flushing, uint64_t shootdown)
UNUSED(void, stale_flushed, struct hart *hart, uint64_t shootdown, uint64_t asid, uint64_t first,
    uint64_t end, uint64_t pc)
UNUSED(void, stale_returns, struct hart *hart, uint64_t pc)
UNUSED(bool, profile_load, const char *path)
UNUSED(bool, profile_override, const char *assignment)
UNUSED(bool, lines_open, const char *path)
UNUSED(void, lines_begin, uint64_t label)
UNUSED(void, lines_measure, const struct hart *hart)
UNUSED(void, lines_leave, const struct hart *hart)
UNUSED(void, lines_touch, const struct hart *hart, uint64_t vaddr, uint64_t paddr, unsigned bytes,
    enum access access, uint64_t pc)
UNUSED(void, sched_wake, struct hart *running, struct hart *woken, uint64_t time)
UNUSED(void, sched_start, void)
UNUSED(void, cache_reset, void)
UNUSED(void, tlb_reset, struct hart *hart)
UNUSED(GArray *, qemu_plugin_get_registers, void)
UNUSED(int, qemu_plugin_read_register, struct qemu_plugin_register *handle, GByteArray *value)
UNUSED(GByteArray *, g_byte_array_new, void)
UNUSED(GByteArray *, g_byte_array_set_size, GByteArray *array, unsigned length)
UNUSED(unsigned, qemu_plugin_mem_size_shift, qemu_plugin_meminfo_t info)
UNUSED(struct qemu_plugin_scoreboard *, qemu_plugin_scoreboard_new, size_t bytes)
UNUSED(void *, qemu_plugin_scoreboard_find, struct qemu_plugin_scoreboard *board, unsigned vcpu)
UNUSED(size_t, qemu_plugin_tb_n_insns, const struct qemu_plugin_tb *tb)
UNUSED(uint64_t, qemu_plugin_tb_vaddr, const struct qemu_plugin_tb *tb)
UNUSED(struct qemu_plugin_insn *, qemu_plugin_tb_get_insn, const struct qemu_plugin_tb *tb, size_t index)
UNUSED(size_t, qemu_plugin_insn_data, const struct qemu_plugin_insn *insn, void *to, size_t bytes)
UNUSED(size_t, qemu_plugin_insn_size, const struct qemu_plugin_insn *insn)
UNUSED(uint64_t, qemu_plugin_insn_vaddr, const struct qemu_plugin_insn *insn)
UNUSED(const char *, qemu_plugin_insn_symbol, const struct qemu_plugin_insn *insn)
UNUSED(void, qemu_plugin_register_vcpu_init_cb, qemu_plugin_id_t id, qemu_plugin_vcpu_simple_cb_t cb)
UNUSED(void, qemu_plugin_register_vcpu_idle_cb, qemu_plugin_id_t id, qemu_plugin_vcpu_simple_cb_t cb)
UNUSED(void, qemu_plugin_register_vcpu_tb_trans_cb, qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb_t cb)
UNUSED(void, qemu_plugin_register_vcpu_tb_exec_cond_cb, struct qemu_plugin_tb *tb,
    qemu_plugin_vcpu_udata_cb_t cb, enum qemu_plugin_cb_flags flags, enum qemu_plugin_cond cond,
    qemu_plugin_u64 entry, uint64_t immediate, void *userdata)
UNUSED(void, qemu_plugin_register_vcpu_insn_exec_cb, struct qemu_plugin_insn *insn,
    qemu_plugin_vcpu_udata_cb_t cb, enum qemu_plugin_cb_flags flags, void *userdata)
UNUSED(void, qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu, struct qemu_plugin_insn *insn,
    enum qemu_plugin_op op, qemu_plugin_u64 entry, uint64_t immediate)
UNUSED(void, qemu_plugin_register_vcpu_mem_cb, struct qemu_plugin_insn *insn, qemu_plugin_vcpu_mem_cb_t cb,
    enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw rw, void *userdata)

#include "tools/model/guest.c"

/* --- a loop: load, test, pause --- */

static int begin(void **state)
{
    (void)state;
    nharts = 2;
    ram_bytes = 1 << 20;
    memset(&harts[0], 0, sizeof(harts[0]));
    score.credit = CREDIT_LIMIT;
    harts[0].score = &score;
    harts[0].state = HART_READY;
    sleeps = 0;
    return 0;
}

static void load(uint64_t paddr, bool misses)
{
    miss = misses;
    on_memory(0, 0, paddr, pack(RAM_BASE, true, KIND_MEMORY));
}

static void turn(bool misses)
{
    score.credit += 2;
    load(LINE, misses);
    score.credit += 3;
    on_pause(0, NULL);
}

static void sleeps_in_the_second_turn_that_hits(void **state)
{
    (void)state;
    turn(true);
    assert_int_equal(sleeps, 0);
    turn(false);
    assert_int_equal(sleeps, 1);
    assert_int_equal(harts[0].spin_period, 5);
}

/* What a load that missed has read may be older than what the line held when it came. */
static void does_not_sleep_on_what_a_miss_has_read(void **state)
{
    (void)state;
    turn(false);
    turn(false);
    assert_int_equal(sleeps, 1);
    turn(true);
    assert_int_equal(sleeps, 1);
    turn(false);
    assert_int_equal(sleeps, 2);
}

static void the_period_is_of_this_loop(void **state)
{
    (void)state;
    on_pause(0, NULL);
    score.credit += 50000; /* works, and misses nothing */
    turn(false);
    turn(true);
    turn(false);
    assert_int_equal(harts[0].spin_period, 5);
}

static void does_not_sleep_with_an_interrupt_under_way(void **state)
{
    (void)state;
    turn(false);
    harts[0].ipi_at = 10;
    turn(false);
    assert_int_equal(sleeps, 0);
    guest_trap_entry(&harts[0]);
    turn(false);
    assert_int_equal(sleeps, 1);
}

static void does_not_sleep_if_it_looks_at_the_clock(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        on_hint(0, (void *)MODEL_HINT_TIME);
        turn(false);
    }
    assert_int_equal(sleeps, 0);
}

static void does_not_sleep_if_it_looks_at_two_lines(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        load(LINE + 64, false);
        turn(false);
    }
    assert_int_equal(sleeps, 0);
}

/* Two that came before the handler has acknowledged are one trap. */
static void an_acknowledged_interrupt_is_not_under_way(void **state)
{
    (void)state;
    harts[0].ipi_at = 10;
    guest_mmio(&harts[0], MSWI_BASE, true);
    assert_int_equal(harts[0].ipi_at, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sleeps_in_the_second_turn_that_hits, begin),
        cmocka_unit_test_setup(does_not_sleep_on_what_a_miss_has_read, begin),
        cmocka_unit_test_setup(the_period_is_of_this_loop, begin),
        cmocka_unit_test_setup(does_not_sleep_with_an_interrupt_under_way, begin),
        cmocka_unit_test_setup(does_not_sleep_if_it_looks_at_the_clock, begin),
        cmocka_unit_test_setup(does_not_sleep_if_it_looks_at_two_lines, begin),
        cmocka_unit_test_setup(an_acknowledged_interrupt_is_not_under_way, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
