/*
 * What can be wrong in the metadata of "hartcache", each thing put there by hand: its validation must notice, and
 * say what it is. An account that balances proves nothing if a wrong one balances, too. And where its searches end.
 */
#include "unit.h"

#include <string.h>

#include "lib/error.h"
#include "mm/frame/hartcache.h"
#include "shim/frame_model.h"
#include "shim/host.h"

/* The last chunk is short, and nobody's. */
#define TAIL_FRAMES 100
#define NFRAMES     (12 * CHUNK_FRAMES + TAIL_FRAMES)
#define HARTS       3

static struct frame_model model;
static struct frame_allocator *const fa = &model.fa;

/* Where things are after start(). */
static struct chunk *open0, *open1, *huge, *kept, *pair, *tail;
static unsigned block; /* of 8 frames in open0: its first frame */
static unsigned gathered; /* a frame of open0 that hart 1 has freed */

static struct hart_cache *cache_of(unsigned hart)
{
    return hart_cache_of(fa, hart);
}

static uint64_t key_of(const struct chunk *chunk)
{
    return chunk_frame(fa, chunk).value >> CHUNK_ORDER;
}

static uint64_t slot_of(const struct chunk *chunk)
{
    return key_of(chunk) & cache_of(0)->gather.mask;
}

static unsigned number_in(const struct chunk *chunk, pfn_t pfn)
{
    return pfn.value - chunk_frame(fa, chunk).value;
}

static void set_bit(_Atomic uint64_t *words, unsigned bit)
{
    atomic_fetch_or(&words[bit / 64], 1ull << bit % 64);
}

static void clear_bit(_Atomic uint64_t *words, unsigned bit)
{
    atomic_fetch_and(&words[bit / 64], ~(1ull << bit % 64));
}

static void free_frame(pfn_t pfn)
{
    for (size_t i = model.nblocks; i-- > 0;)
        if (pfn_equal(model.blocks[i].pfn, pfn))
            frame_model_free(&model, i);
}

/* One of everything: chunks of two harts with single frames, blocks and gathered frames, a huge block, two chunks in one
 * block, a chunk on a stack, one of nobody, and a pool. */
static void start(void)
{
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_tas, NFRAMES, HARTS);
    pfn_t first;
    for (unsigned i = 0; i < TAIL_FRAMES; i++)
        tail = chunk_of(fa, frame_model_alloc(&model, 0));
    frame_drain(fa);
    for (unsigned i = 0; i < 200; i++)
        first = frame_model_alloc(&model, 0);
    open0 = chunk_of(fa, first);
    gathered = 5;
    block = number_in(open0, frame_model_alloc(&model, 3));
    pfn_t freed = frame_model_alloc(&model, CHUNK_ORDER);
    kept = chunk_of(fa, freed);
    huge = chunk_of(fa, frame_model_alloc(&model, CHUNK_ORDER));
    pair = chunk_of(fa, frame_model_alloc(&model, FRAME_ORDER_MAX));
    free_frame(freed);
    host_become_hart(1);
    open1 = chunk_of(fa, frame_model_alloc(&model, 0));
    free_frame(pfn_add(chunk_frame(fa, open0), gathered - 1)); /* goes back at once, after the drain */
    free_frame(pfn_add(chunk_frame(fa, open0), gathered));
    frame_model_check(&model);
    assert_int_equal(chunk_owner(tail), CHUNK_NOBODY);
    assert_int_equal(gather_count(cache_of(1)), 1);
    assert_true(frame_stack_count(&cache_of(0)->whole) > 0);
}

static void free_in_block(void)
{
    set_bit(open0->free, block);
}

static void free_and_gathered(void)
{
    set_bit(open0->free, gathered);
}

static void gathered_in_block(void)
{
    set_bit(cache_of(1)->gather.slot[slot_of(open0)].bits, block);
}

static void gathered_twice(void)
{
    uint64_t i = slot_of(open0);
    atomic_store(&cache_of(2)->gather.key[i], key_of(open0));
    atomic_store(&cache_of(2)->gather.count[i], 1);
    cache_of(2)->gathered = 1;
    set_bit(cache_of(2)->gather.slot[i].bits, gathered);
}

static void gathered_of_no_chunk(void)
{
    /* There are more slots than chunks, and the base's number is a multiple of both. */
    uint64_t i = cache_of(2)->gather.mask;
    atomic_store(&cache_of(2)->gather.count[i], 1);
    cache_of(2)->gathered = 1;
    set_bit(cache_of(2)->gather.slot[i].bits, 7);
}

static void gathered_uncounted(void)
{
    atomic_store(&cache_of(1)->gather.count[slot_of(open0)], 0);
    cache_of(1)->gathered = 0;
}

static void gathered_sum(void)
{
    cache_of(1)->gathered++;
}

static void gathered_of_closed(void)
{
    uint64_t i = slot_of(huge);
    atomic_store(&cache_of(1)->gather.key[i], key_of(huge));
    atomic_store(&cache_of(1)->gather.count[i], 1);
    cache_of(1)->gathered += 1;
    set_bit(cache_of(1)->gather.slot[i].bits, 3);
}

static void end_without_block(void)
{
    set_bit(open0->ends, 0);
}

static void block_without_beginning(void)
{
    clear_bit(open0->ends, block);
}

static void block_without_end(void)
{
    clear_bit(open0->ends, block + 7);
}

static void free_beyond(void)
{
    set_bit(tail->free, TAIL_FRAMES);
}

static void ring_one_way(void)
{
    open0->next = chunk_number(fa, open1);
    open1->previous = chunk_number(fa, open1);
}

static void ring_of_another(void)
{
    atomic_store(open0->owner, 1 | CHUNK_MIXED);
}

static void ring_owner_unknown(void)
{
    atomic_store(open0->owner, HARTS);
}

static void ring_with_closed(void)
{
    open0->next = open0->previous = chunk_number(fa, huge);
    huge->next = huge->previous = chunk_number(fa, open0);
}

static void ring_with_nobodys(void)
{
    open0->next = open0->previous = chunk_number(fa, tail);
    tail->next = tail->previous = chunk_number(fa, open0);
}

static void closed_with_free(void)
{
    set_bit(huge->free, 77);
}

static void closed_with_block(void)
{
    set_bit(kept->block, 77);
}

static void owner_without_meaning(void)
{
    atomic_store(huge->owner, CHUNK_CLOSED | 1);
}

static void on_two_stacks(void)
{
    assert_int_equal(frame_stack_push(&cache_of(1)->whole, chunk_frame(fa, kept)), STACK_PUSHED);
}

static void on_stack_and_in_pool(void)
{
    chunk_pool_give(fa, kept);
}

static void off_the_stack(void)
{
    frame_stack_pop(&cache_of(0)->whole);
}

static void out_of_the_pool(void)
{
    assert_non_null(chunk_pool_take(fa, 0));
}

static void no_chunk_on_stack(void)
{
    assert_int_equal(frame_stack_push(&cache_of(1)->whole, pfn_add(fa->base, 1)), STACK_PUSHED);
}

static void huge_on_stack(void)
{
    assert_int_equal(frame_stack_push(&cache_of(1)->whole, chunk_frame(fa, huge)), STACK_PUSHED);
}

static void open_on_stack(void)
{
    assert_int_equal(frame_stack_push(&cache_of(1)->whole, chunk_frame(fa, open0)), STACK_PUSHED);
}

static void open_in_pool(void)
{
    chunk_pool_give(fa, open1);
}

static void open_and_huge(void)
{
    atomic_store(&open1->use, CHUNK_HUGE);
}

static void first_without_second(void)
{
    atomic_store(&pair[1].use, CHUNK_HUGE);
}

static void second_without_first(void)
{
    atomic_store(&pair[0].use, CHUNK_HUGE);
}

static void use_without_meaning(void)
{
    atomic_store(&huge->use, CHUNK_LARGE_2 + 1);
}

static void one_orphan_more(void)
{
    atomic_fetch_add(&hartcache_of(fa)->norphans, 1);
}

static void pool_count(void)
{
    hartcache_of(fa)->pool.nfree--;
}

static void word_of_others(void)
{
    cache_of(0)->frame ^= 1;
}

static void word_for_nobody(void)
{
    set_bit(&cache_of(2)->no_word, 0);
}

static void move_without_end(void)
{
    atomic_fetch_add(&cache_of(2)->moves, 1);
}

static const struct {
    void (*plant)(void);
    const char *finding;
} corruptions[] = {
    {free_in_block, "free, and in a block that is in use"},
    {free_and_gathered, "free, and freed once more"},
    {gathered_in_block, "inside a block, and freed by itself"},
    {gathered_twice, "freed by two harts"},
    {gathered_of_no_chunk, "gathered for a chunk that is not there"},
    {gathered_uncounted, "but not counted"},
    {gathered_sum, "the sum of what a hart has gathered"},
    {gathered_of_closed, "not open, but has marks"},
    {end_without_block, "the end of a block that is not there"},
    {block_without_beginning, "without a beginning"},
    {block_without_end, "without an end"},
    {free_beyond, "beyond the arena"},
    {ring_one_way, "ring is broken"},
    {ring_of_another, "not in its owner's ring"},
    {ring_owner_unknown, "not in its owner's ring"},
    {ring_with_closed, "not open, but in a ring"},
    {ring_with_nobodys, "nobody's, but in a ring"},
    {closed_with_free, "not open, but has marks"},
    {closed_with_block, "not open, but has marks"},
    {owner_without_meaning, "an owner that means nothing"},
    {on_two_stacks, "free in two places"},
    {on_stack_and_in_pool, "free in two places"},
    {off_the_stack, "lost: free, but in no place"},
    {out_of_the_pool, "lost: free, but in no place"},
    {no_chunk_on_stack, "what is no chunk"},
    {huge_on_stack, "in use and free"},
    {open_on_stack, "open, and free as a whole"},
    {open_in_pool, "open, and free as a whole"},
    {open_and_huge, "open, and in use as a whole"},
    {first_without_second, "without a second"},
    {second_without_first, "without a first"},
    {use_without_meaning, "in a use that means nothing"},
    {one_orphan_more, "count of open chunks without an owner"},
    {pool_count, "free"},
    {word_of_others, "a word that is not its frame's"},
    {word_for_nobody, "a word that has no frames"},
    {move_without_end, "a move that has not ended"},
};

static void test_validation_notices(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(corruptions); i++) {
        start();
        host_console_capture();
        corruptions[i].plant();
        int error = fa->ops->validate(fa);
        const char *report = host_console_release();
        if (error != ERR_CORRUPT || !strstr(report, corruptions[i].finding))
            fail_msg("corruption %zu, \"%s\": %d, %s", i, corruptions[i].finding, error, report);
        frame_model_destroy(&model);
    }
}

/* With all chunks in a hart's ring and no frame free but one, the search for it ends where it is, and the next goes on
 * from there: no allocation looks at all of a large arena but the one that finds nothing. */
static void test_search_of_own_chunks_stops_at_the_first(void **state)
{
    (void)state;
    host_become_hart(0);
    frame_model_init(&model, frame_allocator_find("hartcache"), &lock_tas, 12 * CHUNK_FRAMES, HARTS);
    while (!pfn_is_none(frame_model_alloc(&model, 0)))
        ;
    for (unsigned i = 0; i < 12; i++) {
        struct chunk *chunk = &hartcache_of(fa)->chunks[i], *other = &hartcache_of(fa)->chunks[(i + 5) % 12];
        free_frame(chunk_frame(fa, chunk));
        free_frame(chunk_frame(fa, other)); /* the next that is tried, and without a search */
        assert_int_equal(frame_model_alloc(&model, 0).value, chunk_frame(fa, other).value);
        uint32_t at =
            cache_of(0)->ring; /* where a search of all of them begins, after one of the next four */
        bool among_four = false;
        for (unsigned seen = 0; seen < 4; seen++, at = hartcache_of(fa)->chunks[at].next)
            among_four |= at == i;
        assert_int_equal(frame_model_alloc(&model, 0).value, chunk_frame(fa, chunk).value);
        assert_true(among_four || cache_of(0)->ring != at);
    }
    frame_model_free_all(&model);
    frame_model_check(&model);
    frame_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_validation_notices),
        cmocka_unit_test(test_search_of_own_chunks_stops_at_the_first),
    };
    return cmocka_run_group_tests_name("frame hartcache", tests, NULL, NULL);
}
