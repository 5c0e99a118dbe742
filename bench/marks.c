/* See marks.h. */
#include "bench/marks.h"
#include "lib/error.h"

int marks_check(struct bench_run *run, struct writer *why)
{
    uint64_t damaged = 0;
    for (unsigned i = 0; i < run->nharts; i++)
        damaged += run->harts[i].damaged;
    if (damaged == 0)
        return 0;
    writer_format(why, "%lu blocks were not as their holders left them; ", damaged);
    return ERR_CORRUPT;
}
