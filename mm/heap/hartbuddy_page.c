/*
 * Pages of "hartbuddy": a hart's buddy. A chunk is a span of up to 64 pages whose free ones are the bits of a word, in
 * which a block of 2^k pages is found by folding, k steps, and merges with its buddy by being there. Chunks with free
 * pages are in lists by the largest block in them, so a request goes to one that certainly has it and has little more.
 * Of a block of 2^k pages only as many are taken as are wanted; the rest of it, its smaller buddies, stays free.
 */
#include "arch/panic.h"
#include "mm/heap/hartbuddy.h"

/* Chunks without a block of the next power of two that are looked at for one that is just large enough. */
#define LOOK_CHUNKS 4

/* Chunks that a hart keeps though nothing is in them: or the last page of all would go to the frame allocator and back
 * each time. */
#define WHOLE_KEPT 1

unsigned chunk_largest(uint64_t pages)
{
    unsigned order = 0;
    while (order < 5 && bits_aligned_runs(pages, order + 1))
        order++;
    return pages == ~0ull ? 6 : order;
}

/* Where n set bits in a row begin. */
static uint64_t runs_of(uint64_t word, unsigned n)
{
    for (unsigned have = 1, step; have < n; have += step) {
        step = MIN(have, n - have);
        word &= word >> step;
    }
    return word;
}

static struct page *chunk_of(const struct heap *heap, const struct hart_heap *hart, struct page *page)
{
    heap_span_t span = heap_span_of(heap, (void *)page_address(heap, hart, page));
    return page - (span.bits & 0xffff);
}

static void list_chunk(struct hart_heap *hart, struct page *chunk)
{
    if (chunk->pages == 0)
        return;
    unsigned order = chunk_largest(chunk->pages);
    uint32_t number = page_number(hart, chunk), head = hart->chunks[order];
    chunk->chunk_next = head;
    chunk->chunk_previous = PAGE_NONE;
    if (head != PAGE_NONE)
        hart->pages[head].chunk_previous = number;
    hart->chunks[order] = number;
    hart->filled |= 1u << order;
}

static void unlist_chunk(struct hart_heap *hart, struct page *chunk)
{
    if (chunk->pages == 0)
        return;
    unsigned order = chunk_largest(chunk->pages);
    if (chunk->chunk_next != PAGE_NONE)
        hart->pages[chunk->chunk_next].chunk_previous = chunk->chunk_previous;
    if (chunk->chunk_previous != PAGE_NONE)
        hart->pages[chunk->chunk_previous].chunk_next = chunk->chunk_next;
    else
        hart->chunks[order] = chunk->chunk_next;
    if (hart->chunks[order] == PAGE_NONE)
        hart->filled &= ~(1u << order);
}

static unsigned order_of(const struct heap *heap, const struct hart_heap *hart, const struct page *chunk)
{
    return heap_span_order(heap_span_of(heap, (void *)page_address(heap, hart, chunk)));
}

/* A chunk in no list yet. Of the usual size if that is to be had, else of what it takes. */
static struct page *chunk_new(struct heap *heap, struct hart_heap *hart, unsigned order)
{
    unsigned number = hart_number(heap, hart), usual = MAX(order, (unsigned)CHUNK_ORDER);
    void *base = heap_span_take(heap, usual, number);
    if (!base && order < usual) {
        usual = order;
        base = heap_span_take(heap, usual, number);
    }
    if (!base)
        return NULL;
    struct page *chunk = page_of(heap, hart, base);
    chunk->pages = bits_mask(0, 1u << usual);
    if (usual == CHUNK_ORDER)
        hart->whole++;
    return chunk;
}

/* Of the chunks that have no aligned block for n pages, one that has as many in a row. */
static struct page *find_odd(const struct hart_heap *hart, unsigned n, unsigned order)
{
    for (unsigned i = order; i-- > 0;) {
        uint32_t at = hart->chunks[i];
        for (unsigned seen = 0; at != PAGE_NONE && seen < LOOK_CHUNKS; seen++) {
            struct page *chunk = &hart->pages[at];
            if (runs_of(chunk->pages, n))
                return chunk;
            at = chunk->chunk_next;
        }
    }
    return NULL;
}

static struct page *find(struct heap *heap, struct hart_heap *hart, unsigned n, unsigned order, bool grow)
{
    uint32_t large_enough = hart->filled >> order << order;
    struct page *chunk = NULL;
    if (large_enough)
        chunk = &hart->pages[hart->chunks[bits_lowest(large_enough)]];
    else if (n > 1)
        chunk = find_odd(hart, n, order);
    if (chunk)
        unlist_chunk(hart, chunk);
    else if (grow)
        chunk = chunk_new(heap, hart, order);
    return chunk;
}

struct page *pages_take(struct heap *heap, struct hart_heap *hart, unsigned n, bool grow)
{
    unsigned order = bits_order(n);
    struct page *chunk = find(heap, hart, n, order, grow);
    if (!chunk)
        return NULL;
    uint64_t at = order > 5 ? chunk->pages == ~0ull : bits_aligned_runs(chunk->pages, order);
    if (at == 0)
        at = runs_of(chunk->pages, n);
    unsigned first = bits_lowest(at);
    if (chunk->pages == bits_mask(0, 1u << CHUNK_ORDER) && order_of(heap, hart, chunk) == CHUNK_ORDER)
        hart->whole--;
    chunk->pages &= ~bits_mask(first, n);
    list_chunk(hart, chunk);
    return chunk + first;
}

static void give_chunk(struct heap *heap, struct hart_heap *hart, struct page *chunk)
{
    chunk->pages = 0;
    heap_span_give(heap, (void *)page_address(heap, hart, chunk));
}

void pages_give(struct heap *heap, struct hart_heap *hart, struct page *first, unsigned n)
{
    struct page *chunk = chunk_of(heap, hart, first);
    unsigned order = order_of(heap, hart, chunk);
    uint64_t bits = bits_mask((unsigned)(first - chunk), n);
    DEBUG_ASSERT(!(chunk->pages & bits));
    unlist_chunk(hart, chunk);
    chunk->pages |= bits;
    if (chunk->pages == bits_mask(0, 1u << order)) {
        if (order != CHUNK_ORDER || hart->whole >= WHOLE_KEPT) {
            give_chunk(heap, hart, chunk);
            return;
        }
        hart->whole++;
    }
    list_chunk(hart, chunk);
}

/* They are in the list of their order, with those of a larger chunk that have as much. */
bool pages_trim(struct heap *heap, struct hart_heap *hart)
{
    bool any = hart->whole > 0;
    uint32_t at = hart->chunks[CHUNK_ORDER];
    while (at != PAGE_NONE && hart->whole > 0) {
        struct page *chunk = &hart->pages[at];
        at = chunk->chunk_next;
        if (order_of(heap, hart, chunk) != CHUNK_ORDER)
            continue;
        unlist_chunk(hart, chunk);
        give_chunk(heap, hart, chunk);
        hart->whole--;
    }
    return any;
}
