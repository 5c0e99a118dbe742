/* Harts as threads, over the areas and counters of the real smp/ and trace/. */
#include <pthread.h>

#include "arch/panic.h"
#include "host.h"
#include "smp/hart.h"
#include "trace/counter.h"

uint64_t host_direct_map_base;
_Thread_local struct arch_hart *host_hart;

struct start {
    pthread_t thread;
    unsigned index;
    void (*function)(void *argument);
    void *argument;
};

void host_become_hart(unsigned index)
{
    host_hart = &harts[index].arch;
    host_hart->index = index;
    host_hart->id.value = index;
    host_hart->counters = counter_block_of(index)->value;
}

static void __attribute__((constructor)) become_boot_hart(void)
{
    host_become_hart(0);
    hart_set_count(1);
}

static void *run(void *argument)
{
    struct start *start = argument;
    host_become_hart(start->index);
    start->function(start->argument);
    return NULL;
}

void host_run_harts(unsigned n, void (*function)(void *argument), void *argument)
{
    struct start starts[HART_MAX];
    ASSERT(n <= HART_MAX);
    hart_set_count(n);
    for (unsigned i = 0; i < n; i++) {
        starts[i] = (struct start){.index = i, .function = function, .argument = argument};
        ASSERT(pthread_create(&starts[i].thread, NULL, run, &starts[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++)
        ASSERT(pthread_join(starts[i].thread, NULL) == 0);
}

void host_map_frames(void *memory, pfn_t base)
{
    host_direct_map_base = (uintptr_t)memory - pfn_to_paddr(base).value;
}
