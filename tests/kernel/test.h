/*
 * Tests that run inside the guest. TEST(name) { … } registers itself; CHECK() may be used on any hart. A failed
 * check is reported and the test goes on, so that one run shows all that is wrong. Output is TAP.
 */
#ifndef TESTS_KERNEL_TEST_H
#define TESTS_KERNEL_TEST_H

#include "lib/base.h"

struct test {
    const char *name;
    void (*run)(void);
};

LINK_SET_DECLARE(tests, const struct test);

#define TEST(id)                                                                                             \
    static void id(void);                                                                                    \
    static const struct test id##_test = {.name = #id, .run = id};                                           \
    LINK_SET_ADD(tests, id##_test);                                                                          \
    static void id(void)

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            test_failed(#condition, __FILE__, __LINE__);                                                     \
    } while (0)

/** test_failed - note a failed check. Any hart. */
void test_failed(const char *condition, const char *file, int line);

#endif
