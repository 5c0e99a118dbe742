/*
 * The line editor of the console monitor. The terminal's cursor always stands at edit->cursor; every
 * function that changes the text writes the echo that keeps it so. What it sends is the part of ECMA-48 that
 * every terminal has: backspace, bell, erase to end of line, cursor left. The width of the terminal is not
 * known, so a line that wraps is edited correctly but not always shown so.
 */
#include "lib/line_edit.h"
#include "lib/string.h"

#define CONTROL(letter) ((letter)&0x1f)
#define ESCAPE          0x1b
#define DELETE          0x7f

#define ERASE_TO_END "\033[K"

/* States of line_edit.escape: how much of an escape sequence has come. */
enum {
    ESCAPE_NONE,
    ESCAPE_STARTED, /* ESC */
    ESCAPE_BRACKET, /* ESC [, and parameters */
    ESCAPE_FUNCTION, /* ESC O */
};

/* A parameter of two digits is more than any key that is known has. */
#define ESCAPE_ARGUMENT_MAX 99

static void bell(struct line_edit *edit)
{
    writer_puts(edit->echo, "\a");
}

/* Moves the terminal's cursor only. */
static void echo_left(struct line_edit *edit, size_t columns)
{
    if (columns > 0)
        writer_format(edit->echo, "\033[%zuD", columns);
}

/* Writes the text from the cursor on again, with nothing behind it. */
static void echo_tail(struct line_edit *edit)
{
    writer_puts(edit->echo, edit->text + edit->cursor);
    writer_puts(edit->echo, ERASE_TO_END);
    echo_left(edit, edit->length - edit->cursor);
}

/* Writes prompt and text on an empty row. */
static void echo_line(struct line_edit *edit)
{
    writer_puts(edit->echo, edit->prompt);
    writer_puts(edit->echo, edit->text);
    echo_left(edit, edit->length - edit->cursor);
}

static void move_to(struct line_edit *edit, size_t cursor)
{
    if (cursor < edit->cursor) {
        echo_left(edit, edit->cursor - cursor);
    } else {
        struct writer *echo = edit->echo;
        echo->put(echo, edit->text + edit->cursor, cursor - edit->cursor);
    }
    edit->cursor = cursor;
}

static void move_left(struct line_edit *edit)
{
    if (edit->cursor > 0)
        move_to(edit, edit->cursor - 1);
}

static void move_right(struct line_edit *edit)
{
    if (edit->cursor < edit->length)
        move_to(edit, edit->cursor + 1);
}

/* Inserts at the cursor as much as there is room for. */
static void insert(struct line_edit *edit, const char *bytes, size_t count)
{
    size_t room = LINE_BYTES_MAX - 1 - edit->length;
    char *at = edit->text + edit->cursor;

    if (count > room) {
        bell(edit);
        count = room;
    }
    memmove(at + count, at, edit->length - edit->cursor + 1);
    memcpy(at, bytes, count);
    edit->length += count;
    edit->cursor += count;
    edit->echo->put(edit->echo, at, count);
    if (edit->cursor < edit->length)
        echo_tail(edit);
}

/* Removes [first, end), which begins or ends at the cursor, and leaves the cursor at its place. */
static void erase(struct line_edit *edit, size_t first, size_t end)
{
    if (first == end)
        return;
    move_to(edit, first);
    memmove(edit->text + first, edit->text + end, edit->length - end + 1);
    edit->length -= end - first;
    echo_tail(edit);
}

static void erase_before(struct line_edit *edit)
{
    if (edit->cursor > 0)
        erase(edit, edit->cursor - 1, edit->cursor);
}

static void erase_under(struct line_edit *edit)
{
    if (edit->cursor < edit->length)
        erase(edit, edit->cursor, edit->cursor + 1);
}

static void erase_word(struct line_edit *edit)
{
    size_t first = edit->cursor;

    while (first > 0 && edit->text[first - 1] == ' ')
        first--;
    while (first > 0 && edit->text[first - 1] != ' ')
        first--;
    erase(edit, first, edit->cursor);
}

static void replace_line(struct line_edit *edit, const char *text)
{
    move_to(edit, 0);
    edit->length = edit->cursor = strlen(text);
    memcpy(edit->text, text, edit->length + 1);
    writer_puts(edit->echo, edit->text);
    writer_puts(edit->echo, ERASE_TO_END);
}

/* The line entered `back` lines ago, 1 being the last. */
static char *history_line(struct line_edit *edit, unsigned back)
{
    return edit->history[(edit->history_next + LINE_HISTORY_MAX - back) % LINE_HISTORY_MAX];
}

/* Keeps the line unless it is empty or the same as the last. */
static void history_add(struct line_edit *edit)
{
    if (edit->length == 0 || (edit->history_count > 0 && strcmp(history_line(edit, 1), edit->text) == 0))
        return;
    memcpy(edit->history[edit->history_next], edit->text, edit->length + 1);
    edit->history_next = (edit->history_next + 1) % LINE_HISTORY_MAX;
    edit->history_count = MIN(edit->history_count + 1, (unsigned)LINE_HISTORY_MAX);
}

static void history_older(struct line_edit *edit)
{
    if (edit->history_back == edit->history_count) {
        bell(edit);
        return;
    }
    if (edit->history_back == 0)
        memcpy(edit->saved, edit->text, edit->length + 1);
    edit->history_back++;
    replace_line(edit, history_line(edit, edit->history_back));
}

static void history_newer(struct line_edit *edit)
{
    if (edit->history_back == 0) {
        bell(edit);
        return;
    }
    edit->history_back--;
    replace_line(edit, edit->history_back == 0 ? edit->saved : history_line(edit, edit->history_back));
}

/* What the words that begin with a prefix have in common. */
struct completion {
    const char *first; /* any one of them */
    size_t length; /* how much of it they share */
    size_t count;
};

static struct completion find_completion(struct line_edit *edit, const char *prefix, size_t prefix_length)
{
    struct completion found = {0};
    const char *word;

    for (size_t i = 0; (word = edit->complete(i)) != NULL; i++) {
        if (strncmp(word, prefix, prefix_length) != 0)
            continue;
        if (found.count++ == 0) {
            found.first = word;
            found.length = strlen(word);
        }
        size_t shared = prefix_length;
        while (shared < found.length && word[shared] == found.first[shared])
            shared++;
        found.length = shared;
    }
    return found;
}

static void list_completions(struct line_edit *edit, const char *prefix, size_t prefix_length)
{
    const char *word;

    writer_puts(edit->echo, "\r\n");
    for (size_t i = 0; (word = edit->complete(i)) != NULL; i++) {
        if (strncmp(word, prefix, prefix_length) == 0)
            writer_format(edit->echo, "%s  ", word);
    }
    writer_puts(edit->echo, "\r\n");
    echo_line(edit);
}

/* Completes the first word: as far as it is certain, with a blank behind it once it is whole; where nothing
 * is certain, shows the choice. */
static void complete_word(struct line_edit *edit)
{
    size_t blanks = 0;

    while (blanks < edit->cursor && edit->text[blanks] == ' ')
        blanks++;
    const char *prefix = edit->text + blanks;
    size_t prefix_length = edit->cursor - blanks;
    if (edit->complete == NULL || memchr(prefix, ' ', prefix_length) != NULL) {
        bell(edit);
        return;
    }

    struct completion found = find_completion(edit, prefix, prefix_length);
    if (found.count == 0)
        bell(edit);
    else if (found.count > 1 && found.length == prefix_length)
        list_completions(edit, prefix, prefix_length);
    else
        insert(edit, found.first + prefix_length, found.length - prefix_length);
    if (found.count == 1 && edit->text[edit->cursor] != ' ')
        insert(edit, " ", 1);
}

static void clear_screen(struct line_edit *edit)
{
    writer_puts(edit->echo, "\033[H\033[2J");
    echo_line(edit);
}

/* The keys that ESC [ n ~ stands for, by n. */
static void numbered_key(struct line_edit *edit)
{
    switch (edit->escape_argument) {
    case 1:
    case 7: move_to(edit, 0); break;
    case 3: erase_under(edit); break;
    case 4:
    case 8: move_to(edit, edit->length); break;
    default: break;
    }
}

static void end_of_escape(struct line_edit *edit, char final)
{
    switch (final) {
    case 'A': history_older(edit); break;
    case 'B': history_newer(edit); break;
    case 'C': move_right(edit); break;
    case 'D': move_left(edit); break;
    case 'F': move_to(edit, edit->length); break;
    case 'H': move_to(edit, 0); break;
    case '~': numbered_key(edit); break;
    default: break;
    }
}

/* Takes a byte of an escape sequence. Parameters are the bytes below '@'; all but the last number of them
 * (the modifier in ESC [ 1 ; 5 C, say) are passed over, and so are keys that are not known. */
static void feed_escape(struct line_edit *edit, char byte)
{
    if (edit->escape == ESCAPE_STARTED) {
        edit->escape = byte == '[' ? ESCAPE_BRACKET : byte == 'O' ? ESCAPE_FUNCTION : ESCAPE_NONE;
        edit->escape_argument = 0;
    } else if (edit->escape == ESCAPE_BRACKET && byte >= '0' && byte <= '9') {
        unsigned argument = edit->escape_argument * 10 + (unsigned)(byte - '0');
        edit->escape_argument = MIN(argument, ESCAPE_ARGUMENT_MAX);
    } else if (edit->escape == ESCAPE_BRACKET && byte >= ' ' && byte < '@') {
        edit->escape_argument = 0;
    } else {
        edit->escape = ESCAPE_NONE;
        end_of_escape(edit, byte);
    }
}

static enum line_event finish(struct line_edit *edit)
{
    move_to(edit, edit->length);
    writer_puts(edit->echo, "\r\n");
    history_add(edit);
    return LINE_DONE;
}

static enum line_event cancel(struct line_edit *edit)
{
    move_to(edit, edit->length);
    writer_puts(edit->echo, "^C\r\n");
    return LINE_CANCELLED;
}

static void control_key(struct line_edit *edit, char byte)
{
    switch (byte) {
    case CONTROL('A'): move_to(edit, 0); break;
    case CONTROL('B'): move_left(edit); break;
    case CONTROL('D'): erase_under(edit); break;
    case CONTROL('E'): move_to(edit, edit->length); break;
    case CONTROL('F'): move_right(edit); break;
    case CONTROL('H'):
    case DELETE: erase_before(edit); break;
    case CONTROL('I'): complete_word(edit); break;
    case CONTROL('K'): erase(edit, edit->cursor, edit->length); break;
    case CONTROL('L'): clear_screen(edit); break;
    case CONTROL('N'): history_newer(edit); break;
    case CONTROL('P'): history_older(edit); break;
    case CONTROL('U'): erase(edit, 0, edit->cursor); break;
    case CONTROL('W'): erase_word(edit); break;
    case ESCAPE: edit->escape = ESCAPE_STARTED; break;
    default: bell(edit); break;
    }
}

static bool is_printable(char byte)
{
    return byte >= ' ' && byte < DELETE;
}

void line_edit_init(
    struct line_edit *edit, struct writer *echo, const char *prompt, const char *(*complete)(size_t i))
{
    memset(edit, 0, sizeof(*edit));
    edit->echo = echo;
    edit->prompt = prompt;
    edit->complete = complete;
}

void line_edit_begin(struct line_edit *edit)
{
    edit->length = edit->cursor = 0;
    edit->text[0] = '\0';
    edit->history_back = 0;
    edit->escape = ESCAPE_NONE;
    echo_line(edit);
}

enum line_event line_edit_feed(struct line_edit *edit, char byte)
{
    bool after_return = edit->after_return;

    edit->after_return = byte == '\r';
    if (byte == '\n' && after_return)
        return LINE_MORE;
    if (byte == '\r' || byte == '\n')
        return finish(edit);
    if (byte == CONTROL('C'))
        return cancel(edit);
    if (edit->escape != ESCAPE_NONE)
        feed_escape(edit, byte);
    else if (is_printable(byte))
        insert(edit, &byte, 1);
    else if (byte == CONTROL('D') && edit->length == 0)
        return LINE_END;
    else
        control_key(edit, byte);
    return LINE_MORE;
}
