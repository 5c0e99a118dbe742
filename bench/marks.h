/*
 * Marks in the blocks of heap workloads: whoever holds a block writes to its first word and its last byte, as the originals
 * do to theirs, and a block that two hold is found when the first of them frees it.
 *
 * Looked at only in warm-ups, which are not reported: whoever frees a block in an original does not read it, and if its
 * last holder was another hart, to read it would cost the line that a heap may well do without.
 */
#ifndef BENCH_MARKS_H
#define BENCH_MARKS_H

#include "bench/bench.h"

/* The smallest block that can be marked. */
#define MARK_BYTES sizeof(uint64_t)

/** block_mark - write to a block of at least MARK_BYTES. @holder: what no other holder of a block is at this time, as
 *  the address where it keeps the pointer. NULL is nothing. */
static ALWAYS_INLINE void block_mark(void *block, size_t bytes, const void *holder)
{
    if (unlikely(!block))
        return;
    *(volatile uint64_t *)block = (uintptr_t)holder;
    if (bytes > MARK_BYTES)
        ((volatile uint8_t *)block)[bytes - 1] = (uint8_t)((uintptr_t)holder >> 3);
}

/** block_is_marked - whether a block is as block_mark() left it. */
static inline bool block_is_marked(const void *block, size_t bytes, const void *holder)
{
    const volatile uint8_t *last = (const volatile uint8_t *)block + bytes - 1;
    return *(const volatile uint64_t *)block == (uintptr_t)holder &&
           (bytes <= MARK_BYTES || *last == (uint8_t)((uintptr_t)holder >> 3));
}

/** block_look - count a block that is not as its holder left it, where marks are looked at. Before it is freed. */
static ALWAYS_INLINE void block_look(
    struct bench_hart *hart, const void *block, size_t bytes, const void *holder, const bool timed)
{
    if (!timed && unlikely(!hart->reported) && block && !block_is_marked(block, bytes, holder))
        hart->damaged++;
}

/** marks_check - a workload's check: no block was damaged. */
int marks_check(struct bench_run *run, struct writer *why);

#endif
