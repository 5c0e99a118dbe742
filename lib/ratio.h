/* Quotients as decimals, for a kernel that has no floating point and no 128-bit division. */
#ifndef LIB_RATIO_H
#define LIB_RATIO_H

#include "lib/base.h"

/* whole + fraction / 10^decimals */
struct decimal {
    uint64_t whole;
    uint32_t fraction;
};

/** ratio_decimal - numerator / denominator to `decimals` (0..9) places, rounded half up. Exact for every
 *  64-bit pair with denominator > 0. */
struct decimal ratio_decimal(uint64_t numerator, uint64_t denominator, unsigned decimals);

#endif
