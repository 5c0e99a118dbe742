/* The quarantine of freed frames under a space's pages: what a hart sees, and does, by a translation that it should have forgotten. The
 * rest of it is tested on the host, and under make stress. */
#include "arch/uaccess.h"
#include "mm/frame/frame_quarantine.h"
#include "mm/memory.h"
#include "mm/vm/kernel_spaces.h"
#include "mm/vm/space_private.h"
#include "tests/kernel/test.h"

#define TEST_FRAMES 1024
#define ROOM        8
#define RW          (PTE_R | PTE_W)

static struct frame_damage found;
static unsigned nfound;

static void note(const struct frame_damage *damage)
{
    found = *damage;
    nfound++;
}

/* Unmaps a page, and shows its frame there again, as to a hart that was not told. */
static pfn_t make_stale(struct space *space, vaddr_t at)
{
    paddr_t paddr = PADDR(0);
    CHECK(space_map(space, &at, PAGE_BYTES, RW, SPACE_FIXED) == 0);
    CHECK(user_store_word(at.value, 5) == 0);
    CHECK(page_table_translate(&space->table, at, &paddr));
    CHECK(space_unmap(space, at, PAGE_BYTES) == 0);
    pfn_t pfn = paddr_to_pfn_floor(paddr);
    CHECK(space_map_frames(space, &at, pfn, 1, RW, SPACE_FIXED) == 0);
    return pfn;
}

TEST(quarantine_finds_stale_loads_and_stores)
{
    static _Atomic uint32_t counts[TEST_FRAMES] CACHE_ALIGNED;
    static uint64_t queues[2048] CACHE_ALIGNED;
    static struct frame_allocator arena;
    static struct frame_refs refs;
    static struct frame_quarantine quarantine;
    const struct memory_plan *plan = memory_plan();
    struct space_pool pool = kernel_spaces; /* with pages from the arena, but the kernel's tables */
    struct space *space;
    vaddr_t at = VADDR(USER_MMAP_BASE);
    uint32_t word = 0;
    CHECK(frame_allocator_init(&arena, frame_allocator_find("bitmap"), &lock_ttas, "test", plan->metadata,
              plan->arena_base, TEST_FRAMES, hart_count()) == 0);
    CHECK(frame_quarantine_bytes(hart_count(), ROOM) <= sizeof(queues));
    frame_refs_init(&refs, &arena, counts);
    frame_quarantine_attach(&quarantine, &arena, queues, ROOM, note);
    pool.refs = &refs;
    nfound = 0;
    CHECK(space_pool_init(&pool) == 0 && space_create(&pool, &space) == 0);
    space_enter(space);
    pfn_t pfn = make_stale(space, at);
    CHECK(user_load_word(at.value, &word) == 0 && frame_is_poison(word));
    CHECK(pfn_equal(frame_of_poison(word), PFN(pfn.value & 0x7fffff)));
    frame_drain(&arena);
    CHECK(nfound == 0); /* it was only read */
    pfn = make_stale(space, at);
    CHECK(user_store_word(at.value + 40, 7) == 0);
    frame_drain(&arena);
    CHECK(nfound == 1 && pfn_equal(found.pfn, pfn) && found.offset == 40 && (uint32_t)found.found == 7);
    CHECK(found.vaddr == at.value && found.hart == hart_index());
    space_leave();
    space_put(space);
    space_pool_destroy(&pool);
    frame_quarantine_detach(&quarantine);
    CHECK(nfound == 1 && frame_validate(&arena, 0) == 0 && frame_refs_validate(&refs, 0) == 0);
}
