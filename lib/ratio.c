/* Long division, one decimal digit at a time, because ten times a 64-bit remainder does not fit 64 bits. */
#include "lib/ratio.h"

/* Multiplies *remainder (< denominator) by ten, takes the denominator out as often as it goes, and returns
 * how often. Ten additions modulo the denominator: none of them can wrap. */
static unsigned next_digit(uint64_t *remainder, uint64_t denominator)
{
    uint64_t sum = 0;
    unsigned digit = 0;

    for (unsigned i = 0; i < 10; i++) {
        uint64_t gap = denominator - *remainder;
        if (sum >= gap) {
            sum -= gap;
            digit++;
        } else {
            sum += *remainder;
        }
    }
    *remainder = sum;
    return digit;
}

struct decimal ratio_decimal(uint64_t numerator, uint64_t denominator, unsigned decimals)
{
    struct decimal result = {.whole = numerator / denominator};
    uint64_t remainder = numerator % denominator;
    uint32_t unit = 1;

    for (unsigned i = 0; i < decimals; i++) {
        result.fraction = result.fraction * 10 + next_digit(&remainder, denominator);
        unit *= 10;
    }
    if (remainder >= denominator - remainder && ++result.fraction == unit) {
        result.fraction = 0;
        result.whole++;
    }
    return result;
}
