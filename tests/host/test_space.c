/*
 * Address spaces: what Linux's calls do, page by page, and random calls by several harts against a plain model, by every design and
 * with memory that runs out at each place where it can.
 */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/error.h"
#include "mm/vm/space_private.h"
#include "mm/vm/table_lock.h"
#include "shim/host.h"
#include "space/space_model.h"
#include "space/tlb.h"
#include "trace/inject.h"

#define RW     (PTE_R | PTE_W)
#define CORNER (MODEL_PAGES / 2)

static struct space_model model;

static void use_design(unsigned i)
{
    vm_design.split = i / 12 ? VM_SPLIT_SEPARATE : VM_SPLIT_SHARED;
    vm_design.shootdown = shootdown_at(i / 4 % 3);
    vm_design.ptlock = i & 1 ? VM_PTLOCK_NODE : VM_PTLOCK_SPACE;
    vm_design.asid = i & 2;
}

#define DESIGNS 24u

static int setup(void **state)
{
    (void)state;
    use_design(1);
    space_model_init(&model, 4096);
    space_model_create(&model, 0);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    space_model_finish(&model);
    return 0;
}

static void test_pages_are_zeros_and_keep_what_is_written(void **state)
{
    (void)state;
    assert_int_equal(space_model_map(&model, 0, CORNER - 2, 4, RW, SPACE_FIXED), 0);
    size_t frames = space_frames(model.spaces[0].space);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_R), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_X), ERR_PERMISSION);
    assert_true(space_frames(model.spaces[0].space) <= frames + 2); /* tables, but no page of its own */
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_W), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_R), 0);
    assert_int_equal(space_model_protect(&model, 0, CORNER - 2, 4, 0), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_R), ERR_PERMISSION);
    assert_int_equal(space_model_protect(&model, 0, CORNER - 2, 4, PTE_R), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_R), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_W), ERR_PERMISSION);
    assert_int_equal(space_model_discard(&model, 0, CORNER, 1), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_R), 0);
}

static void test_wrong_arguments(void **state)
{
    (void)state;
    struct space *space = model.spaces[0].space;
    vaddr_t at = VADDR(USER_BASE + 1);
    assert_int_equal(space_map(space, &at, PAGE_BYTES, RW, SPACE_FIXED), ERR_INVALID);
    assert_int_equal(space_map(space, &at, 0, RW, 0), ERR_INVALID);
    assert_int_equal(space_map(space, &at, PAGE_BYTES, PTE_U, 0), ERR_INVALID);
    assert_int_equal(space_map(space, &at, SIZE_MAX, RW, 0), ERR_NO_MEMORY);
    assert_int_equal(space_map(space, &at, USER_END, RW, 0), ERR_NO_MEMORY);
    assert_int_equal(space_map(space, &at, PAGE_BYTES, PTE_W | PTE_X, 0), ERR_PERMISSION);
    static const uint64_t bad[] = {0, USER_BASE - PAGE_BYTES, USER_END, 1ull << 38, 1ull << 63, -(1ull << 38),
        0xfffffff000000000, UINT64_MAX & ~0xfffull};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        at = VADDR(bad[i]);
        assert_int_equal(space_map(space, &at, PAGE_BYTES, RW, SPACE_FIXED), ERR_RANGE);
        assert_int_equal(space_map(space, &at, PAGE_BYTES, RW, SPACE_NOREPLACE), ERR_RANGE);
        assert_int_equal(space_unmap(space, at, PAGE_BYTES), bad[i] < USER_BASE ? 0 : ERR_INVALID);
        assert_int_equal(space_protect(space, at, PAGE_BYTES, RW), ERR_RANGE);
        int error = at.value + PAGE_BYTES == 0 ? ERR_INVALID : ERR_RANGE;
        assert_int_equal(space_discard(space, at, PAGE_BYTES), error);
        assert_int_equal(space_look(space, at, PAGE_BYTES), error);
        assert_int_equal(space_fault(space, at, PTE_R), ERR_RANGE);
        assert_int_equal(space_map(space, &at, PAGE_BYTES, RW, 0), 0); /* a hint that is of no use */
        assert_int_equal(space_unmap(space, at, PAGE_BYTES), 0);
    }
    at = VADDR(USER_END - PAGE_BYTES);
    assert_int_equal(space_map(space, &at, 2 * PAGE_BYTES, RW, SPACE_FIXED), ERR_RANGE);
    assert_int_equal(space_unmap(space, at, SIZE_MAX), ERR_INVALID);
    assert_int_equal(space_protect(space, at, SIZE_MAX, RW), ERR_RANGE);
    assert_int_equal(space_unmap(space, VADDR(at.value + 8), PAGE_BYTES), ERR_INVALID);
    assert_int_equal(space_protect(space, VADDR(at.value + 8), PAGE_BYTES, RW), ERR_INVALID);
    assert_int_equal(space_discard(space, VADDR(at.value + 8), PAGE_BYTES), ERR_INVALID);
}

/* Each hart finds room in a slice of its own, and uses again what it has unmapped. */
static void test_where_there_is_room(void **state)
{
    (void)state;
    struct space *space = model.spaces[0].space;
    vaddr_t at[MODEL_HARTS][3];
    for (unsigned hart = 0; hart < MODEL_HARTS; hart++) {
        space_model_become(hart);
        for (unsigned i = 0; i < 3; i++) {
            at[hart][i] = VADDR(0);
            assert_int_equal(space_map(space, &at[hart][i], 5 * PAGE_BYTES, RW, 0), 0);
            assert_int_equal(at[hart][i].value / (USER_MMAP_BASE / MODEL_HARTS), MODEL_HARTS + hart);
        }
        vaddr_t again = VADDR(0), behind = VADDR(0);
        assert_int_equal(space_unmap(space, at[hart][1], 5 * PAGE_BYTES), 0);
        assert_int_equal(space_map(space, &again, 6 * PAGE_BYTES, RW, 0), 0);
        assert_int_equal(again.value, at[hart][2].value + 5 * PAGE_BYTES);
        assert_int_equal(space_unmap(space, again, 6 * PAGE_BYTES), 0);
        assert_int_equal(space_unmap(space, at[hart][0], PAGE_BYTES), 0);
        assert_int_equal(space_map(space, &behind, PAGE_BYTES, RW, 0), 0);
        assert_int_equal(behind.value, at[hart][0].value);
    }
    /* More than a slice, and more than there is. */
    vaddr_t large = VADDR(0), second = VADDR(0);
    size_t zone = USER_MMAP_END - USER_MMAP_BASE;
    assert_int_equal(space_map(space, &large, zone / MODEL_HARTS, RW, 0), ERR_NO_MEMORY);
    assert_int_equal(space_unmap(space, VADDR(USER_MMAP_BASE), zone / 2), 0);
    assert_int_equal(space_map(space, &large, zone / MODEL_HARTS + PAGE_BYTES, RW, 0), 0);
    assert_int_equal(large.value, USER_MMAP_BASE);
    assert_int_equal(space_unmap(space, VADDR(USER_BASE), USER_END - USER_BASE), 0);
    assert_int_equal(space_map(space, &second, zone, RW, 0), 0);
    assert_int_equal(space_map(space, &large, PAGE_BYTES, RW, 0), ERR_NO_MEMORY);
    assert_int_equal(space_unmap(space, second, zone), 0);
}

static void test_ranges_that_reach_out(void **state)
{
    struct space *space = model.spaces[0].space;
    vaddr_t at = VADDR(USER_BASE);
    uint64_t word = 1;
    (void)state;
    assert_int_equal(space_map(space, &at, PAGE_BYTES, RW, SPACE_FIXED), 0);
    assert_int_equal(space_write(space, at, &word, sizeof(word)), 0);
    assert_int_equal(space_look(space, at, PAGE_BYTES), 0);
    assert_int_equal(space_look(space, at, 2 * PAGE_BYTES), ERR_RANGE);
    assert_int_equal(space_look(space, VADDR(0), USER_BASE + PAGE_BYTES), ERR_RANGE);
    assert_int_equal(space_look(space, at, -USER_BASE), ERR_INVALID); /* it ends at 0 again */
    assert_int_equal(space_read(space, at, &word, sizeof(word)), 0);
    assert_int_equal(word, 1);
    assert_int_equal(space_discard(space, VADDR(0), USER_BASE + PAGE_BYTES), ERR_RANGE);
    assert_int_equal(space_read(space, at, &word, sizeof(word)), 0);
    assert_int_equal(word, 0);
    assert_int_equal(space_unmap(space, VADDR(0), USER_BASE), 0);
    assert_int_equal(space_look(space, at, PAGE_BYTES), 0);
    assert_int_equal(space_unmap(space, VADDR(0), USER_BASE + 1), 0);
    assert_int_equal(space_look(space, at, PAGE_BYTES), ERR_RANGE);
}

static entry_t *entry_of(struct space *space, size_t page)
{
    struct table_look look = table_look_up(&space->table, page);
    assert_int_equal(look.level, 0);
    return table_entry(look.table, page, 0);
}

static void test_damage_is_found(void **state)
{
    struct space *space = model.spaces[0].space;
    vaddr_t at = VADDR(USER_BASE);
    uint64_t word = 1;
    (void)state;
    assert_int_equal(space_map(space, &at, PAGE_BYTES, RW, SPACE_FIXED), 0);
    assert_int_equal(space_write(space, at, &word, sizeof(word)), 0);
    uint64_t leaf = *entry_of(space, USER_FIRST_PAGE);
    const struct {
        size_t page;
        pte_t pte;
        const char *finding;
    } damage[] = {
        {0, PTE(leaf), "mapped where a user has nothing"},
        {USER_FIRST_PAGE - 1, space_anon(RW), "mapped where a user has nothing"},
        {USER_FIRST_PAGE, PTE(leaf & ~PTE_U), "a page that the user cannot use"},
        {USER_FIRST_PAGE, pte_mark(PTE_MARK_BUSY, RW | PTE_U, PFN(1)), "a change that was not finished"},
        {USER_FIRST_PAGE, pte_mark(PTE_MARK_LEAVING, 0, PFN(1)), "an unmapping that was not finished"},
        {USER_FIRST_PAGE, PTE(space_zero_leaf(space, RW).bits | PTE_W), "the page of zeros, and it can"},
        {USER_FIRST_PAGE, pte_leaf(space->pool->zero, PTE_R | PTE_U), "the page of zeros, as if"},
        {USER_FIRST_PAGE, pte_leaf(PFN(0), RW | PTE_U), "a frame that is not of those"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        entry_t *entry = entry_of(space, damage[i].page);
        uint64_t was = *entry;
        *entry = damage[i].pte.bits;
        host_console_capture();
        assert_int_equal(space_validate(space), ERR_CORRUPT);
        assert_non_null(strstr(host_console_release(), damage[i].finding));
        *entry = was;
        assert_int_equal(space_validate(space), 0);
    }
    assert_int_equal(space_unmap(space, at, PAGE_BYTES), 0);
}

static void test_copies_share_until_written(void **state)
{
    (void)state;
    assert_int_equal(space_model_map(&model, 0, CORNER - 5, 10, RW, SPACE_FIXED), 0);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(space_model_access(&model, 0, CORNER - 5 + i, PTE_W), 0);
    size_t free = frame_free_count(&model.fa);
    assert_int_equal(space_model_fork(&model, 0, 1), 0);
    assert_true(free - frame_free_count(&model.fa) < 10); /* tables only */
    assert_int_equal(space_model_access(&model, 0, CORNER, PTE_W), 0);
    assert_int_equal(space_model_access(&model, 1, CORNER, PTE_R), 0);
    assert_int_equal(space_model_access(&model, 1, CORNER + 1, PTE_W), 0);
    assert_int_equal(space_model_access(&model, 0, CORNER + 1, PTE_R), 0);
    space_model_end(&model, 0);
    free = frame_free_count(&model.fa);
    for (size_t i = 0; i < 10; i++) /* in place: nobody else has them */
        assert_int_equal(space_model_access(&model, 1, CORNER - 5 + i, PTE_W), 0);
    assert_true(free - frame_free_count(&model.fa) <= 3);
}

static void random_calls(uint64_t stream, unsigned steps, unsigned check_each)
{
    struct rng rng;
    rng_seed(&rng, 7, stream);
    for (unsigned i = 1; i <= steps; i++) {
        space_model_step(&model, &rng);
        if (i % check_each == 0)
            space_model_check(&model);
    }
}

static void test_random_calls(void **state)
{
    (void)state;
    for (unsigned design = 0; design < DESIGNS; design++) {
        use_design(design);
        space_model_room = design % 3 == 1 ? 100 : 0;
        for (unsigned stream = 0; stream < 3; stream++) {
            space_model_init(&model, 8192);
            random_calls(design * 100 + stream, 3000, 50);
            space_model_finish(&model);
        }
    }
    space_model_room = 0;
}

/* There are fewer frames than the calls want. */
static void test_random_calls_in_little_memory(void **state)
{
    (void)state;
    for (unsigned design = 0; design < DESIGNS; design++) {
        use_design(design);
        space_model_room = design & 1 ? 0 : 20; /* frames in quarantine are not missing */
        space_model_init(&model, 1024);
        pfn_t held[1024];
        size_t n = 0;
        while (frame_free_count(&model.fa) > 150)
            held[n++] = frame_alloc(&model.fa, 0, 0);
        model.base_frames += n;
        model.scarce = true;
        random_calls(1000 + design, 4000, 50);
        model.base_frames -= n;
        while (n > 0)
            frame_free(&model.fa, held[--n], 0);
        model.scarce = false;
        space_model_finish(&model);
    }
    space_model_room = 0;
}

/* The n-th table, or page, cannot be had, for each n. */
static void sweep(enum inject point)
{
    uint64_t passed = 1;
    for (uint64_t n = 1; passed >= n || n == 1; n += 1 + n / 16) {
        space_model_init(&model, 8192);
        model.scarce = true;
        inject_arm(point, n);
        random_calls(2000, 2000, 100);
        passed = inject_passed(point);
        inject_arm(point, 0);
        model.scarce = false;
        space_model_finish(&model);
    }
    assert_true(passed > 50);
}

static void test_injected_failures(void **state)
{
    (void)state;
    for (unsigned design = 1; design < DESIGNS; design += 4) {
        use_design(design);
        sweep(INJECT_TABLE);
        sweep(INJECT_PAGE);
    }
}

static void write_pages(unsigned space)
{
    for (size_t i = 0; i < 12; i++)
        space_model_access(&model, space, CORNER - 6 + i, PTE_W);
}

static void copy_often(void)
{
    space_model_init(&model, 8192);
    space_model_create(&model, 0);
    space_model_map(&model, 0, CORNER - 6, 12, RW, SPACE_FIXED);
    write_pages(0);
    for (unsigned i = 0; i < 200; i++) {
        space_model_fork(&model, 0, 1);
        write_pages(1);
        space_model_check(&model);
        space_model_end(&model, 1);
    }
    space_model_finish(&model);
}

/* One hart replaces what another uses. */
static void replace_often(void)
{
    space_model_init(&model, 8192);
    space_model_create(&model, 0);
    for (unsigned i = 0; i < 40; i++) {
        space_model_become(0);
        space_model_map(&model, 0, CORNER, 2, RW, SPACE_FIXED);
        for (unsigned k = 0; k < 2; k++) /* in turns, or each page would get the same frame again */
            space_model_access(&model, 0, CORNER + (i + k) % 2, PTE_W);
        space_model_become(1);
        space_model_access(&model, 0, CORNER, PTE_R);
    }
    space_model_finish(&model);
}

static void say_nothing(void)
{
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
}

/* In a process of its own, as what is found ends it. Returns whether something was. */
static bool is_found(void (*plant)(void), unsigned design)
{
    pid_t child = fork();
    if (child == 0) {
        say_nothing();
        use_design(design);
        plant();
        copy_often();
        replace_often();
        for (unsigned stream = 0; stream < 6; stream++) {
            space_model_init(&model, 8192);
            random_calls(3000 + stream, 3000, 100);
            space_model_finish(&model);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

static void plant_nothing(void)
{
}

static void plant_lost(void)
{
    plant_set(PLANT_SPACE_LOST);
}

static void plant_cow(void)
{
    plant_set(PLANT_SPACE_COW);
}

static void plant_noflush(void)
{
    tlb_lose(4);
}

static void test_planted_bugs_are_found(void **state)
{
    (void)state;
    assert_false(is_found(plant_nothing, 1));
    for (unsigned design = 1; design < DESIGNS; design += 4) {
        assert_true(is_found(plant_lost, design));
        assert_true(is_found(plant_cow, design));
        assert_true(is_found(plant_noflush, design | 2)); /* without ASIDs every switch flushes */
    }
}

/* A hart that was not told stores to a frame in quarantine. In a process of its own, as that ends it. */
static bool stale_store_is_found(bool lose)
{
    pid_t child = fork();
    if (child == 0) {
        vaddr_t at = page_to_vaddr(MODEL_FIRST_PAGE + CORNER);
        say_nothing();
        use_design(3);
        space_model_room = 16;
        space_model_init(&model, 1024);
        space_model_create(&model, 0);
        space_model_map(&model, 0, CORNER, 1, RW, SPACE_FIXED);
        space_model_become(1);
        space_model_access(&model, 0, CORNER, PTE_W);
        space_model_become(0);
        tlb_lose(lose ? 1 : 0);
        space_model_unmap(&model, 0, CORNER, 1);
        space_model_become(1);
        bool stored = tlb_store(at, 7);
        frame_drain(&model.fa); /* panics, if it was */
        _exit(stored ? 2 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    return status != 0;
}

static void test_a_stale_store_is_found_in_quarantine(void **state)
{
    (void)state;
    assert_false(stale_store_is_found(false));
    assert_true(stale_store_is_found(true));
}

#define WITH_SPACE(test) cmocka_unit_test_setup_teardown(test, setup, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPACE(test_pages_are_zeros_and_keep_what_is_written),
        WITH_SPACE(test_wrong_arguments),
        WITH_SPACE(test_where_there_is_room),
        WITH_SPACE(test_ranges_that_reach_out),
        WITH_SPACE(test_damage_is_found),
        WITH_SPACE(test_copies_share_until_written),
        cmocka_unit_test(test_random_calls),
        cmocka_unit_test(test_random_calls_in_little_memory),
        cmocka_unit_test(test_injected_failures),
        cmocka_unit_test(test_planted_bugs_are_found),
        cmocka_unit_test(test_a_stale_store_is_found_in_quarantine),
    };
    return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
