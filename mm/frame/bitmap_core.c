/*
 * Searching and marking, a word of 64 frames at a time. Blocks of up to 32 frames lie inside one word, larger
 * ones are whole words; natural alignment makes anything else impossible.
 */
#include "mm/frame/bitmap_core.h"
#include "arch/console.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/string.h"

#define WORD_FRAMES 64
#define WORD_ORDER  6

/* How far to look for a whole free word before a batch is put together from pieces: eight cache lines of the
 * bitmap, 16 MiB of memory. An unbounded search would scan all of a fragmented arena under the lock. */
#define WHOLE_WORD_SEARCH 64

static inline uint32_t word_of(uint32_t index)
{
    return index / WORD_FRAMES;
}

static inline uint64_t block_mask(uint32_t index, unsigned order)
{
    return bits_mask(index % WORD_FRAMES, 1u << order);
}

static inline uint32_t block_words(unsigned order)
{
    return 1u << (order - WORD_ORDER);
}

/* Searches go round the arena once. */
static inline uint32_t next_word(const struct bitmap_core *core, uint32_t word)
{
    return word + 1 < core->nwords ? word + 1 : 0;
}

size_t bitmap_core_bytes(size_t nframes)
{
    return 2 * DIV_CEIL(nframes, WORD_FRAMES) * sizeof(uint64_t);
}

void bitmap_core_init(struct bitmap_core *core, void *memory, size_t nframes)
{
    uint32_t nwords = DIV_CEIL(nframes, WORD_FRAMES);
    *core = (struct bitmap_core){
        .taken = memory,
        .head = (uint64_t *)memory + nwords,
        .nframes = nframes,
        .nwords = nwords,
        .nfree = nframes,
    };
    memset(memory, 0, bitmap_core_bytes(nframes));
    /* The frames of the last word that the arena lacks are taken for ever, and heads, so that a block in
     * front of them ends where it should. */
    if (nframes % WORD_FRAMES != 0) {
        uint64_t lacking = ~0ull << nframes % WORD_FRAMES;
        core->taken[nwords - 1] = lacking;
        core->head[nwords - 1] = lacking;
    }
}

static uint32_t find_in_words(const struct bitmap_core *core, unsigned order)
{
    uint32_t word = core->hint;
    for (uint32_t seen = 0; seen < core->nwords; seen++) {
        uint64_t positions = bits_aligned_runs(~core->taken[word], order);
        if (positions)
            return word * WORD_FRAMES + bits_lowest(positions);
        word = next_word(core, word);
    }
    return BITMAP_NONE;
}

static bool words_are(const uint64_t *words, uint32_t count, uint64_t value)
{
    for (uint32_t i = 0; i < count; i++)
        if (words[i] != value)
            return false;
    return true;
}

static uint32_t find_whole_words(const struct bitmap_core *core, unsigned order)
{
    uint32_t count = block_words(order);
    uint32_t blocks = core->nwords / count;
    if (blocks == 0)
        return BITMAP_NONE;
    uint32_t block = MIN(core->hint / count, blocks - 1);
    for (uint32_t seen = 0; seen < blocks; seen++) {
        if (words_are(&core->taken[block * count], count, 0))
            return block * count * WORD_FRAMES;
        block = block + 1 < blocks ? block + 1 : 0;
    }
    return BITMAP_NONE;
}

uint32_t bitmap_core_take(struct bitmap_core *core, unsigned order)
{
    if (core->nfree < 1u << order)
        return BITMAP_NONE;
    uint32_t index = order < WORD_ORDER ? find_in_words(core, order) : find_whole_words(core, order);
    if (index == BITMAP_NONE)
        return BITMAP_NONE;

    uint32_t word = word_of(index);
    if (order < WORD_ORDER)
        core->taken[word] |= block_mask(index, order);
    else
        memset(&core->taken[word], 0xff, block_words(order) * sizeof(uint64_t));
    core->head[word] |= block_mask(index, 0);
    core->nfree -= 1u << order;
    core->hint = word;
    return index;
}

void bitmap_core_give(struct bitmap_core *core, uint32_t index, unsigned order)
{
    uint32_t word = word_of(index);
    if (order < WORD_ORDER)
        core->taken[word] &= ~block_mask(index, order);
    else
        memset(&core->taken[word], 0, block_words(order) * sizeof(uint64_t));
    core->head[word] &= ~block_mask(index, 0);
    core->nfree += 1u << order;
    core->hint = word;
}

/* Move the hint to a whole free word, if one is near. */
static void seek_whole_word(struct bitmap_core *core)
{
    uint32_t limit = MIN(core->nwords, WHOLE_WORD_SEARCH);
    uint32_t word = core->hint;
    for (uint32_t seen = 0; seen < limit; seen++) {
        if (core->taken[word] == 0) {
            core->hint = word;
            return;
        }
        word = next_word(core, word);
    }
}

/* Up to n frames of one word. */
static unsigned take_from_word(struct bitmap_core *core, uint32_t word, uint32_t *indices, unsigned n)
{
    uint64_t taken = core->taken[word], left = ~taken;
    unsigned got = 0;
    if (taken == 0 && n >= WORD_FRAMES) {
        for (; got < WORD_FRAMES; got++)
            indices[got] = word * WORD_FRAMES + got;
        left = 0;
    } else {
        for (; left && got < n; left &= left - 1)
            indices[got++] = word * WORD_FRAMES + bits_lowest(left);
    }
    core->taken[word] = ~left;
    core->head[word] |= ~left & ~taken;
    return got;
}

unsigned bitmap_core_take_singles(struct bitmap_core *core, uint32_t *indices, unsigned n)
{
    n = MIN(n, core->nfree);
    if (n == WORD_FRAMES)
        seek_whole_word(core);

    uint32_t word = core->hint;
    for (unsigned got = 0; (got += take_from_word(core, word, indices + got, n - got)) < n;)
        word = next_word(core, word);
    core->hint = word;
    core->nfree -= n;
    return n;
}

void bitmap_core_give_singles(struct bitmap_core *core, const uint32_t *indices, unsigned n)
{
    for (unsigned i = 0; i < n;) {
        uint32_t word = word_of(indices[i]);
        uint64_t frames = 0;
        while (i < n && word_of(indices[i]) == word)
            frames |= block_mask(indices[i++], 0);
        core->taken[word] &= ~frames;
        core->head[word] &= ~frames;
        core->hint = word;
    }
    core->nfree += n;
}

bool bitmap_core_holds(const struct bitmap_core *core, uint32_t index, unsigned order)
{
    uint32_t word = word_of(index);
    if (order < WORD_ORDER) {
        uint64_t mask = block_mask(index, order);
        if ((core->taken[word] & mask) != mask || (core->head[word] & mask) != block_mask(index, 0))
            return false;
    } else {
        uint32_t count = block_words(order);
        if (!words_are(&core->taken[word], count, ~0ull) || core->head[word] != 1 ||
            !words_are(&core->head[word + 1], count - 1, 0))
            return false;
    }
    /* It must end there, too: what follows is free, or begins a block. */
    uint32_t end = index + (1u << order);
    if (word_of(end) == core->nwords)
        return true;
    uint64_t after = block_mask(end, 0);
    return !(core->taken[word_of(end)] & after) || (core->head[word_of(end)] & after);
}

uint32_t bitmap_core_block_of(const struct bitmap_core *core, uint32_t index)
{
    if (!(core->taken[word_of(index)] & block_mask(index, 0)))
        return BITMAP_NONE;
    while (!(core->head[word_of(index)] & block_mask(index, 0)))
        index--;
    return index;
}

int bitmap_core_validate(const struct bitmap_core *core)
{
    uint32_t nfree = 0;
    uint64_t before_taken = 0; /* whether the frame in front of the word is taken */
    for (uint32_t word = 0; word < core->nwords; word++) {
        uint64_t taken = core->taken[word], head = core->head[word];
        /* A head is taken, and a taken frame behind a free one is a head. */
        uint64_t wrong = (head & ~taken) | (taken & ~(taken << 1 | before_taken) & ~head);
        if (wrong) {
            console_format("frame: bitmap: frame %u of the arena: %s\n",
                word * WORD_FRAMES + bits_lowest(wrong),
                taken & wrong & -wrong ? "taken, but in no block" : "head of a block, but free");
            return ERR_CORRUPT;
        }
        nfree += bits_count(~taken);
        before_taken = taken >> (WORD_FRAMES - 1);
    }
    if (nfree == core->nfree)
        return 0;
    console_format("frame: bitmap: %u frames are free, the count says %u\n", nfree, core->nfree);
    return ERR_CORRUPT;
}

void bitmap_core_describe(const struct bitmap_core *core, struct parts *parts)
{
    parts_add(parts, "header", core, sizeof(*core));
    parts_add(parts, "count of free frames", &core->nfree, sizeof(core->nfree));
    parts_add(parts, "search hint", &core->hint, sizeof(core->hint));
    parts_add_array(parts, "taken word", core->taken, sizeof(uint64_t), core->nwords, sizeof(uint64_t));
    parts_add_array(parts, "head word", core->head, sizeof(uint64_t), core->nwords, sizeof(uint64_t));
}
