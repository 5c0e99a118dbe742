/* The JSON writer: every value goes through begin_value(), which owns the commas and the names. */
#include "lib/json.h"
#include "lib/ratio.h"

_Static_assert(JSON_DEPTH_MAX < 16, "not_first has a bit for each depth from 0 on");

void json_init(struct json *json, struct writer *out)
{
    *json = (struct json){.out = out};
}

static void put_escaped(struct writer *out, char c)
{
    switch (c) {
    case '"': writer_puts(out, "\\\""); break;
    case '\\': writer_puts(out, "\\\\"); break;
    case '\n': writer_puts(out, "\\n"); break;
    case '\r': writer_puts(out, "\\r"); break;
    case '\t': writer_puts(out, "\\t"); break;
    default: writer_format(out, "\\u%04x", (unsigned char)c); break;
    }
}

static bool needs_escape(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

static void put_string(struct writer *out, const char *text)
{
    out->put(out, "\"", 1);
    while (*text != '\0') {
        size_t plain = 0;
        while (text[plain] != '\0' && !needs_escape(text[plain]))
            plain++;
        if (plain > 0)
            out->put(out, text, plain);
        text += plain;
        if (*text != '\0')
            put_escaped(out, *text++);
    }
    out->put(out, "\"", 1);
}

static void begin_value(struct json *json, const char *name)
{
    uint16_t bit = (uint16_t)(1u << json->depth);

    if (json->not_first & bit)
        writer_puts(json->out, ",");
    json->not_first |= bit;
    if (name != NULL) {
        put_string(json->out, name);
        writer_puts(json->out, ":");
    }
}

static void begin_container(struct json *json, const char *name, const char *bracket)
{
    begin_value(json, name);
    writer_puts(json->out, bracket);
    json->depth++;
    json->not_first &= (uint16_t) ~(1u << json->depth);
}

static void end_container(struct json *json, const char *bracket)
{
    json->depth--;
    writer_puts(json->out, bracket);
}

void json_object_begin(struct json *json, const char *name)
{
    begin_container(json, name, "{");
}

void json_object_end(struct json *json)
{
    end_container(json, "}");
}

void json_array_begin(struct json *json, const char *name)
{
    begin_container(json, name, "[");
}

void json_array_end(struct json *json)
{
    end_container(json, "]");
}

void json_string(struct json *json, const char *name, const char *value)
{
    begin_value(json, name);
    put_string(json->out, value);
}

void json_unsigned(struct json *json, const char *name, uint64_t value)
{
    begin_value(json, name);
    writer_format(json->out, "%ju", (uintmax_t)value);
}

void json_signed(struct json *json, const char *name, int64_t value)
{
    begin_value(json, name);
    writer_format(json->out, "%jd", (intmax_t)value);
}

void json_bool(struct json *json, const char *name, bool value)
{
    begin_value(json, name);
    writer_puts(json->out, value ? "true" : "false");
}

void json_null(struct json *json, const char *name)
{
    begin_value(json, name);
    writer_puts(json->out, "null");
}

void json_ratio(
    struct json *json, const char *name, uint64_t numerator, uint64_t denominator, unsigned decimals)
{
    if (denominator == 0) {
        json_null(json, name);
        return;
    }

    struct decimal ratio = ratio_decimal(numerator, denominator, decimals);
    begin_value(json, name);
    writer_format(json->out, "%ju", (uintmax_t)ratio.whole);
    if (decimals > 0)
        writer_format(json->out, ".%0*u", (int)decimals, ratio.fraction);
}
