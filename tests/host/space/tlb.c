/* See tlb.h. */
#include "tlb.h"

#include <pthread.h>
#include <string.h>

#include "arch/panic.h"
#include "arch/paging.h"
#include "arch/split.h"
#include "mm/vm/table_entries.h"
#include "smp/flush.h"

/* Few enough for a test to look through, and more than it touches in between. */
#define ENTRIES 256u

struct entry {
    uint64_t pte; /* 0: free */
    size_t page;
    uint16_t asid;
};

static struct tlb {
    pthread_mutex_t lock;
    pfn_t root;
    uint16_t asid;
    struct entry entries[ENTRIES];
    struct deferred *deferred[SHOOTDOWN_DEFERRED_MAX]; /* the hart's own */
    hart_mask_t deferred_to[SHOOTDOWN_DEFERRED_MAX];
    unsigned ndeferred;
} CACHE_ALIGNED tlbs[HART_MAX];

static _Atomic unsigned lose_each;
static _Atomic uint64_t told;

static void __attribute__((constructor)) init_locks(void)
{
    for (size_t i = 0; i < HART_MAX; i++)
        pthread_mutex_init(&tlbs[i].lock, NULL);
}

static struct tlb *own(void)
{
    return &tlbs[hart_index()];
}

/* --- the walker ---------------------------------------------------------------------------------------- */

static pte_t walk(pfn_t root, size_t page)
{
    pfn_t table = root;
    for (unsigned level = PAGE_LEVEL_ROOT;; level--) {
        /* Acquire: a hart's walker reads the next table by the address that it has found here. */
        pte_t pte = PTE(atomic_load_explicit(table_entry(table, page, level), memory_order_acquire));
        if (!pte_is_table(pte))
            return pte_is_leaf(pte) ? pte_piece(pte, page, level) : PTE(0);
        table = pte_pfn(pte);
    }
}

/* Under the lock. 0: a page fault. */
static pte_t look_up(struct tlb *tlb, size_t page, uint64_t access)
{
    struct entry *entry = &tlb->entries[(page ^ page >> 9) % ENTRIES];
    if (entry->pte == 0 || entry->page != page || entry->asid != tlb->asid)
        *entry = (struct entry){walk(tlb->root, page).bits, page, tlb->asid};
    bool allowed = (entry->pte & (access | PTE_U)) == (access | PTE_U);
    pte_t pte = PTE(allowed ? entry->pte : 0);
    if (entry->pte && !allowed)
        entry->pte = 0; /* as hardware may: a fault looks again */
    return pte;
}

static bool reach(vaddr_t vaddr, uint64_t access, uint64_t *value)
{
    struct tlb *tlb = own();
    pthread_mutex_lock(&tlb->lock);
    pte_t pte = look_up(tlb, vaddr_to_page(vaddr), access);
    if (pte.bits) {
        uint64_t *word = (uint64_t *)((uint8_t *)pfn_to_direct(pte_pfn(pte)) + vaddr.value % PAGE_BYTES);
        if (access == PTE_W)
            *word = *value;
        else if (access == PTE_R)
            *value = *word;
    }
    pthread_mutex_unlock(&tlb->lock);
    return pte.bits != 0;
}

bool tlb_load(vaddr_t vaddr, uint64_t *value)
{
    return reach(vaddr, PTE_R, value);
}

bool tlb_store(vaddr_t vaddr, uint64_t value)
{
    return reach(vaddr, PTE_W, &value);
}

bool tlb_fetch(vaddr_t vaddr)
{
    return reach(vaddr, PTE_X, NULL);
}

/* --- forgetting ---------------------------------------------------------------------------------------- */

static void forget(struct tlb *tlb, const struct flush *flush)
{
    pthread_mutex_lock(&tlb->lock);
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *entry = &tlb->entries[i];
        bool in_range = flush->tables || (entry->page >= flush->first && entry->page < flush->end);
        bool is_pair = flush->pair && entry->asid == flush->asid + 1;
        if (in_range && (flush->asid == FLUSH_EVERY_ASID || entry->asid == flush->asid || is_pair))
            entry->pte = 0;
    }
    pthread_mutex_unlock(&tlb->lock);
}

static void forget_everywhere(hart_mask_t mask, const struct flush *flush)
{
    HART_MASK_FOR_EACH (hart, mask) {
        uint64_t n = hart == hart_index() ? 0 : atomic_fetch_add(&told, 1) + 1;
        unsigned each = atomic_load(&lose_each);
        if (n == 0 || each == 0 || n % each != 0)
            forget(&tlbs[hart], flush);
    }
}

void tlb_reset(void)
{
    for (size_t i = 0; i < HART_MAX; i++) {
        ASSERT(tlbs[i].ndeferred == 0);
        memset(tlbs[i].entries, 0, sizeof(tlbs[i].entries));
    }
}

void tlb_lose(unsigned n)
{
    atomic_store(&lose_each, n);
}

uint64_t tlb_told(void)
{
    return atomic_load(&told);
}

/* --- arch/paging.h ------------------------------------------------------------------------------------- */

void paging_enter(pfn_t root, uint16_t asid)
{
    struct tlb *tlb = own();
    tlb->root = root;
    tlb->asid = asid;
}

/* All accesses are the user's. */
void split_enter(pfn_t root, uint16_t asid, bool flush)
{
    (void)flush;
    paging_enter(root, asid);
}

void split_leave(void)
{
}

void paging_flush(void)
{
    forget(own(), &(struct flush){.asid = FLUSH_EVERY_ASID, .tables = true});
}

void paging_flush_asid(uint16_t asid)
{
    forget(own(), &(struct flush){.asid = asid, .tables = true});
}

void paging_flush_page(vaddr_t vaddr, uint16_t asid)
{
    size_t page = vaddr_to_page(vaddr);
    forget(own(), &(struct flush){.asid = asid, .first = page, .end = page + 1});
}

/* --- smp/shootdown.h and smp/flush.h ------------------------------------------------------------------- */

const struct shootdown_ops shootdown_ipi = {.name = "ipi"};
const struct shootdown_ops shootdown_lazy = {.name = "lazy", .lazy = true};
const struct shootdown_ops shootdown_tracked = {.name = "tracked", .by_table = true};

const struct shootdown_ops *shootdown_at(size_t i)
{
    static const struct shootdown_ops *const all[] = {&shootdown_ipi, &shootdown_lazy, &shootdown_tracked};
    return i < ARRAY_SIZE(all) ? all[i] : NULL;
}

void shootdown_now(const struct shootdown_ops *ops, hart_mask_t mask, const struct flush *flush)
{
    (void)ops;
    forget_everywhere(mask, flush);
}

void shootdown_defer(struct deferred *deferred, hart_mask_t mask, const struct flush *flush)
{
    struct tlb *tlb = own();
    if (tlb->ndeferred == SHOOTDOWN_DEFERRED_MAX)
        shootdown_drain();
    deferred->flush = *flush;
    tlb->deferred[tlb->ndeferred] = deferred;
    tlb->deferred_to[tlb->ndeferred++] = mask;
}

void shootdown_quiescent(void)
{
    shootdown_drain();
}

void shootdown_drain(void)
{
    struct tlb *tlb = own();
    while (tlb->ndeferred > 0) {
        struct deferred *deferred = tlb->deferred[--tlb->ndeferred];
        forget_everywhere(tlb->deferred_to[tlb->ndeferred], &deferred->flush);
        deferred->done(deferred);
    }
}

unsigned shootdown_pending(void)
{
    return own()->ndeferred;
}

static _Thread_local struct flush packed;

flush_word_t flush_pack(const struct flush *flush)
{
    packed = *flush;
    return (flush_word_t){1};
}

void flush_self(flush_word_t word)
{
    (void)word;
    forget(own(), &packed);
}
