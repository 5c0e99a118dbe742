/*
 * A seeded pseudo-random generator: the same seed gives the same sequence on every machine, and streams of
 * different harts do not overlap. Not for secrets. Source: xoshiro256** by Blackman and Vigna (2018),
 * seeded through splitmix64 as they advise.
 */
#ifndef LIB_RNG_H
#define LIB_RNG_H

#include "lib/base.h"

struct rng {
    uint64_t s[4];
};

/** rng_seed - start the stream `stream` (a hart's index, say) of the run with this seed. Streams start at
 *  points that are distinct and unrelated: in a period of 2^256 their stretches do not meet. */
void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream);

uint64_t rng_next(struct rng *rng);

/** rng_below - uniform in [0, bound), bound > 0; multiply-shift with rejection (Lemire 2019), so unbiased. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

/** rng_shuffle - Fisher–Yates over 32-bit items. */
void rng_shuffle(struct rng *rng, uint32_t *items, size_t count);

#endif
