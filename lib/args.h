/*
 * The kernel's command line: words of `key=value` or `key`, separated by blanks; a value may be put in
 * double quotes to hold blanks. Splits in place; keeps no state of its own.
 */
#ifndef LIB_ARGS_H
#define LIB_ARGS_H

#include "lib/base.h"

struct arg {
    const char *key;
    const char *value; /* "" for a bare key or `key=` */
    bool has_value; /* there was a `=` */
};

/**
 * args_next - take the next word off a command line.
 * @cursor: in: where to read, out: behind the word. The text is cut into strings in place.
 * @arg: the word, pointing into the text
 *
 * Returns 1 with a word, 0 at the end, ERR_FORMAT for a quote that is not closed, a quote that does not
 * stand around a whole value, or a word without a key; the cursor is then at the bad word, which is uncut.
 */
int args_next(char **cursor, struct arg *arg);

#endif
