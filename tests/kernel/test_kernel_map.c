/*
 * The live page table, read by a walk of the test's own from the root that satp has: what no page may be, what must be
 * there and what must not; and what happens to those who write, execute or reach where they may not.
 */
#include "arch/image.h"
#include "arch/paging.h"
#include "arch/trap.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/call.h"
#include "smp/hart.h"
#include "tests/kernel/test.h"

static uint64_t entry_at(pfn_t table, size_t index)
{
    return ((const volatile uint64_t *)pfn_to_direct(table))[index];
}

/* The entry that translates an address; 0 where nothing does. */
static uint64_t look_up(uint64_t vaddr, unsigned *level)
{
    pfn_t table = paging_root();
    for (*level = PAGE_LEVEL_ROOT;; --*level) {
        uint64_t entry = entry_at(table, vaddr >> page_level_shift(*level) & 511);
        if (!(entry & 1))
            return 0;
        if (entry & 0xe)
            return entry;
        table = PFN(entry << 10 >> 20);
    }
}

static uint64_t rights_at(const void *address)
{
    unsigned level;
    return look_up((uint64_t)address, &level) & (PTE_R | PTE_W | PTE_X | PTE_U);
}

/* Of the byte below. */
static uint64_t rights_below(const void *address)
{
    return rights_at((const void *)((uint64_t)address - 1));
}

struct findings {
    size_t leaves, written_and_executed, users, early, low, misaligned, in_text_written;
};

static void check_leaf(struct findings *findings, uint64_t entry, size_t root_index, unsigned level)
{
    uint64_t first = entry << 10 >> 20 << PAGE_SHIFT, end = first + (1ull << page_level_shift(level));
    uint64_t text = image_to_paddr(_image_start).value, data = image_to_paddr(_data).value;
    findings->leaves++;
    findings->written_and_executed += (entry & 4) && (entry & 8);
    findings->users += (entry & 0x10) != 0;
    findings->early +=
        !(entry & 0x40) || ((entry & 4) && !(entry & 0x80)); /* a hart would have to set A or D */
    findings->low += root_index < 256;
    findings->misaligned += first % (1ull << page_level_shift(level)) != 0;
    findings->in_text_written += (entry & 4) && first < data && end > text;
}

static void check_below(struct findings *findings, pfn_t table, size_t root_index, unsigned level)
{
    for (size_t i = 0; i < 512; i++) {
        uint64_t entry = entry_at(table, i);
        size_t root = level == PAGE_LEVEL_ROOT ? i : root_index;
        if (!(entry & 1))
            continue;
        if (entry & 0xe)
            check_leaf(findings, entry, root, level);
        else
            check_below(findings, PFN(entry << 10 >> 20), root, level - 1);
    }
}

TEST(kernel_map_has_no_page_that_must_not_be)
{
    struct findings findings = {0};
    check_below(&findings, paging_root(), 0, PAGE_LEVEL_ROOT);
    CHECK(findings.leaves > 10);
    CHECK(findings.written_and_executed == 0);
    CHECK(findings.users == 0);
    CHECK(findings.early == 0);
    CHECK(findings.low == 0);
    CHECK(findings.misaligned == 0);
    CHECK(findings.in_text_written == 0);
    CHECK(page_table_validate(&kernel_table, NULL) == 0);
}

static void has_the_kernels_root(void *unused)
{
    (void)unused;
    CHECK(pfn_equal(paging_root(), kernel_table.root));
    for (size_t i = 0; i < 256; i++)
        CHECK(entry_at(paging_root(), i) == 0);
}

TEST(kernel_map_is_used_by_every_hart)
{
    smp_call(hart_mask_first(hart_count()), has_the_kernels_root, NULL);
}

/* So that each address space can have a copy of them. */
TEST(kernel_map_has_every_root_entry_that_is_ever_used)
{
    const struct memory_plan *plan = memory_plan();
    for (uint64_t paddr = plan->ram_first.value; paddr < plan->ram_end.value; paddr += 1ull << 30)
        CHECK(entry_at(paging_root(), (uint64_t)paddr_to_direct(PADDR(paddr)) >> 30 & 511) & PTE_V);
    CHECK(entry_at(paging_root(), WINDOW_BASE >> 30 & 511) & PTE_V);
    CHECK(entry_at(paging_root(), KERNEL_MAP_BASE >> 30 & 511) & PTE_V);
    CHECK(entry_at(paging_root(), MMIO_MAP_BASE >> 30 & 511) & PTE_V);
    CHECK(page_table_map(&kernel_table, VADDR(DIRECT_MAP_BASE - (1ull << 30)), pfn_to_paddr(plan->arena_base),
              PAGE_BYTES, PTE_R, 0) == ERR_STATE);
}

TEST(kernel_map_gives_each_part_its_rights)
{
    const struct memory_plan *plan = memory_plan();
    CHECK(rights_at(_text) == (PTE_R | PTE_X) && rights_below(_rodata) == (PTE_R | PTE_X));
    CHECK(rights_at(_rodata) == PTE_R && rights_below(_data) == PTE_R);
    CHECK(rights_at(_data) == (PTE_R | PTE_W) && rights_below(_image_end) == (PTE_R | PTE_W));
    CHECK(rights_at(_image_end) == 0 && rights_below(_image_start) == 0);
    CHECK(rights_at(paddr_to_direct(image_to_paddr(_text))) == PTE_R);
    CHECK(rights_below(paddr_to_direct(image_to_paddr(_data))) == PTE_R);
    CHECK(rights_at(paddr_to_direct(image_to_paddr(_data))) == (PTE_R | PTE_W));
    CHECK(rights_at(paddr_to_direct(PADDR(plan->ram_end.value - 1))) == (PTE_R | PTE_W));
    CHECK(rights_at(paddr_to_direct(plan->ram_end)) == 0);
    CHECK(rights_at(NULL) == 0 && rights_at((const void *)RAM_BASE) == 0);
}

/* The leaves of the arena, which is what is measured. */
TEST(kernel_map_has_large_leaves_where_they_fit)
{
    const struct memory_plan *plan = memory_plan();
    uint64_t first = pfn_to_paddr(plan->arena_base).value, end = first + plan->arena_frames * PAGE_BYTES;
    for (uint64_t paddr = first; paddr < end; paddr += 1ull << 21) {
        uint64_t gib = ALIGN_DOWN(paddr, 1ull << 30);
        bool whole = gib > RAM_BASE && gib + (1ull << 30) <= plan->ram_end.value;
        unsigned level;
        CHECK(look_up((uint64_t)paddr_to_direct(PADDR(paddr)), &level) != 0);
        CHECK(level == (whole ? 2u : 1u));
    }
    unsigned level;
    CHECK(look_up((uint64_t)_data, &level) != 0 && level == 1);
}

TEST(kernel_map_guards_every_stack)
{
    for (unsigned i = 0; i < hart_count(); i++) {
        uint8_t *stack = hart_stack_base(i), *emergency = hart_emergency_base(i);
        CHECK(harts[i].arch.stack_base == stack);
        CHECK(harts[i].arch.emergency_top == emergency + HART_EMERGENCY_BYTES);
        for (size_t at = 0; at < HART_STACK_BYTES; at += PAGE_BYTES)
            CHECK(rights_at(stack + at) == (PTE_R | PTE_W));
        CHECK(rights_at(emergency) == (PTE_R | PTE_W));
        CHECK(rights_below(stack) == 0 && rights_at(stack - 2 * PAGE_BYTES) == 0);
        CHECK(rights_below(emergency) == 0 && rights_at(emergency + HART_EMERGENCY_BYTES) == 0);
    }
    CHECK(rights_at(hart_stack_base(hart_count())) == 0);
}

static void runs_on_its_stack(void *unused)
{
    uint64_t here;
    (void)unused;
    CHECK((uint64_t)&here - (uint64_t)hart_stack_base(hart_index()) < HART_STACK_BYTES);
}

TEST(kernel_map_stacks_are_in_use)
{
    smp_call(hart_mask_first(hart_count()), runs_on_its_stack, NULL);
}

static uint64_t cause_of_store(const void *address)
{
    trap_expect_fault();
    __asm__ volatile("sb zero, 0(%0)" : : "r"(address) : "memory");
    return trap_expected();
}

static uint64_t cause_of_load(const void *address)
{
    trap_expect_fault();
    __asm__ volatile("lb zero, 0(%0)" : : "r"(address) : "memory");
    return trap_expected();
}

static uint64_t cause_of_call(const void *address)
{
    void (*function)(void);
    memcpy(&function, &address, sizeof(function));
    trap_expect_fault();
    function();
    return trap_expected();
}

static const uint32_t return_in_rodata = 0x8067; /* ret */
static uint32_t return_in_data = 0x8067;

static void wrong_accesses_trap(void *unused)
{
    uint32_t return_on_stack = 0x8067;
    (void)unused;
    CHECK(cause_of_store(_text) == SCAUSE_STORE_PAGE_FAULT);
    CHECK(cause_of_store(&return_in_rodata) == SCAUSE_STORE_PAGE_FAULT);
    CHECK(cause_of_store(paddr_to_direct(image_to_paddr(_text))) == SCAUSE_STORE_PAGE_FAULT);
    CHECK(cause_of_store(paddr_to_direct(image_to_paddr(&return_in_rodata))) == SCAUSE_STORE_PAGE_FAULT);
    CHECK(cause_of_call(&return_in_rodata) == SCAUSE_FETCH_PAGE_FAULT);
    CHECK(cause_of_call(&return_in_data) == SCAUSE_FETCH_PAGE_FAULT);
    CHECK(cause_of_call(&return_on_stack) == SCAUSE_FETCH_PAGE_FAULT);
    CHECK(cause_of_call(paddr_to_direct(image_to_paddr(_text))) == SCAUSE_FETCH_PAGE_FAULT);
    CHECK(cause_of_call(NULL) == SCAUSE_FETCH_PAGE_FAULT);
    CHECK(cause_of_load(NULL) == SCAUSE_LOAD_PAGE_FAULT);
    CHECK(cause_of_load((uint8_t *)hart_stack_base(hart_index()) - 1) == SCAUSE_LOAD_PAGE_FAULT);
    CHECK(cause_of_store((uint8_t *)hart_emergency_base(hart_index()) - 1) == SCAUSE_STORE_PAGE_FAULT);
    CHECK(cause_of_load(_image_end) == SCAUSE_LOAD_PAGE_FAULT);
}

TEST(kernel_map_wrong_accesses_trap_on_every_hart)
{
    smp_call(hart_mask_first(hart_count()), wrong_accesses_trap, NULL);
}

/* The frames of what is mapped and unmapped at run time come back, and the harts see the one and, flushed, not the other. */
static void use_window(void)
{
    const struct memory_plan *plan = memory_plan();
    struct table_gather gather = TABLE_GATHER_INIT;
    size_t free = frame_free_count(&kernel_frames);
    volatile uint64_t *window = (volatile uint64_t *)WINDOW_BASE;
    paddr_t arena = pfn_to_paddr(plan->arena_base);
    CHECK(page_table_map(&kernel_table, VADDR(WINDOW_BASE), arena, 3 * PAGE_BYTES, PTE_R | PTE_W, 0) == 0);
    window[PAGE_BYTES / 8] = 123;
    CHECK(*(volatile uint64_t *)paddr_to_direct(PADDR(arena.value + PAGE_BYTES)) == 123);
    CHECK(kernel_to_paddr((const void *)&window[PAGE_BYTES / 8]).value == arena.value + PAGE_BYTES);
    CHECK(page_table_protect(&kernel_table, VADDR(WINDOW_BASE), PAGE_BYTES, PTE_R, &gather) == 0);
    paging_flush();
    CHECK(cause_of_store((const void *)window) == SCAUSE_STORE_PAGE_FAULT);
    CHECK(page_table_unmap(&kernel_table, VADDR(WINDOW_BASE), WINDOW_BYTES, &gather) == 0);
    paging_flush();
    page_table_release(&kernel_table, &gather);
    CHECK(cause_of_load((const void *)window) == SCAUSE_LOAD_PAGE_FAULT);
    CHECK(frame_free_count(&kernel_frames) == free);
    CHECK(page_table_validate(&kernel_table, NULL) == 0);
}

TEST(kernel_map_window_comes_and_goes)
{
    use_window();
}

/* As in a data point: the tables' frames are others then, and the notes on them lie on nothing else. */
TEST(kernel_map_window_is_used_while_memory_is_apart)
{
    const struct memory_plan *plan = memory_plan();
    const struct table_source *source = &kernel_table_source;
    pfn_t last = paddr_to_pfn_floor(PADDR(plan->apart_first.value + plan->apart_bytes - 1));
    CHECK((const void *)&source->pages[last.value - source->base.value + 1] <= pfn_to_direct(source->base));
    char text[100];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    kernel_spaces_drain();
    CHECK(memory_move() == 0);
    use_window();
    CHECK(memory_return(&why.writer) == 0);
    CHECK(page_table_validate(&kernel_table, NULL) == 0);
}
