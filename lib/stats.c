/* Sorting and summary numbers over the few samples that a data point has. */
#include "lib/stats.h"
#include "lib/ratio.h"

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t held = *a;

    *a = *b;
    *b = held;
}

/* Lets the value at `root` sink until the heap below it, values[0 .. count), has its largest on top again. */
static void sift_down(uint64_t *values, size_t root, size_t count)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && values[child + 1] > values[child])
            child++;
        if (values[root] >= values[child])
            return;
        swap(&values[root], &values[child]);
        root = child;
    }
}

void stats_sort(uint64_t *values, size_t count)
{
    for (size_t root = count / 2; root > 0; root--)
        sift_down(values, root - 1, count);
    for (size_t last = count; last > 1; last--) {
        swap(&values[0], &values[last - 1]);
        sift_down(values, 0, last - 1);
    }
}

uint64_t stats_median(const uint64_t *sorted, size_t count)
{
    return sorted[(count - 1) / 2];
}

/* How far to shift so that (n * largest)^2, which bounds both sides of the fraction, fits 64 bits. */
static unsigned jain_shift(const uint64_t *values, size_t count)
{
    uint64_t largest = 0, limit = UINT32_MAX / count;
    unsigned shift = 0;

    for (size_t i = 0; i < count; i++)
        largest = MAX(largest, values[i]);
    while (largest >> shift > limit)
        shift++;
    return shift;
}

uint64_t stats_jain_millionths(const uint64_t *values, size_t count)
{
    uint64_t sum = 0, squares = 0;

    if (count == 0)
        return 1000000;
    unsigned shift = jain_shift(values, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = values[i] >> shift;
        sum += value;
        squares += value * value;
    }
    if (squares == 0)
        return 1000000;

    struct decimal index = ratio_decimal(sum * sum, count * squares, 6);
    return index.whole * 1000000 + index.fraction;
}
