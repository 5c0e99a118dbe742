/*
 * The heaps' slices of the stress run: all harts allocate, resize, pass on and free blocks of small sizes, or of all
 * sizes and until there is no memory; every block carries a pattern that only its holder could have written, and at
 * every pause the heap is validated against the number of blocks held, the frame allocator under it as well.
 */
#include "arch/panic.h"
#include "bench/points.h"
#include "bench/stress.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "mm/memory.h"
#include "smp/call.h"

/* Blocks that a hart holds at most. */
#define SMALL_BLOCKS 1000
#define MIXED_BLOCKS 100

#define SMALL_BYTES 512
#define MIXED_BYTES (1u << 20)

/* Of large blocks so many words are written, evenly spread. */
#define PATTERN_WORDS 32

static size_t stride_of(size_t words)
{
    return MAX(words / PATTERN_WORDS, (size_t)1);
}

static uint64_t pattern(const uint64_t *block, size_t i)
{
    return ((uintptr_t)block ^ block[0] ^ i << 48) * 0x9e3779b97f4a7c15ull;
}

/* The first word says how many there are. */
static void write_pattern(uint64_t *block, size_t bytes)
{
    block[0] = bytes / sizeof(*block);
    for (size_t i = 1; i < block[0]; i += stride_of(block[0]))
        block[i] = pattern(block, i);
}

static bool check_pattern(struct stress_hart *hart, const uint64_t *block)
{
    hart->checks++;
    for (size_t i = 1; i < block[0]; i += stride_of(block[0])) {
        if (block[0] > HEAP_BYTES_MAX / sizeof(*block) || block[i] != pattern(block, i)) {
            stress_fail(
                "the block %p was given twice: word %zu of %lu is %#lx", block, i, block[0], block[i]);
            return false;
        }
    }
    return true;
}

static void drop(struct stress_hart *hart, uint64_t *block)
{
    if (check_pattern(hart, block))
        heap_free(&stress.heap, block);
}

/* Every octave up to the slice's largest is as likely. */
static size_t some_size(uint64_t bits)
{
    size_t most = stress.kind == SLICE_HEAP_SMALL ? SMALL_BYTES : MIXED_BYTES;
    size_t octave = (size_t)16 << (bits & 31) % (bits_highest(most) - 3);
    return octave / 2 + (bits >> 8) % (octave / 2 + 1);
}

static uint64_t *acquire(uint64_t bits)
{
    size_t bytes = some_size(bits);
    uint64_t *block = bits >> 59 ? heap_alloc(&stress.heap, bytes)
                                 : heap_alloc_aligned(&stress.heap, bytes, 32ul << (bits >> 56 & 7));
    if (block)
        write_pattern(block, bytes);
    return block;
}

static uint64_t *resize(struct stress_hart *hart, uint64_t *block, uint64_t bits)
{
    size_t bytes = some_size(bits), words = block[0];
    if (!check_pattern(hart, block))
        return block;
    uint64_t *moved = heap_realloc(&stress.heap, block, bytes);
    if (!moved)
        return block;
    if (moved[0] != words)
        stress_fail("the block %p has lost its contents on the way to %p", block, moved);
    write_pattern(moved, bytes);
    return moved;
}

void stress_heap_step(struct stress_hart *hart, uint64_t bits)
{
    size_t most = stress.kind == SLICE_HEAP_SMALL ? SMALL_BLOCKS : MIXED_BLOCKS;
    unsigned what = bits >> 40 & 15;
    hart->operations++;
    if (what < 8 && hart->count < most) {
        uint64_t *block = acquire(bits);
        if (block)
            hart->held[hart->count++] = (uintptr_t)block;
        return;
    }
    if (hart->count == 0)
        return;
    block_t *one = &hart->held[(bits >> 20) % hart->count];
    if (what == 15) {
        *one = (uintptr_t)resize(hart, (uint64_t *)*one, bits);
        return;
    }
    /* Both orders: our pattern goes with our block, the other's comes with its block. amoswap.d.aqrl. */
    block_t gone = *one;
    if (what % 2)
        gone = atomic_exchange_explicit(
            &stress.exchange[(bits >> 48) % EXCHANGE_PLACES], gone, memory_order_acq_rel);
    if (gone)
        drop(hart, (uint64_t *)gone);
    *one = hart->held[--hart->count];
}

void stress_heap_drop(struct stress_hart *hart, block_t block)
{
    drop(hart, (uint64_t *)block);
}

void stress_heap_inspect(void)
{
    uint64_t misuses = atomic_load_explicit(&stress.heap.misuse_count, memory_order_relaxed);
    size_t held = 0;
    for (unsigned i = 0; i < hart_count(); i++)
        held += stress.harts[i].count;
    for (size_t i = 0; i < EXCHANGE_PLACES; i++)
        held += atomic_load_explicit(&stress.exchange[i], memory_order_relaxed) != 0;
    if (misuses)
        stress_fail("%lu right frees were refused", misuses);
    if (heap_validate(&stress.heap, held))
        stress_fail("it does not validate");
    if (held == 0)
        heap_drain(&stress.heap);
    if (held == 0 && heap_reserved_bytes(&stress.heap) != 0)
        stress_fail("%zu bytes of pages are not given back", heap_reserved_bytes(&stress.heap));
    if (frame_validate(&stress.arena, heap_reserved_bytes(&stress.heap) / PAGE_BYTES))
        stress_fail("the frames under it do not validate");
}

void stress_heap_make(const struct heap_ops *heap, const struct lock_ops *lock)
{
    const struct memory_plan *memory = memory_plan();
    size_t nframes = MIN(memory->arena_frames, (size_t)STRESS_FRAMES_MAX);
    int error = frame_allocator_init(&stress.arena, frame_allocator_find(HEAP_FRAMES),
        lock_kind_find(LOCK_UNDER_SUBJECT), "stress", memory->metadata, memory->arena_base, nframes,
        hart_count());
    if (!error)
        error = heap_init(
            &stress.heap, heap, lock, "stress", &stress.arena, memory->heap_metadata, HEAP_GUARD_DEFAULT);
    if (error)
        panic("stress: %s: %s", heap->name, error_text(error));
}
