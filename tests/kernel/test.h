/*
 * Tests that run inside the guest. TEST(name) { … } registers itself; CHECK() may be used on any hart. A failed
 * check is reported and the test goes on, so that one run shows all that is wrong. A test that leaves behind blocks of
 * the kernel's heap fails, with the call sites. Output is TAP.
 */
#ifndef TESTS_KERNEL_TEST_H
#define TESTS_KERNEL_TEST_H

#include "lib/base.h"

struct test {
    const char *name;
    void (*run)(void);
    bool planted; /* fails on purpose; left out but where it is named in full, and alone */
};

LINK_SET_DECLARE(tests, const struct test);

#define TEST(id)         TEST_REGISTER(id, false)
#define TEST_PLANTED(id) TEST_REGISTER(id, true)

#define TEST_REGISTER(id, is_planted)                                                                        \
    static void id(void);                                                                                    \
    static const struct test id##_test = {.name = #id, .run = id, .planted = is_planted};                    \
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
