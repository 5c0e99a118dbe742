/*
 * What the kernel and the model (tools/model/) share: the hints by which the kernel speaks and the page where the model
 * answers. Both include this file. A hint is `slti x0, x0, code`, an encoding that the ISA reserves for custom
 * hints and that does nothing anywhere else (RISC-V unprivileged specification, "HINT Instructions").
 */
#ifndef ARCH_MODEL_PAGE_H
#define ARCH_MODEL_PAGE_H

#include <stdint.h>

#define MODEL_HINT_TIME    1 /* write this hart's time into the page */
#define MODEL_HINT_HELLO   2 /* a0: physical address of the page */
#define MODEL_HINT_ENTER   3 /* a0: how many harts will come; goes on when all have */
#define MODEL_HINT_MEASURE 4 /* this hart's statistics begin here */
#define MODEL_HINT_LEAVE   5 /* and end here; the hart runs freely again */
#define MODEL_HINT_END     8 /* they end here, but the hart stays in the region until it leaves */
/* For the oracle of stale translations. a0: which shootdown, any number. */
#define MODEL_HINT_FLUSHING 6 /* its entries are written, nobody has been asked yet */
#define MODEL_HINT_FLUSHED  7 /* it has returned. a1: address space id; a2, a3: first and end page */

/* For a1: in every address space, global translations among them. */
#define MODEL_ASID_ALL (~(uint64_t)0)

/* Where a hart's cycles went: X(identifier, name in results). They add up to its span. */
#define MODEL_CYCLES_LIST(X)                                                                                 \
    X(COMPUTE, "compute") /* one for each instruction */                                                     \
    X(MISS, "miss") /* latency of misses that an instruction waited for */                                   \
    X(QUEUE, "queue") /* waiting for a line or its home bank to be free */                                   \
    X(TLB, "tlb") /* walks, second-level hits, flushes */                                                    \
    X(DRAIN, "store_drain") /* waiting for the store buffer */                                               \
    X(ATOMIC, "atomic") /* atomics and fences on lines that are there */                                     \
    X(TRAP, "trap") /* entry and return */                                                                   \
    X(IPI_WAIT, "ipi_wait") /* idle until an interrupt came, and its delivery */                             \
    X(SPIN, "spin") /* turns of wait loops that nobody had to simulate */                                    \
    X(MMIO, "mmio")

/* What happened: counts. */
#define MODEL_EVENTS_LIST(X)                                                                                 \
    X(INSNS, "insns")                                                                                        \
    X(TRANSFERS, "line_transfer") /* lines taken from another hart */                                        \
    X(INVALIDATIONS, "invalidation") /* copies of others that a write took away */                           \
    X(L2_HITS, "l2_hit")                                                                                     \
    X(LLC_HITS, "llc_hit")                                                                                   \
    X(DRAM, "dram")                                                                                          \
    X(TLB_MISSES, "tlb_miss") /* page-table walks */                                                         \
    X(TLB_MISSES_USER, "tlb_miss_user") /* those of addresses in the lower half */                           \
    X(WALK_CYCLES, "walk_cycles") /* that walks took: the most of "tlb" */                                   \
    X(SFENCE_PAGES, "sfence_page") /* sfence.vma of one address, the firmware's, too */                      \
    X(SFENCE_ALL, "sfence_all") /* and of all */                                                             \
    X(FAULTS, "page_fault") /* traps of the kernel's with such a cause */                                    \
    X(IPIS, "model_ipi")                                                                                     \
    X(RESCUES, "rescue") /* the model had to let harts go to prevent a hang: not a valid point */            \
    X(STALE, "stale") /* uses of translations that a shootdown should have removed: nor is that one */

enum model_stat {
#define MODEL_STAT_ENUM(id, name) MODEL_STAT_##id,
    MODEL_CYCLES_LIST(MODEL_STAT_ENUM) MODEL_CYCLES_COUNT,
    MODEL_STAT_EVENTS_BASE = MODEL_CYCLES_COUNT - 1,
    MODEL_EVENTS_LIST(MODEL_STAT_ENUM) MODEL_STAT_COUNT
#undef MODEL_STAT_ENUM
};

#define MODEL_PAGE_MAGIC   0x4c45444f4d534148ull /* "HASMODEL" */
#define MODEL_PAGE_VERSION 4 /* of this layout and these lists */

#define MODEL_HARTS_MAX 64

struct model_page {
    uint64_t magic; /* written last */
    uint64_t version;
    uint64_t clock_hz;
    char profile[40];
    struct {
        uint64_t now;
        uint64_t unused[7];
    } time[MODEL_HARTS_MAX];
    uint64_t stats[MODEL_HARTS_MAX][MODEL_STAT_COUNT];
    uint64_t label; /* written by the kernel: what reports call the next region; 0: none is wanted */
};

#endif
