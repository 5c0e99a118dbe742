/* The machine layer: mappings, traps, clock, symbols, and that every hart is who it says. */
#include "arch/addr.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/image.h"
#include "arch/symbols.h"
#include "arch/trap.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

static void touch(uint64_t address)
{
    uint64_t value;
    __asm__ volatile("ld %0, 0(%1)" : "=r"(value) : "r"(address) : "memory");
}

#define LOAD_PAGE_FAULT 13

static void low_half_faults(void *unused)
{
    (void)unused;
    trap_expect_fault();
    touch(RAM_BASE + 0x200000);
    CHECK(trap_expected() == LOAD_PAGE_FAULT);
    trap_expect_fault();
    touch(0);
    CHECK(trap_expected() == LOAD_PAGE_FAULT);
}

TEST(machine_low_half_is_gone_on_every_hart)
{
    smp_call(hart_mask_first(hart_count()), low_half_faults, NULL);
}

TEST(machine_direct_map_shows_ram_and_nothing_else)
{
    const struct memory_plan *plan = memory_plan();
    CHECK(*(volatile uint32_t *)paddr_to_direct(image_to_paddr(_text)) == *(volatile uint32_t *)_text);
    touch((uint64_t)paddr_to_direct(PADDR(plan->ram_end.value - 8)));
    trap_expect_fault();
    touch((uint64_t)paddr_to_direct(PADDR(0)));
    CHECK(trap_expected() == LOAD_PAGE_FAULT);
    trap_expect_fault();
    touch((uint64_t)paddr_to_direct(PADDR(ALIGN_UP(plan->ram_end.value, 1ull << 30))));
    CHECK(trap_expected() == LOAD_PAGE_FAULT);
}

TEST(machine_parts_of_memory_do_not_overlap)
{
    const struct memory_plan *plan = memory_plan();
    uint64_t kernel = plan->kernel_first.value, kernel_end = kernel + plan->kernel_bytes;
    uint64_t metadata = direct_to_paddr(plan->metadata).value, arena = pfn_to_paddr(plan->arena_base).value;
    uint64_t frames = pfn_to_paddr(kernel_frames.base).value;
    uint64_t references = direct_to_paddr(kernel_refs.extra).value;
    uint64_t references_end = references + frame_refs_bytes(kernel_refs.nframes);
    size_t kernel_metadata = kernel_frames.ops->metadata_size(kernel_frames.nframes, kernel_frames.nharts);
    CHECK(image_to_paddr(_image_end).value <= kernel || kernel_end <= image_to_paddr(_image_start).value);
    CHECK(plan->ram_first.value <= kernel && kernel + kernel_metadata <= references);
    uint64_t heap = direct_to_paddr(kernel_heap.harts).value;
    CHECK(references_end <= heap);
    CHECK(heap + heap_metadata_size(kernel_heap.ops, kernel_heap.nframes, kernel_heap.nharts) <= frames);
    CHECK(frames + kernel_frames.nframes * PAGE_BYTES <= kernel_end);
    CHECK(kernel_end <= metadata && metadata + plan->metadata_bytes <= arena);
    CHECK(arena + plan->arena_frames * PAGE_BYTES <= plan->ram_end.value);
    CHECK(IS_POWER_OF_TWO(plan->arena_frames) && plan->arena_frames >= ARENA_FRAMES_MIN);
}

#define STORE_PAGE_FAULT    15
#define ILLEGAL_INSTRUCTION 2

TEST(machine_traps_report_their_cause)
{
    trap_expect_fault();
    __asm__ volatile("sd zero, 0(zero)" ::: "memory");
    CHECK(trap_expected() == STORE_PAGE_FAULT);
    trap_expect_fault();
    __asm__ volatile("csrr zero, mstatus" ::: "memory");
    CHECK(trap_expected() == ILLEGAL_INSTRUCTION);
    CHECK(trap_expected() == 0);
}

/* A trap must bring back every register that code may be using. */
TEST(machine_traps_keep_registers)
{
    uint64_t wrong;
    trap_expect_fault();
    __asm__ volatile(
        "li t0, 5\n li t1, 6\n li t2, 7\n li t3, 28\n li t4, 29\n li t5, 30\n li t6, 31\n"
        "li a1, 11\n li a2, 12\n li a3, 13\n li a4, 14\n li a5, 15\n li a6, 16\n li a7, 17\n"
        "ld zero, 0(zero)\n"
        "addi t0, t0, -5\n addi t1, t1, -6\n addi t2, t2, -7\n addi t3, t3, -28\n"
        "addi t4, t4, -29\n addi t5, t5, -30\n addi t6, t6, -31\n addi a1, a1, -11\n"
        "addi a2, a2, -12\n addi a3, a3, -13\n addi a4, a4, -14\n addi a5, a5, -15\n"
        "addi a6, a6, -16\n addi a7, a7, -17\n"
        "or %0, t0, t1\n or %0, %0, t2\n or %0, %0, t3\n or %0, %0, t4\n or %0, %0, t5\n"
        "or %0, %0, t6\n or %0, %0, a1\n or %0, %0, a2\n or %0, %0, a3\n or %0, %0, a4\n"
        "or %0, %0, a5\n or %0, %0, a6\n or %0, %0, a7\n"
        : "=&r"(wrong)
        :
        : "memory", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a1", "a2", "a3", "a4", "a5", "a6", "a7");
    CHECK(wrong == 0);
    CHECK(trap_expected() == LOAD_PAGE_FAULT);
}

TEST(machine_clock_runs_forward)
{
    uint64_t first = clock_now(), time = time_now();
    while (time_now() - time < time_hz() / 1000)
        cpu_relax();
    CHECK(clock_now() > first);
    CHECK(clock_hz() > 1000000);
}

TEST(machine_sleep_ends)
{
    uint64_t before = time_now();
    while (time_now() - before < time_hz() / 100)
        time_sleep(time_hz() / 200);
    CHECK(time_now() > before);
    time_sleep(0); /* over before it begins: the wake-up comes before the wait */
}

TEST(machine_symbols_name_functions)
{
    uint64_t offset = 1;
    const char *name = symbol_find((uint64_t)symbol_find, &offset);
    CHECK(name && strcmp(name, "symbol_find") == 0 && offset == 0);
    name = symbol_find((uint64_t)memory_plan + 2, &offset);
    CHECK(name && strcmp(name, "memory_plan") == 0 && offset == 2);
    CHECK(!symbol_find((uint64_t)_etext, &offset));
    CHECK(!symbol_find(0, &offset));
}
