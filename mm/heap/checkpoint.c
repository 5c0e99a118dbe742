/* See checkpoint.h. A mark is a number: the guard writes the heap's generation into each block, and a mark ends one. */
#include "mm/heap/checkpoint.h"
#include "arch/atomic.h"
#include "arch/console.h"
#include "lib/string.h"
#include "mm/heap/guard.h"

struct look {
    struct heap *heap;
    uint64_t generation; /* blocks of this one and later ones count */
    size_t nameless;
    struct heap_since *since; /* NULL: only the nameless are counted */
};

static void add_to(struct heap_site *site, size_t blocks, size_t bytes)
{
    site->blocks += blocks;
    site->bytes += bytes;
}

static void add_site(struct heap_since *since, uint64_t caller, size_t blocks, size_t bytes)
{
    size_t i = 0;
    add_to(&since->total, blocks, bytes);
    while (i < since->nsites && since->site[i].caller != caller)
        i++;
    if (i == HEAP_SITES_MAX) {
        add_to(&since->others, blocks, bytes);
        return;
    }
    if (i == since->nsites)
        since->site[since->nsites++] = (struct heap_site){.caller = caller};
    add_to(&since->site[i], blocks, bytes);
}

static void look_at(void *argument, const struct heap_block *block)
{
    struct look *look = argument;
    struct heap_note note;
    if (!block->live)
        return;
    bool known = heap_guard_read(look->heap, block->base, &note);
    if (!known && note.asked == HEAP_BYTES_MAX)
        look->nameless++;
    else if (look->since && (!known || note.generation >= look->generation))
        add_site(look->since, note.caller, 1, note.asked);
}

void heap_mark(struct heap *heap, struct heap_mark *mark)
{
    struct look look = {.heap = heap};
    if (heap->guarded)
        heap_walk(heap, look_at, &look);
    /* Relaxed: the harts are quiet, and are told to go on by an order of its own. amoadd.d. */
    mark->generation = atomic_fetch_add_explicit(&heap->generation, 1, memory_order_relaxed) + 1;
    mark->nameless = look.nameless;
}

static bool is_before(const struct heap_site *one, const struct heap_site *two)
{
    return one->bytes > two->bytes || (one->bytes == two->bytes && one->caller < two->caller);
}

/* By insertion: they are few. */
static void sort(struct heap_since *since)
{
    for (size_t i = 1; i < since->nsites; i++) {
        struct heap_site moved = since->site[i];
        size_t place = i;
        for (; place > 0 && is_before(&moved, &since->site[place - 1]); place--)
            since->site[place] = since->site[place - 1];
        since->site[place] = moved;
    }
}

void heap_since(struct heap *heap, const struct heap_mark *mark, struct heap_since *since)
{
    struct look look = {.heap = heap, .generation = mark->generation, .since = since};
    memset(since, 0, sizeof(*since));
    if (!heap->guarded)
        return;
    heap_walk(heap, look_at, &look);
    if (look.nameless > mark->nameless) {
        size_t more = look.nameless - mark->nameless;
        add_site(since, 0, more, more * HEAP_BYTES_MAX);
    }
    sort(since);
}

static void report(const char *before, const struct heap_site *site, const char *place)
{
    console_lock();
    console_format("%s%zu block%s, %zu bytes, allocated by ", before, site->blocks,
        site->blocks == 1 ? "" : "s", site->bytes);
    if (place)
        console_format("%s", place);
    else
        heap_say_site(site->caller);
    console_format("\n");
    console_unlock();
}

size_t heap_report_since(struct heap *heap, const struct heap_mark *mark, const char *before)
{
    struct heap_since since;
    heap_since(heap, mark, &since);
    for (size_t i = 0; i < since.nsites; i++)
        report(before, &since.site[i], NULL);
    if (since.others.blocks != 0)
        report(before, &since.others, "others");
    return since.total.blocks;
}
