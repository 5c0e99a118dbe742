/*
 * The machine model's TLB and its oracle on one hart, over page tables made here. Included once, in place of the
 * rest of the model.
 */
#ifndef TESTS_HOST_MODEL_TABLES_H
#define TESTS_HOST_MODEL_TABLES_H

#include "tests/host/unit.h"

#include "tools/model/tlb.c"
#include "tools/model/stale.c"

#define RAM_PAGES 16
#define EPOCH     1000000000ull
#define READ      7 /* what a page-table read costs here */
#define STLB      9
#define CODE      0xffffffff80201000ull

#define LEAF_FLAGS 0xcfu
#define TABLE_FLAG 0x01u
#define GLOBAL     0x20u
#define WRITABLE   0x04u
#define DIRTY      0x80u

/* Root, middle and leaf table are the first three pages. */
#define ROOT   RAM_BASE
#define MIDDLE (RAM_BASE + 0x1000)
#define LEAVES (RAM_BASE + 0x2000)
/* And those of another space. */
#define ROOT_2   (RAM_BASE + 0x3000)
#define MIDDLE_2 (RAM_BASE + 0x4000)
#define LEAVES_2 (RAM_BASE + 0x5000)

#define GIGA ((uint64_t)1 << 30)
#define MEGA ((uint64_t)1 << 21)
#define PAGE ((uint64_t)1 << 12)

/* Slots 0 and 1 of the root: tables, and a leaf of 1 GiB. */
#define VADDR_PAGES ((uint64_t)0)
#define VADDR_MEGA  MEGA
#define VADDR_GIGA  GIGA

struct profile profile;
uint8_t *ram;
uint64_t ram_bytes = RAM_PAGES * 4096;

static uint64_t memory[RAM_PAGES * 512];
struct hart harts[HARTS_MAX];
unsigned nharts = 1;
static struct hart *const hart = &harts[0];
static struct score score;
static unsigned reads;

const char *symbol_at(uint64_t pc)
{
    (void)pc;
    return "code";
}

void sched_order(struct hart *running)
{
    assert_ptr_equal(running, hart);
}

uint64_t cache_walk_read(struct hart *running, uint64_t paddr)
{
    assert_ptr_equal(running, hart);
    assert_in_range(paddr, RAM_BASE, RAM_BASE + ram_bytes - 8);
    reads++;
    return READ;
}

static inline void entry(uint64_t table, unsigned slot, uint64_t paddr, unsigned flags)
{
    memory[(table - RAM_BASE) / 8 + slot] = paddr >> 12 << 10 | flags;
}

static inline int setup(void **state)
{
    (void)state;
    profile = (struct profile){.dtlb_entries = 4, .stlb_entries = 8, .stlb_latency = STLB};
    ram = (uint8_t *)memory;
    memset(memory, 0, sizeof(memory));
    entry(ROOT, 0, MIDDLE, TABLE_FLAG);
    entry(ROOT, 1, 5 * GIGA, LEAF_FLAGS);
    entry(MIDDLE, 0, LEAVES, TABLE_FLAG);
    entry(MIDDLE, 1, 7 * MEGA, LEAF_FLAGS);
    entry(ROOT_2, 0, MIDDLE_2, TABLE_FLAG);
    entry(MIDDLE_2, 0, LEAVES_2, TABLE_FLAG);
    for (unsigned i = 0; i < 100; i++) {
        entry(LEAVES, i, (1000 + i) * PAGE, LEAF_FLAGS);
        entry(LEAVES_2, i, (3000 + i) * PAGE, LEAF_FLAGS);
    }
    memset(hart, 0, sizeof(*hart));
    hart->state = HART_READY;
    stale_reset();
    hart->score = &score;
    hart->limit = EPOCH;
    score.credit = CREDIT_LIMIT - EPOCH;
    tlb_init(hart);
    tlb_reset(hart);
    tlb_use(hart, ROOT, 1);
    reads = 0;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    free(hart->dtlb);
    free(hart->stlb);
    free(hart->dtlb_origin);
    free(hart->stlb_origin);
    return 0;
}

/* The cycles that translating takes; the result is checked. */
static inline uint64_t cost(uint64_t vaddr, uint64_t paddr)
{
    uint64_t before = hart_now(hart);
    assert_int_equal(tlb_translate(hart, vaddr, CODE), paddr);
    return hart_now(hart) - before;
}

static inline uint64_t page(unsigned i)
{
    return cost(VADDR_PAGES + i * PAGE + 8, (1000 + i) * PAGE + 8);
}

static inline uint64_t page_2(unsigned i)
{
    return cost(VADDR_PAGES + i * PAGE + 8, (3000 + i) * PAGE + 8);
}

static inline void flush_page(uint64_t vaddr)
{
    tlb_flush(hart, &(struct tlb_flush){.one_page = true, .vaddr = vaddr});
}

static inline void flush_asid(uint16_t asid)
{
    tlb_flush(hart, &(struct tlb_flush){.one_asid = true, .asid = asid});
}

static inline void flush_all(void)
{
    tlb_flush(hart, &(struct tlb_flush){0});
}

static inline uint64_t fault(uint64_t vaddr)
{
    uint64_t before = hart_now(hart);
    tlb_fault(hart, vaddr, CODE);
    return hart_now(hart) - before;
}

#endif
