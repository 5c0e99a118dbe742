/*
 * Choosing by name: a selection is a comma list of names and globs (`frame.*,lock.counter`), and every
 * item of it has to match something.
 */
#ifndef LIB_SELECT_H
#define LIB_SELECT_H

#include "lib/writer.h"

/** glob_match - whether the pattern's `*` and `?` can cover the whole name; @length bounds the pattern. */
bool glob_match(const char *pattern, size_t length, const char *name);

/** select_match - whether any item of the selection covers the name. "" selects nothing. */
bool select_match(const char *selection, const char *name);

/** select_names - whether an item of the selection is the name itself, and not a glob that covers it. */
bool select_names(const char *selection, const char *name);

/** select_match_named - whether any item of the selection covers the name that is not `*` alone: somebody meant it, or some like it. */
bool select_match_named(const char *selection, const char *name);

/**
 * select_check - prove that every item of a selection matches something.
 * @selection: comma list; an empty item is an error
 * @name_at: the i-th valid name, NULL behind the last
 * @why: on error gets a sentence that names the first item that matches nothing and all the valid names
 *
 * Returns 0, ERR_FORMAT for an empty item or list, ERR_NOT_FOUND for one that matches nothing.
 */
int select_check(const char *selection, const char *(*name_at)(size_t i), struct writer *why);

/**
 * select_numbers - a comma list of distinct numbers in [low, high], kept in the order given.
 * @numbers: room for @capacity of them; @count is set on success
 * @why: on error gets the reason, with what is valid
 *
 * Returns 0, ERR_FORMAT (also for a number given twice), ERR_RANGE, or ERR_NO_MEMORY when there are more
 * than fit.
 */
int select_numbers(const char *selection, uint64_t low, uint64_t high, uint64_t *numbers, size_t capacity,
    size_t *count, struct writer *why);

#endif
