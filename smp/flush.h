/*
 * What is to be forgotten of translations, and forgetting it on this hart. A range is flushed page by page up to a
 * threshold, and by forgetting the whole address space beyond it.
 */
#ifndef SMP_FLUSH_H
#define SMP_FLUSH_H

#include "arch/addr.h"
#include "lib/base.h"

/* No ASID but all of them, and the translations that are in every space (PTE_G), which the flush of one ASID leaves. No space
 * is given that number. */
#define FLUSH_EVERY_ASID 0xffff

/* A change of page tables. */
struct flush {
    uint16_t asid;
    bool pair; /* and of asid + 1, its user's: split=separate. asid is even */
    size_t first, end; /* pages; first < end. From the first changed leaf to the end of the last one */
    size_t
        nleaves; /* leaves changed in the range, if they are known to be few; 0: not counted. Of 1 any address will do,
                     * be it a GiB */
    bool
        tables; /* table pages are to be freed: pointers to them may be cached, which sfence.vma with an address leaves
                  * alone, and walks may use them at any time, so nobody acknowledges before it has flushed */
};

/*
 * Pages beyond which the whole space is flushed. On p550 a page costs 31 cycles, sfence_page = 20 and the loop. A whole flush
 * costs sfence_all = 40, and a refill of 39, three reads of the L2, for each translation that is used again. So 64 pages
 * are 1984 cycles, as much as some 50 refills: more than the 32 entries of the first level, which a hart that works
 * uses again for certain, and far fewer than the 512 of the second. Where little is used again a smaller one is better: the
 * key shootdown.threshold, and the table in docs/shootdown.md.
 */
#define FLUSH_THRESHOLD     64
#define FLUSH_THRESHOLD_MAX 64

/** flush_set_threshold - 0 … FLUSH_THRESHOLD_MAX; 0: every flush is one of the whole space. Harts are quiet. */
void flush_set_threshold(unsigned pages);
unsigned flush_threshold(void);

/* A flush as one word, as it is passed between harts; 0 is none. */
typedef struct {
    uint64_t bits;
} flush_word_t;

/** flush_pack - the word of a flush; what is over the threshold, or concerns tables, has become one of the whole space. */
flush_word_t flush_pack(const struct flush *flush);

/** flush_unpack - the pages and ASID of a word; a whole space's is all pages. */
struct flush flush_unpack(flush_word_t word);

/** flush_everything_word - a word that covers all others. @late: as if tables were among it */
flush_word_t flush_everything_word(bool late);

/** flush_word_covers - whether whoever does the first has done the second, too. */
bool flush_word_covers(flush_word_t first, flush_word_t second);

/** flush_word_late - whether it must be acknowledged only when done. */
bool flush_word_late(flush_word_t word);

/** flush_self - forget on this hart. Any context. */
void flush_self(flush_word_t word);

/** flush_self_many - the same for several: everything where their pages together are over the threshold. */
void flush_self_many(const flush_word_t *words, unsigned count);

#endif
