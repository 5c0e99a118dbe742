/*
 * The slices of the stress run about virtual memory: all harts map, touch, protect, discard and unmap pages and fork, in one space
 * or each in its own, over every design. Each hart keeps a list of what it should find in pages of its own, some of which lie
 * between those of other harts; in all others, what anybody may have written is known by the page, so a translation that
 * outlives its page is seen as the contents of another, or as a frame's in quarantine (stress_watch.c). Spaces have their frames
 * from the arena, which is small: calls that fail for want of memory must have changed nothing, and in the end all frames are
 * back (stress_vm_slices.c).
 */
#include "arch/uaccess.h"
#include "bench/stress_vm.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/vm/space.h"
#include "smp/shootdown.h"

/* Pages of which everybody does what it likes: few, so that harts meet there. */
#define COMMON_PAGES 4

/* Accesses in a row to those, with no change in between that would make the hart forget what it remembers. */
#define WATCH_ACCESSES 64

/* Pages that a child writes to. */
#define CHILD_WRITES 32

#define COMMON_BASE (USER_MMAP_BASE + (1ul << 30))
#define NEAR_BASE   (COMMON_BASE + COMMON_PAGES * PAGE_BYTES)
#define FAR_BASE    (USER_MMAP_BASE + (2ul << 30))
#define FAR_STRIDE  (4ul << 20)
#define LONE_BASE   (USER_MMAP_BASE + (4ul << 30))
#define LONE_STRIDE (2ul << 20)

#define RW (PTE_R | PTE_W)

/* --- words that say whose they are --- */

#define COMMON_OWNER 0xff

static uint32_t tag_of(unsigned owner, size_t page)
{
    return owner << 24 | (uint32_t)page << 12;
}

/* Whether the word can have been written to the page. */
static bool belongs(uint32_t value, unsigned owner, size_t page)
{
    return value == 0 || (value & ~0xfffu) == tag_of(owner, page);
}

/* What a hart writes to a page that is not its own says who it was. */
static uint32_t foreign_word(unsigned owner, size_t page, uint64_t number)
{
    return tag_of(owner, page) | hart_index() << 6 | (number & 63);
}

static uint64_t address_of(unsigned owner, size_t page)
{
    if (owner == COMMON_OWNER)
        return COMMON_BASE + page * PAGE_BYTES;
    if (page >= LONE_FIRST)
        return LONE_BASE + (page - LONE_FIRST) * LONE_STRIDE + owner * PAGE_BYTES;
    return page < NEAR_PAGES ? NEAR_BASE + (owner * NEAR_PAGES + page) * PAGE_BYTES
                             : FAR_BASE + owner * FAR_STRIDE + (page - NEAR_PAGES) * PAGE_BYTES;
}

unsigned stress_vm_writer(uint32_t word, uint64_t *vaddr)
{
    unsigned owner = word >> 24;
    size_t page = word >> 12 & 0xfff;
    if (page >= (owner == COMMON_OWNER ? COMMON_PAGES : OWN_PAGES) ||
        (owner != COMMON_OWNER && owner >= hart_count()))
        return HART_MAX;
    *vaddr = address_of(owner, page);
    return owner == COMMON_OWNER ? word >> 6 & 63 : owner;
}

/* --- what a hart does --- */

/* An access has failed though it should not: unless there was no memory, that is wrong. */
static bool is_excused(struct space *space, uint64_t vaddr, uint64_t access)
{
    int error = space_fault(space, VADDR(vaddr), access);
    return error == ERR_NO_MEMORY || error == 0;
}

static void touch_own(struct stress_hart *hart, size_t page, bool write)
{
    unsigned self = hart_index();
    struct stress_vm_hart *own = &stress_vm.harts[self];
    struct own_page *expected = &own->pages[page];
    uint64_t vaddr = address_of(self, page);
    uint32_t value = write ? tag_of(self, page) | (++own->serial & 0xfff) : 0;
    bool allowed = expected->mapped && expected->rights & (write ? PTE_W : PTE_R);
    int error = write ? user_store_word(vaddr, value) : user_load_word(vaddr, &value);
    hart->checks++;
    if (error == 0)
        stress_watch_note(vaddr);
    if (error == 0 && !allowed)
        stress_fail("%s page %zu (%#lx) succeeded, which is %s", write ? "writing to" : "reading", page,
            vaddr, expected->mapped ? "forbidden" : "not mapped");
    else if (error && allowed && !is_excused(space_current(), vaddr, write ? PTE_W : PTE_R))
        stress_fail("%s page %zu (%#lx) failed: %s", write ? "writing to" : "reading", page, vaddr,
            error_text(space_fault(space_current(), VADDR(vaddr), write ? PTE_W : PTE_R)));
    else if (error == 0 && write)
        expected->value = value;
    else if (error == 0 && value != expected->value && !stress_watch_word(vaddr, value))
        stress_fail("page %zu (%#lx) has %#x and not %#x", page, vaddr, value, expected->value);
}

/* A page of somebody else's, or of nobody's: whether it is there is not known, but whose contents it has is. */
static void touch_other(struct stress_hart *hart, unsigned owner, size_t page, bool write)
{
    uint32_t value = foreign_word(owner, page, hart->operations);
    uint64_t vaddr = address_of(owner, page);
    hart->checks++;
    if (write) {
        user_store_word(vaddr, value);
        return;
    }
    if (user_load_word(vaddr, &value))
        return;
    stress_watch_note(vaddr);
    if (!belongs(value, owner, page) && !stress_watch_word(vaddr, value))
        stress_fail("page %zu of %u (%#lx) has %#x, which is another's", page, owner, vaddr, value);
}

/* Whether all of a range is mapped. */
static bool is_whole(const struct stress_vm_hart *own, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (!own->pages[i].mapped)
            return false;
    return true;
}

static void expect(int error, int expected, const char *what)
{
    if (error != expected && error != ERR_NO_MEMORY)
        stress_fail("%s: %s, expected %s", what, error_text(error), error_text(expected));
}

enum change { MAP, UNMAP, PROTECT, DISCARD };

static int change_range(
    struct space *space, enum change change, uint64_t first, size_t count, uint64_t rights)
{
    vaddr_t vaddr = VADDR(first);
    size_t bytes = count * PAGE_BYTES;
    switch (change) {
    case MAP: return space_map(space, &vaddr, bytes, RW, SPACE_FIXED);
    case UNMAP: return space_unmap(space, vaddr, bytes);
    case PROTECT: return space_protect(space, vaddr, bytes, rights);
    default: return space_discard(space, vaddr, bytes);
    }
}

/* A range of the hart's own, which nobody else changes: what comes of it is known. */
static void change_own(enum change change, size_t first, size_t count, uint64_t rights)
{
    static const char *const names[] = {"mapping", "unmapping", "protecting", "discarding"};
    struct stress_vm_hart *own = &stress_vm.harts[hart_index()];
    bool may_fail = change >= PROTECT && !is_whole(own, first, count);
    int error = change_range(own->space, change, address_of(hart_index(), first), count, rights);
    expect(error, may_fail ? ERR_RANGE : 0, names[change]);
    if (error && !(change == DISCARD && error == ERR_RANGE))
        return;
    for (struct own_page *page = &own->pages[first]; page < &own->pages[first + count]; page++) {
        if (change == MAP || change == UNMAP)
            *page = (struct own_page){.mapped = change == MAP, .rights = RW};
        else if (change == PROTECT)
            page->rights = (uint8_t)rights;
        else
            page->value = 0;
    }
}

/* The child has what the parent has, and what it writes is its own. */
static void fork_and_look(struct stress_hart *hart, uint64_t bits)
{
    struct stress_vm_hart *own = &stress_vm.harts[hart_index()];
    struct space *parent = own->space, *child;
    uint32_t serial = own->serial;
    struct own_page was[CHILD_WRITES];
    size_t first = bits % (NEAR_PAGES - CHILD_WRITES);
    int error = space_fork(parent, &child);
    expect(error, 0, "forking");
    if (error)
        return;
    memcpy(was, &own->pages[first], sizeof(was));
    space_enter(child);
    for (unsigned i = 0; i < CHILD_WRITES; i++) {
        touch_own(hart, first + i, false);
        touch_own(hart, first + i, true);
        touch_own(hart, first + i, false);
    }
    space_enter(parent);
    space_put(child);
    memcpy(&own->pages[first], was, sizeof(was));
    own->serial = serial;
    for (unsigned i = 0; i < CHILD_WRITES; i++)
        touch_own(hart, first + i, false);
}

/* The same few pages again and again: what the hart remembers of them is used when it should have forgotten it. */
static void watch(struct stress_hart *hart, uint64_t bits)
{
    for (unsigned i = 0; i < WATCH_ACCESSES; i++)
        touch_other(hart, COMMON_OWNER, (bits + i % 3) % COMMON_PAGES, bits >> (i % 32) & 1);
}

static void look_around(struct stress_hart *hart, unsigned owner, size_t page)
{
    if (owner == hart_index())
        return;
    for (unsigned i = 0; i < WATCH_ACCESSES; i++)
        touch_other(hart, owner, (page + i % 4) % NEAR_PAGES, false);
}

/* A page that others use goes, and its frame may well be the next that this hart takes. Who has not forgotten it writes to
 * this hart's page then, or reads it. */
static void replace(struct stress_hart *hart, uint64_t bits)
{
    uint64_t vaddr = address_of(COMMON_OWNER, bits % COMMON_PAGES);
    size_t own = (bits >> 8) % NEAR_PAGES;
    change_range(space_current(), UNMAP, vaddr, 1, 0);
    change_own(MAP, own, 1, RW);
    touch_own(hart, own, true);
    for (unsigned i = 0; i < WATCH_ACCESSES; i++)
        touch_own(hart, own, false);
    change_range(space_current(), MAP, vaddr, 1, 0);
}

static void step_in_common(struct stress_hart *hart, uint64_t bits)
{
    size_t first = bits % COMMON_PAGES, count = 1 + (bits >> 8) % (COMMON_PAGES - first);
    switch (bits >> 40 & 15) {
    case 0: change_range(space_current(), MAP, COMMON_BASE + first * PAGE_BYTES, count, 0); break;
    case 1: change_range(space_current(), UNMAP, COMMON_BASE + first * PAGE_BYTES, count, 0); break;
    case 2: change_range(space_current(), PROTECT, COMMON_BASE + first * PAGE_BYTES, count, PTE_R); break;
    case 3: change_range(space_current(), PROTECT, COMMON_BASE + first * PAGE_BYTES, count, RW); break;
    case 4: change_range(space_current(), DISCARD, COMMON_BASE + first * PAGE_BYTES, count, 0); break;
    case 5: look_around(hart, (unsigned)((bits >> 16) % hart_count()), (bits >> 24) % NEAR_PAGES); break;
    case 6:
    case 7:
    case 8:
    case 9: replace(hart, bits); break;
    default: watch(hart, bits);
    }
}

/* One hart changes pages that all others look at, and that is all that makes those forget anything: who misses it is still using
 * what it should have forgotten when the frame is free. */
static void step_watched(struct stress_hart *hart, uint64_t bits)
{
    size_t page = bits % COMMON_PAGES;
    vaddr_t vaddr = VADDR(address_of(COMMON_OWNER, page));
    if (stress.slice % hart_count() != hart_index()) {
        for (size_t i = 0; i < COMMON_PAGES; i++)
            touch_other(hart, COMMON_OWNER, i, (bits >> 8 & 31) == i);
        stress_watch_round(hart);
        return;
    }
    if (shootdown_pending() >
        0) { /* until harts have passed: what is mapped there now would interrupt them */
        shootdown_quiescent();
        return;
    }
    /* With frames at once: the page of zeros is never free. */
    if (space_map(space_current(), &vaddr, PAGE_BYTES, RW, SPACE_NOREPLACE | SPACE_POPULATE) != ERR_EXISTS)
        stress_watch_round(hart); /* the others look meanwhile, too */
    else if (vm_design.shootdown->lazy || bits >> 40 & 1) /* all else makes everybody forget at once */
        space_unmap(space_current(), vaddr, PAGE_BYTES);
    else if (bits >> 41 & 1)
        space_discard(space_current(), vaddr, PAGE_BYTES);
    else
        space_map(space_current(), &vaddr, PAGE_BYTES, RW, SPACE_FIXED | SPACE_POPULATE);
}

void stress_vm_step(struct stress_hart *hart, uint64_t bits)
{
    static const uint8_t rights[] = {RW, RW, PTE_R, 0};
    bool far = bits >> 36 & 1;
    size_t first = far ? NEAR_PAGES + bits % FAR_PAGES : bits % NEAR_PAGES;
    size_t most = far ? LONE_FIRST - first : NEAR_PAGES - first;
    size_t count = 1 + (bits >> 12) % MIN(most, (size_t)(far && bits >> 37 & 7 ? 16 : FAR_PAGES));
    hart->operations++;
    if (bits >> 20 & 1)
        shootdown_quiescent(); /* as in a system call; else whoever has deferred something may have to interrupt */
    if (!stress_watch_step(hart))
        return;
    if (stress.kind == SLICE_VM_WATCHED) {
        step_watched(hart, bits);
        return;
    }
    if (bits >> 61 > 1 && stress.kind == SLICE_VM_SHARED) {
        step_in_common(hart, bits);
        return;
    }
    if (bits >> 61 & 1) { /* a lone page */
        first = LONE_FIRST + bits % LONE_PAGES;
        count = 1;
    }
    switch (bits >> 40 & 31) {
    case 0:
    case 1:
    case 2: change_own(MAP, first, count, RW); break;
    case 3: change_own(UNMAP, first, count, 0); break;
    case 4:
    case 5: change_own(PROTECT, first, count, rights[bits >> 48 & 3]); break;
    case 6: change_own(DISCARD, first, count, 0); break;
    case 7:
        if (stress.kind == SLICE_VM_OWN || (bits >> 50 & 7) == 0)
            fork_and_look(hart, bits);
        break;
    default: touch_own(hart, first, bits >> 30 & 1);
    }
}
