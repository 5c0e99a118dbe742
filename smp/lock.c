/* The kinds of lock, by name, and what they have in common. A new kind is one file and one line here. */
#include "smp/lock.h"
#include "lib/string.h"

static const struct lock_ops *const kinds[] = {
    &lock_tas,
    &lock_ttas,
    &lock_ticket,
    &lock_mcs,
};

const struct lock_ops *lock_kind_at(size_t i)
{
    return i < ARRAY_SIZE(kinds) ? kinds[i] : NULL;
}

const char *lock_kind_name_at(size_t i)
{
    return i < ARRAY_SIZE(kinds) ? kinds[i]->name : NULL;
}

const struct lock_ops *lock_kind_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

void lock_init(struct lock *lock, const struct lock_ops *kind, const char *name)
{
    /* All zeros is a free lock of every kind. */
    memset(lock, 0, sizeof(*lock));
    lock->ops = kind;
    lock->name = name;
}

void lock_describe(const struct lock *lock, struct parts *parts)
{
    parts_add(parts, "lock's kind", lock, offsetof(struct lock, held));
    parts_add(parts, "lock", &lock->held, sizeof(*lock) - offsetof(struct lock, held));
}
