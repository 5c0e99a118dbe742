/*
 * The contended-line report: which lines harts take from each other, by which instructions, and whether they do so
 * over the same bytes. cache.c tells of transactions, plugin.c of every access, guest.c of regions.
 */
#ifndef MODEL_LINES_H
#define MODEL_LINES_H

#include "model.h"

/* Whether a region is being measured that somebody wants to read about: nothing is to be told otherwise. */
extern bool lines_on;

/* A request that a cache could not serve. */
struct line_event {
    uint64_t paddr, pc;
    enum access access;
    uint64_t cycles; /* waiting for line and bank, and latency */
    uint64_t losers; /* harts that had a copy, or owned the line, and lost that */
    bool transfer; /* the line, or the right to write it, came from another hart */
    unsigned invalidations;
};

/** lines_open - report every labelled region to this file. Prints and returns false on an error. */
bool lines_open(const char *path);

/** lines_begin - a region begins; label 0: one that is not reported. */
void lines_begin(uint64_t label);

/** lines_measure - this hart's share of the report begins here. A second time in a region: everything begins anew,
 *  as what came before was a warm-up. */
void lines_measure(const struct hart *hart);

/** lines_leave - the hart, which still runs, is about to leave its region; behind the last one the report is written. */
void lines_leave(const struct hart *hart);

/** lines_transaction - the running hart asked the directory. */
void lines_transaction(const struct hart *hart, const struct line_event *event);

/** lines_touch - the running hart has accessed these bytes, after the transaction if it took one. */
void lines_touch(
    const struct hart *hart, uint64_t vaddr, uint64_t paddr, unsigned bytes, enum access access, uint64_t pc);

#endif
