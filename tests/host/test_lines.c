/*
 * The model's contended-line report, on harts and a directory that are a few lines here: what it counts, and what it
 * takes for false sharing.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/model/lines.c"

struct hart harts[HARTS_MAX];
unsigned nharts = 4;

#define LINE  0x80001000ull
#define LABEL 7
/* What a transaction costs here. */
#define CYCLES 100

/* --- a machine of one cache line --- */

static uint64_t sharers;
static int owner; /* -1: none */

static bool must_ask(unsigned hart, enum access access)
{
    return writes(access) ? owner != (int)hart : !(sharers >> hart & 1);
}

static void ask(unsigned hart, uint64_t paddr, enum access access, uint64_t pc)
{
    uint64_t self = 1ull << hart, others = sharers & ~self;
    struct line_event event = {.paddr = paddr, .pc = pc, .access = access, .cycles = CYCLES};
    if (writes(access)) {
        event.losers = others;
        event.transfer = others != 0;
        event.invalidations = (unsigned)__builtin_popcountll(others);
        sharers = self;
        owner = (int)hart;
    } else {
        event.losers = owner >= 0 ? 1ull << owner : 0;
        event.transfer = owner >= 0;
        sharers |= self;
        owner = -1;
    }
    lines_transaction(&harts[hart], &event);
}

static void do_access(unsigned hart, uint64_t paddr, unsigned bytes, enum access access, uint64_t pc)
{
    if (must_ask(hart, access))
        ask(hart, paddr, access, pc);
    lines_touch(&harts[hart], paddr + (1ull << 63), paddr, bytes, access, pc);
}

static void load(unsigned hart, uint64_t paddr)
{
    do_access(hart, paddr, 8, ACCESS_LOAD, 0x100);
}

static void store(unsigned hart, uint64_t paddr)
{
    do_access(hart, paddr, 8, ACCESS_STORE, 0x200);
}

/* --- regions --- */

static char path[] = "/tmp/test_lines.XXXXXX";
static char report_text[1 << 16];

static int open_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(lines_open(path));
    for (unsigned i = 0; i < nharts; i++)
        harts[i].index = i;
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    forget();
    return fclose(file) | unlink(path);
}

static void enter(uint64_t region)
{
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    rewind(file);
    sharers = 0;
    owner = -1;
    for (unsigned i = 0; i < nharts; i++)
        harts[i].state = HART_READY;
    lines_begin(region);
}

static void measure(void)
{
    for (unsigned i = 0; i < nharts; i++)
        lines_measure(&harts[i]);
}

/* All harts leave; the text that this has left behind. */
static const char *leave(void)
{
    for (unsigned i = 0; i < nharts; i++) {
        lines_leave(&harts[i]);
        harts[i].state = HART_FREE;
    }
    FILE *in = fopen(path, "r");
    size_t length = fread(report_text, 1, sizeof(report_text) - 1, in);
    report_text[length] = '\0';
    fclose(in);
    return report_text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

/* --- what is counted --- */

static void test_private_lines_are_not_reported(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < 10; i++) {
        load(0, LINE);
        store(0, LINE);
    }
    assert_string_equal(leave(),
        "{\"label\":7,\"contended_lines\":0,\"dropped\":0,\"transfers\":0,\"cycles\":0,"
        "\"lines\":[],\"others\":[]}\n");
}

static void test_counts(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    store(0, LINE + 8); /* nobody is interested yet */
    load(1, LINE + 8); /* taken from hart 0 */
    load(2, LINE + 8); /* from memory */
    store(1, LINE + 8); /* from harts 0 and 2 */
    const char *text = leave();
    assert_has(text,
        "\"paddr\":\"0x80001000\",\"vaddr\":\"0x8000000080001000\",\"transactions\":3,\"transfers\":2,"
        "\"invalidations\":2,\"cycles\":300,");
    assert_has(text, "\"harts\":[{\"hart\":1,\"read\":\"0xff00\",\"written\":\"0xff00\"},"
                     "{\"hart\":2,\"read\":\"0xff00\",\"written\":\"0x0\"}]");
    assert_has(text,
        "\"pcs\":[{\"pc\":\"0x100\",\"access\":\"load\",\"harts\":\"0x6\",\"bytes\":\"0xff00\","
        "\"transactions\":2,\"cycles\":200},{\"pc\":\"0x200\",\"access\":\"store\",\"harts\":\"0x2\","
        "\"bytes\":\"0xff00\",\"transactions\":1,\"cycles\":100}]");
}

static void test_an_access_across_the_end_of_a_line(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    load(1, LINE + 60);
    store(0, LINE + 60);
    load(1, LINE + 60);
    assert_has(leave(), "{\"hart\":1,\"read\":\"0xf000000000000000\",");
}

/* --- which part of a region --- */

static void test_warm_up_is_forgotten(void **state)
{
    (void)state;
    enter(LABEL);
    store(0, LINE);
    store(1, LINE);
    measure();
    store(2, LINE);
    measure();
    assert_has(leave(), "\"contended_lines\":0,");
}

static void test_a_hart_counts_from_its_own_beginning(void **state)
{
    (void)state;
    enter(LABEL);
    lines_measure(&harts[0]);
    store(0, LINE);
    store(1, LINE); /* not measured yet */
    lines_measure(&harts[1]);
    store(0, LINE);
    const char *text = leave();
    assert_has(text, "\"transactions\":1,");
    assert_has(text, "\"harts\":[{\"hart\":0,");
}

static void test_regions_without_a_label_are_not_reported(void **state)
{
    (void)state;
    enter(0);
    measure();
    assert_false(lines_on);
    assert_string_equal(leave(), "");
}

static void test_the_last_hart_reports(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    store(0, LINE);
    lines_leave(&harts[0]);
    harts[0].state = HART_FREE;
    assert_true(lines_on);
    store(1, LINE);
    assert_has(leave(), "\"transactions\":1,");
    assert_false(lines_on);
}

/* --- what is false sharing --- */

static void test_counters_on_one_line_are_false_sharing(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned hart = 0; hart < 2; hart++) {
            load(hart, LINE + 8 * hart);
            store(hart, LINE + 8 * hart);
        }
    }
    const char *text = leave();
    assert_has(text, "\"false_sharing\":true");
    /* Hart 0 lost the line 10 times and came back 9, the last for as long as hart 1 left it alone; hart 1 lost it 9
     * times. */
    assert_has(text, "\"refetches\":18,\"useless_refetches\":17,");
}

static void test_one_counter_is_true_sharing(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned hart = 0; hart < 2; hart++) {
            load(hart, LINE);
            store(hart, LINE);
        }
    }
    const char *text = leave();
    assert_has(text, "\"false_sharing\":false");
    assert_has(text, "\"refetches\":18,\"useless_refetches\":0,");
}

static void test_a_reader_of_another_field_is_false_sharing(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < 10; i++) {
        store(0, LINE);
        load(1, LINE + 32);
    }
    const char *text = leave();
    assert_has(text, "\"false_sharing\":true");
    assert_has(text, "\"refetches\":9,\"useless_refetches\":8,");
}

static void test_a_reader_before_the_writer_in_the_list_is_true_sharing(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < 10; i++) {
        store(1, LINE);
        load(0, LINE);
    }
    assert_has(leave(), "\"false_sharing\":false");
}

/* The reader has a use for the word every fourth time only; but then it does share it. */
static void test_both_on_one_line(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < 41; i++) {
        store(0, LINE);
        load(1, LINE + 32);
        if (i % 4 == 0)
            load(1, LINE);
    }
    const char *text = leave();
    assert_has(text, "\"false_sharing\":false");
    assert_has(text, "\"refetches\":40,\"useless_refetches\":30,");
}

/* A byte that a third hart wrote while the line was away for good counts when it is read at last. */
static void test_news_wait_for_their_reader(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    load(1, LINE + 32);
    store(0, LINE);
    load(1, LINE + 32); /* useless */
    store(2, LINE + 32 + 16);
    load(1, LINE); /* of hart 0, from before the last fetch */
    store(2, LINE + 32 + 16);
    assert_has(leave(), "\"refetches\":2,\"useless_refetches\":1,");
}

static void test_news_are_new_once(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    load(1, LINE);
    store(0, LINE);
    load(1, LINE); /* useful */
    store(0, LINE + 16);
    load(1, LINE); /* what it knew */
    store(0, LINE + 16);
    assert_has(leave(), "\"refetches\":2,\"useless_refetches\":1,");
}

static void test_readers_share_rightly(void **state)
{
    (void)state;
    enter(LABEL);
    store(3, LINE);
    measure();
    load(0, LINE);
    load(1, LINE + 8);
    assert_has(leave(), "\"false_sharing\":false");
}

/* --- which are shown, and in which order --- */

/* Two harts take this line from each other so many times. */
static void fight(uint64_t paddr, unsigned times)
{
    sharers = 1;
    owner = 0;
    for (unsigned i = 0; i < times; i++)
        do_access((i + 1) % 2, paddr, 4, ACCESS_ATOMIC, 0x300);
}

static void test_order_of_lines(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    fight(LINE + 0x80, 2);
    fight(LINE + 0x40, 3);
    fight(LINE + 0x00, 2);
    fight(LINE + 0xc0, 2);
    const char *text = leave();
    const char *first = strstr(text, "0x80001040"), *second = strstr(text, "0x80001000"),
               *third = strstr(text, "0x80001080"), *fourth = strstr(text, "0x800010c0");
    assert_true(first && first < second && second < third && third < fourth);
    assert_has(text, "\"contended_lines\":4,\"dropped\":0,\"transfers\":9,\"cycles\":900,");
}

static void test_what_is_not_among_the_first_is_counted(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    for (unsigned i = 0; i < REPORT_LINES; i++)
        fight(LINE + 0x1000 + 0x40 * i, 3);
    fight(LINE, 2);
    fight(LINE + 0x40, 1);
    assert_has(leave(),
        "],\"others\":[[\"0x80001000\",\"0xf\",2,200,false],[\"0x80001040\",\"0xf\",1,100,false]]}\n");
}

static void test_many_instructions(void **state)
{
    (void)state;
    enter(LABEL);
    measure();
    sharers = 1;
    owner = 0;
    for (unsigned i = 0; i < PCS_MAX + 4; i++) {
        for (unsigned k = 0; k < (i == 3 ? 2 : 1); k++) {
            ask(1, LINE, ACCESS_STORE, 0x1000 - i);
            ask(0, LINE, ACCESS_STORE, 0x1000 - i);
        }
    }
    const char *text = leave();
    assert_has(text, "\"pcs\":[{\"pc\":\"0xffd\","); /* the most cycles; of the others the lowest address */
    assert_has(text, "},{\"pc\":\"0xff1\",");
    char rest[100];
    snprintf(rest, sizeof(rest), "\"other_pcs\":{\"transactions\":%u,\"cycles\":%u}",
        2 * (PCS_MAX + 4 - REPORT_PCS), 2 * (PCS_MAX + 4 - REPORT_PCS) * CYCLES);
    assert_has(text, rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_lines_are_not_reported),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_an_access_across_the_end_of_a_line),
        cmocka_unit_test(test_warm_up_is_forgotten),
        cmocka_unit_test(test_a_hart_counts_from_its_own_beginning),
        cmocka_unit_test(test_regions_without_a_label_are_not_reported),
        cmocka_unit_test(test_the_last_hart_reports),
        cmocka_unit_test(test_counters_on_one_line_are_false_sharing),
        cmocka_unit_test(test_one_counter_is_true_sharing),
        cmocka_unit_test(test_a_reader_of_another_field_is_false_sharing),
        cmocka_unit_test(test_a_reader_before_the_writer_in_the_list_is_true_sharing),
        cmocka_unit_test(test_both_on_one_line),
        cmocka_unit_test(test_news_wait_for_their_reader),
        cmocka_unit_test(test_news_are_new_once),
        cmocka_unit_test(test_readers_share_rightly),
        cmocka_unit_test(test_order_of_lines),
        cmocka_unit_test(test_what_is_not_among_the_first_is_counted),
        cmocka_unit_test(test_many_instructions),
    };
    return cmocka_run_group_tests_name("contended lines", tests, open_file, remove_file);
}
