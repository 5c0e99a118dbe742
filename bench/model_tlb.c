/*
 * What translation costs when address spaces change and flushes come, over tables of its own that show low addresses to the
 * kernel: no design of mm/vm's is among it.
 *
 *   model.switch   to the other of two address spaces, and one load from each of its pages, which have the same
 *                  addresses in both. tlb_asid=off: both under one ASID, flushed at each change
 *   model.flush    one sfence.vma of the form tlb_flush=, behind a load from each page, half of them global
 *   model.stale    all harts load from a page, hart 0 changes its entry, all flush it, all load again: for the model's
 *                  oracle. tlb_plant=flush: the last hart does not flush. tlb_plant=asid: all go to another table under
 *                  the ASID that they have, and the last one does not flush
 *   model.fault    a load from a page that is not mapped: the trap, and the handler that skips it
 *
 * An operation is a change of space, a flush, a round of a hart, a fault.
 */
#include "arch/atomic.h"
#include "arch/csr.h"
#include "arch/model.h"
#include "arch/paging.h"
#include "arch/pte.h"
#include "arch/trap.h"
#include "bench/bench.h"
#include "bench/workloads.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/vm/kernel_map.h"

#define SPACES    2
#define PAGES     16 /* of each kind: all fit the smallest first-level TLB with what else is used */
#define PAGES_MAX (2 * PAGES)

/* Any place in the low half: entry 1 of the root, the first of the tables below. */
#define BASE 0x40000000ul

#define ASID(space) ((uint16_t)((space) + 1))

struct space {
    uint64_t root[PAGE_ENTRIES], middle[PAGE_ENTRIES], leaves[PAGE_ENTRIES];
};

struct tlb {
    struct space space[SPACES];
    char frames[SPACES][PAGES_MAX][PAGE_BYTES];
    pfn_t root[SPACES], kernel_root;
    uint64_t first[SPACES]; /* their entries of the first page */
};

/* --- keys --- */

enum form {
    FORM_NONE,
    FORM_PAGE,
    FORM_GLOBAL,
    FORM_PAGE_ASID,
    FORM_GLOBAL_ASID,
    FORM_OTHER,
    FORM_ASID,
    FORM_ALL
};

static const char *const forms[] = {
    "none", "page", "global", "page_asid", "global_asid", "other_asid", "asid", "all", NULL};
static const char *const switches[] = {"off", "on", NULL};
enum plant { PLANT_NONE, PLANT_FLUSH, PLANT_ASID };
static const char *const plants[] = {"none", "flush", "asid", NULL};

static size_t form, with_asids, plant;

static const char *form_at(size_t i)
{
    return forms[i];
}

static const char *switch_at(size_t i)
{
    return switches[i];
}

static const char *plant_at(size_t i)
{
    return plants[i];
}

static int apply_form(const char *value, struct writer *why)
{
    return config_apply_index(value, form_at, &form, why);
}

CONFIG_KEY(tlb_flush_key, .name = "tlb_flush",
    .valid = "model.flush's sfence.vma: none, page, global, page_asid, global_asid, other_asid, asid or all",
    .initial = "page", .apply = apply_form);

static int apply_asid(const char *value, struct writer *why)
{
    return config_apply_index(value, switch_at, &with_asids, why);
}

CONFIG_KEY(tlb_asid_key, .name = "tlb_asid", .valid = "on or off: model.switch's spaces have ASIDs",
    .initial = "on", .apply = apply_asid);

static int apply_plant(const char *value, struct writer *why)
{
    return config_apply_index(value, plant_at, &plant, why);
}

CONFIG_KEY(tlb_plant_key, .name = "tlb_plant",
    .valid = "what the last hart of model.stale forgets: none, flush or asid", .initial = "none",
    .apply = apply_plant);

/* --- the tables --- */

static pfn_t frame_of(const void *object)
{
    return paddr_to_pfn_floor(kernel_to_paddr(object));
}

/* The first PAGES pages are the space's own, the others say that they are of all. */
static void make_space(struct tlb *tlb, size_t number)
{
    struct space *space = &tlb->space[number];
    memcpy(space->root, pfn_to_direct(tlb->kernel_root), sizeof(space->root));
    space->root[BASE >> page_level_shift(PAGE_LEVEL_ROOT)] = pte_table(frame_of(space->middle)).bits;
    space->middle[0] = pte_table(frame_of(space->leaves)).bits;
    for (size_t i = 0; i < PAGES_MAX; i++)
        space->leaves[i] =
            pte_leaf(frame_of(tlb->frames[number][i]), PTE_R | PTE_W | (i < PAGES ? 0 : PTE_G)).bits;
    tlb->root[number] = frame_of(space->root);
    tlb->first[number] = space->leaves[0];
}

static void enter_first(void *argument)
{
    const struct bench_hart *hart = argument;
    const struct tlb *tlb = hart->run->state;
    paging_enter(tlb->root[0], ASID(0));
    paging_flush();
}

static int setup(struct bench_run *bench)
{
    struct tlb *tlb = bench->state = bench_buffer(sizeof(struct tlb));
    if (!tlb)
        return ERR_NO_MEMORY;
    if (paging_asid_bits() < 2) {
        bench_buffer_free(tlb);
        return ERR_UNSUPPORTED;
    }
    tlb->kernel_root = paging_root();
    for (size_t i = 0; i < SPACES; i++)
        make_space(tlb, i);
    bench_each(bench, enter_first);
    return 0;
}

static void go_back(void *argument)
{
    const struct bench_hart *hart = argument;
    const struct tlb *tlb = hart->run->state;
    paging_enter(tlb->kernel_root, 0);
    paging_flush();
}

static void teardown(struct bench_run *bench)
{
    bench_each(bench, go_back);
    bench_buffer_free(bench->state);
}

/* A line of its own in each page, or they would all fall into the same sets of the cache. */
static ALWAYS_INLINE volatile uint64_t *word_of(size_t page)
{
    return (volatile uint64_t *)(BASE + page * PAGE_BYTES + page * CACHE_LINE_BYTES);
}

static ALWAYS_INLINE void load_each(size_t npages)
{
    for (size_t page = 0; page < npages; page++)
        (void)*word_of(page);
}

/* --- model.switch --- */

static void switch_spaces(struct bench_hart *hart, uint64_t rounds)
{
    const struct tlb *tlb = hart->run->state;
    for (uint64_t i = 0; i < rounds; i++) {
        for (unsigned space = 0; space < SPACES; space++) {
            paging_enter(tlb->root[space], with_asids ? ASID(space) : 0);
            if (!with_asids)
                paging_flush_asid(0);
            load_each(PAGES / 2);
        }
    }
    hart->ops += rounds * SPACES;
}

const struct workload workload_model_switch = {
    .name = "model.switch",
    .measures = "change of address space and 8 loads, on the same pages in both",
    .axis = BENCH_MACHINE,
    .rounds = 64,
    .setup = setup,
    .run = switch_spaces,
    .teardown = teardown,
};

/* --- model.flush --- */

/* rs1 and rs2 each are a register or x0, which makes four instructions. */
static ALWAYS_INLINE void flush(void)
{
    vaddr_t own = VADDR(BASE), global = VADDR(BASE + PAGES * PAGE_BYTES);
    switch ((enum form)form) {
    case FORM_NONE: break;
    case FORM_PAGE: __asm__ volatile("sfence.vma %0" : : "r"(own.value) : "memory"); break;
    case FORM_GLOBAL: __asm__ volatile("sfence.vma %0" : : "r"(global.value) : "memory"); break;
    case FORM_PAGE_ASID: paging_flush_page(own, ASID(0)); break;
    case FORM_GLOBAL_ASID: paging_flush_page(global, ASID(0)); break;
    case FORM_OTHER: paging_flush_asid(ASID(1)); break;
    case FORM_ASID: paging_flush_asid(ASID(0)); break;
    case FORM_ALL: paging_flush(); break;
    }
}

static void load_and_flush(struct bench_hart *hart, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        for (size_t page = 0; page < PAGES_MAX; page += PAGES / 4)
            (void)*word_of(page);
        flush();
    }
    hart->ops += rounds;
}

const struct workload workload_model_flush = {
    .name = "model.flush",
    .measures = "loads from 4 pages of the space's own and 4 global ones, and a flush",
    .axis = BENCH_MACHINE,
    .rounds = 64,
    .setup = setup,
    .run = load_and_flush,
    .teardown = teardown,
};

/* --- model.fault --- */

static void fault(struct bench_hart *hart, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        trap_expect_fault();
        (void)*word_of(PAGES_MAX);
        if (trap_expected() != SCAUSE_LOAD_PAGE_FAULT)
            hart->damaged++;
    }
    hart->ops += rounds;
}

static int check_fault(struct bench_run *bench, struct writer *why)
{
    uint64_t missing = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        missing += bench->harts[i].damaged;
    if (missing == 0)
        return 0;
    writer_format(why, "%lu loads did not fault", missing);
    return ERR_CORRUPT;
}

const struct workload workload_model_fault = {
    .name = "model.fault",
    .measures = "a load that traps, as nothing is mapped there",
    .axis = BENCH_MACHINE,
    .rounds = 64,
    .setup = setup,
    .run = fault,
    .teardown = teardown,
    .check = check_fault,
};

/* --- model.stale --- */

static void expect(struct bench_hart *hart, uint64_t value)
{
    if (*word_of(0) != value)
        hart->damaged++;
}

/* Which frame is behind the first page is told by what is in it. */
static int setup_stale(struct bench_run *bench)
{
    int error = setup(bench);
    struct tlb *tlb = bench->state;
    for (size_t i = 0; !error && i < SPACES; i++)
        memcpy(tlb->frames[i][0], &i, sizeof(i));
    return error;
}

static void change_entry(struct bench_hart *hart, bool forgets, uint64_t round)
{
    struct tlb *tlb = hart->run->state;
    _Atomic uint64_t *entry = (_Atomic uint64_t *)&tlb->space[0].leaves[0];
    if (hart->index == 0) {
        store_relaxed(entry, tlb->first[round % SPACES]); /* the barrier orders it */
        model_flushing(tlb);
    }
    barrier_wait(&hart->run->barrier);
    if (!forgets)
        paging_flush_page(VADDR(BASE), ASID(0));
    barrier_wait(&hart->run->barrier);
    if (hart->index == 0)
        model_flushed(tlb, ASID(0), vaddr_to_page(VADDR(BASE)), vaddr_to_page(VADDR(BASE)) + 1);
    barrier_wait(&hart->run->barrier);
}

static void change_table(struct bench_hart *hart, bool forgets, uint64_t round)
{
    const struct tlb *tlb = hart->run->state;
    paging_enter(tlb->root[round % SPACES], ASID(0));
    if (!forgets)
        paging_flush_asid(ASID(0));
}

/* Every round is one, whatever was asked for: all harts must do as many. */
static void stale(struct bench_hart *hart, uint64_t rounds)
{
    bool last = hart->index == hart->run->nharts - 1;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t round = hart->ops++ + 1;
        (void)*word_of(0);
        barrier_wait(&hart->run->barrier);
        if (plant == PLANT_ASID)
            change_table(hart, last, round);
        else
            change_entry(hart, plant == PLANT_FLUSH && last, round);
        if (plant != PLANT_NONE && last)
            (void)*word_of(0);
        else
            expect(hart, round % SPACES);
    }
}

static int check_stale(struct bench_run *bench, struct writer *why)
{
    uint64_t damaged = 0;
    for (unsigned i = 0; i < bench->nharts; i++)
        damaged += bench->harts[i].damaged;
    if (damaged == 0)
        return 0;
    writer_format(why, "%lu loads behind a flush found the page as it was", damaged);
    return ERR_CORRUPT;
}

const struct workload workload_model_stale = {
    .name = "model.stale",
    .measures = "a page-table entry changed and flushed on all harts",
    .axis = BENCH_MACHINE,
    .rounds = 4,
    .collective = true,
    .setup = setup_stale,
    .run = stale,
    .teardown = teardown,
    .check = check_stale,
};
