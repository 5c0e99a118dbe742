/* Every heap over the arena, by all harts at once, with the guard and without, and its refusals of wrong frees. */
#include "lib/rng.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/call.h"
#include "tests/kernel/test.h"

#define TEST_FRAMES 4096
#define HELD_MAX    48
#define STEPS       2000

/* Blocks on their way to another hart. */
#define PLACES 16

static struct frame_allocator arena;
static struct heap heap;
static _Atomic(uint64_t *) exchange[PLACES];
static uint64_t *held[HART_MAX][HELD_MAX];
#define ALL_MAX 4000

static uint64_t *all[ALL_MAX];
static uint32_t order[ALL_MAX];

static void make(const struct heap_ops *design, unsigned flags)
{
    const struct memory_plan *plan = memory_plan();
    CHECK(frame_allocator_init(&arena, frame_allocator_find("hartcache"), &lock_ttas, "test", plan->metadata,
              plan->arena_base, MIN((size_t)TEST_FRAMES, plan->arena_frames), hart_count()) == 0);
    CHECK(heap_init(&heap, design, &lock_ttas, "test", &arena, plan->heap_metadata, flags) == 0);
}

/* Nothing is held any more: every page goes back, and nothing was wrong on the way. */
static void unmake(void)
{
    CHECK(heap_validate(&heap, 0) == 0);
    heap_drain(&heap);
    CHECK(heap_validate(&heap, 0) == 0);
    CHECK(heap_reserved_bytes(&heap) == 0);
    CHECK(frame_validate(&arena, 0) == 0);
    CHECK(atomic_load_explicit(&heap.misuse_count, memory_order_relaxed) == 0);
}

static void for_each_design(void (*test)(void))
{
    for (size_t i = 0; heap_design_at(i); i++) {
        make(heap_design_at(i), 0);
        test();
        unmake();
        make(heap_design_at(i), HEAP_GUARD);
        test();
        unmake();
    }
}

/* Its words, and the place, in all of a small block and here and there in a large one. */
static void mark(uint64_t *block, size_t bytes)
{
    size_t words = bytes / sizeof(*block);
    block[0] = words;
    for (size_t i = 1; i < words; i += i < 32 ? 1 : i / 2)
        block[i] = (uintptr_t)block + i;
}

static bool is_marked(const uint64_t *block)
{
    for (size_t i = 1; i < block[0]; i += i < 32 ? 1 : i / 2)
        if (block[i] != (uintptr_t)block + i)
            return false;
    return true;
}

static void drop(uint64_t *block)
{
    CHECK(is_marked(block));
    heap_free(&heap, block);
}

static size_t some_size(uint64_t bits)
{
    static const size_t most[] = {64, 128, 256, 256, 1024, 4096, 8192, 100000};
    return sizeof(uint64_t) + (bits >> 8) % most[bits & 7];
}

static uint64_t *acquire(uint64_t bits)
{
    size_t bytes = some_size(bits);
    uint64_t *block = bits >> 40 & 15 ? heap_alloc(&heap, bytes)
                                      : heap_alloc_aligned(&heap, bytes, 32ul << (bits >> 44 & 7));
    if (block)
        mark(block, bytes);
    return block;
}

/* A block of another size has what fits of the contents. */
static uint64_t *resize(uint64_t *block, uint64_t bits)
{
    size_t bytes = some_size(bits), words = block[0];
    CHECK(is_marked(block));
    uint64_t *moved = heap_realloc(&heap, block, bytes);
    if (!moved)
        return block;
    CHECK(moved[0] == words);
    for (size_t i = 1; i < MIN(words, bytes / sizeof(*moved)) && i < 32; i++)
        CHECK(moved[i] == (uintptr_t)block + i);
    mark(moved, bytes);
    return moved;
}

static void churn(void *unused)
{
    struct rng rng;
    uint64_t **own = held[hart_index()];
    (void)unused;
    rng_seed(&rng, 7, hart_index());
    memset(own, 0, sizeof(held[0]));
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t bits = rng_next(&rng);
        uint64_t **one = &own[bits >> 50 & 31];
        if (!*one) {
            *one = acquire(bits);
        } else if (bits >> 60 == 0) {
            *one = resize(*one, bits);
        } else {
            uint64_t *gone = *one;
            /* Half of them go by way of another hart. Both orders: a block's mark goes with it. */
            if (bits >> 55 & 1)
                gone = atomic_exchange_explicit(&exchange[bits >> 56 & 15], gone, memory_order_acq_rel);
            if (gone)
                drop(gone);
            *one = NULL;
        }
    }
}

static size_t count_held(void)
{
    size_t count = 0;
    for (unsigned i = 0; i < hart_count(); i++)
        for (unsigned k = 0; k < HELD_MAX; k++)
            count += held[i][k] != NULL;
    for (unsigned i = 0; i < PLACES; i++)
        count += exchange[i] != NULL;
    return count;
}

static void free_all(void *argument)
{
    if (hart_index() != *(unsigned *)argument)
        return;
    for (unsigned i = 0; i < hart_count(); i++) {
        for (unsigned k = 0; k < HELD_MAX; k++) {
            if (held[i][k])
                drop(held[i][k]);
            held[i][k] = NULL;
        }
    }
    for (unsigned i = 0; i < PLACES; i++) {
        if (exchange[i])
            drop(exchange[i]);
        exchange[i] = NULL;
    }
}

static void harts_share(void)
{
    unsigned last = hart_count() - 1;
    smp_call(hart_mask_first(hart_count()), churn, NULL);
    CHECK(heap_validate(&heap, count_held()) == 0);
    CHECK(frame_validate(&arena, heap_reserved_bytes(&heap) / PAGE_BYTES) == 0);
    smp_call(hart_mask_first(hart_count()), free_all, &last);
}

TEST(heap_harts_share_every_design)
{
    for_each_design(harts_share);
}

enum free_order { IN_ORDER, REVERSED, SHUFFLED };

/* As many blocks of a size as there are, up to what a test can hold; none of them where another is. */
static size_t fill_and_free(size_t bytes, enum free_order how)
{
    struct rng rng;
    size_t count = 0;
    rng_seed(&rng, 5, bytes);
    while (count < ALL_MAX && (all[count] = heap_alloc(&heap, bytes)))
        mark(all[count++], bytes);
    CHECK(heap_validate(&heap, count) == 0);
    for (size_t i = 0; i < count; i++)
        order[i] = how == REVERSED ? count - 1 - i : i;
    if (how == SHUFFLED)
        rng_shuffle(&rng, order, count);
    for (size_t i = 0; i < count; i++) {
        CHECK(IS_ALIGNED((uintptr_t)all[order[i]], HEAP_ALIGN));
        drop(all[order[i]]);
    }
    CHECK(heap_validate(&heap, 0) == 0);
    return count;
}

static void memory_is_reusable(void)
{
    static const size_t some[] = {60, 9000, 300000};
    for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
        size_t first = fill_and_free(some[i], IN_ORDER);
        CHECK(first > 10);
        heap_drain(&heap);
        CHECK(fill_and_free(some[i], REVERSED) == first);
        heap_drain(&heap);
        CHECK(fill_and_free(some[i], SHUFFLED) == first);
        heap_drain(&heap);
        CHECK(heap_reserved_bytes(&heap) == 0);
    }
    /* The arena is one piece again. */
    void *largest = heap_alloc(&heap, HEAP_BYTES_MAX);
    CHECK(largest != NULL && heap_usable_size(&heap, largest) == HEAP_BYTES_MAX);
    heap_free(&heap, largest);
}

TEST(heap_memory_is_reusable_after_everything_was_freed)
{
    for_each_design(memory_is_reusable);
}

static void sizes_and_alignments(void)
{
    unsigned count = 0;
    for (size_t align = 1; align <= 4 * PAGE_BYTES; align *= 4) {
        for (size_t bytes = 0; bytes < 20000; bytes = bytes * 5 + 3) {
            void *pointer = heap_alloc_aligned(&heap, bytes, align);
            CHECK(pointer && IS_ALIGNED((uintptr_t)pointer, MAX(align, HEAP_ALIGN)));
            CHECK(heap_usable_size(&heap, pointer) >= bytes);
            memset(pointer, 0xee, heap_usable_size(&heap, pointer));
            all[count++] = pointer;
        }
    }
    CHECK(heap_validate(&heap, count) == 0);
    while (count > 0)
        heap_free(&heap, all[--count]);
    const uint8_t *zeros = heap_zalloc(&heap, 5000);
    for (size_t i = 0; i < 5000; i++)
        if (zeros[i] != 0)
            CHECK(zeros[i] == 0);
    heap_free(&heap, (void *)zeros);
    heap_free(&heap, NULL);
    CHECK(heap_alloc(&heap, HEAP_BYTES_MAX + 1) == NULL);
}

TEST(heap_sizes_and_alignments)
{
    for_each_design(sizes_and_alignments);
}

static void expect_refusal(enum heap_misuse_kind kind, void *pointer)
{
    uint64_t before = atomic_load_explicit(&heap.misuse_count, memory_order_relaxed);
    heap_free(&heap, pointer);
    CHECK(atomic_load_explicit(&heap.misuse_count, memory_order_relaxed) == before + 1);
    CHECK(heap.last_misuse.kind == kind && heap.last_misuse.pointer == pointer);
}

static void wrong_frees_are_refused(void)
{
    uint8_t *one = heap_alloc(&heap, 100), *two = heap_alloc(&heap, 100);
    expect_refusal(HEAP_MISUSE_FOREIGN, &heap);
    expect_refusal(HEAP_MISUSE_FOREIGN, pfn_to_direct(pfn_add(arena.base, arena.nframes)));
    expect_refusal(HEAP_MISUSE_INTERIOR, one + 16);
    expect_refusal(HEAP_MISUSE_INTERIOR, two + 8);
    heap_free(&heap, one);
    expect_refusal(HEAP_MISUSE_DOUBLE_FREE, one);
    CHECK(heap_validate(&heap, 1) == 0);
    heap_free(&heap, two);
    atomic_store_explicit(&heap.misuse_count, 0, memory_order_relaxed);
}

TEST(heap_wrong_frees_are_refused)
{
    for_each_design(wrong_frees_are_refused);
}

TEST(heap_guard_finds_overruns)
{
    for (size_t i = 0; heap_design_at(i); i++) {
        make(heap_design_at(i), HEAP_GUARD);
        uint8_t *one = heap_alloc(&heap, 100);
        one[100] = 1;
        heap_free(&heap, one);
        CHECK(atomic_load_explicit(&heap.misuse_count, memory_order_relaxed) == 1);
        CHECK(heap.last_misuse.kind == HEAP_MISUSE_OVERRUN && heap.last_misuse.bytes == 100);
        CHECK(heap.last_misuse.allocated_by != 0 && heap.last_misuse.caller != 0);
        atomic_store_explicit(&heap.misuse_count, 0, memory_order_relaxed);
        unmake();
    }
}
