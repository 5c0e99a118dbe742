/* The words for the codes of lib/error.h, for messages that a person reads. */
#include "lib/error.h"

const char *error_text(int error)
{
    switch (error) {
    case 0: return "success";
    case ERR_INVALID: return "invalid argument";
    case ERR_RANGE: return "out of range";
    case ERR_NO_MEMORY: return "out of memory";
    case ERR_NOT_FOUND: return "not found";
    case ERR_FORMAT: return "malformed input";
    case ERR_TRUNCATED: return "truncated input";
    case ERR_UNSUPPORTED: return "not supported";
    case ERR_TIMEOUT: return "timed out";
    case ERR_CORRUPT: return "corrupt data structure";
    case ERR_STATE: return "not possible in this state";
    case ERR_EXISTS: return "already there";
    case ERR_PERMISSION: return "not permitted";
    default: return "unknown error";
    }
}
