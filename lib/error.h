/*
 * The one enumeration of errors. A function that can fail returns 0 or one of these (all negative),
 * and its caller looks at it. Running out of memory is a value here, never a panic.
 */
#ifndef LIB_ERROR_H
#define LIB_ERROR_H

enum error {
    ERR_INVALID = -1, /* an argument breaks the function's contract */
    ERR_RANGE = -2, /* a number or address outside what is allowed */
    ERR_NO_MEMORY = -3, /* no frame, no block, no space in a buffer */
    ERR_NOT_FOUND = -4, /* no such name, node, property */
    ERR_FORMAT = -5, /* input that does not parse */
    ERR_TRUNCATED = -6, /* input that ends before it should */
    ERR_UNSUPPORTED = -7, /* the machine or firmware lacks what is needed */
    ERR_TIMEOUT = -8, /* a bounded wait ran out */
    ERR_CORRUPT = -9, /* an invariant of a data structure does not hold */
    ERR_STATE = -10, /* right arguments at the wrong moment */
    ERR_EXISTS = -11, /* something else is there already */
    ERR_PERMISSION = -12, /* it is there, but not to be used in that way */
};

/** error_text - what an error means, in a few words; "unknown error" for a code that is none. */
const char *error_text(int error);

#endif
