/* Storage and names of the event counters; see counter.h. */
#include "trace/counter.h"
#include "lib/string.h"

static struct counter_block blocks[HART_MAX];

static const char *const names[COUNTER_COUNT] = {
#define COUNTER_NAME(id, name, text) name,
    COUNTER_LIST(COUNTER_NAME)
#undef COUNTER_NAME
};

_Static_assert(sizeof(struct counter_block) % CACHE_LINE_BYTES == 0, "blocks of two harts share a line");

struct counter_block *counter_block_of(unsigned hart)
{
    return &blocks[hart];
}

void counter_reset_all(void)
{
    memset(blocks, 0, sizeof(blocks));
}

uint64_t counter_sum(enum counter counter)
{
    uint64_t sum = 0;
    for (unsigned hart = 0; hart < HART_MAX; hart++)
        sum += blocks[hart].value[counter];
    return sum;
}

const char *counter_name(enum counter counter)
{
    return names[counter];
}
