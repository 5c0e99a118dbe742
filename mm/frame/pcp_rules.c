/* See pcp_rules.h. */
#include "mm/frame/pcp_rules.h"
#include "arch/layout.h"
#include "lib/bits.h"

/* Frames of 1 MiB: a larger batch holds the zone's lock for too long. */
#define BATCH_SOURCE_MAX ((1u << 20) / PAGE_BYTES)

/* What lies on all harts' lists together is at most one part in 8 (MIN_PERCPU_PAGELIST_HIGH_FRACTION). */
#define HIGH_FRACTION 8

/* Bounds of the reserve in KiB, min_free_kbytes: 128 KiB to 256 MiB. */
#define RESERVE_KIB_MIN 128
#define RESERVE_KIB_MAX (256 * 1024)

unsigned pcp_batch(size_t nframes)
{
    unsigned quarter = MAX(MIN(nframes >> 10, BATCH_SOURCE_MAX) / 4, 1);
    return MAX((1u << bits_highest(quarter + quarter / 2)) - 1, 1);
}

static uint64_t square_root(uint64_t n)
{
    uint64_t root = 0;
    for (uint64_t bit = 1ull << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= n)
            root |= bit;
    return root;
}

/* Linux's low watermark, at which it starts to reclaim: the reserve, which is the root of 16 times the memory in KiB,
 * and a quarter of that or 0.1 % of the memory more. */
static size_t low_watermark(size_t nframes)
{
    uint64_t kib = nframes * (PAGE_BYTES / 1024);
    uint64_t reserve_kib = CLAMP(square_root(kib * 16), RESERVE_KIB_MIN, RESERVE_KIB_MAX);
    size_t reserve = reserve_kib / (PAGE_BYTES / 1024);
    return reserve + MAX(reserve / 4, nframes / 1000);
}

void pcp_rules_init(struct pcp_rules *rules, size_t nframes, unsigned nharts)
{
    unsigned batch = pcp_batch(nframes);
    size_t most = nframes / HIGH_FRACTION / nharts;
    size_t least = MAX(low_watermark(nframes) / nharts, 4 * batch);
    bool on = most >= 4 * batch;
    /* No list may hold more than 2^31 frames; that would be 8 TiB. */
    *rules = (struct pcp_rules){
        .batch = on ? batch : 1,
        .high_min = on ? MIN(least, most) : 0,
        .high_max = on ? most : 0,
    };
}

unsigned pcp_refill_blocks(struct pcp_rules *rules, unsigned order)
{
    int32_t batch = rules->batch, wanted = order ? batch : batch << rules->alloc_factor;
    rules->high = CLAMP(rules->high, rules->high_min, rules->high_max);
    if (rules->high < batch)
        return 1;
    /* Lists that could hold more would have spared this. */
    if (rules->high_min != rules->high_max)
        rules->high = MIN(rules->high + wanted, rules->high_max);
    if (order == 0) {
        int32_t most = MAX(rules->high - rules->count - batch, batch);
        if (wanted <= most && rules->alloc_factor < PCP_SCALE_MAX)
            rules->alloc_factor++;
        wanted = MIN(wanted, most);
    }
    return wanted > 1 ? MAX(wanted >> order, 2) : 1;
}

/* Larger blocks freed one after another break up what could merge: then the lists are emptied. */
static bool empties_lists(struct pcp_rules *rules, unsigned order)
{
    bool larger = order > 0 && order <= PCP_ORDER_MAX;
    bool empties = larger && rules->freed_larger && rules->count >= rules->batch &&
                   rules->free_count >= rules->batch + rules->high_min / 2;
    rules->freed_larger = larger;
    return empties;
}

unsigned pcp_freed(struct pcp_rules *rules, unsigned order)
{
    int32_t batch = rules->batch, batches_max = batch << PCP_SCALE_MAX;
    rules->alloc_factor >>= 1;
    rules->count += 1 << order;
    bool empty = empties_lists(rules, order);
    if (rules->free_count < batches_max)
        rules->free_count += 1 << order;

    int32_t high = CLAMP(rules->high, rules->high_min, rules->high_max);
    rules->high = high;
    if (empty) {
        rules->high = MAX(high - batches_max, rules->high_min);
        return MIN(rules->count, batches_max);
    }
    if (rules->count < high)
        return 0;
    /* The next time there is to be room for as many. */
    if (high < rules->free_count + batch)
        rules->high = CLAMP(rules->free_count + batch, rules->high_min, rules->high_max);
    return high < batch ? 1 : CLAMP(rules->free_count, batch, high - batch);
}
