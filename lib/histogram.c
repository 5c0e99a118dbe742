/*
 * The log-linear histogram: recording is a shift, a mask and an increment, so that it can run inside a
 * measured loop; everything that costs more happens when quantiles are asked for.
 */
#include "lib/histogram.h"
#include "lib/bits.h"
#include "lib/string.h"

#define SUB_BUCKETS (1u << HISTOGRAM_SUB_BITS)

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

/* Octave 0 is [0, 32) and octave n > 0 is [32 << (n - 1), 64 << (n - 1)), each of 32 buckets; the first two
 * have buckets of width 1. */
unsigned histogram_bucket(uint64_t value)
{
    if (value < SUB_BUCKETS)
        return (unsigned)value;

    unsigned shift = bits_highest(value) - HISTOGRAM_SUB_BITS;
    unsigned octave = shift + 1;
    return octave * SUB_BUCKETS + ((unsigned)(value >> shift) & (SUB_BUCKETS - 1));
}

static uint64_t bucket_middle(unsigned bucket)
{
    unsigned octave = bucket / SUB_BUCKETS, sub_bucket = bucket % SUB_BUCKETS;

    if (octave == 0)
        return sub_bucket;
    unsigned shift = octave - 1;
    uint64_t low = (uint64_t)(SUB_BUCKETS + sub_bucket) << shift;
    return low + ((1ull << shift) >> 1);
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->count[histogram_bucket(value)]++;
    h->total++;
    h->min = MIN(h->min, value);
    h->max = MAX(h->max, value);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->count[i] += from->count[i];
    to->total += from->total;
    to->min = MIN(to->min, from->min);
    to->max = MAX(to->max, from->max);
}

/* ceil(numerator / denominator * total) without a product that overflows: total is split into a multiple of
 * the denominator, whose share is exact, and a remainder below 2^32. */
static uint64_t quantile_rank(uint64_t total, unsigned numerator, unsigned denominator)
{
    uint64_t whole = total / denominator, rest = total % denominator;
    uint64_t rank = whole * numerator + DIV_CEIL(rest * numerator, denominator);

    return MAX(rank, 1);
}

uint64_t histogram_quantile(const struct histogram *h, unsigned numerator, unsigned denominator)
{
    if (h->total == 0)
        return 0;

    uint64_t rank = quantile_rank(h->total, numerator, denominator), seen = 0;
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && (seen += h->count[bucket]) < rank)
        bucket++;
    return CLAMP(bucket_middle(bucket), h->min, h->max);
}
