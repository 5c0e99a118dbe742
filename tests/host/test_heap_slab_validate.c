/* What validation of "slab" must notice in its metadata. */
#include "unit.h"

#include <string.h>

#include "lib/error.h"
#include "mm/heap/slab.h"
#include "shim/heap_model.h"
#include "shim/host.h"

#define BLOCK    ((size_t)64)
#define CLASS_OF 3 /* of such blocks */
#define A_SLAB   (PAGE_BYTES / BLOCK)
#define HARTS    4

static struct heap_model model;

static struct slab_heap *all(void)
{
    return slab_heap_of(&model.heap);
}

static struct slab_depot *depot(void)
{
    return all()->class[CLASS_OF].depot;
}

/* Each of these finds a slab of 64-byte blocks with some in use, and a hart with rounds. */
static uint32_t a_frame(void)
{
    return ((uintptr_t)model.blocks[0].pointer - model.heap.base) >> PAGE_SHIFT;
}

static struct slab_part *a_part(void)
{
    return &all()->state[a_frame() * PARTS];
}

static struct slab_cache *a_cache(void)
{
    return &slab_hart_of(&model.heap, 0)->cache[CLASS_OF + 1];
}

static void wrong_shape(void)
{
    store_relaxed(&a_part()[3].word, SLAB_FREE | SLAB_PLACE(5) << SLAB_PLACE_SHIFT);
}

static void wrong_place_in_use(void)
{
    atomic_fetch_and(&a_part()->word, ~2ull);
}

static void wrong_place_at_home(void)
{
    all()->slabs[a_frame()].home[2] ^= 2;
}

static void use_forgotten(void)
{
    uintptr_t block = (uintptr_t)model.blocks[0].pointer;
    atomic_fetch_or(&slab_part_of(slab_hart_of(&model.heap, 0), block)->word, slab_bit_of(block));
}

static void home_in_use(void)
{
    uintptr_t block = (uintptr_t)model.blocks[0].pointer;
    all()->slabs[a_frame()].home[block / PART_BYTES % PARTS] |= slab_bit_of(block);
}

static void miscounted(void)
{
    all()->slabs[a_frame()].nhome++;
}

static void broken_link(void)
{
    all()->slabs[a_frame()].next = a_frame() + 1;
}

static void wrong_ring(void)
{
    struct slab_class *class = &all()->class[CLASS_OF];
    uint32_t first = class->ring[SLAB_SOME];
    class->ring[SLAB_SOME] = class->ring[SLAB_NONE_HOME];
    class->ring[SLAB_NONE_HOME] = first;
}

static void empty_ring(void)
{
    all()->class[CLASS_OF].ring[SLAB_SOME] = all()->class[CLASS_OF].ring[SLAB_NONE_HOME] = RING_EMPTY;
}

static void miscounted_idle(void)
{
    all()->class[CLASS_OF].nidle++;
}

static void lost_round(void)
{
    a_cache()->top--;
}

static void same_round_twice(void)
{
    a_cache()->top[-1] = a_cache()->top[-2];
}

static void round_of_what_is_in_use(void)
{
    a_cache()->top[-1] = (uintptr_t)model.blocks[0].pointer;
}

static void wild_round(void)
{
    a_cache()->top[-1] = 0x1234567;
}

static void too_many_rounds(void)
{
    a_cache()->top += all()->class[CLASS_OF].capacity;
}

static void magazine_twice(void)
{
    depot()->slot[0] = depot()->slot[1];
}

static void no_bottom(void)
{
    store_relaxed(&a_cache()->loaded->never, 1);
}

static void too_many_full(void)
{
    depot()->nfull = 1000;
}

static void foreign_frame_with_state(void)
{
    for (size_t frame = 0; frame < model.heap.nframes; frame++)
        if (heap_span_none(heap_span_of(&model.heap, (void *)slab_base(&model.heap, frame))))
            store_relaxed(&all()->state[frame * PARTS + 1].word, 1);
}

static const struct {
    void (*plant)(void);
    const char *finding;
} corruptions[] = {
    {wrong_shape, "of another shape than its slab"},
    {wrong_place_in_use, "a state of what is no block"},
    {wrong_place_at_home, "at home where no block begins"},
    {use_forgotten, "lost: free, and nowhere to be found"},
    {home_in_use, "in use and at home"},
    {miscounted, "blocks at home are miscounted"},
    {broken_link, "a broken link"},
    {wrong_ring, "a slab in the wrong ring"},
    {empty_ring, "slabs that are in no ring"},
    {miscounted_idle, "slabs without a block in use are miscounted"},
    {lost_round, "lost: free, and nowhere to be found"},
    {same_round_twice, "hinted at twice"},
    {round_of_what_is_in_use, "a round of what is not free"},
    {wild_round, "no address of a block"},
    {too_many_rounds, "more rounds than it has room for"},
    {magazine_twice, "a magazine in two places"},
    {no_bottom, "a magazine without a bottom"},
    {too_many_full, "a depot with more magazines"},
    {foreign_frame_with_state, "a state of what is no block"},
};

/* A slab with blocks in use and blocks at home, one with all at home, rounds of hart 0. */
static void make_corruptible(void)
{
    heap_model_init(&model, heap_design_find("slab"), 64, HARTS, 0);
    host_become_hart(0);
    while (model.nblocks < 20 * A_SLAB)
        assert_non_null(heap_model_alloc(&model, BLOCK, 1));
    while (model.nblocks > 10)
        heap_model_free(&model, model.nblocks / 3);
    /* The first block's slab has some at home. */
    uintptr_t *rounds = a_cache()->loaded->round;
    size_t count = a_cache()->top - rounds;
    slab_put(&model.heap, CLASS_OF, rounds + 4, count - 4);
    a_cache()->top = rounds + 4;
    heap_model_check(&model);
}

static void test_corruption_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(corruptions); i++) {
        make_corruptible();
        host_console_capture();
        corruptions[i].plant();
        int error = heap_validate(&model.heap, model.nblocks);
        const char *report = host_console_release();
        if (error != ERR_CORRUPT || !strstr(report, corruptions[i].finding))
            fail_msg("corruption %zu, \"%s\": %d, %s", i, corruptions[i].finding, error, report);
        heap_model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corruption_is_noticed),
    };
    return cmocka_run_group_tests_name("heap slab validation", tests, NULL, NULL);
}
