/* Loops that map and unmap. */
#include "bench/user/loops/loop.h"

/*
 * The three of RadixVM's evaluation (Clements, Kaashoek, Zeldovich, "RadixVM: Scalable Address Spaces for Multithreaded
 * Applications", EuroSys 2013, section 5), which differ in who touches a region besides the thread that mapped it: nobody, one
 * more, everybody.
 */

/* local: map a region, write to each page, unmap it. As an allocator with pools of its own a thread. */
static ALWAYS_INLINE void map_local(struct user_share *share, const bool timed)
{
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        void *region = map_region(share, USER_LOCAL_PAGES);
        write_pages(region, USER_LOCAL_PAGES, i);
        uint64_t between = timed ? now(share) : 0;
        unmap_region(share, region, USER_LOCAL_PAGES);
        uint64_t until = timed ? now(share) : 0;
        if (timed) {
            record(share, USER_TAKE, since, between);
            record(share, USER_GIVE, between, until);
        }
    }
    share->ops += share->rounds;
}

LOOP(map_local)

/* The least there is: a page mapped, which nobody touches, and unmapped. */
static ALWAYS_INLINE void map_untouched(struct user_share *share, const bool timed)
{
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        void *region = map_region(share, 1);
        uint64_t between = timed ? now(share) : 0;
        unmap_region(share, region, 1);
        uint64_t until = timed ? now(share) : 0;
        if (timed) {
            record(share, USER_TAKE, since, between);
            record(share, USER_GIVE, between, until);
        }
    }
    share->ops += share->rounds;
}

LOOP(map_untouched)

/* pipeline: map a region, write to each page, hand it to the next thread, which does so, too, and unmaps it. As the
 * intermediate results of one stage that another consumes. */
static ALWAYS_INLINE void map_pipeline(struct user_share *share, const bool timed)
{
    struct user_common *common = common_of(share);
    uint64_t next = share->index + 1 < share->nharts ? share->index + 1 : 0;
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0, region;
        void *own = map_region(share, USER_LOCAL_PAGES);
        write_pages(own, USER_LOCAL_PAGES, i);
        uint64_t between = timed ? now(share) : 0;
        /* Acquire and release: the pages are as the thread before has left them. The slot is empty when its hart waits on
         * the region that was in it, so it has room within a round of the ring. */
        while (atomic_load_explicit(&common->slot[next].region, memory_order_acquire))
            relax();
        atomic_store_explicit(&common->slot[next].region, (uint64_t)own, memory_order_release);
        while (!(region = atomic_load_explicit(&common->slot[share->index].region, memory_order_acquire)))
            relax();
        atomic_store_explicit(&common->slot[share->index].region, 0, memory_order_release);
        uint64_t resumed = timed ? now(share) : 0;
        write_pages((void *)region, USER_LOCAL_PAGES, i);
        unmap_region(share, (void *)region, USER_LOCAL_PAGES);
        if (timed) {
            record(share, USER_TAKE, since, between);
            record(share, USER_GIVE, resumed, now(share));
        }
    }
    share->ops += share->rounds;
}

LOOP(map_pipeline)

/* global: each maps a part of one large region, all write to all pages of it, from different ends, and each unmaps its part.
 * As a table that all use. An operation is a page written to. */
static ALWAYS_INLINE void map_global(struct user_share *share, const bool timed)
{
    size_t pages = share->nharts * USER_LOCAL_PAGES, first = share->index * USER_LOCAL_PAGES;
    uint64_t part = SHARED_BASE + first * USER_PAGE;
    for (uint64_t i = 0; i < share->rounds; i++) {
        uint64_t since = timed ? now(share) : 0;
        void *own = map_shared(share, part, USER_LOCAL_PAGES);
        uint64_t between = timed ? now(share) : 0;
        meet(share);
        for (size_t k = 0; k < pages; k++)
            *word_of((void *)SHARED_BASE, (first + k) % pages) = share->index;
        meet(share);
        uint64_t resumed = timed ? now(share) : 0;
        unmap_region(share, own, USER_LOCAL_PAGES);
        if (timed) {
            record(share, USER_TAKE, since, between);
            record(share, USER_GIVE, resumed, now(share));
        }
    }
    share->ops += share->rounds * pages;
}

LOOP(map_global)
