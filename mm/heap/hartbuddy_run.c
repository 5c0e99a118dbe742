/*
 * Runs of "hartbuddy": pages cut into blocks of one size. A run with free blocks is its hart's current one of the class, or
 * in the hart's list, or on the way there on its remote list; a full one is nowhere, and whoever makes the first
 * of its blocks free again brings it back. Called from slow paths: once a run is used up, full or empty.
 */
#include "arch/cpu.h"
#include "mm/heap/hartbuddy.h"
#include "trace/counter.h"
#include "trace/inject.h"

/* Runs of a list that are looked at for the fullest: the others may become empty. */
#define LOOK_RUNS 4

/*
 * Up to 256 bytes each multiple of 16 but one in two of the last ones, which would save 3 % there; then what divides a page
 * well. Between 1 and 4 KiB what divides two or three.
 */
static const struct {
    uint16_t bytes;
    uint8_t pages;
} classes[SIZED_CLASSES] = {
    {16, 1},
    {32, 1},
    {48, 1},
    {64, 1},
    {80, 1},
    {96, 1},
    {112, 1},
    {128, 1},
    {144, 1},
    {160, 1},
    {176, 1},
    {192, 1},
    {208, 1},
    {224, 1},
    {240, 1},
    {256, 1},
    {272, 1},
    {288, 1},
    {304, 1},
    {336, 1},
    {368, 1},
    {400, 1},
    {448, 1},
    {512, 1},
    {576, 1},
    {672, 1},
    {816, 1},
    {1024, 1},
    {1168, 2},
    {1360, 1},
    {1632, 2},
    {2048, 1},
    {2720, 2},
    {3072, 3},
    {4096, 1},
};

void slots_init(struct hart_heap *hart)
{
    unsigned size = 0;
    for (unsigned class = 0; class < SIZED_CLASSES; class ++) {
        struct slot *slot = &hart->slots[class];
        slot->bytes = classes[class].bytes;
        slot->npages = classes[class].pages;
        slot->nblocks = slot->npages * PAGE_BYTES / slot->bytes;
        for (; size * HEAP_ALIGN <= slot->bytes; size++)
            hart->line_of[size] = SLOT_LINE + class;
    }
    struct slot *pages = &hart->slots[CLASS_PAGES];
    pages->bytes = PAGE_BYTES;
    pages->nblocks = 1;
    for (unsigned class = 0; class < CLASSES; class ++) {
        struct slot *slot = &hart->slots[class];
        slot->nwords = DIV_CEIL(slot->nblocks, 64u);
        slot->all = bits_mask(0, slot->nblocks - (slot->nwords - 1) * 64);
        slot->reciprocal = DIV_CEIL(1ull << 32, slot->bytes);
        slot->partial = PAGE_NONE;
        store_relaxed(&slot->word, &hart->no_word);
    }
}

static void tag_pages_of_run(
    struct hart_heap *hart, struct page *run, unsigned class, unsigned npages, unsigned owner)
{
    bool plain = class != CLASS_PAGES && hart->slots[class].nwords == 1;
    uint32_t tag = owner | (SLOT_LINE + class) << TAG_LINE_SHIFT;
    if (class == CLASS_PAGES)
        tag |= (npages - 1) << TAG_PAGES_SHIFT;
    /* Relaxed: whoever is given a block here, or takes its bit, has what came before. sw. */
    store_relaxed(&run->tag, plain ? tag : tag | TAG_SPECIAL);
    for (unsigned back = 1; back < npages; back++)
        store_relaxed(&run[back].tag, tag | TAG_SPECIAL | back << TAG_BACK_SHIFT);
}

struct page *run_new(struct heap *heap, struct hart_heap *hart, unsigned class, unsigned npages, bool grow)
{
    struct slot *slot = &hart->slots[class];
    npages = class == CLASS_PAGES ? npages : slot->npages;
    struct page *run = pages_take(heap, hart, npages, grow);
    if (!run)
        return NULL;
    tag_pages_of_run(hart, run, class, npages, hart_number(heap, hart));
    run->next = run->previous = RUN_UNLISTED;
    /* Release, pairs with the acquire of take_bit(): the tag, and that `word` of whoever had the page before does not point
     * here any more. fence rw,w; sd. */
    for (unsigned w = 0; w < slot->nwords; w++)
        store_release(&run->free[w], run_mask(slot, w));
    return run;
}

/* Takes all blocks of an empty run; false, and nothing has changed, if one is in use. */
static bool take_all(const struct slot *slot, struct page *run)
{
    for (unsigned w = 0; w < slot->nwords; w++) {
        uint64_t mask = run_mask(slot, w);
        bool won = false;
        /* Acquire, pairs with the release of each free: what was written to the blocks is over. lr.d.aq; sc.d. */
        while (!won && run_word(&run->free[w]) == mask)
            won = !inject_due(INJECT_CAS) && cas_acquire(&run->free[w], mask, 0);
        if (won)
            continue;
        while (w-- > 0)
            /* Release: as those whose frees they were. amoor.d.rl. */
            or_release(&run->free[w], run_mask(slot, w));
        return false;
    }
    return true;
}

bool run_unmap(struct heap *heap, struct hart_heap *hart, struct page *run)
{
    uint32_t tag = page_tag(run);
    struct slot *slot = &hart->slots[tag_class(tag)];
    unsigned npages = tag_class(tag) == CLASS_PAGES ? tag_pages(tag) : slot->npages;
    if (!take_all(slot, run))
        return false;
    if (run_is_current(slot, run))
        /* Relaxed: before the page is a run again, which the owner will see if it takes a bit of that. sd. */
        store_relaxed(&slot->word, &hart->no_word);
    for (unsigned i = 0; i < npages; i++)
        store_relaxed(&run[i].tag, TAG_NONE);
    pages_give(heap, hart, run, npages);
    return true;
}

void run_list(struct hart_heap *hart, struct slot *slot, struct page *run)
{
    uint32_t number = page_number(hart, run);
    run->next = slot->partial;
    run->previous = PAGE_NONE;
    if (slot->partial != PAGE_NONE)
        hart->pages[slot->partial].previous = number;
    slot->partial = number;
}

void run_unlist(struct hart_heap *hart, struct slot *slot, struct page *run)
{
    if (run->next != PAGE_NONE)
        hart->pages[run->next].previous = run->previous;
    if (run->previous != PAGE_NONE)
        hart->pages[run->previous].next = run->next;
    else
        slot->partial = run->next;
    run->next = run->previous = RUN_UNLISTED;
}

unsigned run_free_count(const struct slot *slot, const struct page *run)
{
    unsigned count = 0;
    for (unsigned w = 0; w < slot->nwords; w++)
        count += bits_count(run_word(&run->free[w]));
    return count;
}

void *run_take(struct heap *heap, struct hart_heap *hart, struct slot *slot, struct page *run)
{
    for (unsigned w = 0; w < slot->nwords; w++) {
        uint64_t free;
        while ((free = run_word(&run->free[w])) != 0) {
            uint64_t bit = free & -free;
            /* Acquire, pairs with the release of whoever set the bit. amoand.d.aq. */
            if (atomic_fetch_and_explicit(&run->free[w], ~bit, memory_order_acquire) & bit)
                return (void *)(page_address(heap, hart, run) +
                                (size_t)(w * 64 + bits_lowest_of_one(bit)) * slot->bytes);
        }
    }
    return NULL;
}

void *run_take_new(struct heap *heap, struct hart_heap *hart, unsigned class, unsigned npages, bool grow)
{
    struct slot *slot = &hart->slots[class];
    struct page *run = run_new(heap, hart, class, npages, grow);
    if (!run)
        return NULL;
    /* It has one, unless somebody holds it who took it for another run's, and is giving it back. */
    void *block;
    while (!(block = run_take(heap, hart, slot, run)))
        cpu_relax();
    if (run_free_count(slot, run))
        run_list(hart, slot, run);
    return block;
}

/* Whether the current run has nothing more, so that the next allocation needs another. */
static bool is_used_up(const struct slot *slot)
{
    return slot->nwords == 1 && run_word(slot_word(slot)) == 0;
}

void run_settle(struct heap *heap, struct hart_heap *hart, struct page *run)
{
    uint32_t tag = page_tag(run);
    if (tag == TAG_NONE || tag_owner(tag) != hart_number(heap, hart) || tag_back(tag))
        return;
    struct slot *slot = &hart->slots[tag_class(tag)];
    unsigned free = run_free_count(slot, run);
    if (free == 0 || run_is_current(slot, run))
        return;
    if (tag_class(tag) == CLASS_PAGES) {
        run_unmap(heap, hart, run);
        return;
    }
    bool listed = run->next != RUN_UNLISTED;
    if (free == slot->nblocks && !(slot->partial == PAGE_NONE && is_used_up(slot))) {
        if (listed)
            run_unlist(hart, slot, run);
        if (run_unmap(heap, hart, run))
            return;
        listed = false;
    }
    if (!listed)
        run_list(hart, slot, run);
}

static void push(struct hart_heap *owner, struct page *run)
{
    /* Who sets the bit puts it on the list. Both orders, so release: the free is before it; pairs with the acquire in
     * run_drain(), which comes after this if it finds the bit set, and before it if not. amoor.w.rl. */
    if (or_release(&run->remote, REMOTE_QUEUED) & REMOTE_QUEUED)
        return;
    uint32_t number = page_number(owner, run) + 1;
    for (;;) {
        /* Relaxed: the swap tells whether it is still the head; lists are taken whole, so that which is it again is right
         * again. lw. */
        uint32_t head = atomic_load_explicit(&owner->remote, memory_order_relaxed);
        store_relaxed(&run->remote, REMOTE_QUEUED | head);
        /* Release, pairs with the acquire of run_drain(): the link. lr.w; sc.w.rl. */
        if (!inject_due(INJECT_CAS) && cas_release(&owner->remote, head, number))
            return;
        counter_add(COUNTER_CAS_RETRY, 1);
    }
}

void run_changed(struct heap *heap, struct page *run, uint32_t tag)
{
    struct hart_heap *owner = hart_heap_of(heap, tag_owner(tag));
    struct lock_node node;
    if (tag_owner(tag) != hart_index()) {
        push(owner, run);
        return;
    }
    lock_acquire(&owner->lock, &node);
    run_settle(heap, owner, run);
    lock_release(&owner->lock, &node);
}

/* What was pushed for a run that has since become pages, and those another hart's run, is that one's. */
static void settle_or_pass_on(struct heap *heap, struct hart_heap *hart, struct page *run)
{
    uint32_t tag = page_tag(run);
    if (tag != TAG_NONE && !tag_back(tag) && tag_owner(tag) != hart_number(heap, hart))
        push(hart_heap_of(heap, tag_owner(tag)), run);
    else
        run_settle(heap, hart, run);
}

void run_drain(struct heap *heap, struct hart_heap *hart)
{
    /* Relaxed: a hint. lw. */
    if (likely(atomic_load_explicit(&hart->remote, memory_order_relaxed) == 0))
        return;
    /* Acquire, pairs with the release in push(): the links. amoswap.w.aq. */
    uint32_t at = atomic_exchange_explicit(&hart->remote, 0, memory_order_acquire);
    while (at) {
        struct page *run = &hart->pages[at - 1];
        /* Acquire, as at push(): before the look at the run's words. amoswap.w.aq. */
        at = atomic_exchange_explicit(&run->remote, 0, memory_order_acquire) & ~REMOTE_QUEUED;
        settle_or_pass_on(heap, hart, run);
        counter_add(COUNTER_FRAME_REMOTE, 1);
    }
}

/* The fullest of the first few of the list. Those that were used up by others on the owner's behalf are full. */
static struct page *pick(struct hart_heap *hart, struct slot *slot)
{
    struct page *best = NULL;
    unsigned least = UINT32_MAX;
    uint32_t at = slot->partial;
    for (unsigned seen = 0; at != PAGE_NONE && (seen < LOOK_RUNS || !best); seen++) {
        struct page *run = &hart->pages[at];
        unsigned free = run_free_count(slot, run);
        at = run->next;
        if (free == 0) {
            run_unlist(hart, slot, run);
        } else if (free < least) {
            best = run;
            least = free;
        }
    }
    if (best)
        run_unlist(hart, slot, best);
    return best;
}

/* Each time, one of the other classes is asked whether its current run is empty. */
static void tidy(struct heap *heap, struct hart_heap *hart, unsigned class)
{
    struct slot *slot = &hart->slots[hart->hand];
    _Atomic uint64_t *word = slot_word(slot);
    if (hart->hand != class && word != &hart->no_word) {
        struct page *run = run_of_word(word);
        if (run_free_count(slot, run) == slot->nblocks)
            run_unmap(heap, hart, run);
    }
    hart->hand = hart->hand + 1 < SIZED_CLASSES ? hart->hand + 1 : 0;
}

/* The first word of the run with a free block. */
static bool use(struct heap *heap, struct hart_heap *hart, struct slot *slot, struct page *run)
{
    for (unsigned w = 0; w < slot->nwords; w++) {
        if (run_word(&run->free[w]) == 0)
            continue;
        slot->base = page_address(heap, hart, run) + w * 64 * slot->bytes;
        slot->bit = slot->pointer = 0;
        store_relaxed(&slot->word, &run->free[w]);
        return true;
    }
    return false;
}

bool run_refill(struct heap *heap, struct hart_heap *hart, unsigned class)
{
    struct slot *slot = &hart->slots[class];
    _Atomic uint64_t *word = slot_word(slot);
    if (word != &hart->no_word && use(heap, hart, slot, run_of_word(word)))
        return true;
    /* It is full, and nobody's: with the first block that is freed there it comes back. */
    store_relaxed(&slot->word, &hart->no_word);
    run_drain(heap, hart);
    tidy(heap, hart, class);
    struct page *run = pick(hart, slot);
    if (!run)
        run = run_new(heap, hart, class, 0, true);
    return run && use(heap, hart, slot, run);
}
