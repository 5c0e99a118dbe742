/* The harts' areas and their number; boot.c fills them. */
#include "smp/hart.h"

struct hart harts[HART_MAX];

static unsigned count_online;

unsigned hart_count(void)
{
    return count_online;
}

void hart_set_count(unsigned count)
{
    count_online = count;
}
