/* Small integer statistics over a handful of samples. */
#ifndef LIB_STATS_H
#define LIB_STATS_H

#include "lib/base.h"

/** stats_sort - ascending, in place. Heap sort: no recursion, no worst case worse than n log n. */
void stats_sort(uint64_t *values, size_t count);

/** stats_median - of `count` > 0 values in ascending order; the lower middle one of an even number,
 *  so that the result is always one of the samples. */
uint64_t stats_median(const uint64_t *sorted, size_t count);

/** stats_jain_millionths - Jain's fairness index (sum x)^2 / (n * sum x^2) in millionths: 1000000 when all
 *  are equal, 1000000/n when one has everything, 1000000 when all are 0 or there are none.
 *  Values are scaled down together where the squares would overflow.
 *  Source: Jain, Chiu, Hawe, DEC-TR-301, 1984. */
uint64_t stats_jain_millionths(const uint64_t *values, size_t count);

#endif
