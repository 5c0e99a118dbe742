/*
 * See vm.h. A data point has families of processes of its own, by the design under test: one whose first process has a thread
 * a hart, or one a hart. The program makes its threads and pins them, each pauses, and from then on a hart's share of a
 * trial is to resume its thread with the address of its block (bench/user/share.h), which says what to do.
 *
 * What there is of spaces is made anew for each, so all begin in the same state.
 */
#include "bench/vm.h"
#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/model.h"
#include "bench/workloads.h"
#include "kernel/initrd.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/sched.h"
#include "lib/error.h"
#include "lib/writer.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/shootdown.h"

#define PROGRAM "bench"

#define RW (PTE_R | PTE_W)

/* What thread and program share of one hart. */
struct vm_hart {
    struct thread *thread; /* NULL: it has ended */
    struct user_share *share;
    uint64_t address; /* of share, where the thread sees it */
    bool lost; /* the thread has ended in the middle */
} CACHE_ALIGNED;

struct vm_state {
    struct family *families[HART_MAX]; /* one, or one a hart */
    struct user_common *common;
    unsigned nfamilies;
    struct vm_hart harts[HART_MAX];
};

static struct vm_design design_before; /* the data point */

int vm_available(struct writer *why)
{
    size_t bytes;
    if (initrd_find(PROGRAM, &bytes))
        return 0;
    if (why)
        writer_puts(why, "it needs the program `" PROGRAM "` in the initrd (build/user)");
    return ERR_NOT_FOUND;
}

static struct family *family_of(const struct vm_state *state, unsigned hart)
{
    return state->families[state->nfamilies > 1 ? hart : 0];
}

/* Show a process memory of the kernel's. @place: where the next such memory goes. */
static int show(struct process *process, uint64_t *place, const void *memory, size_t bytes, uint64_t rights,
    uint64_t *address)
{
    size_t pages = DIV_CEIL(bytes, (size_t)PAGE_BYTES);
    vaddr_t vaddr = VADDR(*place);
    *address = *place;
    *place += pages * PAGE_BYTES;
    return space_map_frames(
        process->space, &vaddr, paddr_to_pfn_floor(kernel_to_paddr(memory)), pages, rights, SPACE_FIXED);
}

/* Where the program reads the model's time of a hart. */
static int show_clock(struct process *process, uint64_t *place, unsigned hart, uint64_t *address)
{
    uintptr_t word = (uintptr_t)&model_page.time[hart].now;
    *address = 0;
    if (clock_kind() != CLOCK_MODEL)
        return 0;
    int error =
        show(process, place, (const void *)(word / PAGE_BYTES * PAGE_BYTES), PAGE_BYTES, PTE_R, address);
    *address += word % PAGE_BYTES;
    return error;
}

static int show_latencies(
    struct process *process, uint64_t *place, struct bench_hart *hart, struct user_share *share)
{
    static const enum bench_latency kinds[USER_LATENCIES] = {
        [USER_TAKE] = BENCH_TAKE, [USER_GIVE] = BENCH_GIVE};
    int error = 0;
    for (unsigned i = 0; i < USER_LATENCIES && !error; i++)
        error =
            show(process, place, hart->latency[kinds[i]], sizeof(struct histogram), RW, &share->latency[i]);
    return error;
}

/* The thread of a hart has paused for the first time. */
static int prepare_hart(struct bench_run *run, unsigned index)
{
    struct vm_state *state = run->state;
    struct vm_hart *hart = &state->harts[index];
    struct process *process = family_of(state, index)->root;
    struct user_share *share = hart->share = bench_buffer(sizeof(*share));
    hart->thread = process_paused_thread(process, index);
    if (!share)
        return ERR_NO_MEMORY;
    if (!hart->thread)
        return ERR_STATE;
    share->loop = run->workload->vm->loop;
    share->index = run->workload->vm->alone ? 0 : index;
    share->nharts = run->workload->vm->alone ? 1 : run->nharts;
    share->party = run->nharts;
    share->collective = run->workload->vm->collective;
    uint64_t place = USER_OWN_BASE + index * USER_OWN_STRIDE;
    int error = show(process, &place, share, sizeof(*share), RW, &hart->address);
    error = error ? error : show(process, &place, state->common, sizeof(*state->common), RW, &share->common);
    error = error ? error : show_clock(process, &place, index, &share->clock);
    return error ? error : show_latencies(process, &place, &run->harts[index], share);
}

/* Under the model that is a region, in which a stale translation is as wrong as later. */
static int run_family(struct bench_run *run, struct family *family)
{
    int error = family_run(family);
    if (clock_kind() == CLOCK_MODEL)
        run->stale += model_stat_sum(MODEL_STAT_STALE, run->nharts);
    return error;
}

/* A process that begins on a hart, with so many threads on the harts from there on. All have paused then. */
static int start_family(struct bench_run *run, unsigned hart, unsigned nthreads)
{
    struct vm_state *state = run->state;
    char text[2][8], reason[100];
    const char *arguments[] = {PROGRAM, text[0], text[1]};
    const unsigned numbers[] = {hart, nthreads};
    struct buffer_writer writer;
    unsigned which = state->nfamilies;
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        buffer_writer_init(&writer, text[i], sizeof(text[i]));
        writer_format(&writer.writer, "%u", numbers[i]);
    }
    buffer_writer_init(&writer, reason, sizeof(reason));
    state->families[which] = program_load(PROGRAM, ARRAY_SIZE(arguments), arguments, &writer.writer);
    if (!state->families[which]) {
        console_format("error: " PROGRAM ": %s\n", reason);
        return ERR_NO_MEMORY;
    }
    state->nfamilies++;
    return run_family(run, state->families[which]) == ERR_STATE ? 0 : ERR_STATE;
}

static int start_families(struct bench_run *run)
{
    struct vm_state *state = run->state;
    int error = 0;
    state->common = bench_buffer(sizeof(*state->common));
    if (!state->common)
        return ERR_NO_MEMORY;
    if (!run->workload->vm->alone)
        return start_family(run, 0, run->nharts);
    for (unsigned i = 0; i < run->nharts && !error; i++)
        error = start_family(run, i, 1);
    return error;
}

int vm_begin(struct bench_run *run)
{
    design_before = vm_design;
    vm_design = *run->variant.vm;
    kernel_spaces_settle();
    shootdown_settings.everybody = hart_mask_first(run->nharts);
    sched_use(hart_mask_first(run->nharts));
    return kernel_spaces_renew();
}

void vm_end(void)
{
    kernel_spaces_end();
    vm_design = design_before;
    kernel_spaces_settle();
    shootdown_settings.everybody = hart_mask_none();
    sched_use(hart_mask_first(hart_count()));
}

int vm_setup(struct bench_run *run)
{
    run->state = bench_buffer(sizeof(struct vm_state));
    int error = run->state ? start_families(run) : ERR_NO_MEMORY;
    for (unsigned i = 0; i < run->nharts && !error; i++)
        error = prepare_hart(run, i);
    if (error)
        vm_teardown(run);
    return error;
}

/* All of the span is one resumption. What it took to get in and out is taken off. */
void vm_run(struct bench_hart *hart, uint64_t rounds)
{
    struct vm_hart *own = &((struct vm_state *)hart->run->state)->harts[hart->index];
    struct user_share *share = own->share;
    uint64_t done = share->ops, failed = share->failed;
    share->rounds = rounds;
    share->deadline = hart->deadline;
    share->timed = hart->timed;
    share->reported = hart->reported;
    if (own->lost || thread_resume(own->thread, own->address) != 0)
        own->lost = true;
    hart->ops += share->ops - done;
    hart->failed += share->failed - failed;
    while (!bench_over(hart)) /* one of several that end together was a moment early */
        cpu_relax();
    if (!own->lost)
        hart->paused += (share->began - hart->start) + (clock_now() - share->ended);
}

/* Whatever state they are in, all processes come to their end. First all are told: while one family ends, harts run what is ready
 * of the others, too. */
static void end_families(struct bench_run *run)
{
    struct vm_state *state = run->state;
    for (unsigned i = 0; i < state->nfamilies; i++)
        for (struct process *process = state->families[i]->all; process; process = process->next_all)
            process_exit(process, NULL, STATUS_KILLED(SIGNAL_KILL));
    for (unsigned i = 0; i < state->nfamilies; i++) {
        run_family(run, state->families[i]);
        family_destroy(state->families[i]);
    }
}

void vm_teardown(struct bench_run *run)
{
    struct vm_state *state = run->state;
    if (state) {
        end_families(run);
        for (unsigned i = 0; i < HART_MAX; i++)
            bench_buffer_free(state->harts[i].share);
        bench_buffer_free(state->common);
        bench_buffer_free(state);
    }
    run->state = NULL;
}

int vm_check(struct bench_run *run, struct writer *why)
{
    const struct vm_state *state = run->state;
    kernel_spaces_drain();
    for (unsigned i = 0; i < run->nharts; i++) {
        const struct vm_hart *hart = &state->harts[i];
        if (hart->lost)
            writer_format(why, "the thread of hart %u has ended", i);
        else if (hart->share->failed || hart->share->wrong)
            writer_format(why, "hart %u: %lu system calls failed, %lu pages were not as they should be", i,
                hart->share->failed, hart->share->wrong);
        else
            continue;
        return ERR_CORRUPT;
    }
    for (unsigned i = 0; i < state->nfamilies; i++) {
        if (space_validate(state->families[i]->root->space)) {
            writer_format(why, "the space of process %u does not validate", i);
            return ERR_CORRUPT;
        }
    }
    return 0;
}

/* What vm.shootdown has found, by how many others had the page. */
static void conclude_shootdown(struct bench_run *run, const struct user_share *share)
{
    static char names[USER_TARGETS_MAX][16];
    for (unsigned i = 0; i < USER_TARGETS_MAX && share->times[i]; i++) {
        struct buffer_writer name;
        buffer_writer_init(&name, names[i], sizeof(names[i]));
        writer_format(&name.writer, "unmap_%lu", share->targets[i]);
        bench_figure(run, names[i], share->cycles[i], share->times[i]);
    }
}

void vm_conclude(struct bench_run *run)
{
    const struct vm_state *state = run->state;
    size_t frames = 0;
    for (unsigned i = 0; i < state->nfamilies; i++)
        frames += space_frames(state->families[i]->root->space);
    bench_figure(run, "frames", frames, 1);
    if (run->workload->vm->loop == LOOP_SHOOTDOWN)
        conclude_shootdown(run, state->harts[0].share);
}
