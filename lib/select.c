/*
 * Selections by name and by number. A name that matches nothing is a mistake of the user's that would
 * otherwise show as a missing result, so the errors say what would have been valid.
 */
#include "lib/select.h"
#include "lib/error.h"
#include "lib/number.h"
#include "lib/string.h"

struct item {
    const char *text;
    size_t length;
};

/*
 * Walks the items of a comma list: *cursor starts at the list and is NULL behind the last item. "" has one
 * item, which is empty.
 */
static bool next_item(const char **cursor, struct item *item)
{
    if (*cursor == NULL)
        return false;

    const char *comma = strchr(*cursor, ',');
    item->text = *cursor;
    item->length = comma == NULL ? strlen(*cursor) : (size_t)(comma - *cursor);
    *cursor = comma == NULL ? NULL : comma + 1;
    return true;
}

/*
 * Only the last `*` has to be tried again when a later character does not fit: whatever an earlier one
 * could cover more, the last can cover as well. That makes it at most length * strlen(name) steps.
 */
bool glob_match(const char *pattern, size_t length, const char *name)
{
    const char *end = pattern + strnlen(pattern, length);
    const char *star = NULL, *star_name = NULL;

    while (*name != '\0') {
        if (pattern < end && *pattern == '*') {
            star = pattern++;
            star_name = name;
        } else if (pattern < end && (*pattern == '?' || *pattern == *name)) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

bool select_match(const char *selection, const char *name)
{
    struct item item;

    while (next_item(&selection, &item)) {
        if (item.length > 0 && glob_match(item.text, item.length, name))
            return true;
    }
    return false;
}

bool select_names(const char *selection, const char *name)
{
    struct item item;

    while (next_item(&selection, &item)) {
        if (strlen(name) == item.length && strncmp(name, item.text, item.length) == 0)
            return true;
    }
    return false;
}

bool select_match_named(const char *selection, const char *name)
{
    struct item item;

    while (next_item(&selection, &item)) {
        bool is_everything = item.length == 1 && item.text[0] == '*';
        if (item.length > 0 && !is_everything && glob_match(item.text, item.length, name))
            return true;
    }
    return false;
}

static bool matches_any(const struct item *item, const char *(*name_at)(size_t i))
{
    const char *name;

    for (size_t i = 0; (name = name_at(i)) != NULL; i++) {
        if (glob_match(item->text, item->length, name))
            return true;
    }
    return false;
}

static void list_names(const char *(*name_at)(size_t i), struct writer *why)
{
    const char *name;

    for (size_t i = 0; (name = name_at(i)) != NULL; i++)
        writer_format(why, "%s%s", i == 0 ? "; valid: " : ", ", name);
}

int select_check(const char *selection, const char *(*name_at)(size_t i), struct writer *why)
{
    const char *cursor = selection;
    struct item item;

    while (next_item(&cursor, &item)) {
        if (item.length == 0) {
            writer_format(why, "empty item in \"%s\"", selection);
            list_names(name_at, why);
            return ERR_FORMAT;
        }
        if (!matches_any(&item, name_at)) {
            writer_format(
                why, "\"%.*s\" matches nothing", (int)MIN(item.length, (size_t)INT32_MAX), item.text);
            list_names(name_at, why);
            return ERR_NOT_FOUND;
        }
    }
    return 0;
}

static bool contains(const uint64_t *numbers, size_t count, uint64_t number)
{
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] == number)
            return true;
    }
    return false;
}

/* Judges one item; on error returns the code and points *reason at what to say of the item. */
static int number_item(const struct item *item, uint64_t low, uint64_t high, const uint64_t *numbers,
    size_t count, uint64_t *number, const char **reason)
{
    int error = number_parse(item->text, item->length, number);

    if (error == ERR_FORMAT) {
        *reason = "is not a number";
    } else if (error != 0 || *number < low || *number > high) {
        *reason = "is out of range";
        error = ERR_RANGE;
    } else if (contains(numbers, count, *number)) {
        *reason = "is given twice";
        error = ERR_FORMAT;
    }
    return error;
}

int select_numbers(const char *selection, uint64_t low, uint64_t high, uint64_t *numbers, size_t capacity,
    size_t *count, struct writer *why)
{
    const char *cursor = selection;
    struct item item;
    size_t found = 0;

    while (next_item(&cursor, &item)) {
        const char *reason;
        uint64_t number;
        int error = number_item(&item, low, high, numbers, found, &number, &reason);
        if (error == 0 && found == capacity) {
            reason = "is one too many";
            error = ERR_NO_MEMORY;
        }
        if (error != 0) {
            writer_format(why, "\"%.*s\" %s; valid: at most %zu distinct numbers from %llu to %llu",
                (int)MIN(item.length, (size_t)INT32_MAX), item.text, reason, capacity,
                (unsigned long long)low, (unsigned long long)high);
            return error;
        }
        numbers[found++] = number;
    }
    *count = found;
    return 0;
}
