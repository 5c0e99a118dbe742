/*
 * `stress=SECONDS`: every frame allocator over every kind of lock, all harts at once, watched by an oracle that
 * trusts none of them. Every frame held carries a pattern that only its holder could have written, checked before
 * it is freed; frames held are counted by their holders; at every pause the allocator is validated against that
 * count.
 *
 * The run is a sequence of slices. A hart's random numbers depend on the seed, the slice and the hart alone, so
 * a seed reproduces what each hart tries in each slice, whatever order the harts ran in.
 */
#include <stdatomic.h>

#include "arch/console.h"
#include "arch/panic.h"
#include "bench/points.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/call.h"
#include "trace/inject.h"

/* Small enough to be exhausted many times a second, and not a multiple of 64, so that the bitmaps have a tail. */
#define STRESS_FRAMES_MAX 8155

/* A slice is this many steps of each hart, or this long: under locks that convoy steps become slow. */
#define SLICE_STEPS 20000
#define SLICE_HZ    5

/* Steps between two looks at the clock: where a fair lock waits for the host's scheduler at every hand-over, a
 * step takes milliseconds. */
#define SLICE_LOOK 8

/* Blocks that a hart holds in a mixed slice. */
#define MIXED_BLOCKS 64

/* Places where harts leave a block and take what another left. */
#define EXCHANGE_PLACES 64

enum slice_kind {
    SLICE_MIXED, /* orders 0 to 10 */
    SLICE_BRIM, /* single frames, never more asked for than there are: no allocation may fail */
    SLICE_EXHAUST, /* single frames, as many as can be had */
    SLICE_KINDS
};

static const char *const slice_names[SLICE_KINDS] = {"mixed", "brim", "exhaust"};

/* A block in one word: frame number from the arena's base, order, and a tag that makes each time that the same
 * block is held another. Bit 63 tells a block from nothing. */
typedef uint64_t block_t;

#define BLOCK_PRESENT (1ull << 63)

static block_t block_make(uint64_t frame, unsigned order, uint64_t tag)
{
    return BLOCK_PRESENT | (tag & 0xffff) << 40 | (uint64_t)order << 36 | frame;
}

static unsigned block_order(block_t block)
{
    return block >> 36 & 15;
}

static uint64_t block_frame(block_t block)
{
    return block & 0xfffffffff;
}

struct stress_hart {
    struct rng rng;
    block_t *held;
    size_t count;
    size_t to_free; /* steps that free before it allocates again */
    uint64_t operations, checks;
} CACHE_ALIGNED;

static struct {
    struct frame_allocator arena;
    enum slice_kind kind;
    uint64_t slice;
    uint64_t seed;
    uint64_t seconds;
    enum plant planted; /* in check builds */
    uint64_t end, slice_end; /* of `time` */
    _Atomic uint64_t asked_for; /* frames held or being asked for; SLICE_BRIM keeps it within the arena */
    _Atomic uint32_t failures;
    _Atomic block_t exchange[EXCHANGE_PLACES];
    struct stress_hart harts[HART_MAX];
} stress;

static void fail(const char *format, ...) PRINTF_LIKE(1, 2);

static void fail(const char *format, ...)
{
    /* Relaxed: counts only. The first few say enough. */
    if (atomic_fetch_add_explicit(&stress.failures, 1, memory_order_relaxed) >= 5)
        return;
    va_list args;
    va_start(args, format);
    console_lock();
    console_format("stress: FAILED: %s over %s, slice %lu (%s), hart %u: ", stress.arena.ops->name,
        stress.arena.ops->lockless ? "no lock" : stress.arena.lock_kind->name, stress.slice,
        slice_names[stress.kind], hart_index());
    writer_vformat(console_writer(), format, args);
    writer_puts(console_writer(), "\n");
    console_unlock();
    va_end(args);
}

/* Eight words of every frame of a block: at the start of each 512 bytes, so that no large part is unwatched. */
#define PATTERN_STRIDE 512

static uint64_t pattern(block_t block, uint64_t offset)
{
    return (block ^ offset) * 0x9e3779b97f4a7c15ull;
}

static uint64_t *pattern_word(block_t block, uint64_t offset)
{
    uint8_t *first = pfn_to_direct(pfn_add(stress.arena.base, block_frame(block)));
    return (uint64_t *)(first + offset);
}

static void pattern_write(block_t block)
{
    for (uint64_t at = 0; at < (uint64_t)PAGE_BYTES << block_order(block); at += PATTERN_STRIDE)
        *pattern_word(block, at) = pattern(block, at);
}

static void pattern_check(struct stress_hart *hart, block_t block)
{
    for (uint64_t at = 0; at < (uint64_t)PAGE_BYTES << block_order(block); at += PATTERN_STRIDE) {
        uint64_t found = *pattern_word(block, at);
        if (found != pattern(block, at)) {
            fail("frame %#lx (order %u) was given twice: at +%#lx stands %#lx, %#lx was written",
                pfn_to_paddr(pfn_add(stress.arena.base, block_frame(block))).value, block_order(block), at,
                found, pattern(block, at));
            break;
        }
    }
    hart->checks++;
}

static void drop(struct stress_hart *hart, block_t block)
{
    size_t frames = (size_t)1 << block_order(block);
    pattern_check(hart, block);
    frame_free(&stress.arena, pfn_add(stress.arena.base, block_frame(block)), block_order(block));
    /* Release, pairs with the acquire in take: the allocator has the frames back before the count says so. */
    atomic_fetch_sub_explicit(&stress.asked_for, frames, memory_order_release);
    hart->operations++;
}

/* Returns whether there is a new block. */
static bool take(struct stress_hart *hart, unsigned order, uint64_t tag)
{
    size_t frames = (size_t)1 << order;
    /* Acquire, pairs with the release in drop: what is counted as returned can be allocated. */
    uint64_t asked = atomic_fetch_add_explicit(&stress.asked_for, frames, memory_order_acquire) + frames;
    bool allowed = stress.kind != SLICE_BRIM || asked <= stress.arena.nframes;
    pfn_t pfn = allowed ? frame_alloc(&stress.arena, order, 0) : PFN_NONE;
    if (pfn_is_none(pfn)) {
        atomic_fetch_sub_explicit(&stress.asked_for, frames, memory_order_relaxed);
        if (allowed && stress.kind == SLICE_BRIM)
            fail("an allocation failed though at most %lu of %lu frames were in use", asked - 1,
                stress.arena.nframes);
        return false;
    }
    block_t block = block_make(pfn.value - stress.arena.base.value, order, tag);
    pattern_write(block);
    hart->held[hart->count++] = block;
    hart->operations++;
    return true;
}

/* Removes a random block from those held. */
static block_t pick(struct stress_hart *hart, uint64_t bits)
{
    size_t i = bits % hart->count;
    block_t block = hart->held[i];
    hart->held[i] = hart->held[--hart->count];
    return block;
}

/* Frees a random block, or, every other time, leaves it for another hart and frees what that one left. */
static void give(struct stress_hart *hart, uint64_t bits)
{
    block_t block = pick(hart, bits >> 20);
    if (bits >> 16 & 1) {
        _Atomic block_t *place = &stress.exchange[bits >> 8 & (EXCHANGE_PLACES - 1)];
        /* Acquire and release (amoswap.d.aqrl): the pattern travels with the block. */
        block = atomic_exchange_explicit(place, block, memory_order_acq_rel);
    }
    if (block)
        drop(hart, block);
}

static void step_mixed(struct stress_hart *hart, uint64_t bits)
{
    bool full = hart->count == MIXED_BLOCKS;
    if (hart->count > 0 && (full || (bits & 1)))
        give(hart, bits);
    else
        take(hart, bits_lowest(bits >> 32 | 1ull << stress.arena.ops->order_max), bits >> 16);
}

/* Fills up, then empties by a random part, and again. */
static void step_singles(struct stress_hart *hart, uint64_t bits)
{
    bool full = hart->count == stress.arena.nframes;
    if (hart->to_free > 0 && hart->count > 0) {
        hart->to_free--;
        give(hart, bits);
    } else if (full || !take(hart, 0, bits >> 16)) {
        hart->to_free = hart->count ? bits % hart->count + 1 : 0;
    }
}

static void run_slice(void *unused)
{
    struct stress_hart *hart = &stress.harts[hart_index()];
    (void)unused;
    rng_seed(&hart->rng, stress.seed, stress.slice * HART_MAX + hart_index());
    for (unsigned i = 0; i < SLICE_STEPS; i++) {
        uint64_t bits = rng_next(&hart->rng);
        if (stress.kind == SLICE_MIXED)
            step_mixed(hart, bits);
        else
            step_singles(hart, bits);
        if (i % SLICE_LOOK == 0 &&
            (time_now() >= stress.slice_end || atomic_load_explicit(&stress.failures, memory_order_relaxed)))
            break;
    }
}

/* One hart frees what all hold, each slice another: nobody to wait for, and its cache must overflow. */
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

/* What the harts hold by their own account, blocks left in exchange included. */
static size_t count_held(void)
{
    size_t frames = 0;
    for (unsigned i = 0; i < hart_count(); i++) {
        for (size_t k = 0; k < stress.harts[i].count; k++)
            frames += (size_t)1 << block_order(stress.harts[i].held[k]);
    }
    for (size_t i = 0; i < EXCHANGE_PLACES; i++) {
        block_t block = atomic_load_explicit(&stress.exchange[i], memory_order_relaxed);
        frames += block ? (size_t)1 << block_order(block) : 0;
    }
    return frames;
}

/* The harts are quiet. */
static void inspect(void)
{
    uint64_t misuses = atomic_load_explicit(&stress.arena.misuse_count, memory_order_relaxed);
    if (misuses)
        fail("%lu right frees were refused", misuses);
    if (frame_validate(&stress.arena, count_held()))
        fail("it does not validate");
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

static void stress_variant(const struct frame_allocator_ops *frame, const struct lock_ops *lock)
{
    const struct memory_plan *memory = memory_plan();
    size_t nframes = MIN(memory->arena_frames, (size_t)STRESS_FRAMES_MAX);
    hart_mask_t all = hart_mask_first(hart_count());
    int error = frame_allocator_init(
        &stress.arena, frame, lock, "stress", memory->metadata, memory->arena_base, nframes, hart_count());
    if (error)
        panic("stress: %s: %s", frame->name, error_text(error));
    for (stress.kind = 0; stress.kind < SLICE_KINDS && !over(); stress.kind++) {
        stress.slice++;
        stress.slice_end = time_now() + time_hz() / SLICE_HZ;
        smp_call(all, run_slice, NULL);
        inspect();
        if (failed())
            return;
        smp_call(hart_mask_one(stress.slice % hart_count()), empty_hands, NULL);
        inspect();
    }
}

static int make_hands(void)
{
    for (unsigned i = 0; i < hart_count(); i++) {
        stress.harts[i].held = bench_buffer(STRESS_FRAMES_MAX * sizeof(block_t));
        if (!stress.harts[i].held)
            return ERR_NO_MEMORY;
    }
    return 0;
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
        for (size_t i = 0; frame_allocator_at(i); i++) {
            if (!over() && selection_has_frame(frame_allocator_at(i)) &&
                selection_has_lock(lock_kind_at(k), BENCH_LOCK))
                stress_variant(frame_allocator_at(i), lock_kind_at(k));
        }
    }
}

static int run_stress(void)
{
    uint64_t began = time_now();
    stress.end = began + stress.seconds * time_hz();
    stress.seed = bench_selection()->seed;
    if (make_hands()) {
        console_format("error: no memory for what %u harts hold\n", hart_count());
        return ERR_NO_MEMORY;
    }
    plant_set(stress.planted);
    while (!over())
        stress_every_variant();
    report(began);
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
    int error = config_apply_choice(value, plant_name, why);
    for (size_t i = 0; !error && plant_name(i); i++) {
        if (strcmp(plant_name(i), value) == 0)
            stress.planted = (enum plant)(PLANT_NONE + 1 + i);
    }
    return error;
}

CONFIG_KEY(
    plant_key, .name = "plant", .valid = "none or a planted bug", .initial = "none", .apply = apply_plant);

#endif
