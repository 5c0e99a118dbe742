/*
 * The kernel's configuration: `key=value` words of the boot arguments. Each part of the kernel registers the
 * keys that it understands, with what is valid, so an unknown key or value is answered by the list of the valid
 * ones and a failing exit, never by a silent default.
 */
#ifndef KERNEL_CONFIG_H
#define KERNEL_CONFIG_H

#include "lib/base.h"
#include "lib/json.h"
#include "lib/writer.h"

#define CONFIG_VALUE_BYTES 256

struct config_key {
    const char *name;
    const char *valid; /* what values may be, for people: "host or model" */
    const char *initial; /* the value when the key is not given */

    /* Take a value. 0, or a negative error with a sentence in @why that says what is valid. */
    int (*apply)(const char *value, struct writer *why);

    /* For a key that chooses what the kernel does after boot (`bench=`, `stress=`): does it, and returns
     * 0 or a negative error, which becomes QEMU's exit status. NULL for every other key. */
    int (*run)(void);

    char *given; /* CONFIG_VALUE_BYTES; the value in force */
};

LINK_SET_DECLARE(config_keys, const struct config_key);

/* Registers a key: CONFIG_KEY(bench_harts, .name = "harts", …); */
#define CONFIG_KEY(id, ...)                                                                                  \
    static char id##_given[CONFIG_VALUE_BYTES];                                                              \
    static const struct config_key id = {.given = id##_given, __VA_ARGS__};                                  \
    LINK_SET_ADD(config_keys, id)

/**
 * config_load - take the boot arguments apart and apply every key, given or initial.
 * @arguments: cut into pieces in place
 * @why: on error gets the reason, with what is valid
 *
 * Returns 0, ERR_FORMAT, ERR_NOT_FOUND (no such key), ERR_RANGE, or what a key's apply returned.
 */
int config_load(char *arguments, struct writer *why);

/** config_mode - the key with a `run` that was given; NULL when none was. */
const struct config_key *config_mode(void);

/** config_write - every key and its value in force, as members of the open JSON object. */
void config_write(struct json *json);

/** config_apply_choice - for keys whose value is one of a list: ERR_NOT_FOUND with the list in @why. */
int config_apply_choice(const char *value, const char *(*name_at)(size_t i), struct writer *why);

/** config_apply_index - the same; @which becomes the value's place in the list, and stays as it is on error. */
int config_apply_index(
    const char *value, const char *(*name_at)(size_t i), size_t *which, struct writer *why);

/** config_apply_number - for keys that are one number in [low, high]: ERR_RANGE or ERR_FORMAT with the bounds. */
int config_apply_number(const char *value, uint64_t low, uint64_t high, uint64_t *number, struct writer *why);

#endif
