/*
 * The machine model's caches and directory, on four harts in two clusters whose time is set by hand: what each access
 * costs, to the cycle. That directory and tags agree after any sequence is test_model_cache.c's.
 */
#include "unit.h"

#include "tools/model/cache.c"

#define HARTS     4
#define RAM_BYTES (1u << 20)
#define LINE      (1u << LINE_SHIFT)
#define EPOCH     1000000000ull

/* L1: 8 sets of 2. L2: 16 of 4. Last level: 64 of 4. */
#define L1_SET_STRIDE  (8 * LINE)
#define L2_SET_STRIDE  (16 * LINE)
#define LLC_SET_STRIDE (64 * LINE)

struct hart harts[HARTS_MAX];
unsigned nharts = HARTS;
struct profile profile;
bool lines_on;
uint64_t ram_bytes = RAM_BYTES;

static struct score scores[HARTS];
static struct {
    const struct hart *hart;
    uint64_t time;
    unsigned count;
} woken;

void sched_order(struct hart *hart)
{
    (void)hart;
}

void sched_contended(struct hart *hart)
{
    (void)hart;
}

void sched_wake(struct hart *running, struct hart *hart, uint64_t time)
{
    assert_ptr_not_equal(running, hart);
    hart->state = HART_READY;
    woken.hart = hart;
    woken.time = time;
    woken.count++;
}

void lines_transaction(const struct hart *hart, const struct line_event *event)
{
    (void)hart;
    (void)event;
}

void lines_touch(
    const struct hart *hart, uint64_t vaddr, uint64_t paddr, unsigned bytes, enum access access, uint64_t pc)
{
    (void)hart;
    (void)vaddr;
    (void)paddr;
    (void)bytes;
    (void)access;
    (void)pc;
}

static void set_time(unsigned hart, uint64_t time)
{
    harts[hart].limit = EPOCH;
    scores[hart].credit = CREDIT_LIMIT - (EPOCH - time);
}

static void make(void)
{
    memset(harts, 0, sizeof(harts));
    memset(&woken, 0, sizeof(woken));
    ntouched = 0;
    cache_init(HARTS, RAM_BYTES);
    memset(bank_busy, 0, sizeof(bank_busy));
    for (unsigned i = 0; i < HARTS; i++) {
        harts[i].index = i;
        harts[i].state = HART_READY;
        harts[i].score = &scores[i];
        set_time(i, 0);
    }
}

static int setup(void **state)
{
    (void)state;
    profile = (struct profile){
        .l1_kib = 1,
        .l1_ways = 2,
        .l2_kib = 4,
        .l2_ways = 4,
        .l2_latency = 13,
        .cluster_harts = 2,
        .llc_kib = 16,
        .llc_ways = 4,
        .llc_latency = 42,
        .dram_latency = 250,
        .transfer_near = 60,
        .transfer_far = 220,
        .home_occupancy = 40,
        .home_banks = 1,
        .store_buffer = 2,
    };
    make();
    return 0;
}

/* Cycles that the access adds to those of its instruction. */
static uint64_t cost(unsigned hart, uint64_t offset, enum access access)
{
    uint64_t before = hart_now(&harts[hart]);
    cache_access(&harts[hart], RAM_BASE + offset, access, 0);
    return hart_now(&harts[hart]) - before;
}

/* After everything that is under way. */
static uint64_t cost_later(unsigned hart, uint64_t offset, enum access access)
{
    static uint64_t time;
    time = time > EPOCH / 2 ? 0 : time;
    for (unsigned i = 0; i < HARTS; i++)
        time = time > hart_now(&harts[i]) ? time : hart_now(&harts[i]);
    set_time(hart, time += 10000);
    return cost(hart, offset, access);
}

static void a_load_comes_from_memory_and_then_hits(void **state)
{
    (void)state;
    assert_int_equal(cost(0, 0, ACCESS_LOAD), 249);
    assert_int_equal(cost(0, LINE - 8, ACCESS_LOAD), 0);
    assert_int_equal(cost_later(0, LINE, ACCESS_LOAD), 249);
    assert_int_equal(harts[0].stat[MODEL_STAT_DRAM], 2);
    assert_int_equal(harts[0].stat[MODEL_STAT_MISS], 498);
    assert_int_equal(harts[0].stat[MODEL_STAT_QUEUE], 0);
}

static void who_was_alone_may_write_at_once(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_LOAD);
    assert_int_equal(cost(0, 0, ACCESS_ATOMIC), 0);
    assert_true(cache_is_private(&harts[0], RAM_BASE));
}

static void a_line_that_another_owns_is_transferred(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_ATOMIC);
    assert_int_equal(cost_later(1, 0, ACCESS_LOAD), 59); /* same cluster */
    cost_later(0, LINE, ACCESS_ATOMIC);
    assert_int_equal(cost_later(2, LINE, ACCESS_LOAD), 219); /* the other */
    assert_int_equal(harts[1].stat[MODEL_STAT_TRANSFERS], 1);
    assert_int_equal(harts[2].stat[MODEL_STAT_TRANSFERS], 1);
    assert_false(cache_is_private(&harts[0], RAM_BASE));
}

static void a_shared_line_is_read_from_the_last_level(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_LOAD);
    cost_later(2, 0, ACCESS_LOAD);
    assert_int_equal(cost_later(0, 0, ACCESS_LOAD), 0); /* both keep it */
    assert_int_equal(cost_later(2, 0, ACCESS_LOAD), 0);
    assert_int_equal(cost_later(3, 0, ACCESS_LOAD), 12); /* the cluster's L2 has it */
    assert_int_equal(cost_later(1, 0, ACCESS_LOAD), 12);
    assert_int_equal(harts[1].stat[MODEL_STAT_TRANSFERS], 0);
}

static void a_write_takes_all_copies_away_and_waits_for_the_farthest(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HARTS; i++)
        cost_later(i, 0, ACCESS_LOAD);
    assert_int_equal(cost_later(0, 0, ACCESS_ATOMIC), 219);
    assert_int_equal(harts[0].stat[MODEL_STAT_INVALIDATIONS], 3);
    assert_int_equal(harts[0].stat[MODEL_STAT_TRANSFERS], 1);
    for (unsigned i = 1; i < HARTS; i++)
        assert_false(cache_holds(&harts[i], RAM_BASE >> LINE_SHIFT));
    assert_int_equal(cost_later(1, 0, ACCESS_LOAD), 59);

    profile.l2_kib = 0; /* no L2 that would be far, too */
    make();
    for (unsigned i = 0; i < HARTS; i++)
        cost_later(i, 0, ACCESS_LOAD);
    assert_int_equal(cost_later(2, 0, ACCESS_ATOMIC), 219); /* the near one is the last to be asked */
}

static void a_lone_sharer_asks_the_home_to_write(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_LOAD);
    cost_later(1, 0, ACCESS_LOAD);
    cost_later(0, 0, ACCESS_ATOMIC); /* 1 loses it */
    cost_later(1, 0, ACCESS_LOAD); /* 0 and 1 share it */
    for (unsigned i = 1; i <= 2; i++)
        cost_later(0, i * L1_SET_STRIDE, ACCESS_LOAD); /* 0 has no room for it any more */
    assert_false(cache_holds(&harts[0], RAM_BASE >> LINE_SHIFT));
    assert_int_equal(cost_later(1, 0, ACCESS_ATOMIC), 41);
}

static void what_leaves_a_level_is_found_in_the_next(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= 2; i++)
        cost_later(0, i * L1_SET_STRIDE, ACCESS_LOAD);
    assert_int_equal(cost_later(0, 0, ACCESS_LOAD), 12);

    make();
    for (unsigned i = 0; i <= 4; i++)
        cost_later(0, i * L2_SET_STRIDE, ACCESS_LOAD);
    assert_int_equal(cost_later(0, 0, ACCESS_LOAD), 41);

    make();
    for (unsigned i = 0; i <= 8; i++) /* four ways for what the L2 lets go of, too */
        cost_later(0, i * LLC_SET_STRIDE, ACCESS_LOAD);
    assert_int_equal(cost_later(0, 0, ACCESS_LOAD), 249);
}

static void the_least_recently_used_leaves(void **state)
{
    (void)state;
    cost_later(0, 0, ACCESS_LOAD);
    cost_later(0, L1_SET_STRIDE, ACCESS_LOAD);
    cost_later(0, 0, ACCESS_LOAD);
    cost_later(0, 2 * L1_SET_STRIDE, ACCESS_LOAD);
    assert_int_equal(cost_later(0, 0, ACCESS_LOAD), 0);
    assert_int_equal(cost_later(0, L1_SET_STRIDE, ACCESS_LOAD), 12);
}

static void without_an_l2_the_last_level_takes_what_l1_has_no_room_for(void **state)
{
    (void)state;
    profile.l2_kib = 0;
    profile.llc_kib = 0;
    make();
    for (unsigned i = 0; i <= 2; i++)
        cost_later(0, i * L1_SET_STRIDE, ACCESS_ATOMIC);
    assert_int_equal(cost_later(0, 0, ACCESS_LOAD), 41);
}

static void requests_queue_for_a_line_that_changes_hands(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_ATOMIC);
    set_time(0, 1000);
    set_time(1, 1000);
    set_time(2, 1000);
    assert_int_equal(cost(1, 0, ACCESS_ATOMIC), 59);
    assert_int_equal(cost(2, 0, ACCESS_ATOMIC), 60 + 219); /* behind the first transfer */
    assert_int_equal(harts[2].stat[MODEL_STAT_QUEUE], 60);
    assert_int_equal(harts[2].stat[MODEL_STAT_MISS], 219);
}

static void reads_keep_their_home_busy(void **state)
{
    (void)state;
    assert_int_equal(cost(0, 0, ACCESS_LOAD), 249);
    assert_int_equal(cost(1, LINE, ACCESS_LOAD), 40 + 249);
    assert_int_equal(cost(2, 2 * LINE, ACCESS_LOAD), 80 + 249);

    profile.home_banks = 2;
    make();
    assert_int_equal(cost(0, 0, ACCESS_LOAD), 249);
    assert_int_equal(cost(1, LINE, ACCESS_LOAD), 249); /* another home */
    assert_int_equal(cost(2, 2 * LINE, ACCESS_LOAD), 40 + 249);
}

static void stores_go_on_in_the_background_until_their_buffer_is_full(void **state)
{
    (void)state;
    profile.home_occupancy = 0;
    make();
    assert_int_equal(cost(0, 0, ACCESS_STORE), 0);
    assert_int_equal(cost(0, LINE, ACCESS_STORE), 0);
    assert_int_equal(cost(0, 2 * LINE, ACCESS_STORE), 250); /* the first one's place */
    assert_int_equal(harts[0].stat[MODEL_STAT_DRAIN], 250);
    cache_drain(&harts[0]);
    assert_int_equal(hart_now(&harts[0]), 500);
    cache_drain(&harts[0]);
    assert_int_equal(hart_now(&harts[0]), 500);
}

static void a_hart_that_spins_wakes_when_its_line_goes(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_ATOMIC);
    cost_later(1, 0, ACCESS_LOAD);
    cost_later(2, LINE, ACCESS_LOAD);
    harts[1].state = HART_SPIN;
    harts[1].spin_line = RAM_BASE >> LINE_SHIFT;
    harts[2].state = HART_SPIN;
    harts[2].spin_line = (RAM_BASE >> LINE_SHIFT) + 1;
    set_time(0, 700000);
    cost(0, 0, ACCESS_STORE);
    assert_int_equal(woken.count, 1);
    assert_ptr_equal(woken.hart, &harts[1]);
    assert_int_equal(woken.time, 700000);
}

static void walks_go_by_the_l2(void **state)
{
    (void)state;
    assert_int_equal(cache_walk_read(&harts[0], RAM_BASE), 250);
    set_time(0, 1000);
    assert_int_equal(cache_walk_read(&harts[0], RAM_BASE), 13);
    assert_false(cache_holds(&harts[0], RAM_BASE >> LINE_SHIFT));
    set_time(1, 2000);
    assert_int_equal(cache_walk_read(&harts[1], RAM_BASE), 13); /* the same cluster's */
    set_time(2, 3000);
    assert_int_equal(cache_walk_read(&harts[2], RAM_BASE), 42);
}

static void a_reset_forgets_everything(void **state)
{
    (void)state;
    cost(0, 0, ACCESS_ATOMIC);
    cost(1, LINE, ACCESS_STORE);
    cache_reset();
    set_time(0, 0);
    set_time(1, 0);
    assert_int_equal(cost(1, 0, ACCESS_LOAD), 249);
    cache_drain(&harts[1]);
    assert_int_equal(hart_now(&harts[1]), 249);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_load_comes_from_memory_and_then_hits, setup),
        cmocka_unit_test_setup(who_was_alone_may_write_at_once, setup),
        cmocka_unit_test_setup(a_line_that_another_owns_is_transferred, setup),
        cmocka_unit_test_setup(a_shared_line_is_read_from_the_last_level, setup),
        cmocka_unit_test_setup(a_write_takes_all_copies_away_and_waits_for_the_farthest, setup),
        cmocka_unit_test_setup(a_lone_sharer_asks_the_home_to_write, setup),
        cmocka_unit_test_setup(what_leaves_a_level_is_found_in_the_next, setup),
        cmocka_unit_test_setup(the_least_recently_used_leaves, setup),
        cmocka_unit_test_setup(without_an_l2_the_last_level_takes_what_l1_has_no_room_for, setup),
        cmocka_unit_test_setup(requests_queue_for_a_line_that_changes_hands, setup),
        cmocka_unit_test_setup(reads_keep_their_home_busy, setup),
        cmocka_unit_test_setup(stores_go_on_in_the_background_until_their_buffer_is_full, setup),
        cmocka_unit_test_setup(a_hart_that_spins_wakes_when_its_line_goes, setup),
        cmocka_unit_test_setup(walks_go_by_the_l2, setup),
        cmocka_unit_test_setup(a_reset_forgets_everything, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
