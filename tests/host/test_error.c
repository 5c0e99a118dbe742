/* Every error has words of its own. */
#include "lib/error.h"
#include "lib/base.h"
#include "tests/host/unit.h"

static const int errors[] = {0, ERR_INVALID, ERR_RANGE, ERR_NO_MEMORY, ERR_NOT_FOUND, ERR_FORMAT,
    ERR_TRUNCATED, ERR_UNSUPPORTED, ERR_TIMEOUT, ERR_CORRUPT, ERR_STATE, ERR_EXISTS, ERR_PERMISSION};

static void each_error_has_its_own_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        assert_string_not_equal(error_text(errors[i]), "unknown error");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(error_text(errors[i]), error_text(errors[j]));
    }
}

static void other_codes_are_unknown(void **state)
{
    (void)state;
    assert_string_equal(error_text(1), "unknown error");
    assert_string_equal(error_text(ERR_PERMISSION - 1), "unknown error");
    assert_string_equal(error_text(INT32_MIN), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_its_own_text),
        cmocka_unit_test(other_codes_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
