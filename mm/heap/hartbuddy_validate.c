/*
 * The accounts of "hartbuddy", from ground truth: each page of a chunk is free or part of a run of the hart whose chunk it is,
 * each run with free blocks is where its hart or the next drain finds it, each list has what it should and nothing
 * else. Called while the harts are quiet. And the walk, and the names of the parts.
 */
#include "lib/error.h"
#include "mm/heap/hartbuddy.h"

/* What is found by going through the lists, against what is found by going through the chunks. */
struct census {
    size_t listed_runs, listed_chunks, queued;
};

static uint32_t remote_of(const _Atomic uint32_t *link)
{
    /* Relaxed: the harts are quiet. lw. */
    return atomic_load_explicit(link, memory_order_relaxed);
}

static int corrupt(struct heap *heap, const struct page *page, const char *finding)
{
    const struct hart_heap *hart = hart_heap_of(heap, 0);
    return heap_corrupt(heap, (void *)page_address(heap, hart, page), finding);
}

/* Whose chunk a page is in: the span's tag; nharts: it is in none. */
static unsigned chunk_owner(struct heap *heap, const struct page *page)
{
    heap_span_t span = heap_span_of(heap, (void *)page_address(heap, hart_heap_of(heap, 0), page));
    return heap_span_none(span) || heap_span_is_large(span) ? heap->nharts : heap_span_tag(span);
}

static bool is_run_of(const struct page *page, unsigned owner, unsigned class)
{
    uint32_t tag = page_tag(page);
    return tag != TAG_NONE && tag_owner(tag) == owner && tag_class(tag) == class && tag_back(tag) == 0;
}

static int check_constants(struct heap *heap, const struct slot *slot, unsigned class)
{
    unsigned npages = class == CLASS_PAGES ? 1 : slot->npages;
    if (slot->bytes == 0 || slot->bytes % HEAP_ALIGN || slot->nblocks != npages * PAGE_BYTES / slot->bytes ||
        slot->nwords != DIV_CEIL(slot->nblocks, 64u) || slot->nwords > RUN_WORDS ||
        slot->all != bits_mask(0, slot->nblocks - (slot->nwords - 1) * 64) ||
        slot->reciprocal != DIV_CEIL(1ull << 32, slot->bytes))
        return heap_corrupt(heap, slot, "what a class is has been written over");
    return 0;
}

static int check_current(struct heap *heap, struct hart_heap *hart, const struct slot *slot, unsigned class)
{
    _Atomic uint64_t *word = slot_word(slot);
    if (word == &hart->no_word)
        return 0;
    const struct page *run = run_of_word(word);
    unsigned w = (unsigned)(word - run->free);
    if (run < hart->pages || run >= hart->pages + heap->nframes || w >= slot->nwords ||
        !is_run_of(run, hart_number(heap, hart), class))
        return heap_corrupt(heap, slot, "a hart allocates from what is no run of its class");
    if (run->next != RUN_UNLISTED)
        return corrupt(heap, run, "the run that its hart allocates from is in a list");
    if (slot->base != page_address(heap, hart, run) + w * 64 * slot->bytes)
        return heap_corrupt(heap, slot, "a hart allocates from a word that is not its blocks'");
    if (slot->bit && slot->pointer != slot->base + (size_t)bits_lowest(slot->bit) * slot->bytes)
        return heap_corrupt(heap, slot, "the block to try next is not its bit's");
    return 0;
}

static int check_runs(
    struct heap *heap, struct hart_heap *hart, const struct slot *slot, unsigned class, size_t *count)
{
    uint32_t before = PAGE_NONE;
    for (uint32_t at = slot->partial; at != PAGE_NONE; at = hart->pages[at].next) {
        if (at >= heap->nframes)
            return heap_corrupt(heap, slot, "in a list of runs is what is no page");
        const struct page *run = &hart->pages[at];
        if (!is_run_of(run, hart_number(heap, hart), class) || run->previous != before)
            return corrupt(heap, run, "in a list of runs where it does not belong");
        ++*count;
        before = at;
    }
    return 0;
}

static int check_chunks(struct heap *heap, struct hart_heap *hart, unsigned order, size_t *count)
{
    uint32_t before = PAGE_NONE;
    if ((hart->filled >> order & 1) != (hart->chunks[order] != PAGE_NONE))
        return heap_corrupt(heap, hart, "an empty list that is said to be filled, or the reverse");
    for (uint32_t at = hart->chunks[order]; at != PAGE_NONE; at = hart->pages[at].chunk_next) {
        if (at >= heap->nframes)
            return heap_corrupt(heap, hart, "in a list of chunks is what is no page");
        const struct page *chunk = &hart->pages[at];
        if (chunk_owner(heap, chunk) != hart_number(heap, hart) || chunk->pages == 0 ||
            chunk_largest(chunk->pages) != order || chunk->chunk_previous != before)
            return corrupt(heap, chunk, "in a list of chunks where it does not belong");
        ++*count;
        before = at;
    }
    return 0;
}

static int check_remote(struct heap *heap, struct hart_heap *hart, size_t *count)
{
    for (uint32_t at = remote_of(&hart->remote); at;) {
        if (at > heap->nframes || *count > heap->nframes)
            return heap_corrupt(heap, &hart->remote, "a remote list that does not end");
        const struct page *run = &hart->pages[at - 1];
        if (!(remote_of(&run->remote) & REMOTE_QUEUED))
            return corrupt(heap, run, "on a remote list, and does not know it");
        ++*count;
        at = remote_of(&run->remote) & ~REMOTE_QUEUED;
    }
    return 0;
}

static int check_hart(struct heap *heap, struct hart_heap *hart, struct census *census)
{
    int error = 0;
    if (run_word(&hart->no_word))
        return heap_corrupt(heap, &hart->no_word, "free in a word that has no blocks");
    for (unsigned class = 0; !error && class < CLASSES; class ++) {
        const struct slot *slot = &hart->slots[class];
        error = check_constants(heap, slot, class);
        error = error ? error : check_current(heap, hart, slot, class);
        error = error ? error : check_runs(heap, hart, slot, class, &census->listed_runs);
    }
    for (unsigned order = 0; !error && order <= CHUNK_ORDER_MAX; order++)
        error = check_chunks(heap, hart, order, &census->listed_chunks);
    return error ? error : check_remote(heap, hart, &census->queued);
}

/* A run's first page. */
static int check_run(struct heap *heap, const struct page *run, unsigned owner, struct census *seen)
{
    struct hart_heap *hart = hart_heap_of(heap, owner);
    uint32_t tag = page_tag(run);
    if (tag_owner(tag) != owner || tag_class(tag) >= CLASSES)
        return corrupt(heap, run, "a run in a chunk of another hart's");
    const struct slot *slot = &hart->slots[tag_class(tag)];
    for (unsigned w = 0; w < RUN_WORDS; w++)
        if (run_word(&run->free[w]) & ~(w < slot->nwords ? run_mask(slot, w) : 0))
            return corrupt(heap, run, "free blocks behind a run's last one");
    bool listed = run->next != RUN_UNLISTED, queued = remote_of(&run->remote) & REMOTE_QUEUED;
    if (run_free_count(slot, run) && !listed && !queued && !run_is_current(slot, run))
        return corrupt(heap, run, "free blocks that nobody finds");
    seen->listed_runs += listed;
    return 0;
}

static unsigned pages_of_run(struct heap *heap, uint32_t tag)
{
    return tag_class(tag) == CLASS_PAGES ? tag_pages(tag)
                                         : hart_heap_of(heap, 0)->slots[tag_class(tag)].npages;
}

/* A page of a chunk, by what the one in front of it, NULL for none, says that it has to be. */
static int check_page(struct heap *heap, const struct page *chunk, unsigned i, struct census *seen)
{
    const struct page *page = &chunk[i];
    uint32_t tag = page_tag(page), before = i ? page_tag(page - 1) : TAG_NONE;
    bool is_free = chunk->pages >> i & 1;
    bool inside = before != TAG_NONE && tag_back(before) + 1u < pages_of_run(heap, before);
    if (is_free != (tag == TAG_NONE))
        return corrupt(
            heap, page, is_free ? "a free page that is part of a run: given twice" : "a page is lost");
    if (inside ? is_free || tag_back(tag) != tag_back(before) + 1u : !is_free && tag_back(tag))
        return corrupt(heap, page, "a run without a beginning, or without an end");
    if (!is_free && !tag_back(tag))
        return check_run(heap, page, chunk_owner(heap, chunk), seen);
    for (unsigned w = 0; w < RUN_WORDS; w++)
        if (run_word(&page->free[w]))
            return corrupt(heap, page, "free blocks where no run begins: freed twice");
    return 0;
}

/* Every chunk of every hart; *whole: those that it should have counted as whole, by hart. */
static int check_spans(struct heap *heap, struct census *seen, uint32_t *whole)
{
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        const struct page *chunk = page_of(heap, hart_heap_of(heap, 0), base);
        unsigned npages = 1u << heap_span_order(span);
        if (npages > CHUNK_PAGES_MAX || heap_span_tag(span) >= heap->nharts ||
            chunk->pages & ~bits_mask(0, npages))
            return corrupt(heap, chunk, "a chunk that cannot be");
        seen->listed_chunks += chunk->pages != 0;
        whole[heap_span_tag(span)] +=
            heap_span_order(span) == CHUNK_ORDER && chunk->pages == bits_mask(0, npages);
        for (unsigned i = 0; i < npages; i++) {
            int error = check_page(heap, chunk, i, seen);
            if (error)
                return error;
        }
    }
    return 0;
}

int hartbuddy_validate(struct heap *heap)
{
    struct census listed = {0}, seen = {0};
    uint32_t whole[HART_MAX] = {0};
    int error = 0;
    for (unsigned i = 0; !error && i < heap->nharts; i++)
        error = check_hart(heap, hart_heap_of(heap, i), &listed);
    if (!error)
        error = check_spans(heap, &seen, whole);
    for (unsigned i = 0; !error && i < heap->nharts; i++)
        if (whole[i] != hart_heap_of(heap, i)->whole)
            error = heap_corrupt(heap, hart_heap_of(heap, i), "whole chunks are miscounted");
    const struct page *pages = hart_heap_of(heap, 0)->pages;
    for (size_t i = 0; i < heap->nframes; i++)
        seen.queued += (remote_of(&pages[i].remote) & REMOTE_QUEUED) != 0;
    if (!error && (listed.listed_runs != seen.listed_runs || listed.listed_chunks != seen.listed_chunks))
        error = heap_corrupt(heap, heap->metadata, "runs or chunks that are in no list");
    if (!error && listed.queued != seen.queued)
        error =
            heap_corrupt(heap, heap->metadata, "runs that are on no remote list, and believe that they are");
    return error;
}

static void walk_run(struct heap *heap, const struct page *run, heap_visit *visit, void *argument)
{
    const struct hart_heap *hart = hart_heap_of(heap, 0);
    uint32_t tag = page_tag(run);
    const struct slot *slot = &hart->slots[tag_class(tag)];
    size_t bytes = tag_class(tag) == CLASS_PAGES ? (size_t)tag_pages(tag) * PAGE_BYTES : slot->bytes;
    for (unsigned i = 0; i < slot->nblocks; i++)
        visit(argument, &(struct heap_block){.base = (void *)(page_address(heap, hart, run) + i * bytes),
                            .bytes = bytes,
                            .live = !(run_word(&run->free[i / 64]) >> i % 64 & 1),
                            .hart = tag_owner(tag)});
}

/* Free pages in a row are one free block. */
void hartbuddy_walk(struct heap *heap, heap_visit *visit, void *argument)
{
    const struct hart_heap *hart = hart_heap_of(heap, 0);
    heap_span_t span;
    HEAP_SPAN_FOR_EACH(heap, base, span)
    {
        if (heap_span_is_large(span))
            continue;
        const struct page *chunk = page_of(heap, hart, base);
        unsigned npages = 1u << heap_span_order(span), n;
        for (unsigned i = 0; i < npages; i += n) {
            for (n = 0; i + n < npages && chunk->pages >> (i + n) & 1;)
                n++;
            if (n > 0) {
                visit(argument, &(struct heap_block){.base = (uint8_t *)base + (size_t)i * PAGE_BYTES,
                                    .bytes = (size_t)n * PAGE_BYTES,
                                    .hart = heap_span_tag(span)});
                continue;
            }
            walk_run(heap, &chunk[i], visit, argument);
            n = pages_of_run(heap, page_tag(&chunk[i]));
        }
    }
}

void hartbuddy_describe(struct heap *heap, struct parts *parts)
{
    struct hart_heap *harts = hart_heap_of(heap, 0);
#define ADD(name, member)                                                                                    \
    parts_add_array(parts, name, &harts->member, sizeof(harts->member), heap->nharts, sizeof(*harts))
    ADD("pages of hart", pages);
    ADD("table of classes of hart", line_of);
    ADD("slots of hart", slots);
    ADD("lock of hart", lock);
    ADD("remote list of hart", remote);
#undef ADD
    parts_add_array(parts, "page", harts->pages, sizeof(struct page), heap->nframes, sizeof(struct page));
}
