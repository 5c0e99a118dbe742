/*
 * The contended-line report. A line is followed from the first time that one hart takes it from another; from then
 * on it is known which bytes each hart reads and writes, which instructions ask for it and what that costs.
 *
 * Two verdicts tell sharing of data from sharing of a line. `false_sharing`: harts fight over the line, and no byte
 * that one of them writes is accessed by another. And, for lines on which both happens, how many of the fetches that
 * followed a loss were useless: until the hart lost the line again it accessed no byte that another had written since
 * it last did (Dubois et al., "The detection and elimination of useless misses in multiprocessors", ISCA 1993).
 */
#include "lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines in a report: what fits a screen and what anybody acts on. */
#define REPORT_LINES 16
#define REPORT_PCS   8

/* Instructions that are told apart on one line. Few lines see more; those are counted together. */
#define PCS_MAX 16

/* Lines followed in a region; at 64 harts that is 190 MiB. What comes later is counted in `dropped`. */
#define LINES_MAX 65536
#define SLOTS     (2 * LINES_MAX)

/* What one hart does with a line; masks have a bit a byte. */
struct usage {
    uint64_t read, written;
    uint64_t news; /* bytes that others have written since this hart last accessed such a byte */
    bool lost; /* its copy was taken away */
    bool fetched; /* and fetched again, and what it was good for is not known yet */
};

/* What one instruction does to a line. */
struct site {
    uint64_t pc;
    enum access access;
    uint64_t harts, bytes;
    uint64_t transactions, cycles;
};

struct record {
    uint64_t number; /* physical address >> LINE_SHIFT */
    uint64_t vaddr; /* by which it was first accessed; 0: only by page-table walks */
    uint64_t transactions, transfers, invalidations, cycles;
    uint64_t refetches, useless;
    unsigned nsites;
    struct site sites[PCS_MAX];
    struct site others; /* all further instructions together */
    struct usage usage[]; /* one a hart */
};

bool lines_on;

static FILE *file;
static const char *file_path;
static uint64_t label;
static uint64_t measuring; /* harts that have come to where they are measured */
static struct record *records[LINES_MAX], *slots[SLOTS];
static uint32_t nrecords;
static uint64_t dropped; /* transactions on lines that there was no room for */

bool lines_open(const char *path)
{
    file = fopen(path, "w");
    file_path = path;
    if (!file)
        fprintf(stderr, "error: model: lines=%s: %s\n", path, strerror(errno));
    return file != NULL;
}

static void forget(void)
{
    for (uint32_t i = 0; i < nrecords; i++)
        free(records[i]);
    if (nrecords)
        memset(slots, 0, sizeof(slots));
    nrecords = 0;
    dropped = 0;
    measuring = 0;
}

void lines_begin(uint64_t region)
{
    lines_on = false;
    label = region;
    forget();
}

void lines_measure(const struct hart *hart)
{
    if (!file || !label)
        return;
    if (measuring >> hart->index & 1)
        forget();
    measuring |= 1ull << hart->index;
    lines_on = true;
}

/* --- gathering --- */

/* The slot where a line is, or would be. Fibonacci hashing: neighbouring lines spread over the table. */
static struct record **slot_of(uint64_t number)
{
    uint32_t i = (uint32_t)(number * 0x9e3779b97f4a7c15ull >> 32) % SLOTS;
    while (slots[i] && slots[i]->number != number)
        i = (i + 1) % SLOTS;
    return &slots[i];
}

static struct record *follow(uint64_t number)
{
    struct record **slot = slot_of(number);
    if (*slot || nrecords == LINES_MAX)
        return *slot;
    struct record *record = calloc(1, sizeof(*record) + nharts * sizeof(record->usage[0]));
    if (!record)
        return NULL;
    record->number = number;
    return *slot = records[nrecords++] = record;
}

static struct site *find_site(struct record *record, uint64_t pc, enum access access)
{
    for (unsigned i = 0; i < record->nsites; i++) {
        if (record->sites[i].pc == pc && record->sites[i].access == access)
            return &record->sites[i];
    }
    return NULL;
}

static void count_site(struct record *record, const struct hart *hart, const struct line_event *event)
{
    struct site *site = find_site(record, event->pc, event->access);
    if (!site && record->nsites < PCS_MAX) {
        site = &record->sites[record->nsites++];
        site->pc = event->pc;
        site->access = event->access;
    }
    if (!site)
        site = &record->others;
    site->harts |= 1ull << hart->index;
    site->transactions++;
    site->cycles += event->cycles;
}

static bool writes(enum access access)
{
    return access == ACCESS_STORE || access == ACCESS_ATOMIC;
}

/* The hart has the line, which it may have had before. */
static void arrive(struct record *record, struct usage *own)
{
    if (!own->lost)
        return;
    record->refetches++;
    own->lost = false;
    own->fetched = true;
}

/* Others lose their copies: what they have not put to use by now was fetched for nothing. */
static void take_away(struct record *record, uint64_t losers)
{
    for (; losers; losers &= losers - 1) {
        struct usage *usage = &record->usage[__builtin_ctzll(losers)];
        record->useless += usage->fetched;
        usage->fetched = false;
        usage->lost = true;
    }
}

void lines_transaction(const struct hart *hart, const struct line_event *event)
{
    uint64_t number = event->paddr >> LINE_SHIFT;
    if (!(measuring >> hart->index & 1))
        return;
    struct record *record = event->transfer ? follow(number) : *slot_of(number);
    if (!record) {
        dropped += event->transfer;
        return;
    }
    record->transactions++;
    record->transfers += event->transfer;
    record->invalidations += event->invalidations;
    record->cycles += event->cycles;
    count_site(record, hart, event);
    arrive(record, &record->usage[hart->index]);
    if (writes(event->access)) /* a reader takes the right to write, but leaves the copy */
        take_away(record, event->losers);
}

void lines_touch(
    const struct hart *hart, uint64_t vaddr, uint64_t paddr, unsigned bytes, enum access access, uint64_t pc)
{
    struct record *record = *slot_of(paddr >> LINE_SHIFT);
    if (!record || !(measuring >> hart->index & 1))
        return;
    /* Of an access that crosses into the next line, what lies in this one. */
    uint64_t mask = ((1ull << bytes) - 1) << (paddr & ((1u << LINE_SHIFT) - 1));
    struct usage *own = &record->usage[hart->index];
    struct site *site = find_site(record, pc, access);
    if (site)
        site->bytes |= mask;
    if (!record->vaddr && access != ACCESS_WALK)
        record->vaddr = vaddr & ~((1ull << LINE_SHIFT) - 1);
    if (own->news & mask) {
        own->news = 0;
        own->fetched = false;
    }
    if (access != ACCESS_STORE)
        own->read |= mask;
    if (!writes(access))
        return;
    own->written |= mask;
    for (unsigned i = 0; i < nharts; i++) {
        if (i != hart->index)
            record->usage[i].news |= mask;
    }
}

/* --- reporting --- */

/* Whether two harts or more access the line, one of them writing, and nobody what another one writes. */
static bool falsely_shared(const struct record *record)
{
    uint64_t accessed = 0, written = 0;
    unsigned users = 0;
    for (unsigned i = 0; i < nharts; i++) {
        const struct usage *usage = &record->usage[i];
        uint64_t own = usage->read | usage->written;
        if ((usage->written & accessed) || (own & written))
            return false;
        accessed |= own;
        written |= usage->written;
        users += own != 0;
    }
    return users > 1 && written;
}

/* Most cycles first; the lower address of equals. */
static int by_cycles(const void *left, const void *right)
{
    const struct record *a = *(struct record *const *)left, *b = *(struct record *const *)right;
    if (a->cycles != b->cycles)
        return a->cycles < b->cycles ? 1 : -1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int sites_by_cycles(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->cycles != b->cycles)
        return a->cycles < b->cycles ? 1 : -1;
    if (a->pc != b->pc)
        return a->pc < b->pc ? -1 : 1;
    return (int)a->access - (int)b->access;
}

/* Masks and addresses are strings: a JSON number is exact to 53 bits only. */
static void write_harts(const struct record *record)
{
    const char *separator = "";
    fprintf(file, ",\"harts\":[");
    for (unsigned i = 0; i < nharts; i++) {
        const struct usage *usage = &record->usage[i];
        if (!(usage->read | usage->written))
            continue;
        fprintf(file, "%s{\"hart\":%u,\"read\":\"0x%" PRIx64 "\",\"written\":\"0x%" PRIx64 "\"}", separator,
            i, usage->read, usage->written);
        separator = ",";
    }
    fprintf(file, "]");
}

static void write_site(const struct site *site)
{
    static const char *const names[] = {
        [ACCESS_LOAD] = "load", [ACCESS_STORE] = "store", [ACCESS_ATOMIC] = "atomic", [ACCESS_WALK] = "walk"};
    fprintf(file,
        "{\"pc\":\"0x%" PRIx64 "\",\"access\":\"%s\",\"harts\":\"0x%" PRIx64 "\",\"bytes\":\"0x%" PRIx64
        "\",\"transactions\":%" PRIu64 ",\"cycles\":%" PRIu64 "}",
        site->pc, names[site->access], site->harts, site->bytes, site->transactions, site->cycles);
}

static void write_sites(struct record *record)
{
    uint64_t transactions = record->others.transactions, cycles = record->others.cycles;
    qsort(record->sites, record->nsites, sizeof(record->sites[0]), sites_by_cycles);
    fprintf(file, ",\"pcs\":[");
    for (unsigned i = 0; i < record->nsites; i++) {
        if (i < REPORT_PCS) {
            fprintf(file, "%s", i ? "," : "");
            write_site(&record->sites[i]);
        } else {
            transactions += record->sites[i].transactions;
            cycles += record->sites[i].cycles;
        }
    }
    fprintf(
        file, "],\"other_pcs\":{\"transactions\":%" PRIu64 ",\"cycles\":%" PRIu64 "}", transactions, cycles);
}

static void write_record(struct record *record)
{
    fprintf(file, "{\"paddr\":\"0x%" PRIx64 "\",\"vaddr\":\"0x%" PRIx64 "\"", record->number << LINE_SHIFT,
        record->vaddr);
    fprintf(file,
        ",\"transactions\":%" PRIu64 ",\"transfers\":%" PRIu64 ",\"invalidations\":%" PRIu64
        ",\"cycles\":%" PRIu64 ",\"refetches\":%" PRIu64 ",\"useless_refetches\":%" PRIu64
        ",\"false_sharing\":%s",
        record->transactions, record->transfers, record->invalidations, record->cycles, record->refetches,
        record->useless, falsely_shared(record) ? "true" : "false");
    write_harts(record);
    write_sites(record);
    fprintf(file, "}");
}

/* Of a line that is not among the first, enough to add up what lies on it. */
static void write_briefly(const struct record *record)
{
    uint64_t touched = 0;
    for (unsigned i = 0; i < nharts; i++)
        touched |= record->usage[i].read | record->usage[i].written;
    fprintf(file, "[\"0x%" PRIx64 "\",\"0x%" PRIx64 "\",%" PRIu64 ",%" PRIu64 ",%s]",
        record->number << LINE_SHIFT, touched, record->transfers, record->cycles,
        falsely_shared(record) ? "true" : "false");
}

static void report(void)
{
    uint64_t transfers = 0, cycles = 0;
    qsort(records, nrecords, sizeof(records[0]), by_cycles);
    for (uint32_t i = 0; i < nrecords; i++) {
        transfers += records[i]->transfers;
        cycles += records[i]->cycles;
    }
    fprintf(file,
        "{\"label\":%" PRIu64 ",\"contended_lines\":%" PRIu32 ",\"dropped\":%" PRIu64
        ",\"transfers\":%" PRIu64 ",\"cycles\":%" PRIu64 ",\"lines\":[",
        label, nrecords, dropped, transfers, cycles);
    for (uint32_t i = 0; i < nrecords && i < REPORT_LINES; i++) {
        fprintf(file, "%s", i ? "," : "");
        write_record(records[i]);
    }
    fprintf(file, "],\"others\":[");
    for (uint32_t i = REPORT_LINES; i < nrecords; i++) {
        fprintf(file, "%s", i > REPORT_LINES ? "," : "");
        write_briefly(records[i]);
    }
    fprintf(file, "]}\n");
    if (fflush(file) != 0)
        fprintf(stderr, "error: model: lines=%s: %s\n", file_path, strerror(errno));
}

void lines_leave(const struct hart *hart)
{
    if (!lines_on)
        return;
    for (unsigned i = 0; i < nharts; i++) {
        if (&harts[i] != hart && hart_modelled(&harts[i]))
            return;
    }
    report();
    lines_on = false;
}
