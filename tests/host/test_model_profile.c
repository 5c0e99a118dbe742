/* Profiles of the machine model: what is accepted, and that every mistake is named with its place. */
#include "unit.h"

#include <unistd.h>

#include "tools/model/profile.c"

static char said[4096];

/* Loads a profile of that text; what was printed is in `said`. */
static bool load(const char *text)
{
    char path[] = "/tmp/hartscale-profile-XXXXXX";
    int file = mkstemp(path);
    FILE *real = stderr;
    assert_true(file >= 0);
    FILE *out = fdopen(file, "w");
    fputs(text, out);
    fclose(out);
    memset(given, 0, sizeof(given));
    memset(said, 0, sizeof(said));
    stderr = fmemopen(said, sizeof(said) - 1, "w");
    bool good = profile_load(path);
    fclose(stderr);
    stderr = real;
    unlink(path);
    return good;
}

static bool override(const char *assignment)
{
    FILE *real = stderr;
    memset(said, 0, sizeof(said));
    stderr = fmemopen(said, sizeof(said) - 1, "w");
    bool good = profile_override(assignment);
    fclose(stderr);
    stderr = real;
    return good;
}

/* Every key with its least value, but for one line, which is put in its key's place. */
static const char *whole(const char *key, const char *instead)
{
    static char text[4096];
    size_t used = 0;
    for (size_t i = 0; i < KEYS; i++) {
        if (key && strcmp(keys[i].name, key) == 0)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", instead);
        else
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s = %llu\n", keys[i].name,
                (unsigned long long)keys[i].low);
    }
    return text;
}

static unsigned line_of_key(const char *key)
{
    return (unsigned)(find(key) - keys) + 1;
}

static void assert_said(const char *part)
{
    if (!strstr(said, part))
        fail_msg("expected '%s' in: %s", part, said);
}

static void assert_said_line(unsigned line)
{
    char part[16];
    snprintf(part, sizeof(part), ":%u: ", line);
    assert_said("error: model: /tmp/hartscale-profile-");
    assert_said(part);
}

static void a_whole_profile_is_taken(void **state)
{
    (void)state;
    assert_true(load(whole("amo", "  amo=12   # with a comment")));
    assert_string_equal(said, "");
    assert_int_equal(profile.amo, 12);
    assert_int_equal(profile.clock_mhz, 1);
    assert_memory_equal(profile.name, "hartscale-profile-", 18);
}

static void comments_and_blank_lines_are_nothing(void **state)
{
    char text[8192];
    (void)state;
    snprintf(text, sizeof(text), "# about it\n\n   \t\n%s\n#end", whole(NULL, NULL));
    assert_true(load(text));
}

static void an_unknown_key_is_named_with_its_line_and_the_valid_ones(void **state)
{
    (void)state;
    assert_false(load(whole("amo", "ammo = 12")));
    assert_said_line(line_of_key("amo"));
    assert_said("unknown key 'ammo'");
    assert_said(" amo,");
}

static void a_missing_key_is_named(void **state)
{
    (void)state;
    assert_false(load(whole("transfer_far", "")));
    assert_said("key 'transfer_far' is missing");
    assert_said("error: model: /tmp/hartscale-profile-");
}

static void a_key_that_is_there_twice_is_refused(void **state)
{
    (void)state;
    assert_false(load(whole("l1_ways", "amo = 1")));
    assert_said("key 'amo' is there twice");
}

static void a_number_out_of_range_is_refused_with_the_range(void **state)
{
    (void)state;
    assert_false(load(whole("l1_ways", "l1_ways = 17")));
    assert_said_line(line_of_key("l1_ways"));
    assert_said("l1_ways = 17: must be a number from 1 to 16");
    assert_false(load(whole("l1_ways", "l1_ways = 0")));
    assert_false(load(whole("l1_ways", "l1_ways = 99999999999999999999999")));
    assert_true(load(whole("l1_ways", "l1_ways = 16")));
    assert_true(load(whole("l1_ways", "l1_ways = 1")));
}

static void what_is_no_assignment_is_refused_with_its_line(void **state)
{
    static const char *const wrong[] = {
        "amo", "amo =", "amo = x", "amo = 1 2", "= 3", "amo = -1", "amo 3", "amo = 3 three", "amo = 0x10"};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(load(whole("amo", wrong[i])));
        assert_said_line(line_of_key("amo"));
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    FILE *real = stderr;
    (void)state;
    memset(said, 0, sizeof(said));
    stderr = fmemopen(said, sizeof(said) - 1, "w");
    bool good = profile_load("/nowhere/at/all.conf");
    fclose(stderr);
    stderr = real;
    assert_false(good);
    assert_said("/nowhere/at/all.conf: No such file or directory");
}

static void an_override_is_checked_like_a_line(void **state)
{
    (void)state;
    assert_true(load(whole(NULL, NULL)));
    assert_true(override("ipi=300"));
    assert_int_equal(profile.ipi, 300);
    assert_false(override("ipi=1000000"));
    assert_said("must be a number from 0 to 100000");
    assert_false(override("ippi=3"));
    assert_said("unknown key 'ippi'");
    assert_false(override("ipi"));
    assert_said("expected key=number, not 'ipi'");
    assert_int_equal(profile.ipi, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_profile_is_taken),
        cmocka_unit_test(comments_and_blank_lines_are_nothing),
        cmocka_unit_test(an_unknown_key_is_named_with_its_line_and_the_valid_ones),
        cmocka_unit_test(a_missing_key_is_named),
        cmocka_unit_test(a_key_that_is_there_twice_is_refused),
        cmocka_unit_test(a_number_out_of_range_is_refused_with_the_range),
        cmocka_unit_test(what_is_no_assignment_is_refused_with_its_line),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(an_override_is_checked_like_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
