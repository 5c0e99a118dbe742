/*
 * Every scheme of TLB shootdown, and every setting of `ipi`, on all harts: each hart has pages of its own in a table that
 * all use, shows one frame after the other there, and says after each shootdown what everybody must see from then on. All
 * shoot at all, so each is told while it waits itself.
 */
#include "arch/atomic.h"
#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "smp/barrier.h"
#include "smp/call.h"
#include "smp/ipi.h"
#include "smp/lock.h"
#include "smp/shootdown.h"
#include "tests/kernel/test.h"
#include "trace/inject.h"

#define BASE_PAGE 0x40000ul /* at 1 GiB, in the user's half, though for S-mode */
#define PAGES_MAX 2 /* of a hart */
#define FRAMES    4 /* that a page shows in turn: who still sees one of the last three is found out */
#define APART     128 /* pages from one hart's to the next: flushes of many pages reach no other's */
#define ROUNDS    80 /* of all harts together: each round of one waits until the host has run all others */
#define DEFERRED  (SHOOTDOWN_DEFERRED_MAX + 16)

struct page_under_test {
    volatile uint64_t *entry;
    pfn_t frame[FRAMES];
    _Atomic uint64_t due; /* what every hart must read there, or something later */
};

struct storm_deferred {
    struct deferred deferred;
    struct page_under_test *page;
    uint64_t round;
    bool busy;
};

static struct {
    pfn_t root;
    struct barrier barrier;
    struct page_under_test page[HART_MAX][PAGES_MAX];
    struct storm_deferred deferred[HART_MAX][DEFERRED];
    const struct shootdown_ops *ops;
    unsigned rounds;
    bool watched; /* every second hart only looks */
    bool interrupts_off;
    _Atomic uint32_t shooting; /* harts that have not finished; those that only look count as such at once */
    _Atomic uint32_t stale;
    _Atomic uint32_t done_twice;
} storm;

static size_t page_number(unsigned hart, unsigned i)
{
    return BASE_PAGE + (size_t)hart * APART + i;
}

static volatile uint64_t *table_at(pfn_t table)
{
    return pfn_to_direct(table);
}

/* The table below an entry, made if there is none. */
static pfn_t table_below(volatile uint64_t *entry)
{
    if (*entry == 0)
        *entry = pte_table(frame_alloc(&kernel_frames, 0, FRAME_ZERO)).bits;
    return pte_pfn(PTE(*entry));
}

static volatile uint64_t *entry_of(size_t page)
{
    pfn_t table = storm.root;
    for (unsigned level = PAGE_LEVEL_ROOT; level > 0; level--)
        table = table_below(table_at(table) + page_index(page, level));
    return table_at(table) + page_index(page, 0);
}

static void storm_init(void)
{
    storm.root = frame_alloc(&kernel_frames, 0, 0);
    memcpy(pfn_to_direct(storm.root), pfn_to_direct(kernel_table.root), PAGE_BYTES);
    for (unsigned hart = 0; hart < hart_count(); hart++) {
        for (unsigned i = 0; i < PAGES_MAX; i++) {
            struct page_under_test *page = &storm.page[hart][i];
            for (unsigned k = 0; k < FRAMES; k++)
                page->frame[k] = frame_alloc(&kernel_frames, 0, FRAME_ZERO);
            page->entry = entry_of(page_number(hart, i));
            *page->entry = pte_leaf(page->frame[0], PTE_R | PTE_W).bits;
            store_relaxed(&page->due, 0);
        }
    }
}

/* No hart has it in its satp, and each flushed when it changed that. */
static void storm_end(void)
{
    for (unsigned hart = 0; hart < hart_count(); hart++) {
        for (unsigned i = 0; i < PAGES_MAX * FRAMES; i++)
            frame_free(&kernel_frames, storm.page[hart][i / FRAMES].frame[i % FRAMES], 0);
    }
    pfn_t middle = table_below(table_at(storm.root) + page_index(BASE_PAGE, PAGE_LEVEL_ROOT));
    for (size_t i = 0; i < PAGE_ENTRIES; i++) {
        if (table_at(middle)[i] != 0)
            frame_free(&kernel_frames, pte_pfn(PTE(table_at(middle)[i])), 0);
    }
    frame_free(&kernel_frames, middle, 0);
    frame_free(&kernel_frames, storm.root, 0);
}

/* The next frame, which says which round it is, in the place of the last. */
static void show(struct page_under_test *page, uint64_t round)
{
    pfn_t frame = page->frame[round % FRAMES];
    *(volatile uint64_t *)pfn_to_direct(frame) = round;
    fence_writes();
    *page->entry = pte_leaf(frame, PTE_R | PTE_W).bits;
}

static void look_around(void)
{
    for (unsigned hart = 0; hart < hart_count(); hart++) {
        for (unsigned i = 0; i < PAGES_MAX; i++) {
            /* Acquire, pairs with the release of who has waited. */
            uint64_t due = atomic_load_explicit(&storm.page[hart][i].due, memory_order_acquire);
            uint64_t seen = *(volatile uint64_t *)page_to_vaddr(page_number(hart, i)).value;
            if (seen < due)
                atomic_fetch_add_explicit(&storm.stale, 1, memory_order_relaxed);
        }
    }
}

/* One page of the hart's, told as a range of any size that has it, or as one with tables. */
static struct flush random_flush(struct rng *rng, unsigned hart, unsigned i)
{
    size_t page = page_number(hart, i);
    uint64_t kind = rng_next(rng) % 8;
    if (kind == 0)
        return (struct flush){.first = page, .end = page + 1, .nleaves = 1, .tables = true};
    if (kind == 1)
        return (struct flush){.first = page - i, .end = page + 100, .nleaves = 2};
    if (kind == 2)
        return (struct flush){.asid = FLUSH_EVERY_ASID, .first = page, .end = page + 1, .nleaves = 1};
    return (struct flush){.first = page, .end = page + 1 + rng_next(rng) % 8};
}

static void shoot(struct rng *rng, hart_mask_t all, uint64_t round)
{
    struct shootdown ticket[PAGES_MAX];
    unsigned self = hart_index(), count = 1 + rng_next(rng) % PAGES_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct flush flush = random_flush(rng, self, i);
        show(&storm.page[self][i], round);
        shootdown_dispatch(&ticket[i], storm.ops, all, &flush);
    }
    for (unsigned i = count; i-- > 0;) {
        shootdown_wait(&ticket[i]);
        store_release(&storm.page[self][i].due, round);
    }
}

static void deferred_done(struct deferred *deferred)
{
    struct storm_deferred *own = CONTAINER_OF(deferred, struct storm_deferred, deferred);
    if (!own->busy)
        atomic_fetch_add_explicit(&storm.done_twice, 1, memory_order_relaxed);
    own->busy = false;
    store_release(&own->page->due, own->round);
}

static void defer(struct rng *rng, hart_mask_t all, uint64_t round)
{
    unsigned self = hart_index();
    struct storm_deferred *own = storm.deferred[self];
    while (own->busy)
        own++;
    struct flush flush = random_flush(rng, self, 0);
    *own = (struct storm_deferred){{.done = deferred_done}, &storm.page[self][0], round, true};
    show(&storm.page[self][0], round);
    shootdown_defer(&own->deferred, all, &flush);
    if (storm.watched || rng_next(rng) % 4 == 0)
        shootdown_quiescent();
    CHECK(shootdown_pending() <= SHOOTDOWN_DEFERRED_MAX);
}

/* Time for those who look, before the next flush makes good what this one has left out. */
static void let_look(void)
{
    for (unsigned i = 0; storm.watched && i < 100; i++)
        look_around();
}

static void shoot_rounds(void)
{
    struct rng rng;
    hart_mask_t all = hart_mask_first(hart_count());
    rng_seed(&rng, 1, hart_index());
    for (uint64_t round = 1; round <= DIV_CEIL(storm.rounds, hart_count()); round++) {
        look_around();
        if (storm.ops->lazy && round % 4)
            defer(&rng, all, round);
        else
            shoot(&rng, all, round);
        let_look();
    }
}

/* A hart that shoots empties its own TLB each time; one that only looks would go on with whatever it was not told of. */
static bool only_looks(void)
{
    return storm.watched && hart_index() % 2 == 1;
}

static void take_part(void *unused)
{
    (void)unused;
    paging_use(storm.root);
    barrier_wait(&storm.barrier);
    bool enabled = storm.interrupts_off && interrupts_disable();
    if (!only_looks())
        shoot_rounds();
    shootdown_drain();
    CHECK(shootdown_pending() == 0);
    atomic_fetch_sub_explicit(&storm.shooting, 1, memory_order_relaxed);
    while (atomic_load_explicit(&storm.shooting, memory_order_relaxed) > 0) {
        let_look();
        shootdown_quiescent();
        if (storm.interrupts_off)
            ipi_poll();
    }
    interrupts_restore(enabled);
    barrier_wait(&storm.barrier);
    look_around();
    paging_use(kernel_table.root);
}

/* Returns how many uses of old translations were seen. */
static unsigned storm_run(const struct shootdown_ops *ops, bool watched, unsigned rounds)
{
    storm.ops = ops;
    storm.watched = watched;
    storm.rounds = rounds;
    store_relaxed(&storm.shooting, hart_count());
    store_relaxed(&storm.stale, 0);
    barrier_init(&storm.barrier, hart_count());
    storm_init();
    smp_call(hart_mask_first(hart_count()), take_part, NULL);
    storm_end();
    CHECK(atomic_load_explicit(&storm.done_twice, memory_order_relaxed) == 0);
    return atomic_load_explicit(&storm.stale, memory_order_relaxed);
}

TEST(shootdown_no_scheme_leaves_an_old_translation)
{
    for (size_t i = 0; shootdown_at(i); i++) {
        CHECK(storm_run(shootdown_at(i), true, ROUNDS) == 0);
        CHECK(storm_run(shootdown_at(i), false, ROUNDS) == 0);
    }
}

TEST(shootdown_with_interrupts_off_waits_serve_others)
{
    storm.interrupts_off = true;
    for (size_t i = 0; shootdown_at(i); i++)
        CHECK(storm_run(shootdown_at(i), false, ROUNDS / 4) == 0);
    storm.interrupts_off = false;
}

TEST(shootdown_ipi_in_every_setting)
{
    static const unsigned thresholds[] = {FLUSH_THRESHOLD, 0, 1};
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t i = 0; i < ARRAY_SIZE(thresholds); i++) {
            shootdown_settings =
                (struct shootdown_settings){.batch = bits & 1, .mask = bits & 2, .early = bits & 4};
            flush_set_threshold(thresholds[i]);
            CHECK(storm_run(&shootdown_ipi, bits & 1, ROUNDS / 8) == 0);
        }
    }
    shootdown_settings_default();
}

TEST(shootdown_planted_bugs_are_caught)
{
    static const struct {
        const struct shootdown_ops *ops;
        enum plant plant;
    } bugs[] = {
        {&shootdown_ipi, PLANT_IPI_NOFLUSH},
        {&shootdown_sbi, PLANT_SBI_NOFLUSH},
        {&shootdown_broadcast, PLANT_BROADCAST_NOFLUSH},
    };
    /* Two harts are the fewest, and take the least time. Those of `lazy`: tests/host/test_shootdown.c. */
    for (size_t i = 0; i < ARRAY_SIZE(bugs) && hart_count() == 2; i++) {
        unsigned stale = 0;
        plant_set(bugs[i].plant);
        for (unsigned attempt = 0; stale == 0 && attempt < 2000; attempt++)
            stale = storm_run(bugs[i].ops, true, ROUNDS);
        plant_set(PLANT_NONE);
        CHECK(stale > 0);
        if (stale == 0)
            console_format("# not caught: %s\n", plant_name(bugs[i].plant - 1));
    }
}

/* A mask without the caller leaves its own translations alone, and an empty one tells nobody. */
TEST(shootdown_of_nobody)
{
    struct flush flush = {.first = BASE_PAGE, .end = BASE_PAGE + 1};
    for (size_t i = 0; shootdown_at(i); i++) {
        uint64_t sfences = arch_hart_self()->counters[COUNTER_SFENCE];
        shootdown_now(shootdown_at(i), hart_mask_none(), &flush);
        CHECK(arch_hart_self()->counters[COUNTER_SFENCE] == sfences);
        shootdown_now(shootdown_at(i), hart_mask_one(hart_index()), &flush);
        CHECK(arch_hart_self()->counters[COUNTER_SFENCE] == sfences + 1);
    }
}
