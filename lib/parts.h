/*
 * Names for parts of memory, for reports that have an address and want to say what is there. Whoever owns a structure
 * tells its parts to a visitor, what is outside before what is inside: the last part told that holds an address is
 * its name.
 */
#ifndef LIB_PARTS_H
#define LIB_PARTS_H

#include "lib/base.h"

struct part {
    const char *owner; /* "hartcache" */
    const char *
        name; /* "lock", or of an array the name of an element to which its index is added: "stack of hart" */
    const void *base; /* of the first element */
    size_t bytes; /* of one element */
    size_t count; /* elements; 0: it is no array */
    size_t first; /* index of the first */
    size_t stride; /* from one element to the next; at least bytes */
};

struct parts {
    void (*visit)(struct parts *, const struct part *);
    const char *owner; /* of the parts that come now */
};

static inline void parts_add(struct parts *parts, const char *name, const void *base, size_t bytes)
{
    parts->visit(parts, &(struct part){.owner = parts->owner, .name = name, .base = base, .bytes = bytes});
}

/** parts_add_array - elements of an array, or one member of each. */
static inline void parts_add_array(
    struct parts *parts, const char *name, const void *base, size_t bytes, size_t count, size_t stride)
{
    parts->visit(parts, &(struct part){.owner = parts->owner,
                            .name = name,
                            .base = base,
                            .bytes = bytes,
                            .count = count,
                            .stride = stride});
}

/** parts_add_nth - the element of that index, of an array that is not in one piece. */
static inline void parts_add_nth(
    struct parts *parts, const char *name, size_t index, const void *base, size_t bytes)
{
    parts->visit(parts, &(struct part){.owner = parts->owner,
                            .name = name,
                            .base = base,
                            .bytes = bytes,
                            .count = 1,
                            .first = index,
                            .stride = bytes});
}

#endif
