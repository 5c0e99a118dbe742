/*
 * Both ways to divide page tables between user and kernel, with ASIDs and without: what U-mode's table shows, read by a walk of the
 * test's own from the roots that the harts have, and the programs of bench/user/ by each of them. That nothing of the kernel is left in
 * a TLB is the model's to see (tests/e2e/test_boot_split.py): QEMU's forgets everything when satp is written.
 */
#include "arch/console.h"
#include "arch/image.h"
#include "arch/paging.h"
#include "arch/split.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "lib/error.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/call.h"
#include "smp/epoch.h"
#include "smp/shootdown.h"
#include "tests/kernel/test.h"

#define RW (PTE_R | PTE_W)

/* The test runs by each design, with so many schemes of shootdown. */
static void by_each_design(void (*run)(void), unsigned nschemes)
{
    static const struct shootdown_ops *const schemes[] = {&shootdown_ipi, &shootdown_tracked};
    const struct vm_design before = vm_design;
    for (unsigned k = 0; k < 4 * nschemes; k++) {
        vm_design.split = k & 1 ? VM_SPLIT_SEPARATE : VM_SPLIT_SHARED;
        vm_design.asid = k & 2;
        vm_design.shootdown = schemes[k / 4];
        kernel_spaces_settle();
        run();
    }
    vm_design = before;
    kernel_spaces_settle();
}

/* --- the tables ---------------------------------------------------------------------------------------- */

static uint64_t entry_at(pfn_t table, size_t index)
{
    return ((const volatile uint64_t *)pfn_to_direct(table))[index];
}

struct findings {
    size_t low, high; /* leaves of either half */
    size_t written_and_executed, kernel_for_users, user_not_for_users, low_global;
    size_t high_global; /* but for the trampoline */
};

static void check_leaf(struct findings *findings, uint64_t entry, uint64_t vaddr)
{
    bool high = vaddr >> 63, trampoline = vaddr >> 30 == TRAMPOLINE_BASE >> 30;
    findings->low += !high;
    findings->high += high;
    findings->written_and_executed += (entry & 4) && (entry & 8);
    findings->kernel_for_users += high && entry & 0x10;
    findings->user_not_for_users += !high && !(entry & 0x10);
    findings->low_global += !high && entry & 0x20;
    findings->high_global += high && !trampoline && entry & 0x20;
    if (trampoline)
        CHECK(entry & 0x20);
}

static void check_below(struct findings *findings, pfn_t table, uint64_t vaddr, unsigned level)
{
    for (size_t i = 0; i < 512; i++) {
        uint64_t entry = entry_at(table, i), at = vaddr | (uint64_t)i << page_level_shift(level);
        if (level == PAGE_LEVEL_ROOT && i >= 256)
            at |= ~0ull << 39;
        if (!(entry & 1))
            continue;
        if (entry & 0xe)
            check_leaf(findings, entry, at);
        else
            check_below(findings, PFN(entry << 10 >> 20), at, level - 1);
    }
}

static struct findings walk(pfn_t root)
{
    struct findings findings = {0};
    check_below(&findings, root, 0, PAGE_LEVEL_ROOT);
    CHECK(findings.low > 0 && findings.high > 0);
    CHECK(findings.written_and_executed == 0);
    CHECK(findings.kernel_for_users == 0);
    CHECK(findings.user_not_for_users == 0);
    CHECK(findings.low_global == 0);
    return findings;
}

static void check_page(pfn_t root, uint64_t vaddr, const void *shown, uint64_t rights)
{
    pfn_t table = root;
    for (unsigned level = PAGE_LEVEL_ROOT; level > 0; level--) {
        uint64_t entry = entry_at(table, vaddr >> page_level_shift(level) & 511);
        CHECK((entry & 0xf) == 1);
        table = PFN(entry << 10 >> 20);
    }
    uint64_t entry = entry_at(table, vaddr >> PAGE_SHIFT & 511);
    CHECK((entry & (PTE_RIGHTS | PTE_V)) == (rights | PTE_V));
    CHECK(entry << 10 >> 20 == image_to_paddr(shown).value >> PAGE_SHIFT);
}

/* Of the high half there is one entry, of what is below it two pages. */
static void check_user_root(pfn_t kernel, pfn_t user)
{
    size_t trampoline = TRAMPOLINE_BASE >> 30 & 511;
    CHECK(!pfn_equal(kernel, user));
    for (size_t i = 0; i < 512; i++) {
        uint64_t seen = entry_at(kernel, i), wanted = i < 256 || i == trampoline ? seen : 0;
        CHECK(entry_at(user, i) == (wanted & 1 ? wanted : 0));
    }
    CHECK(walk(user).high == 2);
    check_page(user, TRAMPOLINE_BASE, split_text(), PTE_R | PTE_X);
    check_page(user, TRAMPOLINE_SLOTS, split_slots(), RW);
}

static struct space *entered;
static vaddr_t touched;
static const vaddr_t large = {4ull << 30};

static void check_this_hart(void *unused)
{
    (void)unused;
    space_enter(entered);
    CHECK(space_fault(entered, VADDR(touched.value + hart_index() * PAGE_BYTES), PTE_W) == 0);
    CHECK(space_fault(entered, VADDR(large.value + hart_index() * PAGE_BYTES), PTE_R) == 0);
    pfn_t kernel = paging_root(), user = split_root();
    for (size_t i = 256; i < 512; i++)
        CHECK(entry_at(kernel, i) == entry_at(kernel_table.root, i));
    struct findings findings = walk(kernel);
    CHECK(findings.high > 10);
    if (vm_design.split == VM_SPLIT_SEPARATE) {
        CHECK(findings.high_global == 0);
        check_user_root(kernel, user);
    } else {
        CHECK(findings.high_global + 2 == findings.high);
        CHECK(pfn_equal(kernel, user));
    }
    space_leave();
    CHECK(pfn_equal(split_root(), kernel_table.root));
}

/* Tables come and go below the roots, a mark stands in them, and a copy is made. */
static void check_tables(void)
{
    vaddr_t far = VADDR(3ull << 30), at = large;
    struct space *space, *copy;
    CHECK(space_create(&kernel_spaces, &space) == 0);
    touched = VADDR(0);
    CHECK(space_map(space, &touched, HART_MAX * PAGE_BYTES, RW, 0) == 0);
    CHECK(space_map(space, &far, PAGE_BYTES, RW, SPACE_FIXED) == 0);
    CHECK(space_write(space, far, "far", 4) == 0);
    CHECK(space_map(space, &at, 1ull << 30, RW, SPACE_FIXED) == 0);
    entered = space;
    smp_call(hart_mask_first(hart_count()), check_this_hart, NULL);
    CHECK(space_unmap(space, far, PAGE_BYTES) == 0);
    smp_call(hart_mask_first(hart_count()), check_this_hart, NULL);
    CHECK(space_validate(space) == 0);
    CHECK(space_fork(space, &copy) == 0);
    CHECK(space_validate(copy) == 0);
    entered = copy;
    smp_call(hart_mask_first(hart_count()), check_this_hart, NULL);
    CHECK(space_validate(copy) == 0);
    space_put(copy);
    space_put(space);
}

TEST(split_shows_users_nothing_but_the_trampoline)
{
    by_each_design(check_tables, 2); /* with one root for all harts, and one for each */
}

/* --- programs ------------------------------------------------------------------------------------------ */

static size_t heap_reserved(void)
{
    struct heap_stats stats;
    heap_stats(&kernel_heap, &stats);
    return stats.reserved_bytes / PAGE_BYTES;
}

static void run_program(const char *const *words, int wanted)
{
    char text[200] = "";
    struct buffer_writer why;
    unsigned count = 0;
    int status = -1;
    buffer_writer_init(&why, text, sizeof(text));
    while (words[count])
        count++;
    shootdown_drain();
    epoch_drain();
    size_t before = frame_free_count(&kernel_frames) + heap_reserved();
    CHECK(program_run(count, words, &status, &why.writer) == 0);
    if (status != wanted)
        console_format("# %s %s by split=%s asid=%u: status %#x, not %#x\n", words[0],
            words[1] ? words[1] : "", vm_split_name_at(vm_design.split), vm_design.asid, status, wanted);
    CHECK(status == wanted);
    shootdown_drain();
    epoch_drain();
    CHECK(frame_free_count(&kernel_frames) + heap_reserved() == before);
}

static void run_programs(void)
{
    static const struct {
        const char *words[4];
        int status;
    } programs[] = {
        {{"hello", "world"}, 0},
        {{"threads", "mutex"}, 0},
        {{"threads", "futex"}, 0},
        {{"threads", "pin"}, 0},
        {{"threads", "sleep"}, 0},
        {{"threads", "registers"}, 0},
        {{"threads", "exit_group"}, STATUS_EXITED(7)},
        {{"fault", "read_kernel"}, STATUS_KILLED(SIGNAL_SEGV)},
        {{"fault", "write_kernel"}, STATUS_KILLED(SIGNAL_SEGV)},
        {{"fault", "run_kernel"}, STATUS_KILLED(SIGNAL_SEGV)},
        {{"fault", "read_direct"}, STATUS_KILLED(SIGNAL_SEGV)},
        {{"fault", "illegal"}, STATUS_KILLED(SIGNAL_ILL)},
        {{"memory"}, 0},
        {{"errors"}, 0},
        {{"forks"}, 0},
        {{"fuzz", "3", "500"}, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        run_program(programs[i].words, programs[i].status);
}

TEST(split_programs_run_by_each_design)
{
    by_each_design(run_programs, 1);
}
