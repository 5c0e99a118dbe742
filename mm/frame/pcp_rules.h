/*
 * How many frames Linux moves between a CPU's lists and the zone, and how many it lets lie there: the arithmetic behind
 * "buddy_pcp", without the lists. Counts are frames, also for larger blocks.
 *
 *     batch        0.1 % of the zone or 1 MiB, whichever is less, a quarter of that, cut to 2^n - 1
 *     a refill     a batch, twice as much each time until something is freed (up to 32 batches)
 *     a drain      as many frames as were freed since something was last allocated; a batch at least
 *     high         what may lie on the lists: it grows by what is taken while there is a need, from the low
 *                  watermark's share of a hart up to an eighth of the zone over all harts
 *
 * After Linux 6.17, mm/page_alloc.c: zone_batchsize(), zone_highsize(), nr_pcp_alloc(), nr_pcp_high(), nr_pcp_free(),
 * free_frozen_page_commit(); there with the default settings, and a share of the last-level cache larger than three
 * batches. Nothing is reclaimed here, so what Linux does below its watermarks is left out. One thing differs:
 * where an eighth of the zone is less than four batches a hart, Linux exceeds the eighth; here the lists are off.
 */
#ifndef MM_FRAME_PCP_RULES_H
#define MM_FRAME_PCP_RULES_H

#include "lib/base.h"

/* Linux's CONFIG_PCP_BATCH_SCALE_MAX: at most 2^5 batches at once. */
#define PCP_SCALE_MAX 5

/* Linux's PAGE_ALLOC_COSTLY_ORDER: the largest order on the lists, but for huge blocks. */
#define PCP_ORDER_MAX 3

/* Signed, as differences of them are compared. */
struct pcp_rules {
    int32_t count; /* frames on the lists */
    int32_t high; /* as many are too many */
    int32_t high_min, high_max; /* both 0: a list holds a block for the length of a call at most */
    int32_t free_count; /* frames freed lately: halved by each allocation */
    uint8_t batch;
    uint8_t alloc_factor; /* a refill is batch << alloc_factor */
    bool freed_larger; /* the last free was of order 1 … PCP_ORDER_MAX */
};

/** pcp_batch - frames of a batch in a zone. */
unsigned pcp_batch(size_t nframes);

/** pcp_rules_init - for one of nharts harts that share a zone. */
void pcp_rules_init(struct pcp_rules *rules, size_t nframes, unsigned nharts);

/** pcp_refill_blocks - how many blocks to take from the zone onto an empty list; at least 1. */
unsigned pcp_refill_blocks(struct pcp_rules *rules, unsigned order);

/** pcp_freed - account for a block that was put on a list. How many frames to give back to the zone now; 0: none. */
unsigned pcp_freed(struct pcp_rules *rules, unsigned order);

/** pcp_allocating - account for an allocation that begins. */
static ALWAYS_INLINE void pcp_allocating(struct pcp_rules *rules)
{
    rules->free_count >>= 1;
}

#endif
