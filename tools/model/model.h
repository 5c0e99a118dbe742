/*
 * What the model's files share. Each hart has a virtual time in cycles; exactly one hart runs at a time, the
 * token holder, and only it touches anything here, so none of the model's own state needs a lock.
 *
 *   plugin.c   entry points, translation: which instruction gets which callback
 *   sched.c    virtual time, the token, spinning, idling, deadlock
 *   cache.c    caches, directory, queueing, store buffer
 *   tlb.c      translation and its cost
 *   stale.c    the oracle of stale translations
 *   system.c   privileged instructions and traps
 *   guest.c    hints, the shared page, region of interest, interrupts between harts
 *   profile.c  parameters
 *   lines.c    the contended-line report; lines.h
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/model_page.h"
#include "plugin_api.h"

#define HARTS_MAX  64
#define NO_HART    0xff
#define LINE_SHIFT 6
#define PAGE_SHIFT 12
#define RAM_BASE   0x80000000ull

/* --- parameters: profile.c ------------------------------------------------------------------------ */

/* X(key in the file, least, greatest) */
#define PROFILE_KEYS(X)                                                                                      \
    X(clock_mhz, 1, 10000) /* core clock */                                                                  \
    X(quantum, 1, 100000) /* how far a hart may run ahead on private hits */                                 \
    X(l1_kib, 1, 1024) /* L1 data cache a hart */                                                            \
    X(l1_ways, 1, 16)                                                                                        \
    X(l1_latency, 1, 100) /* of a load whose result is waited for; a hit is in the base CPI */               \
    X(l2_kib, 0, 65536) /* a cluster's; 0: there is none */                                                  \
    X(l2_ways, 1, 16)                                                                                        \
    X(l2_latency, 1, 1000)                                                                                   \
    X(cluster_harts, 1, 64) /* harts that share an L2 */                                                     \
    X(llc_kib, 0, 1048576) /* 0: holds everything */                                                         \
    X(llc_ways, 1, 16)                                                                                       \
    X(llc_latency, 1, 10000)                                                                                 \
    X(dram_latency, 1, 100000)                                                                               \
    X(transfer_near, 1, 10000) /* core to core, owned line, same cluster */                                  \
    X(transfer_far, 1, 10000) /* other cluster */                                                            \
    X(home_occupancy, 0, 10000) /* of the home bank, a request */                                            \
    X(home_banks, 1, 64)                                                                                     \
    X(store_buffer, 1, 64) /* entries */                                                                     \
    X(dtlb_entries, 1, 1024)                                                                                 \
    X(stlb_entries, 0, 65536) /* second level; 0: there is none */                                           \
    X(stlb_latency, 0, 1000)                                                                                 \
    X(amo, 1, 1000) /* on an owned line */                                                                   \
    X(fence, 0, 1000) /* besides the drain */                                                                \
    X(sfence_page, 0, 1000)                                                                                  \
    X(sfence_all, 0, 1000)                                                                                   \
    X(trap, 0, 10000) /* entry and return together */                                                        \
    X(ipi, 0, 100000) /* from the store that raises it to the first instruction of the trap */               \
    X(mmio, 0, 10000)

struct profile {
    char name[64];
#define PROFILE_FIELD(key, low, high) uint64_t key;
    PROFILE_KEYS(PROFILE_FIELD)
#undef PROFILE_FIELD
};

extern struct profile profile;

/** profile_load - read a profile. Prints file, line and what is valid, and returns false, on any error. */
bool profile_load(const char *path);

/** profile_override - `key=value` from the plugin's arguments, as for a sweep. */
bool profile_override(const char *assignment);

/* --- harts ------------------------------------------------------------------------------------------ */

enum hart_state {
    HART_FREE, /* outside the region: not modelled, runs as the host likes */
    HART_READY, /* wants the token */
    HART_SPIN, /* waits for spin_line to be taken away */
    HART_IDLE, /* in wfi */
};

/* The scoreboard element: what generated code counts. */
struct score {
    uint64_t credit; /* reaches CREDIT_LIMIT when the hart's time reaches its limit */
    uint64_t pc; /* of the translation block it is in */
};

#define CREDIT_LIMIT (1ull << 62)

struct cache {
    uint64_t *tags; /* sets × ways: line << TAG_SHIFT | state; 0: empty */
    uint64_t *used; /* when, for the least recently used */
    unsigned sets, ways;
};

enum line_state { LINE_INVALID, LINE_SHARED, LINE_OWNED };

#define TAG_SHIFT 2
#define TAG_STATE 3u

struct tlb_entry {
    uint64_t vbase, pbase;
    uint32_t generation;
    uint16_t asid;
    uint8_t shift; /* 12, 21 or 30; 0: empty */
    bool global;
};

/* Where a translation came from, for stale.c: beside the entries, which are searched, and not in them. */
struct tlb_origin {
    uint64_t root, pte; /* the walk began here, and read this */
    uint64_t walk; /* its number */
    uint64_t flushed_pc; /* where the shootdown returned that it should not have survived; 0: none */
    uint8_t flushed_by; /* that hart */
    bool reported;
};

#define MICRO_TLB 256

/* x0 … x31, and some besides */
#define GUEST_A0 10
enum {
    GUEST_SATP = 32,
    GUEST_STVEC,
    GUEST_SCAUSE,
    GUEST_STVAL,
    GUEST_SEPC,
    GUEST_MSTATUS,
    GUEST_PRIVILEGE,
    GUEST_REGISTERS
};

struct hart {
    struct score *score;
    uint64_t limit; /* the time at which credit reaches CREDIT_LIMIT */
    uint64_t contended_at; /* when it last touched a contended line */
    uint64_t time; /* of a hart that does not run */
    enum hart_state state;
    unsigned index, cluster;
    int token; /* futex: 1 when it may run */

    /* Spinning: what happened since the last pause, and what did before it. */
    uint64_t spin_line; /* the line loaded */
    bool spin_loaded;
    bool spin_wrote; /* or loaded a second line, or touched a device: not a loop that waits for one line */
    bool spin_missed; /* in a cache or TLB: the turn took longer than one that hits */
    uint64_t pause_time;
    uint64_t pause_line;
    uint64_t spin_period; /* cycles of a turn, while it sleeps */

    uint64_t *store_done; /* ring of completion times */
    unsigned store_next;
    uint64_t drained; /* when all stores are done */

    struct cache l1;
    struct tlb_entry *dtlb;
    unsigned dtlb_next;
    struct tlb_entry *stlb;
    struct tlb_origin *dtlb_origin, *stlb_origin;
    struct {
        uint64_t vpage, ppage;
        uint32_t slot, generation;
    } micro[MICRO_TLB];
    uint64_t root; /* physical address of the root page table; 0: bare */
    uint16_t asid;
    bool switched; /* satp has been written since stale_returns() was last asked */

    bool held; /* at its first block, until somebody starts it */
    bool parked; /* its thread sleeps in wfi and must take the token when it comes back */
    uint64_t ipi_at; /* an interrupt is under way until then; 0: none, or taken */
    uint64_t region_start;
    bool ended; /* its statistics are written, though it is in the region */
    uint64_t charged; /* all that is not an instruction's base cycle */
    uint64_t stat[MODEL_STAT_COUNT];
    uint64_t stale; /* uses of stale translations since the region began: a warm-up's count, too */
    struct qemu_plugin_register *registers[GUEST_REGISTERS];
    GByteArray *register_bytes;
};

extern struct hart harts[HARTS_MAX];
extern unsigned nharts;

/** symbol_at - the function that a block was translated for; "?" if that is not known. */
const char *symbol_at(uint64_t pc);

/* --- time and order: sched.c -------------------------------------------------------------------------- */

static inline bool hart_modelled(const struct hart *hart)
{
    return hart->state != HART_FREE;
}

/** hart_now - the virtual time of the running hart. */
static inline uint64_t hart_now(const struct hart *hart)
{
    return hart->limit - (CREDIT_LIMIT - hart->score->credit);
}

/** charge - let time pass for the running hart and book it. */
static inline void charge(struct hart *hart, enum model_stat stat, uint64_t cycles)
{
    hart->score->credit += cycles;
    hart->charged += cycles;
    hart->stat[stat] += cycles;
}

/** sched_order - return when no other hart is behind this one: what it does next is next in virtual time. */
void sched_order(struct hart *hart);

/** sched_contended - the hart has missed on a line that others use, too: for now it must not run far ahead. */
void sched_contended(struct hart *hart);

/** sched_block - give up the token in this state; returns when the hart has it again. */
void sched_block(struct hart *hart, enum hart_state state);

/** sched_leave - give up the token for good; does not wait. Also from callbacks that must not block. */
void sched_leave(struct hart *hart, enum hart_state state);

/** sched_wake - a spinning or idle hart goes on, not before that time. Called by the running hart, or in free mode. */
void sched_wake(struct hart *running, struct hart *woken, uint64_t time);

/** sched_await - wait for the token (a hart that was woken, or is at the start of a region). */
void sched_await(struct hart *hart);

/** sched_start - hand the token to the first of the harts that are ready. */
void sched_start(void);

extern uint64_t rescues;

/* --- caches: cache.c ------------------------------------------------------------------------------------- */

enum access { ACCESS_LOAD, ACCESS_STORE, ACCESS_ATOMIC, ACCESS_WALK };

void cache_init(unsigned harts, uint64_t ram_bytes);
void cache_reset(void);

/** cache_access - one access of the running hart to physical memory, with its cost. */
void cache_access(struct hart *hart, uint64_t paddr, enum access access, uint64_t pc);

/** cache_walk_read - a page-table read: through L2, not L1. Returns the cycles it takes. */
uint64_t cache_walk_read(struct hart *hart, uint64_t paddr);

/** cache_drain - wait until all stores of the hart are done. */
void cache_drain(struct hart *hart);

/** cache_is_private - whether this hart owns the line and no other has touched it since the region began. */
bool cache_is_private(const struct hart *hart, uint64_t paddr);

/** cache_holds - whether the line is in the hart's L1. */
bool cache_holds(const struct hart *hart, uint64_t line);

/* --- translation: tlb.c -------------------------------------------------------------------------------------- */

void tlb_init(struct hart *hart);
void tlb_reset(struct hart *hart);

/** tlb_use - the hart translates by this table from now on, root 0: not at all. Forgets nothing. */
void tlb_use(struct hart *hart, uint64_t root, uint16_t asid);

/** tlb_translate - the physical address, with the cost of finding it. ~0 where nothing is mapped. */
uint64_t tlb_translate(struct hart *hart, uint64_t vaddr, uint64_t pc);

/** tlb_probe - the same without cost or effect; ~0 where the first level does not know. */
uint64_t tlb_probe(const struct hart *hart, uint64_t vaddr);

/** tlb_fault - an access to this address has trapped: the walk that found no right to it, or the entry that had none. */
void tlb_fault(struct hart *hart, uint64_t vaddr, uint64_t pc);

/* What a flush is limited to. */
struct tlb_flush {
    bool one_page, one_asid;
    uint64_t vaddr;
    uint16_t asid; /* and then global entries stay */
};

/** tlb_flush - drop the entries that it names. */
void tlb_flush(struct hart *hart, const struct tlb_flush *flush);

/** tlb_walks - the number of the last walk of any hart. */
uint64_t tlb_walks(void);

/** tlb_look - the leaf that a walk would find, without cost, and the size of its page; 0 for none. */
uint64_t tlb_look(uint64_t root, uint64_t vaddr, unsigned *shift);

/** tlb_agrees - whether an entry says of this address what the tables do now, or allows less. */
bool tlb_agrees(
    const struct tlb_entry *entry, const struct tlb_origin *origin, uint64_t root, uint64_t vaddr);

/** page_number - as the kernel counts pages: the low half, then the high. */
static inline uint64_t page_number(uint64_t vaddr)
{
    return vaddr >> PAGE_SHIFT & ((1u << 27) - 1);
}

/** tlb_each - call back with every entry of the hart, of any address space, that shows some of these pages. */
void tlb_each(struct hart *hart, uint64_t first, uint64_t end,
    void (*visit)(struct tlb_entry *entry, struct tlb_origin *origin, void *context), void *context);

/* --- stale translations: stale.c ----------------------------------------------------------------------------- */

/** stale_reset - no shootdown is under way; reports begin anew. */
void stale_reset(void);

/** stale_flushing, stale_flushed - the hints MODEL_HINT_FLUSHING and MODEL_HINT_FLUSHED. */
void stale_flushing(uint64_t shootdown);
void stale_flushed(
    struct hart *hart, uint64_t shootdown, uint64_t asid, uint64_t first, uint64_t end, uint64_t pc);

/** stale_is_suspect - whether a use of the entry has to be looked at. */
static inline bool stale_is_suspect(
    const struct hart *hart, const struct tlb_entry *entry, const struct tlb_origin *origin)
{
    return origin->flushed_pc || (origin->root != hart->root && !entry->global);
}

/** stale_use - such an entry is used: report it if it is stale. */
void stale_use(
    struct hart *hart, const struct tlb_entry *entry, struct tlb_origin *origin, uint64_t vaddr, uint64_t pc);

/**
 * stale_returns - a trap of the kernel's returns at pc: if satp has been written since the last time, whatever the hart could translate of the
 * high half must be what its table says: a table without the kernel has been switched to, and the kernel not forgotten.
 */
void stale_returns(struct hart *hart, uint64_t pc);

/* --- privileged instructions and traps: system.c -------------------------------------------------------------- */

/** system_sfence, system_satp - in front of an sfence.vma, and of a write of satp in any of its forms. */
void system_sfence(struct hart *hart, uint32_t insn);
void system_satp(struct hart *hart, uint32_t insn);

/** system_set_satp - the hart translates by this from now on. */
void system_set_satp(struct hart *hart, uint64_t satp);

/** system_trap_entry - the first instruction of the kernel's trap handler. */
void system_trap_entry(struct hart *hart);

/* Under what the code runs that is being translated. */
struct system_mode {
    bool user;
    bool bare; /* its accesses are not translated: firmware, but where it reads its caller's memory */
    uint64_t trap_entry; /* where traps go; ~0: not to this mode */
};

struct system_mode system_mode(struct hart *hart);

/* --- the guest: guest.c ----------------------------------------------------------------------------------------- */

extern uint8_t *ram;
extern uint64_t ram_bytes;

/** guest_map - map the file behind the guest's RAM. Prints and returns false on an error. */
bool guest_map(const char *path);

/** guest_hint - the instruction `slti x0, x0, code`. */
void guest_hint(struct hart *hart, unsigned code, uint64_t pc);

/** guest_mmio - a store to a device: is it an interrupt for another hart? */
void guest_mmio(struct hart *hart, uint64_t paddr, bool store);

/** guest_abandon - tell the guest that its region is worthless: the clock jumps to the end. */
void guest_abandon(void);

/** guest_hold - wait here until another hart interrupts this one. Harts that firmware has no use for yet would only
 *  take the host's time from the one that boots, and which one boots is settled, too. */
void guest_hold(struct hart *hart);

/** guest_release - a store of a hart that is not modelled: if it interrupts a hart that is held, let that one go. */
void guest_release(uint64_t vaddr);

/** guest_trap_entry - one of the first instructions of a trap handler, of the firmware's, or the kernel's that is interrupted. */
void guest_trap_entry(struct hart *hart);

/** guest_is_time_page - accesses to what the model itself writes are free. */
bool guest_is_shared(uint64_t paddr);

/** guest_register - x0 … x31, or one of those above; in callbacks that may read registers. */
uint64_t guest_register(struct hart *hart, unsigned which);
void guest_find_registers(struct hart *hart);

#endif
