/* Address spaces as the kernel's processes have them. */
#include "arch/paging.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"
#include "tests/kernel/test.h"

TEST(space_gives_everything_back)
{
    struct space *space;
    size_t free = frame_free_count(&kernel_frames);
    vaddr_t at = VADDR(0), image = VADDR(USER_BASE);
    char text[16] = "nothing";
    CHECK(space_create(&kernel_spaces, &space) == 0);
    CHECK(space_map(space, &at, 3 * PAGE_BYTES, PTE_R | PTE_W, 0) == 0);
    CHECK(space_map(space, &image, PAGE_BYTES, PTE_R | PTE_X, SPACE_FIXED) == 0);
    CHECK(space_write(space, VADDR(at.value + PAGE_BYTES - 4), "all of it", 10) == 0);
    CHECK(space_read(space, VADDR(at.value + PAGE_BYTES - 4), text, 10) == 0);
    CHECK(strcmp(text, "all of it") == 0);
    CHECK(space_unmap(space, at, PAGE_BYTES) == 0);
    CHECK(space_read(space, at, text, 1) == ERR_RANGE);
    CHECK(space_map(space, &at, PAGE_BYTES, PTE_W | PTE_X, 0) == ERR_PERMISSION);
    CHECK(space_brk(space, VADDR(USER_HEAP_BASE + 5000)).value == USER_HEAP_BASE + 5000);
    CHECK(space_brk(space, VADDR(0)).value == USER_HEAP_BASE + 5000);
    space_put(space);
    CHECK(frame_free_count(&kernel_frames) == free);
}

TEST(space_is_entered_and_left)
{
    struct space *space;
    CHECK(space_create(&kernel_spaces, &space) == 0);
    space_enter(space);
    CHECK(space_current() == space && !pfn_equal(paging_root(), kernel_table.root));
    space_leave();
    CHECK(space_current() == NULL && pfn_equal(paging_root(), kernel_table.root));
    space_put(space);
}
