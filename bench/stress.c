/*
 * `stress=SECONDS`: every frame allocator and every heap over every kind of lock, all harts at once, watched by an oracle that
 * trusts none of them. Every frame held carries a pattern that only its holder could have written, checked before
 * it is freed; frames held are counted by their holders; at every pause the allocator is validated against that
 * count. Frames that harts share are given up by reference and written to as copy-on-write does; the counts of
 * references are validated as well. Designs of virtual memory: stress_vm.c.
 *
 * The run is a sequence of slices. A hart's random numbers depend on the seed, the slice and the hart alone, so
 * a seed reproduces what each hart tries in each slice, whatever order the harts ran in.
 */
#include "arch/console.h"
#include "arch/panic.h"
#include "bench/points.h"
#include "bench/stress.h"
#include "bench/vm_select.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/call.h"

/* A slice is this many steps of each hart, or this long: under locks that convoy steps become slow. Shorter when the
 * run is: each design shall have had all its slices over one kind of lock in the first half of it. */
#define SLICE_STEPS 20000
#define SLICE_HZ    5

/* Steps between two looks at the clock: where a fair lock waits for the host's scheduler at every hand-over, a
 * step takes milliseconds. One of virtual memory always may. */
#define SLICE_LOOK 8

struct stress stress;

/* The last one is behind all slices of a design of virtual memory. */
static const char *const slice_names[SLICE_KINDS + 1] = {
    "mixed", "brim", "exhaust", "share", "small", "mixed", "shared", "own", "watched", "the end"};

static bool of_heap(void)
{
    return stress.kind >= SLICE_HEAP_FIRST && stress.kind < SLICE_VM_FIRST;
}

static bool of_vm(void)
{
    return stress.kind >= SLICE_VM_FIRST;
}

void stress_fail(const char *format, ...)
{
    /* Relaxed: counts only. The first few say enough. */
    if (atomic_fetch_add_explicit(&stress.failures, 1, memory_order_relaxed) >= 5)
        return;
    va_list args;
    va_start(args, format);
    console_lock();
    console_format("stress: FAILED: %s over %s, slice %lu (%s), hart %u: ", stress.subject, stress.lock,
        stress.slice, slice_names[stress.kind], hart_index());
    writer_vformat(console_writer(), format, args);
    writer_puts(console_writer(), "\n");
    console_unlock();
    va_end(args);
}

static void step(struct stress_hart *hart, uint64_t bits)
{
    if (of_vm())
        stress_vm_step(hart, bits);
    else if (of_heap())
        stress_heap_step(hart, bits);
    else
        stress_step(hart, bits);
}

static void run_slice(void *unused)
{
    struct stress_hart *hart = &stress.harts[hart_index()];
    (void)unused;
    if (of_vm())
        stress_vm_begin();
    rng_seed(&hart->rng, stress.seed, stress.slice * HART_MAX + hart_index());
    for (unsigned i = 0; i < SLICE_STEPS; i++) {
        step(hart, rng_next(&hart->rng));
        if (i % (of_vm() ? 1 : SLICE_LOOK) == 0 &&
            (time_now() >= stress.slice_end || atomic_load_explicit(&stress.failures, memory_order_relaxed)))
            break;
    }
    if (of_vm())
        stress_vm_end();
}

/* One hart frees what all hold, each slice another: nobody to wait for, and its cache must overflow. */
static void drop(struct stress_hart *self, block_t block)
{
    if (of_heap())
        stress_heap_drop(self, block);
    else
        stress_drop(self, block);
}

static void empty_hands(void *unused)
{
    struct stress_hart *self = &stress.harts[hart_index()];
    (void)unused;
    for (unsigned i = 0; i < hart_count(); i++) {
        struct stress_hart *hart = &stress.harts[i];
        while (hart->count > 0)
            drop(self, hart->held[--hart->count]);
    }
    for (size_t i = 0; i < EXCHANGE_PLACES; i++) {
        block_t block = atomic_exchange_explicit(&stress.exchange[i], 0, memory_order_acquire);
        if (block)
            drop(self, block);
    }
}

static void inspect_frames(void)
{
    static struct stress_account account;
    uint64_t misuses = atomic_load_explicit(&stress.arena.misuse_count, memory_order_relaxed);
    if (misuses)
        stress_fail("%lu right frees were refused", misuses);
    stress_make_account(&account);
    if (frame_validate(&stress.arena, account.frames))
        stress_fail("it does not validate");
    if (frame_refs_validate(&stress.refs, stress.kind == SLICE_SHARE ? account.extra : 0))
        stress_fail("the references to its frames are not right");
}

/* The harts are quiet. */
static void inspect(void)
{
    if (of_vm())
        stress_vm_inspect();
    else if (of_heap())
        stress_heap_inspect();
    else
        inspect_frames();
    stress.harts[hart_index()].checks++;
}

static bool failed(void)
{
    return atomic_load_explicit(&stress.failures, memory_order_relaxed) != 0;
}

static bool over(void)
{
    return failed() || time_now() >= stress.end;
}

/* The slices of the kinds from first to end. Whether all were. */
static bool run_slices(enum slice_kind first, enum slice_kind end)
{
    hart_mask_t all = hart_mask_first(hart_count());
    for (stress.kind = first; stress.kind < end && !over(); stress.kind++) {
        stress.slice++;
        if (of_vm())
            stress_vm_make();
        stress.slice_end = time_now() + stress.slice_length;
        smp_call(all, run_slice, NULL);
        inspect();
        if (failed())
            return false;
        if (of_vm())
            stress_vm_drop();
        else
            smp_call(hart_mask_one(stress.slice % hart_count()), empty_hands, NULL);
        inspect();
    }
    return stress.kind == end;
}

static void name_subject(const char *name, const char *lock)
{
    stress.subject = name;
    stress.lock = lock;
}

static void stress_heap(const struct heap_ops *heap, const struct lock_ops *lock)
{
    name_subject(heap->name, heap->lockless ? "no lock" : lock->name);
    stress_heap_make(heap, lock);
    if (run_slices(SLICE_HEAP_FIRST, SLICE_VM_FIRST))
        stress.heaps++;
}

static void make_arena(const struct frame_allocator_ops *frame, const struct lock_ops *lock)
{
    const struct memory_plan *memory = memory_plan();
    size_t nframes = MIN(memory->arena_frames, (size_t)STRESS_FRAMES_MAX);
    int error = frame_allocator_init(
        &stress.arena, frame, lock, "stress", memory->metadata, memory->arena_base, nframes, hart_count());
    if (error)
        panic("stress: %s: %s", frame->name, error_text(error));
    frame_refs_init(&stress.refs, &stress.arena, stress.counts);
}

/* Over frames as heaps have theirs. */
static void stress_vm(const struct vm_design *design, void *unused)
{
    static char name[64];
    struct buffer_writer writer;
    (void)unused;
    if (over())
        return;
    buffer_writer_init(&writer, name, sizeof(name));
    for (size_t i = 0; vm_choice_name(i); i++)
        writer_format(&writer.writer, "%s%s", i ? "/" : "", vm_choice_value(design, i));
    name_subject(name, "its own locks");
    make_arena(frame_allocator_find(HEAP_FRAMES), lock_kind_find(LOCK_UNDER_SUBJECT));
    stress_vm_open(design);
    if (run_slices(SLICE_VM_FIRST, SLICE_KINDS))
        stress.vms++;
    if (!failed())
        stress_vm_close();
}

static void stress_frames(const struct frame_allocator_ops *frame, const struct lock_ops *lock)
{
    name_subject(frame->name, frame->lockless ? "no lock" : lock->name);
    make_arena(frame, lock);
    if (run_slices(0, SLICE_HEAP_FIRST))
        stress.variants++;
}

static int make_hands(void)
{
    stress.counts = bench_buffer(frame_refs_bytes(STRESS_FRAMES_MAX));
    if (!stress.counts)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < hart_count(); i++) {
        stress.harts[i].held = bench_buffer(STRESS_FRAMES_MAX * sizeof(block_t));
        if (!stress.harts[i].held)
            return ERR_NO_MEMORY;
    }
    return stress_vm_prepare();
}

static void drop_hands(void)
{
    bench_buffer_free(stress.counts);
    for (unsigned i = 0; i < hart_count(); i++)
        bench_buffer_free(stress.harts[i].held);
    stress_vm_finish();
}

/* Who names designs of one sort means no others. */
static bool nobody_chose(void)
{
    return selection_is_all_frames() && selection_is_all_heaps() && vm_select_is_all();
}

static bool has_frame(const struct frame_allocator_ops *frame)
{
    return selection_has_frame(frame) && (nobody_chose() || !selection_is_all_frames());
}

static bool has_heap(const struct heap_ops *heap)
{
    return selection_has_heap(heap) && (nobody_chose() || !selection_is_all_heaps());
}

static bool has_vm(void)
{
    return nobody_chose() || !vm_select_is_all();
}

static size_t chosen_frames(void)
{
    size_t count = 0;
    for (size_t i = 0; frame_allocator_at(i); i++)
        count += has_frame(frame_allocator_at(i));
    return count;
}

static size_t chosen_heaps(void)
{
    size_t count = 0;
    for (size_t i = 0; heap_design_at(i); i++)
        count += has_heap(heap_design_at(i));
    return count;
}

static void count_vm(const struct vm_design *design, void *count)
{
    (void)design;
    ++*(size_t *)count;
}

static size_t chosen_vms(void)
{
    size_t count = 0;
    if (has_vm())
        vm_select_each(VM_EVERY_CHOICE, count_vm, &count);
    return count;
}

static void report(uint64_t began)
{
    uint64_t operations = 0, checks = 0;
    struct json json;
    for (unsigned i = 0; i < hart_count(); i++) {
        operations += stress.harts[i].operations;
        checks += stress.harts[i].checks;
    }
    console_lock();
    writer_puts(console_writer(), "@stress ");
    json_init(&json, console_writer());
    json_object_begin(&json, NULL);
    json_ratio(&json, "seconds", time_now() - began, time_hz(), 1);
    json_unsigned(&json, "seed", stress.seed);
    json_unsigned(&json, "harts", hart_count());
    json_unsigned(&json, "designs", MIN(stress.variants, chosen_frames()));
    json_unsigned(&json, "heaps", MIN(stress.heaps, chosen_heaps()));
    json_unsigned(&json, "vms", MIN(stress.vms, chosen_vms()));
    json_unsigned(&json, "slices", stress.slice);
    json_unsigned(&json, "operations", operations);
    json_unsigned(&json, "checks", checks);
    json_unsigned(&json, "failures", atomic_load_explicit(&stress.failures, memory_order_relaxed));
    json_object_end(&json);
    writer_puts(console_writer(), "\n");
    console_unlock();
}

/* All designs over one kind of lock, then the next: the first seconds see every design. */
static void stress_every_variant(void)
{
    for (size_t k = 0; lock_kind_at(k); k++) {
        const struct lock_ops *lock = lock_kind_at(k);
        if (!selection_has_lock(lock, BENCH_LOCK))
            continue;
        for (size_t i = 0; frame_allocator_at(i); i++)
            if (!over() && has_frame(frame_allocator_at(i)))
                stress_frames(frame_allocator_at(i), lock);
        for (size_t i = 0; heap_design_at(i); i++)
            if (!over() && has_heap(heap_design_at(i)))
                stress_heap(heap_design_at(i), lock);
        if (has_vm())
            vm_select_each(VM_EVERY_CHOICE, stress_vm, NULL);
    }
}

static int run_stress(void)
{
    uint64_t began = time_now();
    stress.end = began + stress.seconds * time_hz();
    size_t slices = chosen_frames() * SLICE_HEAP_FIRST +
                    chosen_heaps() * (SLICE_VM_FIRST - SLICE_HEAP_FIRST) +
                    chosen_vms() * (SLICE_KINDS - SLICE_VM_FIRST);
    stress.slice_length = MIN(time_hz() / SLICE_HZ, (stress.end - began) / 2 / slices);
    stress.seed = bench_selection()->seed;
    if (make_hands()) {
        console_format("error: no memory for what %u harts hold\n", hart_count());
        drop_hands();
        return ERR_NO_MEMORY;
    }
    plant_set(stress.planted);
    while (!over())
        stress_every_variant();
    report(began);
    drop_hands();
    return failed() ? ERR_CORRUPT : 0;
}

/* A day is a long soak. */
static int apply_stress(const char *value, struct writer *why)
{
    return config_apply_number(value, 1, 86400, &stress.seconds, why);
}

CONFIG_KEY(stress_key, .name = "stress", .valid = "seconds, 1 to 86400", .initial = "30",
    .apply = apply_stress, .run = run_stress);

#if HARTSCALE_CHECK

static int apply_plant(const char *value, struct writer *why)
{
    stress.planted = PLANT_NONE;
    if (strcmp(value, "none") == 0)
        return 0;
    size_t which;
    int error = config_apply_index(value, plant_name, &which, why);
    if (!error)
        stress.planted = (enum plant)(PLANT_NONE + 1 + which);
    return error;
}

CONFIG_KEY(
    plant_key, .name = "plant", .valid = "none or a planted bug", .initial = "none", .apply = apply_plant);

#endif
