/* Flushes as words, and sfence.vma; see flush.h. */
#include "smp/flush.h"
#include "arch/paging.h"
#include "arch/pte.h"
#include "trace/counter.h"
#include "trace/inject.h"

/*
 * A word, from bit 0: valid, late, a whole space, a pair of ASIDs, and from bit 8 7 bits of the number of pages, 27 of the first page, and above 16 of the
 * ASID. A whole space has neither pages nor a first.
 */
#define WORD_VALID       1ull
#define WORD_LATE        2ull
#define WORD_SPACE       4ull
#define WORD_PAIR        8ull
#define WORD_COUNT_SHIFT 8
#define WORD_COUNT_MASK  0x7full
#define WORD_FIRST_SHIFT 16
#define WORD_ASID_SHIFT  48

_Static_assert(FLUSH_THRESHOLD_MAX <= WORD_COUNT_MASK, "it fits");
_Static_assert(WORD_FIRST_SHIFT + PAGE_VPN_BITS <= WORD_ASID_SHIFT, "it fits");

static unsigned threshold = FLUSH_THRESHOLD;

void flush_set_threshold(unsigned pages)
{
    threshold = MIN(pages, FLUSH_THRESHOLD_MAX);
}

unsigned flush_threshold(void)
{
    return threshold;
}

static size_t word_pages(flush_word_t word)
{
    return word.bits >> WORD_COUNT_SHIFT & WORD_COUNT_MASK;
}

static size_t word_first(flush_word_t word)
{
    return word.bits >> WORD_FIRST_SHIFT & (PAGE_COUNT_TOTAL - 1);
}

static unsigned word_asid(flush_word_t word)
{
    return (unsigned)(word.bits >> WORD_ASID_SHIFT);
}

static bool word_is_pair(flush_word_t word)
{
    return word.bits & WORD_PAIR;
}

static bool word_is_space(flush_word_t word)
{
    return word.bits & WORD_SPACE;
}

flush_word_t flush_everything_word(bool late)
{
    return (flush_word_t){
        WORD_VALID | WORD_SPACE | (late ? WORD_LATE : 0) | (uint64_t)FLUSH_EVERY_ASID << WORD_ASID_SHIFT};
}

/* A hart's handler runs on the kernel's pages, so of those it must not say that it has forgotten what it goes on using. */
static bool is_late(const struct flush *flush)
{
    return flush->tables || flush->end > PAGE_COUNT_TOTAL / 2;
}

flush_word_t flush_pack(const struct flush *flush)
{
    uint64_t common =
        WORD_VALID | (is_late(flush) ? WORD_LATE : 0) | (uint64_t)flush->asid << WORD_ASID_SHIFT;
    if (flush->pair && !plant_due(PLANT_SPLIT_ONEASID))
        common |= WORD_PAIR;
    size_t pages = flush->nleaves == 1 ? 1 : flush->end - flush->first;
    if (flush->tables || pages > threshold)
        return (flush_word_t){common | WORD_SPACE};
    return (flush_word_t){common | pages << WORD_COUNT_SHIFT | flush->first << WORD_FIRST_SHIFT};
}

struct flush flush_unpack(flush_word_t word)
{
    size_t first = word_is_space(word) ? 0 : word_first(word);
    return (struct flush){
        .asid = (uint16_t)word_asid(word),
        .pair = word_is_pair(word),
        .first = first,
        .end = word_is_space(word) ? PAGE_COUNT_TOTAL : first + word_pages(word),
        .tables = word_is_space(word) && flush_word_late(word),
    };
}

bool flush_word_late(flush_word_t word)
{
    return word.bits & WORD_LATE;
}

bool flush_word_covers(flush_word_t first, flush_word_t second)
{
    if (flush_word_late(second) && !flush_word_late(first))
        return false;
    if (word_asid(first) != FLUSH_EVERY_ASID &&
        (word_asid(first) != word_asid(second) || (word_is_pair(second) && !word_is_pair(first))))
        return false;
    if (word_is_space(first))
        return true;
    return !word_is_space(second) && word_first(first) <= word_first(second) &&
           word_first(second) + word_pages(second) <= word_first(first) + word_pages(first);
}

static void flush_space(unsigned asid)
{
    counter_add(COUNTER_SFENCE, 1);
    if (asid == FLUSH_EVERY_ASID)
        paging_flush();
    else
        paging_flush_asid((uint16_t)asid);
}

static void flush_pages(unsigned asid, size_t first, size_t pages)
{
    counter_add(COUNTER_SFENCE, pages);
    counter_add(COUNTER_FLUSH_PAGES, pages);
    for (size_t page = first; page < first + pages; page++) {
        if (asid == FLUSH_EVERY_ASID)
            paging_flush_page_of_all(page_to_vaddr(page));
        else
            paging_flush_page(page_to_vaddr(page), (uint16_t)asid);
    }
}

void flush_self(flush_word_t word)
{
    if (!word_is_space(word)) {
        flush_pages(word_asid(word), word_first(word), word_pages(word));
        if (word_is_pair(word))
            flush_pages(word_asid(word) + 1, word_first(word), word_pages(word));
        return;
    }
    counter_add(flush_word_late(word) ? COUNTER_FLUSH_TABLES : COUNTER_FLUSH_MANY, 1);
    flush_space(word_asid(word));
    if (word_is_pair(word))
        flush_space(word_asid(word) + 1);
}

void flush_self_many(const flush_word_t *words, unsigned count)
{
    size_t pages = 0;
    for (unsigned i = 0; i < count; i++)
        pages += word_pages(words[i]);
    if (count > 1 && pages > threshold) {
        counter_add(COUNTER_FLUSH_MERGED, 1);
        flush_space(FLUSH_EVERY_ASID);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        flush_self(words[i]);
}
