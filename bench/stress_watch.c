/*
 * Who watches the slices of virtual memory for stale translations. Frames that spaces free are poisoned and wait in a quarantine
 * (mm/frame/frame_quarantine.h), while each hart again and again touches what it had mapped: the addresses that it used last, in
 * rounds between its steps. A translation that it should have forgotten shows it poison, or lets it damage a frame in quarantine,
 * which is found when that leaves. No hart waits for another: who has freed as much as may wait looks until all have looked, and
 * changes nothing meanwhile.
 */
#include "arch/uaccess.h"
#include "bench/bench.h"
#include "bench/stress.h"
#include "lib/error.h"
#include "mm/frame/frame_quarantine.h"

/* Addresses that a hart remembers. Few, so that it comes back to each soon: QEMU's harts forget all translations at every flush of
 * any, so a stale one must be used before the next. */
#define LOG_ADDRESSES 8

/* Steps from one round to the next, and how often a round goes through the log: about as long as the steps take. */
#define ROUND_STEPS  4
#define ROUND_PASSES 16

/* Frames that may wait: a hart's, and of all harts no more than a quarter of the arena, or there would be no memory. */
#define ROOM_MAX 512

static struct {
    struct frame_quarantine quarantine;
    void *queues;
    struct watcher {
        uint64_t log[LOG_ADDRESSES]; /* 0: none */
        unsigned next;
    } CACHE_ALIGNED watchers[HART_MAX];
} watch;

static size_t room(void)
{
    return MIN((size_t)ROOM_MAX, STRESS_FRAMES_MAX / 4 / hart_count());
}

int stress_watch_prepare(void)
{
    watch.queues = bench_buffer(frame_quarantine_bytes(hart_count(), room()));
    return watch.queues ? 0 : ERR_NO_MEMORY;
}

void stress_watch_finish(void)
{
    bench_buffer_free(watch.queues);
}

static void damaged(const struct frame_damage *damage)
{
    uint64_t vaddr = damage->vaddr, pfn = pfn_to_paddr(damage->pfn).value;
    uint32_t low = (uint32_t)damage->found, high = (uint32_t)(damage->found >> 32);
    uint32_t word = low == (uint32_t)damage->expected ? high : low;
    unsigned writer = stress_vm_writer(word, &vaddr);
    if (writer == HART_MAX)
        stress_fail("frame %#lx (%#lx), freed by hart %u, was changed in quarantine: %#x at %#zx", pfn, vaddr,
            damage->hart, word, damage->offset);
    else
        stress_fail("hart %u wrote %#x to %#lx by a stale translation: frame %#lx, freed by hart %u, has it",
            writer, word, vaddr, pfn, damage->hart);
}

void stress_watch_open(void)
{
    frame_quarantine_attach(&watch.quarantine, &stress.arena, watch.queues, room(), damaged);
    frame_quarantine_watch(&watch.quarantine);
}

void stress_watch_close(void)
{
    frame_quarantine_detach(&watch.quarantine);
}

/* --- a hart ------------------------------------------------------------------------------------------- */

void stress_watch_begin(void)
{
    watch.watchers[hart_index()] = (struct watcher){.next = 0};
}

void stress_watch_note(uint64_t vaddr)
{
    struct watcher *own = &watch.watchers[hart_index()];
    for (unsigned i = 0; i < LOG_ADDRESSES; i++)
        if (own->log[i] == vaddr)
            return;
    own->log[own->next++ % LOG_ADDRESSES] = vaddr;
}

bool stress_watch_word(uint64_t vaddr, uint32_t word)
{
    if (!frame_is_poison(word))
        return false;
    stress_fail("%#lx has %#x: a stale translation to frame %#lx, which is in quarantine", vaddr, word,
        pfn_to_paddr(frame_of_poison(word)).value);
    return true;
}

void stress_watch_round(struct stress_hart *hart)
{
    struct watcher *own = &watch.watchers[hart_index()];
    uint64_t number = frame_quarantine_begin(&watch.quarantine);
    for (unsigned i = 0; i < ROUND_PASSES * LOG_ADDRESSES; i++) {
        uint64_t *vaddr = &own->log[i % LOG_ADDRESSES];
        uint32_t word = 0;
        if (*vaddr == 0)
            continue;
        hart->checks++;
        if (user_load_word(*vaddr, &word))
            *vaddr = 0; /* nothing is mapped there any more, and this hart knows */
        else if (stress_watch_word(*vaddr, word))
            break;
    }
    frame_quarantine_end(&watch.quarantine, number);
}

bool stress_watch_step(struct stress_hart *hart)
{
    bool is_short = frame_quarantine_is_short(&watch.quarantine);
    if (is_short || hart->operations % ROUND_STEPS == 0)
        stress_watch_round(hart);
    return !is_short;
}
