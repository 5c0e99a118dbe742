/*
 * The line editor on a terminal of this file's own: whatever is typed, after every byte the terminal's row
 * has to show prompt and text, and its cursor has to stand where the editor's does.
 */
#include <string.h>
#include "lib/line_edit.h"
#include "lib/rng.h"
#include "tests/host/unit.h"

#define COLUMNS      1024 /* more than prompt, text and what a completion lists ever take */
#define RANDOM_BYTES 200000
#define PROMPT       "hart> "

#define UP     "\033[A"
#define DOWN   "\033[B"
#define RIGHT  "\033[C"
#define LEFT   "\033[D"
#define HOME   "\033[H"
#define END    "\033[F"
#define DELETE "\033[3~"

/* A terminal of one row that matters: the one with the cursor. */
struct terminal {
    struct writer writer;
    char row[COLUMNS + 1];
    size_t column;
    size_t parameter;
    unsigned bells, rows;
    enum { PLAIN, ESCAPED, BRACKET } mode;
    char log[4096]; /* what was written since the test last looked */
    size_t logged;
};

static struct terminal terminal;
static struct line_edit edit;

static void erase_from_cursor(struct terminal *t)
{
    memset(t->row + t->column, ' ', COLUMNS - t->column);
}

static void put_sequence(struct terminal *t, char final)
{
    switch (final) {
    case 'D':
        assert_in_range(t->parameter, 1, t->column);
        t->column -= t->parameter;
        break;
    case 'K': erase_from_cursor(t); break;
    case 'H': t->column = 0; break;
    case 'J':
        assert_int_equal(t->parameter, 2);
        memset(t->row, ' ', COLUMNS);
        break;
    default: fail_msg("sequence ending in 0x%02x", final);
    }
}

static void put_plain(struct terminal *t, char byte)
{
    switch (byte) {
    case '\a': t->bells++; break;
    case '\r': t->column = 0; break;
    case '\n':
        t->rows++;
        memset(t->row, ' ', COLUMNS);
        break;
    case '\033': t->mode = ESCAPED; break;
    default:
        assert_true(byte >= ' ' && byte < 0x7f && t->column < COLUMNS);
        t->row[t->column++] = byte;
        break;
    }
}

static void put_byte(struct terminal *t, char byte)
{
    if (t->mode == PLAIN) {
        put_plain(t, byte);
    } else if (t->mode == ESCAPED) {
        assert_int_equal(byte, '[');
        t->mode = BRACKET;
        t->parameter = 0;
    } else if (byte >= '0' && byte <= '9') {
        t->parameter = t->parameter * 10 + (size_t)(byte - '0');
    } else {
        t->mode = PLAIN;
        put_sequence(t, byte);
    }
}

static void terminal_put(struct writer *writer, const char *bytes, size_t count)
{
    struct terminal *t = CONTAINER_OF(writer, struct terminal, writer);

    for (size_t i = 0; i < count; i++) {
        put_byte(t, bytes[i]);
        if (t->logged < sizeof(t->log) - 1)
            t->log[t->logged++] = bytes[i];
    }
    t->log[t->logged] = '\0';
}

static void check_screen(void)
{
    size_t prompt_length = strlen(PROMPT);

    assert_int_equal(strlen(edit.text), edit.length);
    assert_true(edit.length < LINE_BYTES_MAX && edit.cursor <= edit.length);
    assert_int_equal(terminal.mode, PLAIN);
    assert_int_equal(terminal.column, prompt_length + edit.cursor);
    assert_memory_equal(terminal.row, PROMPT, prompt_length);
    assert_memory_equal(terminal.row + prompt_length, edit.text, edit.length);
    for (size_t i = prompt_length + edit.length; i < COLUMNS; i++)
        assert_int_equal(terminal.row[i], ' ');
}

static const char *no_words(size_t i)
{
    (void)i;
    return NULL;
}

static const char *words(size_t i)
{
    static const char *const list[] = {"bench", "help", "harts", "hartmask", "x"};

    return i < ARRAY_SIZE(list) ? list[i] : NULL;
}

static void open_editor(const char *(*complete)(size_t i))
{
    memset(&terminal, 0, sizeof(terminal));
    terminal.writer.put = terminal_put;
    memset(terminal.row, ' ', COLUMNS);
    line_edit_init(&edit, &terminal.writer, PROMPT, complete);
    line_edit_begin(&edit);
    check_screen();
}

/* Types bytes that do not end the line. */
static void type(const char *bytes)
{
    terminal.logged = 0;
    for (; *bytes != '\0'; bytes++) {
        assert_int_equal(line_edit_feed(&edit, *bytes), LINE_MORE);
        check_screen();
    }
}

static void enter(const char *bytes)
{
    type(bytes);
    assert_int_equal(line_edit_feed(&edit, '\r'), LINE_DONE);
    assert_int_equal(terminal.column, 0);
    line_edit_begin(&edit);
    check_screen();
}

static void keys_edit_the_text(void **state)
{
    static const struct {
        const char *typed, *text;
        size_t cursor;
    } cases[] = {
        {"abc", "abc", 3},
        {"abc" LEFT LEFT "x", "axbc", 2},
        {"abc\002\002\006x", "abxc", 3},
        {"abc\001x\005y", "xabcy", 5},
        {"abc" HOME "x" END "y", "xabcy", 5},
        {"abc\033OHx\033OFy", "xabcy", 5},
        {"abc\033[1~x\033[4~y\033[7~z\033[8~", "zxabcy", 6},
        {"abc\b", "ab", 2},
        {"abc\177", "ab", 2},
        {"abc" LEFT "\b", "ac", 1},
        {"abc" LEFT DELETE, "ab", 2},
        {"abc" LEFT "\004", "ab", 2},
        {"abc\004", "abc", 3},
        {"abc" LEFT LEFT "\013", "a", 1},
        {"abc" LEFT "\025", "c", 0},
        {"one two  \027", "one ", 4},
        {"one two\027\027", "", 0},
        {"one two" LEFT "\027", "one o", 4},
        {"abc" LEFT "\014", "abc", 2},
        {"\b\177" LEFT RIGHT DELETE "\027\025\013", "", 0},
        {"ab\033[1;5Dc", "acb", 2}, /* with a modifier it is still the arrow */
        {"ab\033[15~\033[Z\033Xc", "abc", 3}, /* keys that are not known do nothing */
        {"ab\033[99999999999~c", "abc", 3},
        {"ab\033[@c", "abc", 3},
        {"ab\033[2;@c", "abc", 3},
        {"a\200\377b", "ab", 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        open_editor(NULL);
        type(cases[i].typed);
        assert_string_equal(edit.text, cases[i].text);
        assert_int_equal(edit.cursor, cases[i].cursor);
    }
}

/* The plain case is what a script over the serial line sees, so its echo is the bytes themselves. */
static void echo_is_minimal(void **state)
{
    (void)state;
    open_editor(NULL);
    assert_string_equal(terminal.log, PROMPT);
    type("abc");
    assert_string_equal(terminal.log, "abc");
    type(LEFT);
    assert_string_equal(terminal.log, "\033[1D");
    type("x");
    assert_string_equal(terminal.log, "xc\033[K\033[1D");
    type("\005");
    assert_string_equal(terminal.log, "c");
    type("\b");
    assert_string_equal(terminal.log, "\033[1D\033[K");
    terminal.logged = 0;
    assert_int_equal(line_edit_feed(&edit, '\r'), LINE_DONE);
    assert_string_equal(terminal.log, "\r\n");
    assert_string_equal(edit.text, "abx");
}

static void line_ends(void **state)
{
    (void)state;
    open_editor(NULL);
    type("one");
    assert_int_equal(line_edit_feed(&edit, '\r'), LINE_DONE);
    assert_string_equal(edit.text, "one");
    line_edit_begin(&edit);
    assert_int_equal(line_edit_feed(&edit, '\n'), LINE_MORE); /* the rest of CR LF */
    assert_int_equal(line_edit_feed(&edit, '\n'), LINE_DONE);
    assert_string_equal(edit.text, "");
    line_edit_begin(&edit);
    type("x" LEFT);
    assert_int_equal(line_edit_feed(&edit, '\003'), LINE_CANCELLED);
    assert_int_equal(terminal.column, 0);
    line_edit_begin(&edit);
    check_screen();
    assert_int_equal(line_edit_feed(&edit, '\004'), LINE_END);
}

static void a_line_ends_inside_an_escape_sequence(void **state)
{
    (void)state;
    open_editor(NULL);
    type("ab\033[");
    assert_int_equal(line_edit_feed(&edit, '\r'), LINE_DONE);
    assert_string_equal(edit.text, "ab");
    line_edit_begin(&edit);
    type("Dc");
    assert_string_equal(edit.text, "Dc");
}

static void a_full_line_takes_no_more(void **state)
{
    (void)state;
    open_editor(NULL);
    for (unsigned i = 0; i < LINE_BYTES_MAX - 1; i++)
        type("x");
    assert_int_equal(terminal.bells, 0);
    type("y");
    assert_int_equal(terminal.bells, 1);
    assert_int_equal(edit.length, LINE_BYTES_MAX - 1);
    assert_null(strchr(edit.text, 'y'));
    enter("");
    type(UP);
    assert_int_equal(edit.length, LINE_BYTES_MAX - 1);
}

static void history_is_walked(void **state)
{
    (void)state;
    open_editor(NULL);
    type(UP DOWN);
    assert_int_equal(terminal.bells, 2);
    enter("first");
    enter("second");
    enter("second"); /* kept once */
    enter(""); /* not kept */
    type("typing" UP);
    assert_string_equal(edit.text, "second");
    type(UP);
    assert_string_equal(edit.text, "first");
    type("\020"); /* Ctrl-P at the oldest */
    assert_string_equal(edit.text, "first");
    type("\016");
    assert_string_equal(edit.text, "second");
    type(DOWN);
    assert_string_equal(edit.text, "typing");
    type(DOWN);
    assert_string_equal(edit.text, "typing");
    type(UP UP "!");
    enter("");
    type(UP);
    assert_string_equal(edit.text, "first!");
    type(UP UP);
    assert_string_equal(edit.text, "first");
}

static void history_forgets_the_oldest(void **state)
{
    char line[] = "a";

    (void)state;
    open_editor(NULL);
    for (char c = 'a'; c < 'a' + LINE_HISTORY_MAX + 3; c++) {
        line[0] = c;
        enter(line);
    }
    for (unsigned i = 0; i < LINE_HISTORY_MAX + 3; i++)
        type(UP);
    assert_string_equal(edit.text, "d");
    assert_int_equal(terminal.bells, 3);
    for (unsigned i = 0; i < LINE_HISTORY_MAX; i++)
        type(DOWN);
    assert_string_equal(edit.text, "");
}

static void tab_completes_the_first_word(void **state)
{
    static const struct {
        const char *typed, *text;
        unsigned bells, rows;
    } cases[] = {
        {"b\t", "bench ", 0, 0},
        {"  he\t", "  help ", 0, 0},
        {"ha\t", "hart", 0, 0},
        {"hart\t", "hart", 0, 2},
        {"harts\t", "harts ", 0, 0},
        {"\t", "", 0, 2},
        {"q\t", "q", 1, 0},
        {"bench fr\t", "bench fr", 1, 0},
        {"b arg" HOME RIGHT "\t", "bench arg", 0, 0},
        {"bar" LEFT LEFT "\t", "bench ar", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        open_editor(words);
        type(cases[i].typed);
        assert_string_equal(edit.text, cases[i].text);
        assert_int_equal(terminal.bells, cases[i].bells);
        assert_int_equal(terminal.rows, cases[i].rows);
    }
    open_editor(words);
    type("hart\t");
    assert_non_null(strstr(terminal.log, "\r\nharts  hartmask  \r\n" PROMPT "hart"));
}

static void without_words_tab_rings(void **state)
{
    (void)state;
    open_editor(NULL);
    type("\t");
    assert_int_equal(terminal.bells, 1);
    open_editor(no_words);
    type("b\t");
    assert_int_equal(terminal.bells, 1);
}

/* Bytes in proportions that reach every key: letters, controls, and whole or broken escape sequences. */
static char random_byte(struct rng *rng, const char **pending)
{
    static const char *const sequences[] = {UP, DOWN, LEFT, RIGHT, HOME, END, DELETE, "\033[1;2C", "\033[4~",
        "\033OA", "\033", "\033[3", "\033O"};

    if (**pending != '\0')
        return *(*pending)++;
    switch (rng_below(rng, 4)) {
    case 0: return (char)rng_next(rng);
    case 1: *pending = sequences[rng_below(rng, ARRAY_SIZE(sequences))]; return *(*pending)++;
    case 2: return (char)rng_below(rng, 32);
    default: return "abchrt x"[rng_below(rng, 8)];
    }
}

static void the_screen_is_right_after_any_byte(void **state)
{
    const char *pending = "";
    struct rng rng;

    (void)state;
    rng_seed(&rng, 15, 0);
    open_editor(words);
    for (unsigned i = 0; i < RANDOM_BYTES; i++) {
        terminal.logged = 0;
        if (line_edit_feed(&edit, random_byte(&rng, &pending)) != LINE_MORE) {
            if (terminal.column != 0) /* after Ctrl-D nothing was written */
                terminal_put(&terminal.writer, "\r\n", 2);
            line_edit_begin(&edit);
        }
        check_screen();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_edit_the_text),
        cmocka_unit_test(echo_is_minimal),
        cmocka_unit_test(line_ends),
        cmocka_unit_test(a_line_ends_inside_an_escape_sequence),
        cmocka_unit_test(a_full_line_takes_no_more),
        cmocka_unit_test(history_is_walked),
        cmocka_unit_test(history_forgets_the_oldest),
        cmocka_unit_test(tab_completes_the_first_word),
        cmocka_unit_test(without_words_tab_rings),
        cmocka_unit_test(the_screen_is_right_after_any_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
