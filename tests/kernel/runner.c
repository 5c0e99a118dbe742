/* `test=PATTERN`: run the tests whose names match, print TAP, fail if any failed. */
#include <stdatomic.h>

#include "arch/console.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "lib/select.h"
#include "lib/string.h"
#include "mm/heap/checkpoint.h"
#include "mm/kmalloc.h"
#include "tests/kernel/test.h"

static _Atomic uint32_t failed_checks;
static const char *selection;

void test_failed(const char *condition, const char *file, int line)
{
    atomic_fetch_add_explicit(&failed_checks, 1, memory_order_relaxed);
    console_format("# %s:%d: not true: %s\n", file, line, condition);
}

static const char *test_name_at(size_t i)
{
    return i < (size_t)(__stop_hs_tests - __start_hs_tests) ? __start_hs_tests[i]->name : NULL;
}

static int apply_test(const char *value, struct writer *why)
{
    selection = value;
    return select_check(value, test_name_at, why);
}

static bool is_chosen(const struct test *test)
{
    return test->planted ? strcmp(selection, test->name) == 0 : select_match(selection, test->name);
}

/* Returns whether it passed. */
static bool run_one(const struct test *test, unsigned number)
{
    struct heap_mark mark;
    atomic_store_explicit(&failed_checks, 0, memory_order_relaxed);
    heap_mark(&kernel_heap, &mark);
    test->run();
    CHECK(heap_report_since(&kernel_heap, &mark, "# left behind: ") == 0);
    CHECK(heap_validate(&kernel_heap, HEAP_HELD_UNKNOWN) == 0);
    bool passed = atomic_load_explicit(&failed_checks, memory_order_relaxed) == 0;
    console_format("%sok %u - %s\n", passed ? "" : "not ", number, test->name);
    return passed;
}

static int run_tests(void)
{
    unsigned count = 0, failures = 0;
    LINK_SET_FOR_EACH (tests, const struct test, test)
        count += is_chosen(*test);
    console_format("TAP version 13\n1..%u\n", count);
    count = 0;
    LINK_SET_FOR_EACH (tests, const struct test, test) {
        if (is_chosen(*test))
            failures += !run_one(*test, ++count);
    }
    return failures ? ERR_CORRUPT : 0;
}

CONFIG_KEY(test_key, .name = "test", .valid = "comma list of tests or globs", .initial = "*",
    .apply = apply_test, .run = run_tests);
