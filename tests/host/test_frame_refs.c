/*
 * References to frames against a model, from one thread that plays all harts in turn: who is last, what is
 * refused, what validation finds. tsan_frame_refs.c has the threads.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "mm/frame/frame_refs.h"
#include "shim/frame_model.h"
#include "shim/host.h"
#include "trace/inject.h"

#define NFRAMES 2048
#define NHARTS  4
#define HELD    400 /* references that a random walk holds at most */

struct fixture {
    struct frame_allocator fa;
    struct frame_refs refs;
    void *metadata, *counts;
    void *memory; /* the frames': some designs keep their lists there */
};

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(bytes, CACHE_LINE_BYTES));
    memset(memory, 0xa5, bytes);
    return memory;
}

static void start(struct fixture *fixture, const struct frame_allocator_ops *ops)
{
    host_become_hart(0);
    fixture->metadata = allocate(ops->metadata_size(NFRAMES, NHARTS));
    fixture->counts = allocate(frame_refs_bytes(NFRAMES));
    fixture->memory = aligned_alloc(PAGE_BYTES, NFRAMES * PAGE_BYTES);
    host_map_frames(fixture->memory, MODEL_BASE);
    assert_int_equal(frame_allocator_init(&fixture->fa, ops, &lock_tas, "refs", fixture->metadata, MODEL_BASE,
                         NFRAMES, NHARTS),
        0);
    frame_refs_init(&fixture->refs, &fixture->fa, fixture->counts);
}

static void discard(struct fixture *fixture)
{
    free(fixture->metadata);
    free(fixture->counts);
    free(fixture->memory);
}

static void finish(struct fixture *fixture)
{
    host_become_hart(0);
    assert_int_equal(frame_validate(&fixture->fa, 0), 0);
    assert_int_equal(frame_refs_validate(&fixture->refs, 0), 0);
    assert_int_equal(fixture->fa.misuse_count, 0);
    discard(fixture);
}

/* A reference, and the model: how many of the held ones are of the same block. */
struct held {
    pfn_t pfn;
    unsigned order;
};

static size_t owners(const struct held *held, size_t n, pfn_t pfn)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += pfn_equal(held[i].pfn, pfn);
    return count;
}

static void check_counts(struct fixture *fixture, const struct held *held, size_t n)
{
    size_t frames = 0, blocks = 0;
    for (size_t i = 0; i < n; i++) {
        bool first = owners(held, i, held[i].pfn) == 0;
        frames += first ? (size_t)1 << held[i].order : 0;
        blocks += first;
    }
    assert_int_equal(frame_validate(&fixture->fa, frames), 0);
    assert_int_equal(frame_refs_validate(&fixture->refs, n - blocks), 0);
}

/* Random gets and puts of blocks of many orders; each put says whether it was the last, as the model knows. */
static void random_walk(struct fixture *fixture, uint64_t seed)
{
    struct held held[HELD];
    size_t n = 0;
    struct rng rng;
    rng_seed(&rng, seed, 0);
    for (unsigned step = 0; step < 4000 || n > 0; step++) {
        unsigned what = step < 4000 ? rng_below(&rng, 8) : 7;
        host_become_hart(rng_below(&rng, NHARTS));
        if (what < 2 && n < HELD) {
            held[n].order = rng_below(&rng, 3) ? 0 : rng_below(&rng, MIN(4u, fixture->fa.ops->order_max) + 1);
            held[n].pfn = frame_alloc(&fixture->fa, held[n].order, 0);
            n += !pfn_is_none(held[n].pfn);
        } else if (what < 4 && n > 0 && n < HELD) {
            held[n] = held[rng_below(&rng, n)];
            assert_int_equal(frame_get(&fixture->refs, held[n].pfn), 0);
            n++;
        } else if (n > 0) {
            size_t i = rng_below(&rng, n);
            struct held one = held[i];
            bool last = owners(held, n, one.pfn) == 1;
            assert_int_equal(frame_is_exclusive(&fixture->refs, one.pfn), last);
            held[i] = held[--n];
            assert_int_equal(frame_put(&fixture->refs, one.pfn, one.order), last);
        }
        if (step % 100 == 0)
            check_counts(fixture, held, n);
    }
}

static void test_the_last_put_frees(void **state)
{
    (void)state;
    DESIGN_FOR_EACH (ops) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct fixture fixture;
            start(&fixture, ops);
            random_walk(&fixture, seed);
            finish(&fixture);
        }
    }
}

/* No count is written to for a frame that is never shared: its line stays with everybody. */
static void test_nobody_pays_who_does_not_share(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, frame_allocator_at(0));
    /* With counts that cannot be written to: whoever tries is ended. */
    static const _Atomic uint32_t zeros[NFRAMES];
    _Atomic uint32_t *counts = fixture.refs.extra;
    fixture.refs.extra = (_Atomic uint32_t *)zeros;
    for (unsigned i = 0; i < NFRAMES; i++)
        assert_true(frame_put(&fixture.refs, frame_alloc(&fixture.fa, 0, 0), 0));
    fixture.refs.extra = counts;
    finish(&fixture);
}

static void test_too_many_references_are_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, frame_allocator_at(0));
    pfn_t pfn = frame_alloc(&fixture.fa, 0, 0);
    _Atomic uint32_t *extra = &fixture.refs.extra[pfn.value - MODEL_BASE.value];

    *extra = FRAME_EXTRA_MAX - 1;
    assert_int_equal(frame_get(&fixture.refs, pfn), 0);
    assert_int_equal(frame_get(&fixture.refs, pfn), ERR_STATE);
    assert_int_equal(frame_get(&fixture.refs, pfn), ERR_STATE);
    assert_int_equal(*extra, FRAME_EXTRA_MAX);
    assert_int_equal(frame_refs_validate(&fixture.refs, FRAME_EXTRA_MAX), 0);
    assert_false(frame_put(&fixture.refs, pfn, 0));
    assert_int_equal(*extra, FRAME_EXTRA_MAX - 1);

    /* As between the last put's subtraction and its store: nobody can hold a reference to get another from. */
    *extra = UINT32_MAX;
    assert_int_equal(frame_get(&fixture.refs, pfn), ERR_STATE);
    assert_int_equal(*extra, UINT32_MAX);
    host_console_capture();
    assert_int_equal(frame_refs_validate(&fixture.refs, 0), ERR_CORRUPT);
    assert_non_null(strstr(host_console_release(), "are 1 below one"));

    *extra = 0;
    assert_true(frame_put(&fixture.refs, pfn, 0));
    finish(&fixture);
}

static void expect_misuse(struct fixture *fixture, enum frame_misuse_kind kind, pfn_t pfn, unsigned order)
{
    uint64_t refused = fixture->fa.misuse_count;
    assert_true(frame_put(&fixture->refs, pfn, order));
    frame_drain(&fixture->fa); /* where some designs come to it */
    assert_int_equal(fixture->fa.misuse_count, refused + 1);
    assert_int_equal(fixture->fa.last_misuse.kind, kind);
}

static void test_misuse(void **state)
{
    (void)state;
    DESIGN_FOR_EACH (ops) {
        struct fixture fixture;
        start(&fixture, ops);
        host_console_capture();
        pfn_t pfn = frame_alloc(&fixture.fa, 0, 0), beyond = pfn_add(MODEL_BASE, NFRAMES);
        assert_int_equal(frame_get(&fixture.refs, beyond), ERR_RANGE);
        assert_int_equal(frame_get(&fixture.refs, PFN(MODEL_BASE.value - 1)), ERR_RANGE);
        assert_int_equal(frame_get(&fixture.refs, PFN_NONE), ERR_RANGE);
        expect_misuse(&fixture, FRAME_MISUSE_OUT_OF_RANGE, beyond, 0);
        expect_misuse(&fixture, FRAME_MISUSE_OUT_OF_RANGE, PFN_NONE, 0);

        /* One put too many: it frees, and the last owner is told. */
        assert_int_equal(frame_get(&fixture.refs, pfn), 0);
        assert_false(frame_put(&fixture.refs, pfn, 0));
        assert_true(frame_put(&fixture.refs, pfn, 0));
        expect_misuse(&fixture, FRAME_MISUSE_DOUBLE_FREE, pfn, 0);

        /* A wrong order is noticed when the block is freed, and it stays the last owner's. */
        if (ops->order_max >= 1) {
            pfn = frame_alloc(&fixture.fa, 1, 0);
            assert_int_equal(frame_get(&fixture.refs, pfn), 0);
            assert_false(frame_put(&fixture.refs, pfn, 0));
            expect_misuse(&fixture, FRAME_MISUSE_WRONG_ORDER, pfn, 0);
            assert_true(frame_put(&fixture.refs, pfn, 1));
        }

        /* References left behind. */
        pfn = frame_alloc(&fixture.fa, 0, 0);
        assert_int_equal(frame_get(&fixture.refs, pfn), 0);
        frame_free(&fixture.fa, pfn, 0);
        assert_int_equal(frame_refs_validate(&fixture.refs, 0), ERR_CORRUPT);
        assert_non_null(
            strstr(host_console_release(), "1 references beyond the first are counted and 0 held"));
        assert_int_equal(frame_validate(&fixture.fa, 0), 0);
        fixture.fa.misuse_count = 0;
        fixture.refs.extra[pfn.value - MODEL_BASE.value] = 0;
        finish(&fixture);
    }
}

/* A frame shared by three and given up by all, until validation complains; which time, 0 for never. */
static unsigned share_until_caught(const struct frame_allocator_ops *ops)
{
    struct fixture fixture;
    start(&fixture, ops);
    unsigned caught = 0;
    for (unsigned i = 1; i <= 1500 && !caught; i++) {
        pfn_t pfn = frame_alloc(&fixture.fa, 0, 0);
        for (unsigned owner = 1; owner < 3; owner++)
            assert_int_equal(frame_get(&fixture.refs, pfn), 0);
        for (unsigned left = 3; left-- > 0 && !caught;) {
            frame_put(&fixture.refs, pfn, 0);
            if (frame_validate(&fixture.fa, left > 0) ||
                frame_refs_validate(&fixture.refs, left ? left - 1 : 0))
                caught = i;
        }
    }
    discard(&fixture);
    return caught;
}

static void test_planted_bugs_are_caught(void **state)
{
    (void)state;
    static const struct {
        enum plant plant;
        const char *report;
    } bugs[] = {{PLANT_REFS_LOST, "references beyond the first"}, {PLANT_REFS_TWICE, "given twice"}};
    DESIGN_FOR_EACH (ops) {
        assert_int_equal(share_until_caught(ops), 0);
        for (unsigned i = 0; i < ARRAY_SIZE(bugs); i++) {
            host_console_capture();
            plant_set(bugs[i].plant);
            unsigned caught = share_until_caught(ops);
            plant_set(PLANT_NONE);
            assert_non_null(strstr(host_console_release(), bugs[i].report));
            /* Two of three puts find the frame shared. */
            assert_in_range(caught, 500, 501);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_put_frees),
        cmocka_unit_test(test_nobody_pays_who_does_not_share),
        cmocka_unit_test(test_too_many_references_are_refused),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_planted_bugs_are_caught),
    };
    return cmocka_run_group_tests_name("frame references", tests, NULL, NULL);
}
