/* The guard before each heap: what it finds that designs do not. */
#include "unit.h"

#include <string.h>

#include "lib/error.h"
#include "shim/heap_model.h"
#include "shim/host.h"

/* A byte behind the end, at each distance. */
static void test_overruns(void **state)
{
    (void)state;
    static const size_t some[] = {1, 15, 16, 40, 64, 100, 1000, 5000, 100000};
    HEAP_DESIGN_FOR_EACH(ops)
    {
        for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
            struct heap_model model;
            heap_model_init(&model, ops, 1024, 2, HEAP_GUARD);
            uint8_t *pointer = heap_alloc(&model.heap, some[i]);
            assert_int_equal(heap_usable_size(&model.heap, pointer), some[i]);
            for (unsigned behind = 0; behind < 16; behind += 5) {
                uint8_t was = pointer[some[i] + behind];
                pointer[some[i] + behind] ^= 0x40;
                host_console_capture();
                assert_int_equal(heap_validate(&model.heap, 1), ERR_CORRUPT);
                assert_non_null(strstr(host_console_release(), "written behind its end"));
                assert_int_equal(model.heap.last_misuse.kind, HEAP_MISUSE_OVERRUN);
                pointer[some[i] + behind] = was;
                assert_int_equal(heap_validate(&model.heap, 1), 0);
            }
            uint64_t found = model.heap.misuse_count;
            pointer[some[i]] ^= 1;
            host_console_capture();
            heap_free(&model.heap, pointer);
            host_console_release();
            assert_int_equal(model.heap.misuse_count, found + 1);
            assert_ptr_equal(model.heap.last_misuse.pointer, pointer);
            assert_int_equal(heap_validate(&model.heap, 0), 0);
            heap_model_destroy(&model);
        }
    }
}

static void test_writes_after_free(void **state)
{
    (void)state;
    HEAP_DESIGN_FOR_EACH(ops)
    {
        if (ops->link_bytes >= 64)
            continue; /* it says that it uses all of them itself */
        struct heap_model model;
        heap_model_init(&model, ops, 64, 1, HEAP_GUARD);
        uint8_t *pointer = heap_alloc(&model.heap, 200);
        heap_free(&model.heap, pointer);
        pointer[150] = 0;
        host_console_capture();
        void *blocks[300]; /* one of them has it */
        size_t count = 0;
        while (count < ARRAY_SIZE(blocks) && model.heap.misuse_count == 0)
            blocks[count++] = heap_alloc(&model.heap, 200);
        assert_non_null(strstr(host_console_release(), "written after it was freed"));
        assert_int_equal(model.heap.last_misuse.kind, HEAP_MISUSE_AFTER_FREE);
        while (count > 0)
            heap_free(&model.heap, blocks[--count]);
        heap_model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overruns),
        cmocka_unit_test(test_writes_after_free),
    };
    return cmocka_run_group_tests_name("heap guard", tests, NULL, NULL);
}
