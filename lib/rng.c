/* xoshiro256** and its seeding: four words of state, shifts and xors, the same on every machine. */
#include "lib/rng.h"

static uint64_t rotate_left(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

/* Vigna's splitmix64: a counter through a bijective mixer. */
static uint64_t splitmix64(uint64_t *counter)
{
    uint64_t z = *counter += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/*
 * Every step is a bijection for a fixed seed, so two streams of one seed never get the same state; and
 * four successive outputs are distinct, so the state is never all zero, which the generator could not leave.
 * Jumping ahead by 2^128 steps a stream would prove the distance as well, but takes 256 steps a jump:
 * a second of emulation for 64 harts, for what is already true but for one chance in 2^200.
 */
void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t counter = seed;

    counter = splitmix64(&counter) + stream;
    counter = splitmix64(&counter);
    for (unsigned i = 0; i < 4; i++)
        rng->s[i] = splitmix64(&counter);
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/*
 * The high word of random * bound is in [0, bound). Each result stands for 2^64 / bound values of random,
 * give or take one; rejecting the low words below 2^64 mod bound takes the surplus ones away. That
 * remainder costs a division, which is done only if the low word says that it could matter.
 */
uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    unsigned __int128 product = (unsigned __int128)rng_next(rng) * bound;

    if ((uint64_t)product < bound) {
        uint64_t surplus = -bound % bound;
        while ((uint64_t)product < surplus)
            product = (unsigned __int128)rng_next(rng) * bound;
    }
    return (uint64_t)(product >> 64);
}

void rng_shuffle(struct rng *rng, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = rng_below(rng, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
