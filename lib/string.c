/*
 * Memory and string functions for a kernel that has no C library. The compiler calls memcpy, memmove,
 * memset and memcmp of its own accord, and the frame allocators zero and copy whole frames through here
 * on measured paths, so the memory functions move words wherever alignment allows; the string functions,
 * which see short names only, stay byte loops.
 *
 * Compilers recognise such loops and would replace the body of memcpy() by a call to memcpy();
 * NOT_AN_IDIOM forbids it.
 */
#include "lib/string.h"

#if defined(__clang__)
#define NOT_AN_IDIOM __attribute__((no_builtin))
#else
#define NOT_AN_IDIOM __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

/* Memory of any type is read and written through it. */
typedef uint64_t __attribute__((may_alias)) word_t;

#define WORD_BYTES sizeof(word_t)

/* Words a turn of the unrolled loops: a cache line, so that the loop overhead is an eighth. At -O2 the
 * compiler unrolls only where a pragma says so, and the pragma takes no macro. */
#define UNROLL 8

_Static_assert(UNROLL *WORD_BYTES == CACHE_LINE_BYTES, "a turn is a line");

static inline size_t bytes_to_word(const void *p)
{
    return -(uintptr_t)p % WORD_BYTES;
}

static inline bool same_alignment(const void *a, const void *b)
{
    return ((uintptr_t)a - (uintptr_t)b) % WORD_BYTES == 0;
}

/* Safe for overlapping ranges when `to` lies below `from`: loads run ahead of the stores that would
 * overwrite them, and with equal alignment two ranges are at least a whole word apart. */
NOT_AN_IDIOM static void copy_upwards(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (same_alignment(to, from)) {
        for (size_t head = MIN(bytes_to_word(to), bytes); head > 0; head--, bytes--)
            *to++ = *from++;
        for (; bytes >= UNROLL * WORD_BYTES; bytes -= UNROLL * WORD_BYTES) {
            word_t *words_to = (word_t *)to;
            const word_t *words_from = (const word_t *)from;
#pragma GCC unroll 8
            for (unsigned i = 0; i < UNROLL; i++)
                words_to[i] = words_from[i];
            to += UNROLL * WORD_BYTES;
            from += UNROLL * WORD_BYTES;
        }
        for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES) {
            *(word_t *)to = *(const word_t *)from;
            to += WORD_BYTES;
            from += WORD_BYTES;
        }
    }
    while (bytes-- > 0)
        *to++ = *from++;
}

/* The mirror image, for `to` above `from`; takes the addresses behind the last bytes. */
NOT_AN_IDIOM static void copy_downwards(uint8_t *to_end, const uint8_t *from_end, size_t bytes)
{
    if (same_alignment(to_end, from_end)) {
        for (size_t tail = MIN((uintptr_t)to_end % WORD_BYTES, bytes); tail > 0; tail--, bytes--)
            *--to_end = *--from_end;
        for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES) {
            to_end -= WORD_BYTES;
            from_end -= WORD_BYTES;
            *(word_t *)to_end = *(const word_t *)from_end;
        }
    }
    while (bytes-- > 0)
        *--to_end = *--from_end;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    copy_upwards(to, from, bytes);
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    if ((uintptr_t)to <= (uintptr_t)from)
        copy_upwards(to, from, bytes);
    else
        copy_downwards((uint8_t *)to + bytes, (const uint8_t *)from + bytes, bytes);
    return to;
}

NOT_AN_IDIOM void *memset(void *to, int byte, size_t bytes)
{
    uint8_t *p = to;
    word_t pattern = (uint8_t)byte * 0x0101010101010101ull;

    for (size_t head = MIN(bytes_to_word(p), bytes); head > 0; head--, bytes--)
        *p++ = (uint8_t)byte;
    for (; bytes >= UNROLL * WORD_BYTES; bytes -= UNROLL * WORD_BYTES) {
        word_t *words = (word_t *)p;
#pragma GCC unroll 8
        for (unsigned i = 0; i < UNROLL; i++)
            words[i] = pattern;
        p += UNROLL * WORD_BYTES;
    }
    for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES, p += WORD_BYTES)
        *(word_t *)p = pattern;
    while (bytes-- > 0)
        *p++ = (uint8_t)byte;
    return to;
}

NOT_AN_IDIOM int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *p = a, *q = b;

    for (; bytes > 0; bytes--, p++, q++) {
        if (*p != *q)
            return *p - *q;
    }
    return 0;
}

NOT_AN_IDIOM void *memchr(const void *in, int byte, size_t bytes)
{
    for (const uint8_t *p = in; bytes > 0; bytes--, p++) {
        if (*p == (uint8_t)byte)
            return (void *)(uintptr_t)p;
    }
    return NULL;
}

NOT_AN_IDIOM size_t strlen(const char *s)
{
    size_t length = 0;

    while (s[length] != '\0')
        length++;
    return length;
}

NOT_AN_IDIOM size_t strnlen(const char *s, size_t limit)
{
    size_t length = 0;

    while (length < limit && s[length] != '\0')
        length++;
    return length;
}

NOT_AN_IDIOM int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

NOT_AN_IDIOM int strncmp(const char *a, const char *b, size_t limit)
{
    for (; limit > 0; limit--, a++, b++) {
        if (*a != *b)
            return (uint8_t)*a - (uint8_t)*b;
        if (*a == '\0')
            break;
    }
    return 0;
}

NOT_AN_IDIOM char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (*s == '\0')
            return NULL;
    }
}
