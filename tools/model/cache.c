/*
 * Caches and coherence. Private L1s, an L2 a cluster (of one hart, on some parts), a last level, and a directory
 * that knows of every line who owns it and who shares it: MESI with E and M as one state, since they cost the
 * same. A request waits until its line and its home bank are free, and keeps them busy: a read for the bank's
 * occupancy, a change of owner for the whole transfer. That queue, not the latency, is what makes a contended lock
 * collapse.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What the directory knows of a line. */
struct line {
    uint64_t sharers; /* harts with a copy in L1 */
    uint64_t clusters; /* with a copy in L2 */
    uint64_t busy_until;
    uint8_t owner; /* hart that may write without asking, or NO_HART */
    uint8_t in_llc;
    uint8_t known; /* not all zero: reset owner */
    uint8_t written; /* since the region began */
    uint8_t user; /* the one hart that has used it, or SEVERAL */
};

#define SEVERAL 0xfe

#define LINES_PER_PAGE (1u << (PAGE_SHIFT - LINE_SHIFT))

static struct line **pages; /* a page's lines, made when first touched */
static uint64_t npages;
static uint32_t *touched;
static uint32_t ntouched;
static uint64_t bank_busy[64];
static struct cache l2[HARTS_MAX], llc;

static void *zeroed(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    return memory;
}

static void cache_make(struct cache *cache, uint64_t kib, uint64_t ways)
{
    cache->ways = (unsigned)ways;
    cache->sets = (unsigned)(kib * 1024 >> LINE_SHIFT) / cache->ways;
    if (cache->sets == 0)
        return;
    cache->tags = zeroed(sizeof(uint64_t) * cache->sets * cache->ways);
    cache->used = zeroed(sizeof(uint64_t) * cache->sets * cache->ways);
}

static void cache_clear(struct cache *cache)
{
    if (cache->sets) {
        memset(cache->tags, 0, sizeof(uint64_t) * cache->sets * cache->ways);
        memset(cache->used, 0, sizeof(uint64_t) * cache->sets * cache->ways);
    }
}

void cache_init(unsigned count, uint64_t bytes)
{
    npages = bytes >> PAGE_SHIFT;
    pages = zeroed(npages * sizeof(*pages));
    touched = zeroed(npages * sizeof(*touched));
    for (unsigned i = 0; i < count; i++) {
        cache_make(&harts[i].l1, profile.l1_kib, profile.l1_ways);
        cache_make(&l2[i], profile.l2_kib, profile.l2_ways);
        harts[i].cluster = i / (unsigned)profile.cluster_harts;
        harts[i].store_done = zeroed(profile.store_buffer * sizeof(uint64_t));
    }
    cache_make(&llc, profile.llc_kib, profile.llc_ways);
}

void cache_reset(void)
{
    for (uint32_t i = 0; i < ntouched; i++)
        memset(pages[touched[i]], 0, LINES_PER_PAGE * sizeof(struct line));
    ntouched = 0;
    memset(bank_busy, 0, sizeof(bank_busy));
    for (unsigned i = 0; i < nharts; i++) {
        cache_clear(&harts[i].l1);
        cache_clear(&l2[i]);
        memset(harts[i].store_done, 0, profile.store_buffer * sizeof(uint64_t));
        harts[i].store_next = 0;
        harts[i].drained = 0;
    }
    cache_clear(&llc);
}

static struct line *line_of(uint64_t number)
{
    uint64_t page = (number >> (PAGE_SHIFT - LINE_SHIFT)) - (RAM_BASE >> PAGE_SHIFT);
    struct line *lines = pages[page];
    if (!lines)
        lines = pages[page] = zeroed(LINES_PER_PAGE * sizeof(struct line));
    struct line *line = &lines[number & (LINES_PER_PAGE - 1)];
    if (!line->known) {
        bool first = true;
        for (unsigned i = 0; first && i < LINES_PER_PAGE; i++)
            first = !lines[i].known;
        if (first)
            touched[ntouched++] = (uint32_t)page;
        line->known = 1;
        line->owner = line->user = NO_HART;
    }
    return line;
}

/* --- tag stores --- */

static uint64_t *find(const struct cache *cache, uint64_t number)
{
    uint64_t *set = &cache->tags[number % cache->sets * cache->ways];
    for (unsigned way = 0; way < cache->ways; way++) {
        if (set[way] >> TAG_SHIFT == number && (set[way] & TAG_STATE))
            return &set[way];
    }
    return NULL;
}

static void touch(struct cache *cache, const uint64_t *tag, uint64_t now)
{
    cache->used[tag - cache->tags] = now;
}

static void drop(struct cache *cache, uint64_t number)
{
    uint64_t *tag = cache->sets ? find(cache, number) : NULL;
    if (tag)
        *tag = 0;
}

/* Puts a line in; returns the number of the line that had to go, 0 for none. */
static uint64_t fill(struct cache *cache, uint64_t number, enum line_state state, uint64_t now)
{
    uint64_t *tag = find(cache, number), evicted = 0;
    if (!tag) {
        size_t base = number % cache->sets * cache->ways;
        unsigned victim = 0;
        for (unsigned way = 0; way < cache->ways; way++) {
            if (!cache->tags[base + way]) {
                victim = way;
                break;
            }
            if (cache->used[base + way] < cache->used[base + victim])
                victim = way;
        }
        tag = &cache->tags[base + victim];
        evicted = *tag >> TAG_SHIFT;
    }
    *tag = number << TAG_SHIFT | state;
    touch(cache, tag, now);
    return evicted;
}

bool cache_is_private(const struct hart *hart, uint64_t paddr)
{
    if (paddr - RAM_BASE >= ram_bytes)
        return false;
    const uint64_t *tag = find(&hart->l1, paddr >> LINE_SHIFT);
    return tag && (*tag & TAG_STATE) == LINE_OWNED && line_of(paddr >> LINE_SHIFT)->user == hart->index;
}

bool cache_holds(const struct hart *hart, uint64_t number)
{
    return find(&hart->l1, number) != NULL;
}

/* --- the directory --- */

static void note_user(struct line *line, const struct hart *hart, bool writes)
{
    line->written |= writes;
    if (line->user == NO_HART)
        line->user = (uint8_t)hart->index;
    else if (line->user != hart->index)
        line->user = SEVERAL;
}

static bool contended(const struct line *line)
{
    return line->written && line->user == SEVERAL;
}

static void llc_fill(uint64_t number, uint64_t now)
{
    line_of(number)->in_llc = 1;
    if (llc.sets) {
        uint64_t evicted = fill(&llc, number, LINE_SHARED, now);
        if (evicted && evicted != number)
            line_of(evicted)->in_llc = 0;
    }
}

static bool spinning_on(const struct hart *hart, uint64_t number)
{
    return hart->state == HART_SPIN && hart->spin_line == number;
}

/* A hart's L1 loses its copy; if it spins on it, it will see. */
static void l1_lose(
    struct hart *running, struct hart *loser, uint64_t number, struct line *line, uint64_t when)
{
    drop(&loser->l1, number);
    line->sharers &= ~(1ull << loser->index);
    if (spinning_on(loser, number))
        sched_wake(running, loser, when);
}

/* An L1 victim stays in the L2; without one it goes to the last level and its owner forgets it. */
static void l1_evicted(struct hart *hart, uint64_t number, uint64_t now)
{
    struct line *line = line_of(number);
    line->sharers &= ~(1ull << hart->index);
    if (profile.l2_kib == 0 && line->owner == hart->index) {
        line->owner = NO_HART;
        llc_fill(number, now);
    }
}

/* An L2 includes its cluster's L1s. */
static void l2_evicted(struct hart *running, unsigned cluster, uint64_t number, uint64_t now)
{
    struct line *line = line_of(number);
    line->clusters &= ~(1ull << cluster);
    for (unsigned i = 0; i < nharts; i++) {
        if (harts[i].cluster == cluster && (line->sharers >> i & 1))
            l1_lose(running, &harts[i], number, line, now);
    }
    if (line->owner != NO_HART && harts[line->owner].cluster == cluster) {
        line->owner = NO_HART;
        llc_fill(number, now);
    }
}

static void l2_fill(struct hart *hart, uint64_t number, struct line *line, uint64_t now)
{
    if (profile.l2_kib == 0)
        return;
    line->clusters |= 1ull << hart->cluster;
    uint64_t evicted = fill(&l2[hart->cluster], number, LINE_SHARED, now);
    if (evicted && evicted != number)
        l2_evicted(hart, hart->cluster, evicted, now);
}

static void l1_fill(
    struct hart *hart, uint64_t number, struct line *line, enum line_state state, uint64_t now)
{
    line->sharers |= 1ull << hart->index;
    uint64_t evicted = fill(&hart->l1, number, state, now);
    if (evicted && evicted != number)
        l1_evicted(hart, evicted, now);
}

static uint64_t transfer_latency(const struct hart *from, const struct hart *to)
{
    return from->cluster == to->cluster ? profile.transfer_near : profile.transfer_far;
}

/* Time at which the home has answered, from now on; the wait for line and bank is booked apart. And who had to give
 * something up for it. */
struct answer {
    uint64_t wait, latency;
    uint64_t losers; /* harts that lost their copy or the ownership */
    bool transfer;
    unsigned invalidations;
};

static struct answer ask_home(
    struct hart *hart, uint64_t number, struct line *line, uint64_t latency, bool moves_ownership)
{
    uint64_t now = hart_now(hart), *bank = &bank_busy[number % profile.home_banks];
    uint64_t start = now;
    if (line->busy_until > start)
        start = line->busy_until;
    if (*bank > start)
        start = *bank;
    *bank = start + profile.home_occupancy;
    line->busy_until = start + (moves_ownership ? latency : profile.home_occupancy);
    return (struct answer){.wait = start - now, .latency = latency};
}

/* Where a line comes from that no hart owns. */
static uint64_t memory_latency(struct hart *hart, uint64_t number, const struct line *line)
{
    if (line->in_llc || line->sharers || line->clusters) {
        hart->stat[MODEL_STAT_LLC_HITS]++;
        return profile.llc_latency;
    }
    hart->stat[MODEL_STAT_DRAM]++;
    llc_fill(number, hart_now(hart));
    return profile.dram_latency;
}

/* Reads a line that is not in this hart's L1, into L2 and, if asked, L1. */
static struct answer fetch_shared(struct hart *hart, uint64_t number, bool into_l1)
{
    struct line *line = line_of(number);
    uint64_t now = hart_now(hart);
    bool in_l2 = line->clusters >> hart->cluster & 1;
    struct answer answer;
    note_user(line, hart, false);

    if (in_l2 && (line->owner == NO_HART || line->owner == hart->index)) {
        touch(&l2[hart->cluster], find(&l2[hart->cluster], number), now);
        answer = (struct answer){.latency = profile.l2_latency};
        hart->stat[MODEL_STAT_L2_HITS]++;
    } else if (line->owner != NO_HART && line->owner != hart->index) {
        struct hart *owner = &harts[line->owner];
        answer = ask_home(hart, number, line, transfer_latency(owner, hart), false);
        answer.losers = 1ull << owner->index;
        answer.transfer = true;
        hart->stat[MODEL_STAT_TRANSFERS]++;
        line->owner = NO_HART;
        uint64_t *tag = find(&owner->l1, number);
        if (tag)
            *tag = number << TAG_SHIFT | LINE_SHARED;
        llc_fill(number, now);
    } else {
        answer = ask_home(hart, number, line, memory_latency(hart, number, line), false);
    }
    bool alone = line->owner == hart->index || (line->owner == NO_HART && !line->sharers &&
                                                   !(line->clusters & ~(1ull << hart->cluster)) && !in_l2);
    l2_fill(hart, number, line, now);
    if (into_l1) {
        if (alone)
            line->owner = (uint8_t)hart->index;
        l1_fill(hart, number, line, alone ? LINE_OWNED : LINE_SHARED, now);
    }
    return answer;
}

/* Takes all other copies away. Returns the latency of the farthest. */
static uint64_t invalidate_others(struct hart *hart, uint64_t number, struct line *line, uint64_t when)
{
    uint64_t latency = 0, others = line->sharers & ~(1ull << hart->index);
    uint64_t clusters = line->clusters & ~(1ull << hart->cluster);
    for (; others; others &= others - 1) {
        struct hart *loser = &harts[__builtin_ctzll(others)];
        uint64_t far = transfer_latency(loser, hart);
        latency = far > latency ? far : latency;
        hart->stat[MODEL_STAT_INVALIDATIONS]++;
        l1_lose(hart, loser, number, line, when);
    }
    for (; clusters; clusters &= clusters - 1) {
        drop(&l2[__builtin_ctzll(clusters)], number);
        latency = profile.transfer_far > latency ? profile.transfer_far : latency;
    }
    line->clusters &= 1ull << hart->cluster;
    return latency;
}

/* Makes this hart the owner of a line that it may not write yet. */
static struct answer fetch_owned(struct hart *hart, uint64_t number)
{
    struct line *line = line_of(number);
    uint64_t now = hart_now(hart), transfers = hart->stat[MODEL_STAT_TRANSFERS], latency;
    uint64_t others = line->sharers & ~(1ull << hart->index);
    struct answer answer;
    note_user(line, hart, true);

    if (line->owner == hart->index) { /* in the L2 since its L1 let go of it */
        answer = (struct answer){.latency = profile.l2_latency};
        hart->stat[MODEL_STAT_L2_HITS]++;
    } else {
        bool had_copy = line->sharers >> hart->index & 1 || line->clusters >> hart->cluster & 1;
        if (line->owner != NO_HART) {
            latency = transfer_latency(&harts[line->owner], hart);
            hart->stat[MODEL_STAT_TRANSFERS]++;
        } else if (line->sharers & ~(1ull << hart->index) || line->clusters & ~(1ull << hart->cluster)) {
            latency = 0; /* the farthest invalidation, below */
            hart->stat[MODEL_STAT_TRANSFERS]++;
        } else {
            latency = had_copy ? profile.llc_latency : memory_latency(hart, number, line);
        }
        uint64_t start = now > line->busy_until ? now : line->busy_until;
        uint64_t farthest = invalidate_others(hart, number, line, start);
        latency = farthest > latency ? farthest : latency;
        answer = ask_home(hart, number, line, latency, true);
        answer.losers = others | (line->owner != NO_HART ? 1ull << line->owner : 0);
        answer.transfer = hart->stat[MODEL_STAT_TRANSFERS] != transfers;
        answer.invalidations = (unsigned)__builtin_popcountll(others);
    }
    line->owner = (uint8_t)hart->index;
    l2_fill(hart, number, line, now);
    l1_fill(hart, number, line, LINE_OWNED, now);
    return answer;
}

/* --- accesses --- */

void cache_drain(struct hart *hart)
{
    uint64_t now = hart_now(hart);
    if (hart->drained > now)
        charge(hart, MODEL_STAT_DRAIN, hart->drained - now);
}

/* Waits for a place in the store buffer. A store has none before that, and asks nobody for its line. */
static void await_room(struct hart *hart)
{
    uint64_t free_at = hart->store_done[hart->store_next], now = hart_now(hart);
    if (free_at > now)
        charge(hart, MODEL_STAT_DRAIN, free_at - now);
}

/* A store leaves at once; what it takes is waited for by a fence only. */
static void buffer_store(struct hart *hart, struct answer answer)
{
    uint64_t *slot = &hart->store_done[hart->store_next];
    hart->store_next = (hart->store_next + 1) % (unsigned)profile.store_buffer;
    *slot = hart_now(hart) + answer.wait + answer.latency;
    if (*slot > hart->drained)
        hart->drained = *slot;
}

static void wait_for(struct hart *hart, struct answer answer)
{
    charge(hart, MODEL_STAT_QUEUE, answer.wait);
    charge(hart, MODEL_STAT_MISS, answer.latency - 1); /* the first cycle is the instruction's own */
}

static void report(
    const struct hart *hart, uint64_t paddr, uint64_t pc, enum access access, const struct answer *answer)
{
    struct line_event event = {
        .paddr = paddr,
        .pc = pc,
        .access = access,
        .cycles = answer->wait + answer->latency,
        .losers = answer->losers,
        .transfer = answer->transfer,
        .invalidations = answer->invalidations,
    };
    lines_transaction(hart, &event);
}

void cache_access(struct hart *hart, uint64_t paddr, enum access access, uint64_t pc)
{
    uint64_t number = paddr >> LINE_SHIFT;
    uint64_t *tag = find(&hart->l1, number);
    enum line_state needed = access == ACCESS_LOAD ? LINE_SHARED : LINE_OWNED;
    if (tag && (*tag & TAG_STATE) >= needed) {
        touch(&hart->l1, tag, hart_now(hart));
        return;
    }
    hart->spin_missed = true;
    if (access == ACCESS_STORE)
        await_room(hart);
    sched_order(hart); /* others may have changed everything meanwhile */
    tag = find(&hart->l1, number);
    if (tag && (*tag & TAG_STATE) >= needed)
        return;
    struct answer answer =
        access == ACCESS_LOAD ? fetch_shared(hart, number, true) : fetch_owned(hart, number);
    if (contended(line_of(number)))
        sched_contended(hart);
    if (lines_on)
        report(hart, paddr, pc, access, &answer);
    if (access == ACCESS_STORE)
        buffer_store(hart, answer);
    else
        wait_for(hart, answer);
}

uint64_t cache_walk_read(struct hart *hart, uint64_t paddr)
{
    struct answer answer = fetch_shared(hart, paddr >> LINE_SHIFT, false);
    if (lines_on) {
        report(hart, paddr, hart->score->pc, ACCESS_WALK, &answer);
        lines_touch(hart, 0, paddr, 8, ACCESS_WALK, hart->score->pc);
    }
    return answer.wait + answer.latency;
}
