/*
 * A JSON writer that streams: no tree, no allocation, commas and escapes handled. Numbers are integers
 * or decimal fixed point, because the kernel has no floating point.
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include "lib/writer.h"

#define JSON_DEPTH_MAX 15

struct json {
    struct writer *out;
    unsigned depth;
    uint16_t not_first; /* bit d: the container at depth d has a member already */
};

void json_init(struct json *json, struct writer *out);

/* Containers nest at most JSON_DEPTH_MAX deep; a second value at the top takes a new json_init().
 * A name is given inside an object and NULL inside an array or at the top. Strings are escaped:
 * quote, backslash and control characters; bytes >= 0x80 pass through (UTF-8 stays UTF-8). */
void json_object_begin(struct json *json, const char *name);
void json_object_end(struct json *json);
void json_array_begin(struct json *json, const char *name);
void json_array_end(struct json *json);
void json_string(struct json *json, const char *name, const char *value);
void json_unsigned(struct json *json, const char *name, uint64_t value);
void json_signed(struct json *json, const char *name, int64_t value);
void json_bool(struct json *json, const char *name, bool value);
void json_null(struct json *json, const char *name);

/** json_ratio - numerator / denominator as a decimal with `decimals` (0..9) places, rounded half up;
 *  null when the denominator is 0. Exact for every 64-bit pair. */
void json_ratio(
    struct json *json, const char *name, uint64_t numerator, uint64_t denominator, unsigned decimals);

#endif
