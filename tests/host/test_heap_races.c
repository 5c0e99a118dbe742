/*
 * Races of heaps, one by one: at the point where a hart is about to swap a word another one is let in, by an inject_due()
 * of this program's own. What threads hit once in a million times happens here each time.
 */
#include "unit.h"

#include "shim/heap_model.h"
#include "shim/host.h"
#include "trace/inject.h"

bool __wrap_inject_due(enum inject point); /* the linker puts it into the place of the real one */

static struct {
    struct heap_model model;
    void *contested;
    unsigned times; /* that the other hart is still to be let in */
} race;

bool __wrap_inject_due(enum inject point)
{
    if (point != INJECT_CAS || race.times == 0)
        return false;
    race.times--;
    host_become_hart(1);
    heap_free(&race.model.heap, race.contested);
    host_become_hart(0);
    return false;
}

/* Two harts free a block that is a span, and both have found that it is one; the second lets go of nothing. */
static void test_large_block_is_freed_once(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        heap_model_init(&race.model, ops, 4096, 2, 0);
        race.contested = heap_alloc_aligned(&race.model.heap, 100, 2 * PAGE_BYTES);
        assert_non_null(race.contested);
        race.times = 1;
        host_console_capture();
        heap_free(&race.model.heap, race.contested);
        host_console_release();
        assert_int_equal(race.times, 0);
        assert_int_equal(race.model.heap.misuse_count, 1);
        assert_int_equal(race.model.heap.last_misuse.kind, HEAP_MISUSE_DOUBLE_FREE);
        assert_int_equal(race.model.frames.misuse_count, 0);
        heap_model_check(&race.model);
        heap_model_drained(&race.model);
        heap_model_destroy(&race.model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_block_is_freed_once),
    };
    return cmocka_run_group_tests_name("heap races", tests, NULL, NULL);
}
