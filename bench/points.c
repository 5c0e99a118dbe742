/* What to measure: the keys that choose, and every combination of workload, variant and number of harts. */
#include "bench/points.h"
#include "bench/vm.h"
#include "bench/vm_select.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "lib/number.h"
#include "lib/select.h"
#include "lib/stats.h"
#include "lib/string.h"

#define HARTS_DEFAULT "default"

static struct bench_selection chosen;

struct bench_selection *bench_selection(void)
{
    return &chosen;
}

int selection_set_bench(const char *names, struct writer *why)
{
    chosen.bench = names;
    return select_check(names, workload_name_at, why);
}

static int apply_frame(const char *value, struct writer *why)
{
    chosen.frame = value;
    return select_check(value, frame_allocator_name_at, why);
}

CONFIG_KEY(frame_key, .name = "frame", .valid = "comma list of frame allocators or globs", .initial = "*",
    .apply = apply_frame);

static int apply_heap(const char *value, struct writer *why)
{
    chosen.heap = value;
    return select_check(value, heap_design_name_at, why);
}

CONFIG_KEY(
    heap_key, .name = "heap", .valid = "comma list of heaps or globs", .initial = "*", .apply = apply_heap);

static int apply_lock(const char *value, struct writer *why)
{
    chosen.lock = value;
    return strcmp(value, LOCK_DEFAULT) == 0 ? 0 : select_check(value, lock_kind_name_at, why);
}

CONFIG_KEY(lock_key, .name = "lock", .valid = "comma list of kinds of lock or globs, or default",
    .initial = LOCK_DEFAULT, .apply = apply_lock);

static int apply_harts(const char *value, struct writer *why)
{
    chosen.nharts = 0;
    if (strcmp(value, HARTS_DEFAULT) == 0)
        return 0;
    int error = select_numbers(value, 1, HART_MAX, chosen.harts, HART_MAX, &chosen.nharts, why);
    if (!error)
        stats_sort(chosen.harts, chosen.nharts);
    return error;
}

CONFIG_KEY(harts_key, .name = "harts", .valid = "comma list of numbers from 1 to 64, or default",
    .initial = HARTS_DEFAULT, .apply = apply_harts);

static int apply_seed(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, UINT64_MAX, &chosen.seed, why);
}

CONFIG_KEY(seed_key, .name = "seed", .valid = "a number", .initial = "1", .apply = apply_seed);

/* As many machines as anyone would start for one run. */
#define SHARDS_MAX 4096

static int apply_shard(const char *value, struct writer *why)
{
    const char *slash = strchr(value, '/');
    uint64_t shard = 0, shards = 0;
    if (!slash || number_parse(value, (size_t)(slash - value), &shard) ||
        number_parse_range(slash + 1, 1, SHARDS_MAX, &shards) || shard >= shards) {
        writer_format(why, "expected i/n with 0 <= i < n <= %d", SHARDS_MAX);
        return ERR_FORMAT;
    }
    chosen.shard = (unsigned)shard;
    chosen.shards = (unsigned)shards;
    return 0;
}

CONFIG_KEY(shard_key, .name = "shard", .valid = "i/n: measure the i-th of n parts of the points, from 0",
    .initial = "0/1", .apply = apply_shard);

static int apply_from(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, UINT32_MAX, &chosen.from, why);
}

CONFIG_KEY(from_key, .name = "from",
    .valid = "the number of the first point to measure, for who starts the kernel again for what is left; 0: "
             "measure all",
    .initial = "0", .apply = apply_from);

/* The shard of a point, by the digit sum of its number in base n (the Thue-Morse sequence, for n = 2). Neighbours
 * go to different shards, and no period of the walk, as of hart counts or allocators, falls into step with it, so
 * each shard has its share of what takes long. */
static unsigned shard_of(unsigned number)
{
    unsigned sum = 0;
    for (unsigned rest = number - 1; rest != 0 && chosen.shards > 1; rest /= chosen.shards)
        sum += rest % chosen.shards;
    return sum % chosen.shards;
}

bool selection_has_frame(const struct frame_allocator_ops *frame)
{
    return select_match(chosen.frame, frame->name);
}

bool selection_has_heap(const struct heap_ops *heap)
{
    return select_match(chosen.heap, heap->name);
}

bool selection_has_lock(const struct lock_ops *lock, enum bench_axis axis)
{
    if (strcmp(chosen.lock, LOCK_DEFAULT) != 0)
        return select_match(chosen.lock, lock->name);
    return axis == BENCH_LOCK || strcmp(lock->name, LOCK_UNDER_SUBJECT) == 0;
}

bool selection_is_all_frames(void)
{
    return strcmp(chosen.frame, "*") == 0;
}

bool selection_is_all_heaps(void)
{
    return strcmp(chosen.heap, "*") == 0;
}

struct walk {
    void (*visit)(const struct bench_point *point, void *argument);
    void *argument;
    struct bench_point point;
    unsigned visited;
};

static void walk_harts(struct walk *walk)
{
    for (size_t i = 0; i < chosen.nharts; i++) {
        walk->point.nharts = (unsigned)chosen.harts[i];
        walk->point.number++;
        if (shard_of(walk->point.number) != chosen.shard || walk->point.number < chosen.from)
            continue;
        walk->visited++;
        if (walk->visit)
            walk->visit(&walk->point, walk->argument);
    }
}

static void walk_locks(struct walk *walk)
{
    for (size_t i = 0; lock_kind_at(i); i++) {
        if (!selection_has_lock(lock_kind_at(i), walk->point.workload->axis))
            continue;
        walk->point.variant.lock = lock_kind_at(i);
        walk_harts(walk);
    }
}

/* A design that does not put larger blocks together again runs out of them for good, and its failures would be
 * measured. */
static bool serves(const struct frame_allocator_ops *frame, unsigned order)
{
    return order == 0 || (order <= frame->order_max && frame->finds_every_block);
}

static void walk_frames(struct walk *walk)
{
    for (size_t i = 0; frame_allocator_at(i); i++) {
        const struct frame_allocator_ops *frame = frame_allocator_at(i);
        if (!selection_has_frame(frame) || !serves(frame, walk->point.workload->order))
            continue;
        walk->point.variant = (struct bench_variant){.frame = frame};
        if (frame->lockless)
            walk_harts(walk);
        else
            walk_locks(walk);
    }
}

static void walk_heaps(struct walk *walk)
{
    for (size_t i = 0; heap_design_at(i); i++) {
        const struct heap_ops *heap = heap_design_at(i);
        if (!selection_has_heap(heap))
            continue;
        walk->point.variant = (struct bench_variant){.heap = heap};
        if (heap->lockless)
            walk_harts(walk);
        else
            walk_locks(walk);
    }
}

static void walk_vm_design(const struct vm_design *design, void *argument)
{
    struct walk *walk = argument;
    walk->point.variant = (struct bench_variant){.vm = design};
    walk_harts(walk);
}

/* What measures the machine answers to its name only, as it is nothing that we have designed; heaps and virtual memory do,
 * too, for the time that they take. */
static bool selected(const struct workload *workload)
{
    bool by_name =
        workload->axis == BENCH_MACHINE || workload->axis == BENCH_HEAP || workload->axis == BENCH_VM;
    bool is_chosen = by_name ? select_match_named(chosen.bench, workload->name)
                             : select_match(chosen.bench, workload->name);
    return is_chosen && (!workload->available || workload->available(NULL) == 0);
}

static void walk_all(struct walk *walk)
{
    for (size_t i = 0; workload_at(i); i++) {
        if (!selected(workload_at(i)))
            continue;
        walk->point.workload = workload_at(i);
        walk->point.variant = (struct bench_variant){.frame = NULL};
        switch (walk->point.workload->axis) {
        case BENCH_FRAME: walk_frames(walk); break;
        case BENCH_HEAP: walk_heaps(walk); break;
        case BENCH_LOCK: walk_locks(walk); break;
        case BENCH_MACHINE: walk_harts(walk); break;
        case BENCH_VM: vm_select_each(walk->point.workload->vm->varies, walk_vm_design, walk); break;
        }
    }
}

unsigned points_for_each(void (*visit)(const struct bench_point *point, void *argument), void *argument)
{
    struct walk walk = {.visit = visit, .argument = argument};
    walk_all(&walk);
    return walk.visited;
}

unsigned points_total(void)
{
    struct walk walk = {.visit = NULL};
    walk_all(&walk);
    return walk.point.number;
}

int selection_check_available(struct writer *why)
{
    for (size_t i = 0; workload_at(i); i++) {
        const struct workload *workload = workload_at(i);
        if (!workload->available || !select_match(chosen.bench, workload->name))
            continue;
        int error = workload->available(NULL);
        bool may_lack = !select_names(chosen.bench, workload->name) && points_total() != 0;
        if (error == 0 || (error == ERR_NOT_FOUND && may_lack))
            continue;
        writer_format(why, "%s: ", workload->name);
        return workload->available(why);
    }
    return 0;
}
