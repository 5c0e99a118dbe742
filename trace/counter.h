/*
 * Event counters, one block a hart, so that counting touches the hart's own lines only. The harness reads
 * differences over a data point; a counter that explains a curve is one line in the list below.
 */
#ifndef TRACE_COUNTER_H
#define TRACE_COUNTER_H

#include "lib/base.h"
#include "arch/hart.h"

/* X(identifier, name in results, what is counted) */
#define COUNTER_LIST(X)                                                                                      \
    X(LOCK_ACQUIRE, "lock_acquire", "locks taken")                                                           \
    X(LOCK_CONTEND, "lock_contend", "locks that were held when asked for")                                   \
    X(LOCK_WAIT, "lock_wait_cycles", "clock cycles spent waiting for locks that were held")                  \
    X(FRAME_REFILL, "refill", "batches of frames taken into a hart's cache")                                 \
    X(FRAME_DRAIN, "drain", "batches of frames given back from a hart's cache")                              \
    X(FRAME_STEAL, "steal", "batches of frames taken out of another hart's cache")                           \
    X(FRAME_REMOTE, "remote_free", "frees of frames that belong to another hart's part of the arena")        \
    X(FRAME_BAD_FREE, "bad_free", "frees refused: double, out of range, wrong order")                        \
    X(HEAP_MISUSE, "heap_misuse", "misuses of heaps: double frees, foreign pointers, overruns")              \
    X(HEAP_EXCHANGE, "exchange", "magazines of blocks exchanged with a depot")                               \
    X(HEAP_REFILL, "heap_refill", "batches of blocks taken into a hart's cache, not from a depot")           \
    X(HEAP_FLUSH, "heap_flush", "batches of blocks given back from a hart's cache, not to a depot")          \
    X(HEAP_RECLAIM, "heap_reclaim", "searches for free blocks in all harts' caches")                         \
    X(CAS_RETRY, "cas_retry", "compare-and-swaps that lost and were tried again")                            \
    X(TABLE_RETRY, "table_retry", "page tables that had left the tree when their lock was taken")            \
    X(IPI_SEND, "ipi", "inter-processor interrupts sent")                                                    \
    X(SFENCE, "sfence", "sfence.vma instructions")                                                           \
    X(SYSCALL_UNKNOWN, "syscall_unknown", "system calls of programs that there are not")                     \
    X(SHOOTDOWN, "shootdown", "shootdowns that had other harts to tell")                                     \
    X(SHOOTDOWN_TARGETS, "shootdown_targets", "harts told by them")                                          \
    X(FLUSH_PAGES, "flush_pages", "pages flushed one by one")                                                \
    X(FLUSH_MANY, "flush_many", "flushes of a whole space: of more pages than the threshold")                \
    X(FLUSH_TABLES, "flush_tables", "flushes of a whole space: tables were among it")                        \
    X(FLUSH_MERGED, "flush_merged", "flushes of everything: requests merged, or no place for one more")      \
    X(FAULT, "fault", "page faults of users that were looked at")                                            \
    X(FAULT_SPURIOUS, "fault_spurious", "of those, where the page was there by then")                        \
    X(PAGE_COPY, "page_copy", "pages that got a frame of their own when they were written")

enum counter {
#define COUNTER_ENUM(id, name, text) COUNTER_##id,
    COUNTER_LIST(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

struct counter_block {
    uint64_t value[COUNTER_COUNT];
} CACHE_ALIGNED;

/** counter_add - count on the hart that runs this. Not atomic: an interrupt handler that counts the same event
 *  may lose one of the two. */
static inline void counter_add(enum counter counter, uint64_t n)
{
    arch_hart_self()->counters[counter] += n;
}

/** counter_block_of - the block of a hart index; the boot code gives each hart its own. */
struct counter_block *counter_block_of(unsigned hart);

/** counter_reset_all - zero every hart's block; the harts must be quiet. */
void counter_reset_all(void);

/** counter_sum - a counter over all harts. Exact when they are quiet, else of some moment near. */
uint64_t counter_sum(enum counter counter);

/** counter_name - its key in the results. */
const char *counter_name(enum counter counter);

#endif
