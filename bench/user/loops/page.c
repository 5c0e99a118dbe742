/* Loops about single pages: faults, rights, copies. */
#include "bench/user/loops/loop.h"

/* The first touch of a page writes to it: a read would be shown the page of zeros that all share, and a frame only at the write
 * behind it. Whether it was not zeros. */
static ALWAYS_INLINE bool touch_fresh(void *region, size_t page)
{
    volatile uint64_t *word = word_of(region, page);
    word[0] = page;
    return word[1] != 0;
}

/* A MiB mapped, each page touched, unmapped. An operation is a page, with its share of the two calls. */
static ALWAYS_INLINE void fault(struct user_share *share, const bool timed)
{
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint8_t *region = map_region(share, USER_FAULT_PAGES);
        for (size_t k = 0; k < USER_FAULT_PAGES; k++) {
            uint64_t since = timed ? now(share) : 0;
            share->wrong += touch_fresh(region, k);
            if (timed)
                record(share, USER_TAKE, since, now(share));
        }
        uint64_t since = timed ? now(share) : 0;
        unmap_region(share, region, USER_FAULT_PAGES);
        if (timed)
            record(share, USER_GIVE, since, now(share));
    }
    share->ops += share->rounds * USER_FAULT_PAGES;
}

LOOP(fault)

/* The same region by all: a MiB that one maps, of which each touches every n-th page, next to those of the others. An
 * operation is a page. */
static ALWAYS_INLINE void fault_shared(struct user_share *share, const bool timed)
{
    void *region = (void *)SHARED_BASE;
    for (uint64_t i = 0; i < share->rounds; i++) {
        if (share->index == 0)
            map_shared(share, SHARED_BASE, USER_FAULT_PAGES);
        meet(share);
        for (size_t k = share->index; k < USER_FAULT_PAGES; k += share->nharts) {
            uint64_t since = timed ? now(share) : 0;
            share->wrong += touch_fresh(region, k);
            if (timed)
                record(share, USER_TAKE, since, now(share));
            share->ops++;
        }
        meet(share);
        uint64_t since = timed ? now(share) : 0;
        if (share->index == 0) {
            unmap_region(share, region, USER_FAULT_PAGES);
            if (timed)
                record(share, USER_GIVE, since, now(share));
        }
    }
}

LOOP(fault_shared)

/* A region that this thread has written to: made read-only, writable again, and written to. */
static ALWAYS_INLINE void protect(struct user_share *share, const bool timed)
{
    size_t bytes = USER_PROTECT_PAGES * USER_PAGE;
    void *region = kept_region(share, USER_PROTECT_PAGES);
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        share->failed += syscall(SYS_mprotect, (uint64_t)region, bytes, PROT_READ) != 0;
        uint64_t between = timed ? now(share) : 0;
        share->failed += syscall(SYS_mprotect, (uint64_t)region, bytes, PROT_RW) != 0;
        if (timed) {
            record(share, USER_TAKE, since, between);
            record(share, USER_GIVE, between, now(share));
        }
        write_pages(region, USER_PROTECT_PAGES, i);
    }
    share->ops += share->rounds;
}

LOOP(protect)

/* A process a hart forks; the child writes to half of the pages, which are copied, and ends. */
static ALWAYS_INLINE void fork_write(struct user_share *share, const bool timed)
{
    void *region = kept_region(share, USER_FORK_PAGES);
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        long child = fork();
        if (child == 0) {
            write_pages(region, USER_FORK_PAGES / 2, 2);
            exit_group(0);
        }
        uint64_t between = timed ? now(share) : 0;
        share->failed += child < 0 || wait_child(child, NULL, 0) != child;
        if (timed) {
            record(share, USER_TAKE, since, between);
            record(share, USER_GIVE, between, now(share));
        }
    }
    for (size_t k = 0; k < USER_FORK_PAGES; k++)
        share->wrong += *word_of(region, k) != 1; /* what the children wrote is theirs */
    share->ops += share->rounds;
}

LOOP(fork_write)
