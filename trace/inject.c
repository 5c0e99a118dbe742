/* State of the planted bugs and failure points; see inject.h. Empty in release builds. */
#include "trace/inject.h"

#if defined(HARTSCALE_CHECK) && HARTSCALE_CHECK

#include <stdatomic.h>

/* Often enough to strike at once under stress, rare enough that a boot or a short test gets by. */
#define PLANT_PERIOD 1000

/* Of what one hart tells another there is less, the fewer cores the host has: a few thousand a second. And not each time that
 * one is not told has it used what it should have forgotten. */
#define PLANT_PERIOD_TOLD 3

static _Atomic unsigned planted;
static _Atomic uint64_t plant_passed;
static _Atomic uint64_t armed_at[INJECT_COUNT];
static _Atomic uint64_t passed[INJECT_COUNT];

static const char *const plant_names[] = {
#define PLANT_NAME(id, name, text) name,
    PLANT_LIST(PLANT_NAME)
#undef PLANT_NAME
};

/* Everything here is relaxed: a point is armed while the harts that pass it are quiet, and the counts
 * order nothing but themselves. */

void plant_set(enum plant plant)
{
    atomic_store_explicit(&planted, plant, memory_order_relaxed);
    atomic_store_explicit(&plant_passed, 0, memory_order_relaxed);
}

const char *plant_name(size_t i)
{
    return i < ARRAY_SIZE(plant_names) ? plant_names[i] : NULL;
}

bool plant_is(enum plant plant)
{
    return unlikely(atomic_load_explicit(&planted, memory_order_relaxed) == plant);
}

static unsigned period(enum plant plant)
{
    return plant >= PLANT_IPI_NOFLUSH && plant <= PLANT_LAZY_EARLY ? PLANT_PERIOD_TOLD : PLANT_PERIOD;
}

bool plant_due(enum plant plant)
{
    if (!plant_is(plant))
        return false;
    uint64_t before = atomic_fetch_add_explicit(&plant_passed, 1, memory_order_relaxed);
    return before % period(plant) == period(plant) - 1;
}

void inject_arm(enum inject point, uint64_t n)
{
    atomic_store_explicit(&passed[point], 0, memory_order_relaxed);
    atomic_store_explicit(&armed_at[point], n, memory_order_relaxed);
}

uint64_t inject_passed(enum inject point)
{
    return atomic_load_explicit(&passed[point], memory_order_relaxed);
}

bool inject_due(enum inject point)
{
    uint64_t n = atomic_load_explicit(&armed_at[point], memory_order_relaxed);
    return unlikely(n != 0) && atomic_fetch_add_explicit(&passed[point], 1, memory_order_relaxed) + 1 == n;
}

#endif
