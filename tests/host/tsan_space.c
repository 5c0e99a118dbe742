/*
 * Threads as harts in one address space, under ThreadSanitizer: they fault, write, unmap, protect and discard the same pages, and copy
 * the space, while a hart's TLB keeps whatever it is not told to forget. What is in a page is read and written with plain
 * accesses, each hart having a word of its own in it, so a frame that is given back, copied or used again too early is reported.
 */
#include "unit.h"

#include <stdlib.h>

#include "arch/cpu.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/rng.h"
#include "shim/host.h"
#include "smp/barrier.h"
#include "space/space_model.h"
#include "space/tlb.h"

#define NHARTS MODEL_HARTS
#define STEPS  1500

/* All harts work on these, two of them in each of two tables. */
#define NPAGES 8u
#define FIRST  (MODEL_FIRST_PAGE + MODEL_PAGES / 2 - NPAGES / 2)

static struct space_model model;
static struct space *common;
static struct barrier barrier;

static vaddr_t address(size_t page)
{
    return page_to_vaddr(FIRST + page);
}

/* As a program does: nothing but 0, and that it may not, are right. */
static bool access_word(struct space *space, size_t page, uint64_t access, uint64_t *value)
{
    vaddr_t at = VADDR(address(page).value + 8 * hart_index());
    while (!(access == PTE_W ? tlb_store(at, *value) : tlb_load(at, value))) {
        int error = space_fault(space, at, access);
        if (error) {
            ASSERT(error == ERR_RANGE || error == ERR_PERMISSION);
            return false;
        }
    }
    return true;
}

static void map_somewhere(struct rng *rng, size_t page, size_t npages)
{
    vaddr_t at = rng_below(rng, 3) ? address(page) : VADDR(0);
    bool there = at.value != 0;
    unsigned flags = there ? SPACE_FIXED : rng_below(rng, 2) ? SPACE_POPULATE : 0;
    int error = space_map(common, &at, npages * PAGE_BYTES, PTE_R | PTE_W, flags);
    ASSERT(error == 0);
    if (!there)
        ASSERT(space_unmap(common, at, npages * PAGE_BYTES) == 0);
}

/* The copy is the hart's own: what it holds stays as it is. */
static void copy_and_look(size_t page)
{
    struct space *copy;
    uint64_t first = 0, second = 1;
    ASSERT(space_fork(common, &copy) == 0);
    space_enter(copy);
    if (access_word(copy, page, PTE_R, &first)) {
        cpu_relax();
        ASSERT(access_word(copy, page, PTE_R, &second) && first == second);
    }
    access_word(copy, page, PTE_W, &second);
    space_enter(common);
    space_put(copy);
}

static void work(void *argument)
{
    static const uint8_t rights[] = {0, PTE_R, PTE_R | PTE_W, PTE_R | PTE_W};
    struct rng rng;
    rng_seed(&rng, *(const uint64_t *)argument, hart_index());
    barrier_wait(&barrier);
    space_enter(common);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t page = rng_below(&rng, NPAGES), npages = 1 + rng_below(&rng, NPAGES - page);
        uint64_t value = step;
        switch (rng_below(&rng, 16)) {
        case 0: map_somewhere(&rng, page, npages); break;
        case 1: ASSERT(space_unmap(common, address(page), npages * PAGE_BYTES) == 0); break;
        case 2: space_protect(common, address(page), npages * PAGE_BYTES, rights[rng_below(&rng, 4)]); break;
        case 3: space_discard(common, address(page), npages * PAGE_BYTES); break;
        case 4: copy_and_look(page); break;
        case 5: shootdown_quiescent(); break;
        default: access_word(common, page, rng_below(&rng, 2) ? PTE_W : PTE_R, &value);
        }
    }
    space_leave();
    shootdown_drain();
}

static void run(uint64_t seed)
{
    space_model_become(0);
    space_model_init(&model, 8192);
    ASSERT(space_create(&model.pool, &common) == 0);
    barrier_init(&barrier, NHARTS);
    host_run_harts(NHARTS, work, &seed);
    space_model_become(0);
    epoch_drain();
    assert_int_equal(space_validate(common), 0);
    space_put(common);
    space_model_finish(&model); /* every frame is back */
}

/* With freed frames in quarantine and without: poison is written, and looked at, where no hart may be any more. */
static void by_scheme(const struct shootdown_ops *ops)
{
    for (unsigned i = 0; i < 8; i++) {
        space_model_room = i == 3 || i == 6 ? 16 : 0;
        vm_design.split = i & 4 ? VM_SPLIT_SEPARATE : VM_SPLIT_SHARED;
        vm_design.shootdown = ops;
        vm_design.ptlock = i & 1 ? VM_PTLOCK_NODE : VM_PTLOCK_SPACE;
        vm_design.asid = i & 2;
        run(i);
    }
    space_model_room = 0;
}

static void test_all_harts_are_told(void **state)
{
    (void)state;
    by_scheme(&shootdown_ipi);
}

static void test_quarantine(void **state)
{
    (void)state;
    by_scheme(&shootdown_lazy);
}

static void test_views(void **state)
{
    (void)state;
    by_scheme(&shootdown_tracked);
}

static _Atomic unsigned entered; /* harts that are in the space */
static _Atomic bool dropped; /* by everybody but them */

/* A thread moves on, and its process ends elsewhere before this hart has left the space. */
static void leave_late(void *argument)
{
    size_t page = hart_index();
    uint64_t value = 1 + page, found = 0;
    (void)argument;
    if (hart_index() == 0) {
        while (atomic_load_explicit(&entered, memory_order_acquire) < NHARTS - 1)
            cpu_relax();
        space_put(common);
        atomic_store_explicit(&dropped, true, memory_order_release);
        return;
    }
    space_enter(common);
    atomic_fetch_add_explicit(&entered, 1, memory_order_release);
    while (!atomic_load_explicit(&dropped, memory_order_acquire))
        cpu_relax();
    ASSERT(access_word(common, page, PTE_W, &value));
    ASSERT(access_word(common, page, PTE_R, &found) && found == value);
    space_leave();
    shootdown_drain();
}

static void test_a_space_ends_when_all_have_left(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        vaddr_t at = address(0);
        vm_design.shootdown = i & 4 ? &shootdown_tracked : &shootdown_ipi;
        vm_design.ptlock = i & 1 ? VM_PTLOCK_NODE : VM_PTLOCK_SPACE;
        vm_design.asid = i & 2;
        space_model_become(0);
        space_model_init(&model, 8192);
        ASSERT(space_create(&model.pool, &common) == 0);
        ASSERT(space_map(common, &at, NHARTS * PAGE_BYTES, PTE_R | PTE_W, SPACE_FIXED) == 0);
        atomic_store_explicit(&entered, 0, memory_order_relaxed);
        atomic_store_explicit(&dropped, false, memory_order_relaxed);
        host_run_harts(NHARTS, leave_late, NULL);
        space_model_become(0);
        space_model_finish(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_harts_are_told),
        cmocka_unit_test(test_quarantine),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_a_space_ends_when_all_have_left),
    };
    return cmocka_run_group_tests_name("spaces under threads", tests, NULL, NULL);
}
