/*
 * What the files of the design "hartbuddy" share. hartbuddy.c tells the design.
 *
 *   hartbuddy.c           the fast paths, the table of operations
 *   hartbuddy_run.c       runs: blocks of one size in pages of their own; the remote lists
 *   hartbuddy_page.c      pages: the buddy of each hart, in chunks taken from the frame allocator
 *   hartbuddy_scarce.c    when there are no frames: what other harts have but do not use; drain
 *   hartbuddy_validate.c  the accounts, the walk, the names of the parts
 */
#ifndef MM_HEAP_HARTBUDDY_H
#define MM_HEAP_HARTBUDDY_H

#include "arch/atomic.h"
#include "lib/bits.h"
#include "mm/heap/heap_span.h"

/* A chunk's pages are the bits of one word. Usually it is a single page: with chunks of 16, at heap.frag's end 60 % more
 * memory is held, and heap.threadtest gains nothing by it, as the frame allocator below keeps pages for each hart itself.
 */
#define CHUNK_ORDER     0
#define CHUNK_ORDER_MAX 6
#define CHUNK_PAGES_MAX (1u << CHUNK_ORDER_MAX)

/* Blocks of up to a page come from runs of their class, larger ones are pages by themselves. */
#define RUN_BYTES_MAX PAGE_BYTES
#define RUN_WORDS     4
#define SIZED_CLASSES 35
#define CLASS_PAGES   SIZED_CLASSES /* a block of several pages: a run of one */
#define CLASSES       (SIZED_CLASSES + 1)

/* No page; a run that is in no list. */
#define PAGE_NONE    UINT32_MAX
#define RUN_UNLISTED (UINT32_MAX - 1)

/*
 * What a page is. Of a plain run, one word of bits and this its first page, it is the class and the hart that owns it and
 * nothing else: the fast path compares the low byte with its own index, and the rest, shifted, is the offset of the slot.
 */
#define TAG_OWNER   0x3fu
#define TAG_SPECIAL 0x80u /* besides: no plain run */
#define TAG_NONE    0xffu /* no part of any run */

_Static_assert(HART_MAX <= TAG_OWNER + 1, "a hart's index fits");

/* Everything about a page, which is a line of its own: the state of the blocks that begin in its run, a bit each, is
 * never on a line with another hart's. */
struct page {
    _Atomic uint64_t free[RUN_WORDS]; /* of a run's first page: a bit for each free block; else 0 */
    _Atomic uint32_t tag;
    _Atomic uint32_t remote; /* REMOTE_QUEUED while on a remote list, and the next there */
    uint32_t next, previous; /* of a run: in its owner's list of those of the class with free blocks */
    uint64_t pages; /* of a chunk's first page: a bit for each free page of the chunk */
    uint32_t chunk_next, chunk_previous; /* the same: in the owner's list of chunks of that order */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct page) == CACHE_LINE_BYTES, "no two pages share a line");

#define REMOTE_QUEUED (1u << 31)

/* A hart's part of a class: what its fast paths touch of it, a line. */
struct slot {
    _Atomic(_Atomic uint64_t *)
        word; /* of the current run: where the next blocks are. Others only take it away */
    uint64_t bit; /* the block there to try next, which is the one that was taken or freed last */
    uintptr_t pointer; /* that block */
    uintptr_t base; /* the block of the word's bit 0 */
    uint64_t all; /* the bits of a run's last word */
    uint32_t reciprocal; /* 2^32 / bytes, rounded up */
    uint32_t bytes; /* of a block */
    uint32_t partial; /* runs with free blocks but the current one; PAGE_NONE. The owner's lock */
    uint16_t nblocks; /* in a run */
    uint8_t nwords, npages; /* of a run */
} CACHE_ALIGNED;

_Static_assert(sizeof(struct slot) == CACHE_LINE_BYTES, "a class becomes an address by a shift");

#define TAG_LINE_SHIFT  14 /* the line of the slot; 8 above what makes it an offset */
#define TAG_BACK_SHIFT  20 /* how many pages back its run's first one is */
#define TAG_PAGES_SHIFT 26 /* of CLASS_PAGES: pages, less one */

/* What belongs to one hart. */
struct hart_heap {
    struct page *pages; /* of the whole arena */
    _Atomic uint64_t no_word; /* always 0: `word` of a class without a run */
    uint32_t chunks[CHUNK_ORDER_MAX + 1]; /* chunks by the largest block of free pages in them. The lock */
    uint32_t filled; /* those lists that are not empty. The lock */
    uint32_t whole; /* chunks of CHUNK_ORDER all of whose pages are free. The lock */
    uint32_t hand; /* the class whose current run is looked at next for being empty. The lock */

    uint8_t line_of[RUN_BYTES_MAX / HEAP_ALIGN + 1] CACHE_ALIGNED; /* of so many times 16 bytes: the slot's */
    struct slot slots[CLASSES];
    struct lock lock; /* protects all of this but what fast paths write; and its chunks and runs */

    /* Runs of which other harts have freed blocks, by page number + 1; 0: none. Others' to write. */
    _Atomic uint32_t remote CACHE_ALIGNED;
    uint8_t unused[1276];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct hart_heap) == 4096, "a hart's index becomes an address by a shift");

/* Which line of a hart's heap the first slot is. Tables and tags have lines, as a line becomes an address by a shift. */
#define SLOT_LINE (offsetof(struct hart_heap, slots) / sizeof(struct slot))

_Static_assert(offsetof(struct hart_heap, slots) % sizeof(struct slot) == 0, "slots are lines");

static ALWAYS_INLINE struct slot *slot_at_line(struct hart_heap *hart, uintptr_t line)
{
    return (struct slot *)((uintptr_t)hart + line * sizeof(struct slot));
}

static ALWAYS_INLINE struct hart_heap *hart_heap_of(const struct heap *heap, uint64_t hart)
{
    return (struct hart_heap *)heap->metadata + hart;
}

static inline unsigned hart_number(const struct heap *heap, const struct hart_heap *hart)
{
    return (unsigned)(hart - hart_heap_of(heap, 0));
}

/* Of an address that is in the arena. */
static ALWAYS_INLINE struct page *page_of(
    const struct heap *heap, const struct hart_heap *hart, const void *address)
{
    return &hart->pages[((uintptr_t)address - heap->base) >> PAGE_SHIFT];
}

static inline uint32_t page_number(const struct hart_heap *hart, const struct page *page)
{
    return (uint32_t)(page - hart->pages);
}

static inline uintptr_t page_address(
    const struct heap *heap, const struct hart_heap *hart, const struct page *page)
{
    return heap->base + ((uintptr_t)page_number(hart, page) << PAGE_SHIFT);
}

/* Relaxed: it does not change while somebody holds a block of the page. lw. */
static ALWAYS_INLINE uint32_t page_tag(const struct page *page)
{
    return atomic_load_explicit(&page->tag, memory_order_relaxed);
}

static inline unsigned tag_owner(uint32_t tag)
{
    return tag & TAG_OWNER;
}

static inline unsigned tag_class(uint32_t tag)
{
    return (tag >> TAG_LINE_SHIFT & TAG_OWNER) - SLOT_LINE;
}

static inline unsigned tag_back(uint32_t tag)
{
    return tag >> TAG_BACK_SHIFT & TAG_OWNER;
}

static inline unsigned tag_pages(uint32_t tag)
{
    return (tag >> TAG_PAGES_SHIFT) + 1;
}

/* Relaxed: a hint, or checked by an atomic operation. ld. */
static ALWAYS_INLINE uint64_t run_word(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Relaxed: a hart sees what it has written itself, or `no_word`, which is always right. ld. */
static ALWAYS_INLINE _Atomic uint64_t *slot_word(const struct slot *slot)
{
    return atomic_load_explicit(&slot->word, memory_order_relaxed);
}

/* Of a word that is not `no_word`. */
static inline struct page *run_of_word(_Atomic uint64_t *word)
{
    return (struct page *)ALIGN_DOWN((uintptr_t)word, sizeof(struct page));
}

/* The bits of a run's word when all its blocks are free. */
static inline uint64_t run_mask(const struct slot *slot, unsigned w)
{
    return w + 1u < slot->nwords ? ~0ull : slot->all;
}

/* Whether a run is the one that its owner allocates from. The owner's lock, or the owner. */
static inline bool run_is_current(const struct slot *slot, const struct page *run)
{
    return (uintptr_t)slot_word(slot) - (uintptr_t)run < sizeof(run->free);
}

/* hartbuddy_page.c. "Locked": the caller holds the lock of the hart given. */

/** pages_take - n pages in a row, 1 … CHUNK_PAGES_MAX, of the hart's chunks, or, if `grow`, of a new one. Locked. */
struct page *pages_take(struct heap *heap, struct hart_heap *hart, unsigned n, bool grow);

/** pages_give - give them back to their chunk; a chunk that is whole then goes to the frame allocator, but for one a
 *  hart. Locked. */
void pages_give(struct heap *heap, struct hart_heap *hart, struct page *first, unsigned n);

/** pages_trim - give whole chunks to the frame allocator. Locked. Returns whether there were any. */
bool pages_trim(struct heap *heap, struct hart_heap *hart);

/** chunk_largest - the order of the largest block of free pages in a chunk's word; the word is not 0. */
unsigned chunk_largest(uint64_t pages);

/* hartbuddy_run.c */

/** slots_init - make the classes of a hart. */
void slots_init(struct hart_heap *hart);

/** run_new - pages of the hart's become a run of the class, in no list; NULL: there are none. npages: of CLASS_PAGES.
 *  Locked. */
struct page *run_new(struct heap *heap, struct hart_heap *hart, unsigned class, unsigned npages, bool grow);

/** run_take - a block of a run that its hart may allocate from meanwhile; NULL: it is full. Locked. */
void *run_take(struct heap *heap, struct hart_heap *hart, struct slot *slot, struct page *run);

/** run_take_new - a block of such a new run, which is in the list then if it has more. Locked. */
void *run_take_new(struct heap *heap, struct hart_heap *hart, unsigned class, unsigned npages, bool grow);

/** run_unmap - an empty run becomes free pages, unless somebody is faster and takes a block. Locked; it is in no list.
 *  Returns whether it did. */
bool run_unmap(struct heap *heap, struct hart_heap *hart, struct page *run);

/** run_list, run_unlist - put a run into the list of its class, take it out. Locked. */
void run_list(struct hart_heap *hart, struct slot *slot, struct page *run);
void run_unlist(struct hart_heap *hart, struct slot *slot, struct page *run);

/** run_settle - put a run of the hart's where it belongs by what is free in it. The page may be no run, or another's, by
 *  now. Locked. */
void run_settle(struct heap *heap, struct hart_heap *hart, struct page *run);

/** run_free_count - blocks of a run that are free, by a look at each word. */
unsigned run_free_count(const struct slot *slot, const struct page *run);

/** run_refill - point the own slot at a word with free blocks. Locked. Returns whether there was one. */
bool run_refill(struct heap *heap, struct hart_heap *hart, unsigned class);

/** run_changed - a run's word was without free blocks before a free, or is with nothing else after it. No lock held. */
void run_changed(struct heap *heap, struct page *run, uint32_t tag);

/** run_drain - settle what other harts have freed. Locked. */
void run_drain(struct heap *heap, struct hart_heap *hart);

/* hartbuddy_scarce.c. No lock held. */

/** scarce_alloc - a block of a class from wherever it can be had; NULL: nowhere. npages: of CLASS_PAGES. */
void *scarce_alloc(struct heap *heap, unsigned class, unsigned npages);

/** scarce_trim - give back all pages without a live block, of all harts. Returns whether there were any. */
bool scarce_trim(struct heap *heap);

/* hartbuddy_validate.c */
int hartbuddy_validate(struct heap *heap);
void hartbuddy_walk(struct heap *heap, heap_visit *visit, void *argument);
void hartbuddy_describe(struct heap *heap, struct parts *parts);

#endif
