/* Address spaces as the kernel's processes have them. What they do is compared with a model on the host (test_space.c there);
 * here are the real tables, by every design. */
#include "arch/paging.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/call.h"
#include "smp/shootdown.h"
#include "tests/kernel/test.h"

#define RW (PTE_R | PTE_W)

/* Runs a test by each design; every frame comes back. */
static void by_each_design(void (*run)(void))
{
    const struct vm_design before = vm_design;
    for (unsigned i = 0; shootdown_at(i); i++) {
        for (unsigned k = 0; k < 8; k++) {
            vm_design.shootdown = shootdown_at(i);
            vm_design.ptlock = k & 1 ? VM_PTLOCK_NODE : VM_PTLOCK_SPACE;
            vm_design.asid = k & 2;
            vm_design.split = k & 4 ? VM_SPLIT_SEPARATE : VM_SPLIT_SHARED;
            kernel_spaces_settle();
            epoch_drain();
            size_t free = frame_free_count(&kernel_frames);
            run();
            shootdown_drain();
            epoch_drain();
            CHECK(frame_free_count(&kernel_frames) == free);
            CHECK(frame_refs_validate(&kernel_refs, 0) == 0);
        }
    }
    vm_design = before;
    kernel_spaces_settle();
}

static bool holds(struct space *space, vaddr_t at, const char *text)
{
    char found[16];
    return space_read(space, at, found, strlen(text) + 1) == 0 && strcmp(found, text) == 0;
}

static void use_memory(void)
{
    struct space *space;
    vaddr_t at = VADDR(0), image = VADDR(USER_BASE);
    CHECK(space_create(&kernel_spaces, &space) == 0);
    CHECK(space_map(space, &at, 3 * PAGE_BYTES, RW, 0) == 0);
    CHECK(space_map(space, &image, PAGE_BYTES, PTE_R | PTE_X, SPACE_FIXED) == 0);
    CHECK(space_write(space, VADDR(at.value + PAGE_BYTES - 4), "all of it", 10) == 0);
    CHECK(space_write(space, image, "code", 5) == 0 && holds(space, image, "code"));
    CHECK(holds(space, VADDR(at.value + PAGE_BYTES - 4), "all of it"));
    CHECK(space_protect(space, at, 2 * PAGE_BYTES, 0) == 0);
    CHECK(space_fault(space, at, PTE_R) == ERR_PERMISSION);
    CHECK(space_protect(space, at, 3 * PAGE_BYTES, PTE_R) == 0);
    CHECK(holds(space, VADDR(at.value + PAGE_BYTES - 4), "all of it"));
    CHECK(space_fault(space, at, PTE_R) == 0 && space_fault(space, at, PTE_W) == ERR_PERMISSION);
    CHECK(space_discard(space, at, PAGE_BYTES) == 0 && holds(space, VADDR(at.value + PAGE_BYTES - 4), ""));
    CHECK(space_unmap(space, at, PAGE_BYTES) == 0);
    CHECK(space_fault(space, at, PTE_R) == ERR_RANGE);
    CHECK(space_map(space, &at, PAGE_BYTES, PTE_W | PTE_X, 0) == ERR_PERMISSION);
    CHECK(space_brk(space, VADDR(USER_HEAP_BASE + 5000)).value == USER_HEAP_BASE + 5000);
    CHECK(space_brk(space, VADDR(0)).value == USER_HEAP_BASE + 5000);
    CHECK(space_validate(space) == 0);
    space_put(space);
}

TEST(space_gives_everything_back)
{
    by_each_design(use_memory);
}

static void copy_space(void)
{
    struct space *space, *copy;
    vaddr_t at = VADDR(0);
    CHECK(space_create(&kernel_spaces, &space) == 0);
    CHECK(space_map(space, &at, 600 * PAGE_BYTES, RW, 0) == 0);
    CHECK(space_write(space, VADDR(at.value + 50 * PAGE_BYTES), "both", 5) == 0);
    CHECK(space_fault(space, VADDR(at.value + 599 * PAGE_BYTES), PTE_R) == 0);
    CHECK(space_fork(space, &copy) == 0);
    CHECK(holds(copy, VADDR(at.value + 50 * PAGE_BYTES), "both"));
    CHECK(space_write(copy, VADDR(at.value + 50 * PAGE_BYTES), "copy", 5) == 0);
    CHECK(holds(space, VADDR(at.value + 50 * PAGE_BYTES), "both"));
    CHECK(space_fault(space, VADDR(at.value + 50 * PAGE_BYTES), PTE_W) == 0);
    CHECK(space_validate(space) == 0 && space_validate(copy) == 0);
    space_put(space);
    CHECK(holds(copy, VADDR(at.value + 50 * PAGE_BYTES), "copy"));
    space_put(copy);
}

TEST(space_is_copied)
{
    by_each_design(copy_space);
}

static struct space *entered;

/* Every hart faults a page of its own and one of all, in the space. */
static void touch(void *unused)
{
    (void)unused;
    space_enter(entered);
    CHECK(space_current() == entered);
    vaddr_t own = VADDR(0);
    CHECK(space_map(entered, &own, PAGE_BYTES, RW, SPACE_POPULATE) == 0);
    CHECK(space_fault(entered, VADDR(USER_HEAP_BASE), PTE_R) == 0);
    CHECK(!pfn_equal(paging_root(), kernel_table.root));
    CHECK(space_fault(entered, VADDR(USER_HEAP_BASE), PTE_W) == 0);
    CHECK(space_unmap(entered, own, PAGE_BYTES) == 0);
    space_leave();
    CHECK(space_current() == NULL && pfn_equal(paging_root(), kernel_table.root));
    shootdown_drain();
}

static void enter_on_all(void)
{
    CHECK(space_create(&kernel_spaces, &entered) == 0);
    CHECK(space_brk(entered, VADDR(USER_HEAP_BASE + PAGE_BYTES)).value == USER_HEAP_BASE + PAGE_BYTES);
    smp_call(hart_mask_first(hart_count()), touch, NULL);
    CHECK(space_validate(entered) == 0);
    space_put(entered);
}

TEST(space_is_entered_and_left)
{
    by_each_design(enter_on_all);
}
