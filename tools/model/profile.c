/* Profiles: `key = value` lines with # comments. Every key is needed, once, none is unknown, all are in range. */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct profile profile;

static const struct key {
    const char *name;
    uint64_t *value;
    uint64_t low, high;
} keys[] = {
#define PROFILE_KEY(key, low, high) {#key, &profile.key, low, high},
    PROFILE_KEYS(PROFILE_KEY)
#undef PROFILE_KEY
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static bool given[KEYS];

static const struct key *find(const char *name)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

/* Sets one key from the texts of its name and value; @where begins the message on an error. */
static bool set(const char *where, const char *name, const char *text)
{
    const struct key *key = find(name);
    if (!key) {
        fprintf(stderr, "error: model: %s: unknown key '%s'; valid keys:", where, name);
        for (size_t i = 0; i < KEYS; i++)
            fprintf(stderr, "%s %s", i ? "," : "", keys[i].name);
        fprintf(stderr, "\n");
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || value < key->low || value > key->high) {
        fprintf(stderr, "error: model: %s: %s = %s: must be a number from %llu to %llu\n", where, name, text,
            (unsigned long long)key->low, (unsigned long long)key->high);
        return false;
    }
    *key->value = value;
    given[key - keys] = true;
    return true;
}

static bool take_line(const char *path, unsigned number, char *line)
{
    char where[512], name[64], value[64], rest[2];
    line[strcspn(line, "#\n")] = '\0';
    if (line[strspn(line, " \t")] == '\0')
        return true;
    snprintf(where, sizeof(where), "%s:%u", path, number);
    if (sscanf(line, " %63[a-z0-9_] = %63[0-9] %1s", name, value, rest) != 2) {
        fprintf(stderr, "error: model: %s: expected 'key = number'\n", where);
        return false;
    }
    const struct key *key = find(name);
    if (key && given[key - keys]) {
        fprintf(stderr, "error: model: %s: key '%s' is there twice\n", where, name);
        return false;
    }
    return set(where, name, value);
}

bool profile_load(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "error: model: profile %s: %s\n", path, strerror(errno));
        return false;
    }
    char line[512];
    bool good = true;
    for (unsigned number = 1; good && fgets(line, sizeof(line), file); number++)
        good = take_line(path, number, line);
    fclose(file);
    for (size_t i = 0; good && i < KEYS; i++) {
        if (!given[i]) {
            fprintf(stderr, "error: model: %s: key '%s' is missing\n", path, keys[i].name);
            good = false;
        }
    }
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    snprintf(profile.name, sizeof(profile.name), "%.*s", (int)strcspn(base, "."), base);
    return good;
}

bool profile_override(const char *assignment)
{
    char name[64];
    const char *equals = strchr(assignment, '=');
    if (!equals || (size_t)(equals - assignment) >= sizeof(name)) {
        fprintf(stderr, "error: model: expected key=number, not '%s'\n", assignment);
        return false;
    }
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = '\0';
    return set("arguments", name, equals + 1);
}
