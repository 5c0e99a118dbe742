/* Number parsing for configuration values, where a slip of the pen must not become some other number. */
#include "lib/number.h"
#include "lib/error.h"
#include "lib/string.h"

/* The digit's value, or `base` for a character that is none in that base. */
static unsigned digit_value(char c, unsigned base)
{
    unsigned value = base;

    if (c >= '0' && c <= '9')
        value = (unsigned)(c - '0');
    else if (c >= 'a' && c <= 'f')
        value = (unsigned)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
        value = (unsigned)(c - 'A') + 10;
    return MIN(value, base);
}

static unsigned suffix_shift(char c)
{
    switch (c) {
    case 'K': return 10;
    case 'M': return 20;
    case 'G': return 30;
    default: return 0;
    }
}

int number_parse(const char *text, size_t length, uint64_t *value)
{
    bool hexadecimal = length > 2 && text[0] == '0' && text[1] == 'x';
    unsigned base = hexadecimal ? 16 : 10;
    size_t first = hexadecimal ? 2 : 0, at;
    unsigned shift = length > 0 ? suffix_shift(text[length - 1]) : 0;
    size_t end = shift > 0 ? length - 1 : length;
    uint64_t number = 0;
    bool overflow = false;

    /* Read to the end even past an overflow: what is no number at all is a format error, however long. */
    for (at = first; at < end; at++) {
        unsigned digit = digit_value(text[at], base);
        if (digit == base)
            return ERR_FORMAT;
        overflow |= number > (UINT64_MAX - digit) / base;
        number = number * base + digit;
    }
    if (at == first)
        return ERR_FORMAT;
    if (overflow || number > UINT64_MAX >> shift)
        return ERR_RANGE;
    *value = number << shift;
    return 0;
}

int number_parse_range(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
    uint64_t number;
    int error = number_parse(text, strlen(text), &number);

    if (error != 0)
        return error;
    if (number < low || number > high)
        return ERR_RANGE;
    *value = number;
    return 0;
}
