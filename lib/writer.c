/*
 * The project's printf. A conversion is parsed into a `struct spec`, its argument is fetched, and the
 * result is laid out as sign or prefix, zeros, digits and padding. Follows C17 7.21.6.1 for the subset
 * that lib/writer.h names.
 */
#include "lib/writer.h"
#include "lib/string.h"

/* Octal digits of 2^64 - 1: the longest number there is. */
#define DIGITS_MAX 22

/* Where the text goes, and how much of it there has been. */
struct output {
    struct writer *writer;
    size_t count;
};

enum length {
    LENGTH_CHAR,
    LENGTH_SHORT,
    LENGTH_INT,
    LENGTH_LONG,
    LENGTH_LONG_LONG,
    LENGTH_SIZE,
    LENGTH_PTRDIFF,
    LENGTH_MAX,
};

struct spec {
    bool left, zero, plus, space, alternate;
    bool has_precision;
    unsigned width, precision;
    enum length length;
    char conversion;
};

/* va_list may be an array type, which a function cannot take by reference; a struct can be. */
struct arguments {
    va_list list;
};

static void emit(struct output *out, const char *bytes, size_t count)
{
    if (count == 0)
        return;
    out->writer->put(out->writer, bytes, count);
    out->count += count;
}

static void emit_repeated(struct output *out, char c, size_t count)
{
    char block[16];

    memset(block, c, sizeof(block));
    for (; count > sizeof(block); count -= sizeof(block))
        emit(out, block, sizeof(block));
    emit(out, block, count);
}

static void emit_padded(struct output *out, const struct spec *spec, const char *bytes, size_t count)
{
    size_t padding = spec->width > count ? spec->width - count : 0;

    if (!spec->left)
        emit_repeated(out, ' ', padding);
    emit(out, bytes, count);
    if (spec->left)
        emit_repeated(out, ' ', padding);
}

/* Writes the digits of a value so that they end at `end`; returns where they begin. 0 has no digits. */
static char *digits_before(char *end, uint64_t value, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";

    for (; value != 0; value /= base)
        *--end = digits[value % base];
    return end;
}

/* prefix: a sign or 0x, at most two characters, which zero padding comes behind. */
static void emit_number(
    struct output *out, const struct spec *spec, const char *prefix, uint64_t value, unsigned base)
{
    char buffer[DIGITS_MAX];
    char *end = buffer + sizeof(buffer);
    char *digits = digits_before(end, value, base, spec->conversion == 'X');
    size_t ndigits = (size_t)(end - digits);
    size_t wanted = spec->has_precision ? spec->precision : 1;
    size_t prefix_length = strlen(prefix);

    if (spec->alternate && base == 8)
        wanted = MAX(wanted, ndigits + 1);
    if (spec->zero && !spec->left && !spec->has_precision && spec->width > prefix_length)
        wanted = MAX(wanted, spec->width - prefix_length);

    size_t zeros = wanted > ndigits ? wanted - ndigits : 0;
    size_t length = prefix_length + zeros + ndigits;
    size_t padding = spec->width > length ? spec->width - length : 0;

    if (!spec->left)
        emit_repeated(out, ' ', padding);
    emit(out, prefix, prefix_length);
    emit_repeated(out, '0', zeros);
    emit(out, digits, ndigits);
    if (spec->left)
        emit_repeated(out, ' ', padding);
}

static int64_t fetch_signed(struct arguments *args, enum length length)
{
    switch (length) {
    case LENGTH_CHAR: return (signed char)va_arg(args->list, int);
    case LENGTH_SHORT: return (short)va_arg(args->list, int);
    case LENGTH_INT: return va_arg(args->list, int);
    case LENGTH_LONG: return va_arg(args->list, long);
    case LENGTH_LONG_LONG: return va_arg(args->list, long long);
    case LENGTH_SIZE: /* the signed type of size_t's width */
    case LENGTH_PTRDIFF: return va_arg(args->list, ptrdiff_t);
    case LENGTH_MAX: break;
    }
    return va_arg(args->list, intmax_t);
}

static uint64_t fetch_unsigned(struct arguments *args, enum length length)
{
    switch (length) {
    case LENGTH_CHAR: return (unsigned char)va_arg(args->list, unsigned);
    case LENGTH_SHORT: return (unsigned short)va_arg(args->list, unsigned);
    case LENGTH_INT: return va_arg(args->list, unsigned);
    case LENGTH_LONG: return va_arg(args->list, unsigned long);
    case LENGTH_LONG_LONG: return va_arg(args->list, unsigned long long);
    case LENGTH_SIZE: /* the unsigned type of ptrdiff_t's width */
    case LENGTH_PTRDIFF: return va_arg(args->list, size_t);
    case LENGTH_MAX: break;
    }
    return va_arg(args->list, uintmax_t);
}

static void emit_signed(struct output *out, const struct spec *spec, int64_t value)
{
    const char *sign = value < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    emit_number(out, spec, sign, magnitude, 10);
}

static void emit_hexadecimal(struct output *out, const struct spec *spec, uint64_t value)
{
    const char *prefix = spec->conversion == 'X' ? "0X" : "0x";

    emit_number(out, spec, spec->alternate && value != 0 ? prefix : "", value, 16);
}

static void emit_string(struct output *out, const struct spec *spec, const char *text)
{
    if (text == NULL)
        text = "(null)";
    emit_padded(out, spec, text, spec->has_precision ? strnlen(text, spec->precision) : strlen(text));
}

static void emit_character(struct output *out, const struct spec *spec, char c)
{
    emit_padded(out, spec, &c, 1);
}

/* Writes one conversion; false, with no argument taken, where there is no such conversion. */
static bool convert(struct output *out, const struct spec *spec, struct arguments *args)
{
    if (spec->length != LENGTH_INT && memchr("csp%", spec->conversion, 4) != NULL)
        return false;

    switch (spec->conversion) {
    case 'd':
    case 'i': emit_signed(out, spec, fetch_signed(args, spec->length)); return true;
    case 'u': emit_number(out, spec, "", fetch_unsigned(args, spec->length), 10); return true;
    case 'o': emit_number(out, spec, "", fetch_unsigned(args, spec->length), 8); return true;
    case 'x':
    case 'X': emit_hexadecimal(out, spec, fetch_unsigned(args, spec->length)); return true;
    case 'p': emit_number(out, spec, "0x", (uintptr_t)va_arg(args->list, void *), 16); return true;
    case 's': emit_string(out, spec, va_arg(args->list, const char *)); return true;
    case 'c': emit_character(out, spec, (char)va_arg(args->list, int)); return true;
    case '%': emit(out, "%", 1); return true;
    default: return false;
    }
}

static const char *parse_flags(const char *at, struct spec *spec)
{
    for (;; at++) {
        switch (*at) {
        case '-': spec->left = true; break;
        case '0': spec->zero = true; break;
        case '+': spec->plus = true; break;
        case ' ': spec->space = true; break;
        case '#': spec->alternate = true; break;
        default: return at;
        }
    }
}

/* Digits, or `*` for an argument; a number that is too large for an int is as good as the largest. */
static const char *parse_count(const char *at, int *count, struct arguments *args)
{
    if (*at == '*') {
        *count = va_arg(args->list, int);
        return at + 1;
    }
    *count = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';
        *count = *count > (INT32_MAX - digit) / 10 ? INT32_MAX : *count * 10 + digit;
    }
    return at;
}

static const char *parse_length(const char *at, struct spec *spec)
{
    spec->length = LENGTH_INT;
    switch (*at) {
    case 'h': spec->length = at[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT; break;
    case 'l': spec->length = at[1] == 'l' ? LENGTH_LONG_LONG : LENGTH_LONG; break;
    case 'z': spec->length = LENGTH_SIZE; break;
    case 't': spec->length = LENGTH_PTRDIFF; break;
    case 'j': spec->length = LENGTH_MAX; break;
    default: return at;
    }
    return at + (spec->length == LENGTH_CHAR || spec->length == LENGTH_LONG_LONG ? 2 : 1);
}

/* Reads what follows a `%` up to and with the conversion character, which may be the format's NUL. */
static const char *parse_spec(const char *at, struct spec *spec, struct arguments *args)
{
    int count;

    *spec = (struct spec){0};
    at = parse_flags(at, spec);

    at = parse_count(at, &count, args);
    spec->left |= count < 0;
    spec->width = count < 0 ? 0u - (unsigned)count : (unsigned)count;

    if (*at == '.') {
        at = parse_count(at + 1, &count, args);
        spec->has_precision = count >= 0;
        spec->precision = spec->has_precision ? (unsigned)count : 0;
    }

    at = parse_length(at, spec);
    spec->conversion = *at;
    return at + 1;
}

static void format_all(struct output *out, const char *format, struct arguments *args)
{
    for (;;) {
        const char *percent = strchr(format, '%');
        if (percent == NULL)
            break;
        emit(out, format, (size_t)(percent - format));

        struct spec spec;
        format = parse_spec(percent + 1, &spec, args);
        if (!convert(out, &spec, args)) {
            format = percent;
            break;
        }
    }
    emit(out, format, strlen(format));
}

int writer_vformat(struct writer *writer, const char *format, va_list list)
{
    struct output out = {.writer = writer};
    struct arguments args;

    va_copy(args.list, list);
    format_all(&out, format, &args);
    va_end(args.list);
    return out.count > INT32_MAX ? INT32_MAX : (int)out.count;
}

int writer_format(struct writer *writer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = writer_vformat(writer, format, args);
    va_end(args);
    return length;
}

void writer_puts(struct writer *writer, const char *text)
{
    writer->put(writer, text, strlen(text));
}

static void buffer_put(struct writer *writer, const char *bytes, size_t count)
{
    struct buffer_writer *buffer = CONTAINER_OF(writer, struct buffer_writer, writer);
    size_t room = buffer->capacity == 0 ? 0 : buffer->capacity - 1 - buffer->length;
    size_t stored = MIN(count, room);

    if (stored < count)
        buffer->truncated = true;
    if (stored == 0)
        return;
    memcpy(buffer->text + buffer->length, bytes, stored);
    buffer->length += stored;
    buffer->text[buffer->length] = '\0';
}

void buffer_writer_init(struct buffer_writer *buffer, char *text, size_t capacity)
{
    *buffer = (struct buffer_writer){.writer.put = buffer_put, .text = text, .capacity = capacity};
    if (capacity > 0)
        text[0] = '\0';
}

int buffer_format(char *text, size_t capacity, const char *format, ...)
{
    struct buffer_writer buffer;
    va_list args;

    buffer_writer_init(&buffer, text, capacity);
    va_start(args, format);
    int length = writer_vformat(&buffer.writer, format, args);
    va_end(args);
    return length;
}
