/*
 * The splitter behind the kernel's command line. The text comes from whoever starts the machine, so what
 * it does not understand is an error: a quote in the middle of a word is more likely a slip than a name.
 */
#include "lib/args.h"
#include "lib/error.h"
#include "lib/string.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_word(char c)
{
    return c == '\0' || is_blank(c);
}

/* The first character from `at` on that ends a word or is `stop`; a quote before it is misplaced: NULL. */
static char *scan_word(char *at, char stop)
{
    for (; !ends_word(*at) && *at != stop; at++) {
        if (*at == '"')
            return NULL;
    }
    return at;
}

/* Cuts the word off at `end` and moves the cursor behind it. */
static void cut(char **cursor, char *end)
{
    *cursor = *end == '\0' ? end : end + 1;
    *end = '\0';
}

static int take_quoted(char **cursor, char *equals, struct arg *arg)
{
    char *close = strchr(equals + 2, '"');

    if (close == NULL || !ends_word(close[1]))
        return ERR_FORMAT;
    *equals = '\0';
    arg->value = equals + 2;
    cut(cursor, close);
    return 1;
}

static int take_plain(char **cursor, char *equals, struct arg *arg)
{
    char *end = scan_word(equals + 1, '\0');

    if (end == NULL)
        return ERR_FORMAT;
    *equals = '\0';
    arg->value = equals + 1;
    cut(cursor, end);
    return 1;
}

int args_next(char **cursor, struct arg *arg)
{
    while (is_blank(**cursor))
        ++*cursor;
    if (**cursor == '\0')
        return 0;

    char *key = *cursor;
    char *end = scan_word(key, '=');
    if (end == NULL || end == key)
        return ERR_FORMAT;

    *arg = (struct arg){.key = key, .value = "", .has_value = *end == '='};
    if (!arg->has_value) {
        cut(cursor, end);
        return 1;
    }
    return end[1] == '"' ? take_quoted(cursor, end, arg) : take_plain(cursor, end, arg);
}
