/* Numbers of threads and processes: a word of 64 for each hart, so harts that make and end threads share no line. */
#include <stdatomic.h>

#include "arch/panic.h"
#include "kernel/thread.h"
#include "lib/bits.h"
#include "trace/inject.h"

static struct {
    _Atomic uint64_t taken; /* bit i: 1 + hart * 64 + i */
    unsigned next; /* where this hart looks first, so that a number is not used again at once */
} CACHE_ALIGNED words[HART_MAX];

static int take_from(unsigned hart, unsigned first)
{
    for (unsigned k = 0; k < 64; k++) {
        unsigned i = (first + k) % 64;
        uint64_t bit = 1ull << i;
        if (atomic_load_explicit(&words[hart].taken, memory_order_relaxed) & bit)
            continue;
        /* Acquire (amoor.d.aq), pairs with id_give(): nobody knows it as something else any more. */
        if (!(atomic_fetch_or_explicit(&words[hart].taken, bit, memory_order_acquire) & bit))
            return (int)(1 + hart * 64 + i);
    }
    return 0;
}

int id_take(void)
{
    unsigned own = hart_index();
    int id = take_from(own, words[own].next);
    words[own].next = (unsigned)id % 64;
    for (unsigned k = 1; k < HART_MAX && id == 0; k++)
        id = take_from((own + k) % HART_MAX, 0);
    return id;
}

void id_give(int id)
{
    unsigned index = (unsigned)id - 1;
    uint64_t bit = 1ull << index % 64;
    /* Release (amoand.d.rl), pairs with take_from(). */
    uint64_t before = atomic_fetch_and_explicit(&words[index / 64].taken, ~bit, memory_order_release);
    ASSERT(before & bit);
}
