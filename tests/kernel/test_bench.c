/* The harness: the moments between which it measures. */
#include "bench/bench.h"
#include "bench/harness.h"
#include "bench/workloads.h"
#include "lib/error.h"
#include "lib/select.h"
#include "lib/string.h"
#include "smp/call.h"
#include "tests/kernel/test.h"
#include "trace/inject.h"

#define MEETINGS 50

static struct bench_run run;
static struct bench_hart participants[HART_MAX];
static uint64_t times[HART_MAX][MEETINGS];

static void meet(void *unused)
{
    struct bench_hart *hart = &participants[hart_index()];
    (void)unused;
    for (unsigned i = 0; i < MEETINGS; i++) {
        uint64_t before = clock_now();
        times[hart->index][i] = bench_meet(hart);
        CHECK(times[hart->index][i] >= before);
        CHECK(times[hart->index][i] <= clock_now());
    }
}

TEST(bench_harts_agree_when_they_met)
{
    run.nharts = hart_count();
    run.harts = participants;
    barrier_init(&run.barrier, run.nharts);
    for (unsigned i = 0; i < run.nharts; i++)
        participants[i] = (struct bench_hart){.run = &run, .index = i};
    smp_call(hart_mask_first(hart_count()), meet, NULL);
    for (unsigned hart = 1; hart < hart_count(); hart++) {
        for (unsigned i = 0; i < MEETINGS; i++)
            CHECK(times[hart][i] == times[0][i]);
    }
}

/* Small, for designs that look at every frame; two huge frames for each of eight harts. */
#define ARENA_FRAMES 8192

static struct bench_result result;
static char reason[400];
static void (*to_spoil)(struct bench_run *bench); /* called between setup and the first trial */

/* Measures for so long; what went wrong is in `reason`. */
static int measure_for(const struct workload *workload, struct bench_variant variant, uint64_t trial_ms)
{
    const struct bench_plan plan = {
        .trials = 1, .trial_ms = trial_ms, .seed = 1, .ready = to_spoil, .arena_frames = ARENA_FRAMES};
    struct buffer_writer why;
    buffer_writer_init(&why, reason, sizeof(reason));
    return bench_measure(workload, variant, hart_count(), &plan, &result, &why.writer);
}

static void measure(const struct workload *workload, struct bench_variant variant)
{
    CHECK(measure_for(workload, variant, 5) == 0);
    /* A benchmark of the machine may be one hart's work and time nothing; an aged arena may have nothing to give. */
    bool ours = workload->axis != BENCH_MACHINE;
    if (workload == &workload_frame_frag)
        return;
    CHECK(result.ops >= (ours ? hart_count() : 1) && result.ops_per_sec > 0);
    CHECK(result.latency[BENCH_TAKE]->total > 0 || !ours);
}

/* Threads of programs that wait for each other wait for the host's scheduler each time, where there are more harts than cores: with
 * eight, minutes. tests/e2e/test_boot_vm.py runs these workloads on more harts, under the model. */
#define VM_HARTS_MAX 2

TEST(bench_every_workload_ends_and_is_right)
{
    const struct vm_design usual = vm_design;
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; workload_at(i); i++) {
        enum bench_axis axis = workload_at(i)->axis;
        if (workload_at(i)->available && workload_at(i)->available(NULL))
            continue; /* the tests of heap.replay give it something */
        if (axis == BENCH_VM && hart_count() > VM_HARTS_MAX)
            continue;
        measure(workload_at(i),
            (struct bench_variant){.frame = axis == BENCH_FRAME ? frame_allocator_at(0) : NULL,
                .heap = axis == BENCH_HEAP ? heap_design_at(0) : NULL,
                .vm = axis == BENCH_VM ? &usual : NULL,
                .lock = axis == BENCH_MACHINE || axis == BENCH_VM ? NULL : &lock_ttas});
    }
    bench_finish();
}

/* What frame.huge, frame.frag and frame.exhaust ask for is where designs differ. */
TEST(bench_every_allocator_passes_the_hard_workloads)
{
    static const struct workload *const hard[] = {
        &workload_frame_huge, &workload_frame_frag, &workload_frame_exhaust};
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; frame_allocator_at(i); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(hard); k++) {
            if (hard[k]->order <= frame_allocator_at(i)->order_max)
                measure(hard[k], (struct bench_variant){.frame = frame_allocator_at(i), .lock = &lock_ttas});
        }
        CHECK(result.latency[BENCH_MORE]->total > 0);
    }
    bench_finish();
}

TEST(bench_memory_is_counted)
{
    const struct frame_allocator_ops *ops = frame_allocator_find("hartcache");
    struct bench_variant variant = {.frame = ops, .lock = &lock_ttas};
    CHECK(bench_prepare() == 0);
    CHECK(measure_for(&workload_frame_batch, variant, 5) == 0);
    const struct bench_memory *memory = &result.memory;
    CHECK(memory->metadata_bytes == ops->metadata_size(memory->arena_frames, hart_count()));
    /* 64 frames came back to each hart that took part. */
    CHECK(memory->stranded_frames > 0 && memory->stranded_frames <= memory->stranded_frames_max);
    CHECK(memory->free_frames == memory->arena_frames);
    CHECK(memory->huge_frames == memory->free_frames); /* nothing is held, and caches do not hide anything */

    CHECK(measure_for(&workload_frame_frag, variant, 5) == 0);
    CHECK(memory->free_frames > memory->arena_frames / 2 && memory->free_frames < memory->arena_frames);
    CHECK(memory->huge_frames < memory->free_frames);

    /* Ageing fills its caches, and asking for huge frames in vain empties them: the worst was before the trials. */
    variant.frame = frame_allocator_find("buddy_pcp");
    CHECK(measure_for(&workload_frame_frag, variant, 5) == 0);
    CHECK(memory->stranded_frames_max > memory->stranded_frames);
    bench_finish();
}

/* A block that stays is what the workload does not know of: in pages, but not held. */
static void leak_block(struct bench_run *bench)
{
    CHECK(heap_alloc(&bench->heap, 1000) != NULL);
}

TEST(bench_heaps_are_inspected)
{
    const struct bench_memory *memory = &result.memory;
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; heap_design_at(i); i++) {
        const struct heap_ops *ops = heap_design_at(i);
        struct bench_variant variant = {.heap = ops, .lock = &lock_ttas};
        CHECK(measure_for(&workload_heap_churn, variant, 5) == 0);
        CHECK(memory->metadata_bytes == heap_metadata_size(ops, memory->arena_frames, hart_count()));
        CHECK(memory->live_bytes == 0 && memory->block_bytes == 0);
        CHECK(memory->reserved_bytes <= memory->reserved_bytes_max);
        to_spoil = leak_block;
        CHECK(measure_for(&workload_heap_churn, variant, 5) == ERR_CORRUPT);
        to_spoil = NULL;
        CHECK(memory->live_bytes == 0 && memory->block_bytes >= 1000);
        CHECK(memory->reserved_bytes >= PAGE_BYTES && memory->reserved_bytes <= memory->reserved_bytes_max);
        CHECK(select_match("*does not validate after the run*", reason));
    }
    bench_finish();
}

static const struct workload *const holding[] = {&workload_heap_threadtest, &workload_heap_larson,
    &workload_heap_remote, &workload_heap_mixed, &workload_heap_realloc, &workload_heap_frag};

/* Batches of heap.remote are larger: written to, they would not be pointers any more. */
#define SPOILT_BYTES_MAX 512

static void spoil_block(void *spoilt, const struct heap_block *block)
{
    if (!block->live || block->bytes >= SPOILT_BYTES_MAX)
        return;
    *(uint64_t *)block->base ^= 1;
    (*(unsigned *)spoilt)++;
}

static void spoil_blocks(struct bench_run *bench)
{
    unsigned spoilt = 0;
    heap_walk(&bench->heap, spoil_block, &spoilt);
    CHECK(spoilt > 0);
}

/* What workloads say that they hold is in blocks, and whoever writes to a block of theirs is found out. */
TEST(bench_heap_workloads_know_what_they_hold)
{
    const struct bench_memory *memory = &result.memory;
    struct bench_variant variant = {.heap = heap_design_at(0), .lock = &lock_ttas};
    CHECK(bench_prepare() == 0);
    for (size_t i = 0; i < ARRAY_SIZE(holding); i++) {
        CHECK(measure_for(holding[i], variant, 1) == 0);
        CHECK(memory->live_bytes > 0 && memory->live_bytes <= memory->block_bytes);
        to_spoil = spoil_blocks;
        CHECK(measure_for(holding[i], variant, 1) == ERR_CORRUPT);
        to_spoil = NULL;
        CHECK(select_match("*blocks were not as their holders left them*", reason));
    }
    bench_finish();
}

/* The figures are of the heap before the trials, in which harts are as fast as they are. */
TEST(bench_frag_ages_a_heap_alike_each_time)
{
    struct bench_figure figures[BENCH_FIGURES_MAX];
    struct bench_variant variant = {.heap = heap_design_at(0), .lock = &lock_ttas};
    CHECK(bench_prepare() == 0);
    CHECK(measure_for(&workload_heap_frag, variant, 1) == 0);
    unsigned nfigures = result.nfigures;
    CHECK(nfigures == 7);
    memcpy(figures, result.figures, sizeof(figures));
    CHECK(measure_for(&workload_heap_frag, variant, 2) == 0);
    for (unsigned i = 0; i < nfigures; i++)
        CHECK(result.figures[i].value == figures[i].value && result.figures[i].per == figures[i].per);
    bench_finish();
}

/* More than the part of the arena that frame.exhaust leaves free, forgotten once it has been filled. */
static void forget_frames(struct bench_run *bench)
{
    for (size_t i = 0; i < bench->arena.nframes / 20; i++)
        (void)frame_alloc(&bench->arena, 0, 0);
}

/* Somebody with a permit does not find a frame that is lost. */
TEST(bench_exhaust_sees_lost_frames)
{
    struct bench_variant variant = {.frame = frame_allocator_find("bitmap"), .lock = &lock_ttas};
    CHECK(bench_prepare() == 0);
    to_spoil = forget_frames;
    CHECK(measure_for(&workload_frame_exhaust, variant, 5) == ERR_CORRUPT);
    to_spoil = NULL;
    CHECK(select_match("*found nothing though a frame was free*", reason));
    bench_finish();
}

/* A point is right only if its allocator is: a bug that no operation noticed is found behind it. */
TEST(bench_planted_bugs_fail_the_point)
{
    struct bench_variant variant = {.frame = frame_allocator_find("bitmap"), .lock = &lock_ttas};
    CHECK(bench_prepare() == 0);
    plant_set(PLANT_BITMAP_LOST);
    CHECK(measure_for(&workload_frame_exhaust, variant, 5) == ERR_CORRUPT);
    plant_set(PLANT_BITMAP_TWICE);
    CHECK(measure_for(&workload_frame_exhaust, variant, 5) == ERR_CORRUPT);
    plant_set(PLANT_NONE);
    bench_finish();
}
