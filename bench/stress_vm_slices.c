/* The spaces of the stress run about virtual memory, and their frames: from the beginning of a design to the proof that all frames are
 * back. What is done in them: stress_vm.c. */
#include "arch/panic.h"
#include "bench/bench.h"
#include "bench/stress_vm.h"
#include "lib/error.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"

struct stress_vm stress_vm;

void stress_vm_begin(void)
{
    stress_watch_begin();
    space_enter(stress_vm.harts[hart_index()].space);
}

void stress_vm_end(void)
{
    space_leave();
}

static pfn_t take_table(struct table_source *source)
{
    (void)source;
    return frame_alloc(&stress.arena, 0, FRAME_ZERO);
}

static void give_table(struct table_source *source, pfn_t pfn)
{
    (void)source;
    frame_free(&stress.arena, pfn, 0);
}

/* Spaces for a slice: one for all, or one each. */
void stress_vm_make(void)
{
    stress_vm.nspaces = stress.kind == SLICE_VM_OWN ? hart_count() : 1;
    for (unsigned i = 0; i < hart_count(); i++) {
        struct stress_vm_hart *hart = &stress_vm.harts[i];
        *hart = (struct stress_vm_hart){.space = stress_vm.harts[0].space};
        if (i < stress_vm.nspaces && space_create(&stress_vm.pool, &hart->space))
            panic("stress: no memory for %u spaces", stress_vm.nspaces);
    }
}

/* Nothing is deferred any more, and what was freed is as it was left. */
static void settle(void)
{
    kernel_spaces_drain();
    frame_drain(&stress.arena);
}

void stress_vm_inspect(void)
{
    settle();
    for (unsigned i = 0; i < stress_vm.nspaces; i++)
        if (space_validate(stress_vm.harts[i].space))
            stress_fail("the space of hart %u does not validate", i);
}

void stress_vm_drop(void)
{
    for (unsigned i = 0; i < stress_vm.nspaces; i++)
        space_put(stress_vm.harts[i].space);
    stress_vm.nspaces = 0;
    settle();
}

void stress_vm_open(const struct vm_design *design)
{
    vm_design = *design;
    kernel_spaces_settle();
    stress_watch_open();
    stress_vm.tables =
        (struct table_source){take_table, give_table, stress_vm.table_pages, stress.arena.base};
    stress_vm.pool = (struct space_pool){.refs = &stress.refs,
        .tables = &stress_vm.tables,
        .kernel = &kernel_table,
        .nharts = hart_count(),
        .user = kernel_spaces.user};
    if (space_pool_init(&stress_vm.pool))
        panic("stress: no memory for a pool of spaces");
}

void stress_vm_close(void)
{
    space_pool_destroy(&stress_vm.pool);
    stress_watch_close();
    if (frame_validate(&stress.arena, 0) || frame_refs_validate(&stress.refs, 0))
        stress_fail("frames are lost, or their references");
}

int stress_vm_prepare(void)
{
    stress_vm.table_pages = bench_buffer(STRESS_FRAMES_MAX * sizeof(*stress_vm.table_pages));
    stress_vm.harts = bench_buffer(hart_count() * sizeof(*stress_vm.harts));
    return stress_vm.table_pages && stress_vm.harts ? stress_watch_prepare() : ERR_NO_MEMORY;
}

void stress_vm_finish(void)
{
    bench_buffer_free(stress_vm.table_pages);
    bench_buffer_free(stress_vm.harts);
    stress_watch_finish();
}
