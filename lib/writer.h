/*
 * Text output to anywhere: a writer is a sink of bytes, and writer_format() is the project's printf.
 * The console, a fixed buffer and a counter are writers; JSON and tables are written through them.
 */
#ifndef LIB_WRITER_H
#define LIB_WRITER_H

#include "lib/base.h"

struct writer {
    /* Takes all the bytes; a sink with an end drops what does not fit and remembers that it did. */
    void (*put)(struct writer *, const char *bytes, size_t count);
};

/**
 * writer_format - formatted output.
 * @writer: where to
 * @format: C's printf subset: flags `-`, `0`, `+`, ` `, `#`; width and precision, also as `*`; lengths
 *          hh h l ll z t j; conversions d i u x X o c s p %. No floating point.
 *
 * Returns the number of characters written (asked for, where the sink dropped some).
 * An unknown conversion is written as it stands, and so is all that follows it: the mistake is seen, and no
 * argument is misread. A NULL string is written as "(null)".
 */
int writer_format(struct writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);
int writer_vformat(struct writer *writer, const char *format, va_list args);

/** writer_puts - the string as it is. */
void writer_puts(struct writer *writer, const char *text);

/* A writer into a caller's buffer, which is always NUL-terminated when capacity > 0. */
struct buffer_writer {
    struct writer writer;
    char *text;
    size_t capacity; /* bytes of the buffer, NUL included */
    size_t length; /* bytes stored, NUL not counted */
    bool truncated; /* something did not fit */
};

void buffer_writer_init(struct buffer_writer *buffer, char *text, size_t capacity);

/** buffer_format - snprintf: returns the length it would have had. */
int buffer_format(char *text, size_t capacity, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
