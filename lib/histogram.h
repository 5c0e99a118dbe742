/*
 * A log-linear histogram of 64-bit values in constant memory: 32 linear buckets an octave, so a value is
 * known to within one part in 32, and reported as its bucket's middle, an error of at most 1/64 = 1.6 %.
 * Values below 64 are exact. Source of the scheme: Gil Tene's HdrHistogram.
 */
#ifndef LIB_HISTOGRAM_H
#define LIB_HISTOGRAM_H

#include "lib/base.h"

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t total;
    uint64_t min; /* exact; UINT64_MAX when empty */
    uint64_t max; /* exact; 0 when empty */
    uint64_t count[HISTOGRAM_BUCKETS];
};

void histogram_reset(struct histogram *h);

/** histogram_bucket - index of the bucket that holds a value. */
unsigned histogram_bucket(uint64_t value);

void histogram_record(struct histogram *h, uint64_t value);

/** histogram_merge - add every value of `from` to `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/**
 * histogram_quantile - the value at rank ceil(numerator / denominator * total), at least rank 1.
 * Returns the middle of that rank's bucket, clamped to [min, max]; 0 when empty.
 * 0 <= numerator <= denominator, denominator > 0: p99.9 is (999, 1000).
 */
uint64_t histogram_quantile(const struct histogram *h, unsigned numerator, unsigned denominator);

#endif
