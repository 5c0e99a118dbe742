/*
 * The model's directory against its caches: random accesses by eight harts on caches so small that everything is evicted
 * all the time, and after each the two must agree, with and without a second level and a finite last one.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <string.h>

#include "tools/model/cache.c"

struct hart harts[HARTS_MAX];
unsigned nharts = 8;
struct profile profile;
uint64_t ram_bytes = 1 << 20;
bool lines_on;

static struct score scores[HARTS_MAX];

void lines_transaction(const struct hart *hart, const struct line_event *event)
{
    (void)hart, (void)event;
}

void lines_touch(
    const struct hart *hart, uint64_t vaddr, uint64_t paddr, unsigned bytes, enum access access, uint64_t pc)
{
    (void)hart, (void)vaddr, (void)paddr, (void)bytes, (void)access, (void)pc;
}

void sched_order(struct hart *hart)
{
    (void)hart;
}

void sched_contended(struct hart *hart)
{
    (void)hart;
}

void sched_wake(struct hart *running, struct hart *woken, uint64_t time)
{
    (void)running, (void)time;
    woken->state = HART_READY;
}

/* --- what must hold --- */

static unsigned tag_state(const struct cache *cache, uint64_t number)
{
    uint64_t *tag = cache->sets ? find(cache, number) : NULL;
    return tag ? *tag & TAG_STATE : LINE_INVALID;
}

static void check_line(uint64_t number)
{
    struct line *line = line_of(number);
    unsigned owners = 0;
    for (unsigned i = 0; i < nharts; i++) {
        const struct hart *hart = &harts[i];
        unsigned state = tag_state(&hart->l1, number);
        assert_int_equal(state != LINE_INVALID, line->sharers >> i & 1);
        if (state == LINE_OWNED) {
            owners++;
            assert_int_equal(line->owner, i);
        }
        if (state == LINE_SHARED)
            assert_true(line->owner != i);
        if (state && profile.l2_kib) /* inclusion */
            assert_true(line->clusters >> hart->cluster & 1);
        if (hart->state == HART_SPIN && hart->spin_line == number) /* or it would sleep for ever */
            assert_true(state != LINE_INVALID);
        if (profile.l2_kib)
            assert_int_equal(
                tag_state(&l2[hart->cluster], number) != LINE_INVALID, line->clusters >> hart->cluster & 1);
    }
    assert_true(owners <= 1);
    if (!profile.l2_kib)
        assert_int_equal(line->clusters, 0);
    if (line->owner != NO_HART) {
        assert_int_equal(line->sharers & ~(1ull << line->owner), 0);
        assert_int_equal(line->clusters & ~(1ull << harts[line->owner].cluster), 0);
        assert_true(line->sharers || line->clusters);
    }
    if (llc.sets)
        assert_int_equal(tag_state(&llc, number) != LINE_INVALID, line->in_llc);
}

static void check(uint64_t lines)
{
    for (uint64_t i = 0; i < lines; i++)
        check_line((RAM_BASE >> LINE_SHIFT) + i * 3);
}

/* --- the machines --- */

static void make_machine(uint64_t l2_kib, uint64_t cluster_harts, uint64_t llc_kib)
{
    profile = (struct profile){
        .l1_kib = 1,
        .l1_ways = 2,
        .l2_kib = l2_kib,
        .l2_ways = 2,
        .l2_latency = 13,
        .cluster_harts = cluster_harts,
        .llc_kib = llc_kib,
        .llc_ways = 2,
        .llc_latency = 40,
        .dram_latency = 200,
        .transfer_near = 60,
        .transfer_far = 90,
        .home_occupancy = 10,
        .home_banks = 4,
        .store_buffer = 2,
    };
    memset(harts, 0, sizeof(harts));
    for (unsigned i = 0; i < nharts; i++) {
        harts[i].index = i;
        harts[i].score = &scores[i];
        harts[i].state = HART_READY;
        scores[i].credit = CREDIT_LIMIT;
    }
    ntouched = 0;
    cache_init(nharts, ram_bytes);
    cache_reset();
}

static uint64_t random_state;

static unsigned draw(unsigned below)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(random_state >> 33) % below;
}

static uint64_t accounted(const struct hart *hart)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < MODEL_CYCLES_COUNT; i++)
        sum += hart->stat[i];
    return sum;
}

static void shake(uint64_t lines)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct hart *hart = &harts[draw(nharts)];
        uint64_t number = (RAM_BASE >> LINE_SHIFT) + draw((unsigned)lines) * 3, paddr = number << LINE_SHIFT;
        if (hart->state != HART_READY)
            continue;
        scores[hart->index].credit++;
        enum access access = (enum access)draw(4);
        if (access == ACCESS_WALK)
            charge(hart, MODEL_STAT_TLB, cache_walk_read(hart, paddr));
        else
            cache_access(hart, paddr, access, 0);
        if (access == ACCESS_STORE || access == ACCESS_ATOMIC)
            assert_int_equal(tag_state(&hart->l1, number), LINE_OWNED);
        if (access == ACCESS_LOAD)
            assert_true(cache_holds(hart, number));
        if (access == ACCESS_LOAD && hart->index >= 2 && draw(8) == 0) {
            hart->state = HART_SPIN;
            hart->spin_line = number;
        }
        if (i % 16 == 0)
            check(lines);
        assert_int_equal(accounted(hart), hart->charged);
    }
    check(lines);
    cache_reset();
    for (unsigned i = 0; i < nharts; i++)
        harts[i].state = HART_READY;
    check(lines);
}

#define MACHINE(name, l2_kib, cluster_harts, llc_kib)                                                        \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        (void)state;                                                                                         \
        make_machine(l2_kib, cluster_harts, llc_kib);                                                        \
        shake(40);                                                                                           \
        shake(200);                                                                                          \
    }

MACHINE(private_second_levels, 1, 1, 2)
MACHINE(clusters_of_four, 2, 4, 4)
MACHINE(one_cluster, 4, 8, 1)
MACHINE(no_second_level, 0, 1, 0)
MACHINE(no_second_level_and_a_finite_last_one, 0, 4, 2)
MACHINE(an_infinite_last_level, 2, 4, 0)

/* A store waits for room in the buffer, and only then asks: until then the bank is free for others. */
static void a_store_asks_when_there_is_room(void **state)
{
    (void)state;
    make_machine(0, 1, 0);
    profile.store_buffer = 1;
    cache_access(&harts[0], RAM_BASE, ACCESS_STORE, 0);
    assert_int_equal(harts[0].drained, 200);
    cache_access(&harts[0], RAM_BASE + 64, ACCESS_STORE, 0);
    assert_int_equal(harts[0].stat[MODEL_STAT_DRAIN], 200);
    assert_int_equal(harts[0].drained, 400);
    assert_int_equal(line_of((RAM_BASE + 64) >> LINE_SHIFT)->busy_until, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_second_levels),
        cmocka_unit_test(clusters_of_four),
        cmocka_unit_test(one_cluster),
        cmocka_unit_test(no_second_level),
        cmocka_unit_test(no_second_level_and_a_finite_last_one),
        cmocka_unit_test(an_infinite_last_level),
        cmocka_unit_test(a_store_asks_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
