/*
 * A line editor for a serial terminal: bytes typed go in, echo and escape sequences come out through a
 * writer. Knows the arrows, Home, End, Delete, Ctrl-A/B/E/F/D/H/K/L/N/P/U/W, history, and Tab completion.
 */
#ifndef LIB_LINE_EDIT_H
#define LIB_LINE_EDIT_H

#include "lib/writer.h"

#define LINE_BYTES_MAX   256
#define LINE_HISTORY_MAX 16

enum line_event {
    LINE_MORE, /* keep feeding */
    LINE_DONE, /* Enter: line_edit.text holds the line, NUL-terminated */
    LINE_CANCELLED, /* Ctrl-C */
    LINE_END, /* Ctrl-D on an empty line */
};

struct line_edit {
    struct writer *echo;
    const char *prompt;
    const char *(*complete)(
        size_t i); /* the i-th word that may begin a line, NULL behind the last; may be NULL */
    char text[LINE_BYTES_MAX];
    size_t length, cursor;
    char history[LINE_HISTORY_MAX][LINE_BYTES_MAX];
    unsigned history_count, history_next; /* ring */
    unsigned history_back; /* how far up the user has gone; 0: the line being typed */
    char saved[LINE_BYTES_MAX]; /* the line being typed while history is shown */
    unsigned escape; /* state of an escape sequence */
    unsigned escape_argument;
    bool after_return; /* a CR came last: a LF that follows is part of it */
};

void line_edit_init(
    struct line_edit *edit, struct writer *echo, const char *prompt, const char *(*complete)(size_t i));

/** line_edit_begin - show the prompt and start an empty line. */
void line_edit_begin(struct line_edit *edit);

/** line_edit_feed - take one byte. After LINE_DONE, LINE_CANCELLED or LINE_END call line_edit_begin(). */
enum line_event line_edit_feed(struct line_edit *edit, char byte);

#endif
