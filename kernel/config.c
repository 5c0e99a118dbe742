/* Boot arguments to configuration; see config.h. Boot hart only. */
#include "kernel/config.h"
#include "lib/args.h"
#include "lib/error.h"
#include "lib/number.h"
#include "lib/select.h"
#include "lib/string.h"

static const struct config_key *mode;

static const struct config_key *find(const char *name)
{
    LINK_SET_FOR_EACH (config_keys, const struct config_key, key) {
        if (strcmp((*key)->name, name) == 0)
            return *key;
    }
    return NULL;
}

static int unknown_key(const char *name, struct writer *why)
{
    writer_format(why, "unknown key '%s'; valid keys:", name);
    LINK_SET_FOR_EACH (config_keys, const struct config_key, key)
        writer_format(why, "%s %s", key == __start_hs_config_keys ? "" : ",", (*key)->name);
    return ERR_NOT_FOUND;
}

static int take(const struct arg *arg, struct writer *why)
{
    const struct config_key *key = find(arg->key);
    if (!key)
        return unknown_key(arg->key, why);
    if (!arg->has_value || arg->value[0] == '\0') {
        writer_format(why, "%s needs a value: %s", key->name, key->valid);
        return ERR_FORMAT;
    }
    if (key->given[0] != '\0') {
        writer_format(why, "%s is given twice", key->name);
        return ERR_FORMAT;
    }
    if (strlen(arg->value) >= CONFIG_VALUE_BYTES) {
        writer_format(why, "the value of %s is longer than %d characters", key->name, CONFIG_VALUE_BYTES - 1);
        return ERR_RANGE;
    }
    if (key->run && mode) {
        writer_format(why, "%s and %s both say what to do; give one", mode->name, key->name);
        return ERR_FORMAT;
    }
    if (key->run)
        mode = key;
    memcpy(key->given, arg->value, strlen(arg->value) + 1);
    return 0;
}

static int apply(const struct config_key *key, struct writer *why)
{
    static char text[4096]; /* only the boot hart configures; the list of planted bugs is long */
    struct buffer_writer reason;
    buffer_writer_init(&reason, text, sizeof(text));
    int error = key->apply ? key->apply(key->given, &reason.writer) : 0;
    if (error)
        writer_format(why, "%s=%s: %s", key->name, key->given, reason.length ? text : key->valid);
    return error;
}

int config_load(char *arguments, struct writer *why)
{
    struct arg arg;
    int status;
    mode = NULL;
    LINK_SET_FOR_EACH (config_keys, const struct config_key, key)
        (*key)->given[0] = '\0';
    while ((status = args_next(&arguments, &arg)) == 1) {
        int error = take(&arg, why);
        if (error)
            return error;
    }
    if (status < 0) {
        writer_format(why, "the boot arguments do not parse: a word without a key or an open quote");
        return status;
    }
    LINK_SET_FOR_EACH (config_keys, const struct config_key, key) {
        if ((*key)->given[0] == '\0')
            memcpy((*key)->given, (*key)->initial, strlen((*key)->initial) + 1);
        /* A mode that was not asked for has nothing to check. */
        int error = (*key)->run && *key != mode ? 0 : apply(*key, why);
        if (error)
            return error;
    }
    return 0;
}

const struct config_key *config_mode(void)
{
    return mode;
}

void config_write(struct json *json)
{
    LINK_SET_FOR_EACH (config_keys, const struct config_key, key) {
        if (!(*key)->run || *key == mode)
            json_string(json, (*key)->name, (*key)->given);
    }
}

int config_apply_choice(const char *value, const char *(*name_at)(size_t i), struct writer *why)
{
    size_t unused;
    return config_apply_index(value, name_at, &unused, why);
}

int config_apply_index(const char *value, const char *(*name_at)(size_t i), size_t *which, struct writer *why)
{
    for (size_t i = 0; name_at(i); i++) {
        if (strcmp(name_at(i), value) == 0) {
            *which = i;
            return 0;
        }
    }
    writer_format(why, "no such choice; valid:");
    for (size_t i = 0; name_at(i); i++)
        writer_format(why, "%s %s", i ? "," : "", name_at(i));
    return ERR_NOT_FOUND;
}

int config_apply_number(const char *value, uint64_t low, uint64_t high, uint64_t *number, struct writer *why)
{
    int error = number_parse_range(value, low, high, number);
    if (error)
        writer_format(why, "must be a number from %lu to %lu", low, high);
    return error;
}
