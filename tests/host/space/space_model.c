/* See space_model.h. */
#include "space_model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/panic.h"
#include "lib/error.h"
#include "mm/vm/asid.h"
#include "tests/host/shim/host.h"
#include "tests/host/space/tlb.h"

#define NFRAMES_MAX 8192u
#define BASE        PFN(0x80000)
#define ASID_BITS   3 /* generations are short */

static uint8_t *frames_memory(void)
{
    static void *memory;
    if (!memory) {
        memory = mmap(NULL, (size_t)NFRAMES_MAX * PAGE_BYTES, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT(memory != MAP_FAILED);
    }
    host_map_frames(memory, BASE);
    return memory;
}

size_t space_model_room;

static void damaged(const struct frame_damage *damage)
{
    panic("frame %#llx, shown at %#llx, was written to in quarantine",
        (unsigned long long)pfn_to_paddr(damage->pfn).value, (unsigned long long)damage->vaddr);
}

static void attach_quarantine(struct space_model *model)
{
    if (space_model_room == 0)
        return;
    size_t bytes = frame_quarantine_bytes(MODEL_HARTS, space_model_room);
    model->queues = aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(bytes, (size_t)CACHE_LINE_BYTES));
    frame_quarantine_attach(&model->quarantine, &model->fa, model->queues, space_model_room, damaged);
}

/* Of one model at a time. */
static struct space_model *running;

static pfn_t source_alloc(struct table_source *source)
{
    (void)source;
    return frame_alloc(&running->fa, 0, FRAME_ZERO);
}

static void source_free(struct table_source *source, pfn_t pfn)
{
    (void)source;
    memset(pfn_to_direct(pfn), 0xa5, PAGE_BYTES); /* valid entries, if anybody still looks */
    frame_free(&running->fa, pfn, 0);
}

static size_t frames_in_use(struct space_model *model)
{
    return model->fa.nframes - frame_free_count(&model->fa);
}

void space_model_become(unsigned hart)
{
    host_become_hart(hart);
}

void space_model_init(struct space_model *model, size_t nframes)
{
    memset(model, 0, sizeof(*model));
    running = model;
    frames_memory();
    const struct frame_allocator_ops *ops = frame_allocator_find("bitmap");
    size_t bytes = ALIGN_UP(ops->metadata_size(nframes, MODEL_HARTS), (size_t)CACHE_LINE_BYTES);
    void *metadata = aligned_alloc(CACHE_LINE_BYTES, bytes);
    void *counts =
        aligned_alloc(CACHE_LINE_BYTES, ALIGN_UP(frame_refs_bytes(nframes), (size_t)CACHE_LINE_BYTES));
    ASSERT(frame_allocator_init(&model->fa, ops, &lock_ttas, "space", metadata, BASE, nframes, MODEL_HARTS) ==
           0);
    frame_refs_init(&model->refs, &model->fa, counts);
    attach_quarantine(model);
    size_t pages_bytes = nframes * sizeof(struct table_page);
    struct table_page *pages = aligned_alloc(CACHE_LINE_BYTES, pages_bytes);
    memset(pages, 0, pages_bytes);
    model->tables = (struct table_source){source_alloc, source_free, pages, BASE};
    ASSERT(page_table_init(&model->kernel, &model->tables, TABLE_LOCK_NODE, &lock_ttas, NULL) == 0);
    page_table_seal(&model->kernel);
    bool pairs = vm_design.split == VM_SPLIT_SEPARATE;
    asid_init(ASID_BITS + pairs, pairs, MODEL_HARTS);
    tlb_reset();
    model->pool = (struct space_pool){
        .refs = &model->refs, .tables = &model->tables, .kernel = &model->kernel, .nharts = MODEL_HARTS};
    model->pool.user = frame_alloc(&model->fa, 0, FRAME_ZERO);
    ASSERT(space_pool_init(&model->pool) == 0);
    model->frames = frame_alloc(&model->fa, 3, FRAME_ZERO);
    ASSERT(!pfn_is_none(model->frames));
    model->base_frames = frames_in_use(model);
}

/* Nobody is in a space, and nothing waits. */
static void all_quiet(void)
{
    for (unsigned hart = MODEL_HARTS; hart-- > 0;) {
        space_model_become(hart);
        space_leave();
        shootdown_drain();
    }
    epoch_drain();
}

void space_model_finish(struct space_model *model)
{
    space_model_check(model);
    all_quiet();
    for (unsigned i = 0; i < MODEL_SPACES; i++)
        space_model_end(model, i);
    epoch_drain();
    ASSERT(frames_in_use(model) == model->base_frames);
    ASSERT(frame_refs_validate(&model->refs, 0) == 0 && frame_validate(&model->fa, model->base_frames) == 0);
    ASSERT(model->fa.misuse_count == 0);
    frame_free(&model->fa, model->pool.user, 0);
    space_pool_destroy(&model->pool);
    page_table_destroy(&model->kernel);
    if (model->queues)
        frame_quarantine_detach(&model->quarantine);
    free(model->queues);
    free(model->fa.metadata);
    free(model->refs.extra);
    free(model->tables.pages);
}

/* --- the calls ----------------------------------------------------------------------------------------- */

static vaddr_t address(size_t page)
{
    return page_to_vaddr(MODEL_FIRST_PAGE + page);
}

/* A call may only say that memory is short if it can be. */
static bool is_shortage(const struct space_model *model, int error)
{
    ASSERT(error != ERR_NO_MEMORY || model->scarce);
    return error == ERR_NO_MEMORY;
}

static uint8_t normal(uint64_t rights)
{
    return (uint8_t)(rights & PTE_W ? rights | PTE_R : rights);
}

static bool is_wrong(uint64_t rights)
{
    return (rights & (PTE_W | PTE_X)) == (PTE_W | PTE_X);
}

int space_model_create(struct space_model *model, unsigned to)
{
    struct model_space *own = &model->spaces[to];
    if (own->space)
        return 0;
    int error = space_create(&model->pool, &own->space);
    memset(own->pages, 0, sizeof(own->pages));
    own->brk = USER_HEAP_BASE;
    if (is_shortage(model, error))
        own->space = NULL;
    else
        ASSERT(error == 0);
    return error;
}

int space_model_fork(struct space_model *model, unsigned from, unsigned to)
{
    struct model_space *source = &model->spaces[from], *copy = &model->spaces[to];
    if (!source->space || copy->space)
        return 0;
    struct space *space;
    int error = space_fork(source->space, &space);
    if (is_shortage(model, error))
        return error;
    ASSERT(error == 0);
    *copy = *source;
    copy->space = space;
    return 0;
}

void space_model_end(struct space_model *model, unsigned i)
{
    struct model_space *own = &model->spaces[i];
    unsigned self = hart_index();
    if (!own->space)
        return;
    for (unsigned hart = 0; hart < MODEL_HARTS; hart++) {
        space_model_become(hart);
        if (space_current() == own->space)
            space_leave();
    }
    space_model_become(self);
    space_put(own->space);
    own->space = NULL;
}

static int expected_of_map(
    const struct model_space *own, size_t page, size_t npages, uint64_t rights, unsigned flags)
{
    if (npages == 0)
        return ERR_INVALID;
    if (is_wrong(rights))
        return ERR_PERMISSION;
    for (size_t i = page; i < page + npages && flags & SPACE_NOREPLACE; i++)
        if (own->pages[i].mapped)
            return ERR_EXISTS;
    return 0;
}

static bool is_free(const struct model_space *own, size_t page, size_t npages)
{
    for (size_t i = page; i < page + npages; i++)
        if (own->pages[i].mapped)
            return false;
    return true;
}

/* Behind a call that has mapped at @at. What is not in the window is unmapped again. Returns whether it is. */
static bool is_in_window(struct model_space *own, vaddr_t at, size_t *page, size_t npages)
{
    size_t first = vaddr_to_page(at);
    if (first >= MODEL_FIRST_PAGE && first + npages <= MODEL_FIRST_PAGE + MODEL_PAGES) {
        *page = first - MODEL_FIRST_PAGE;
        return true;
    }
    ASSERT(first + npages <= MODEL_FIRST_PAGE || first >= MODEL_FIRST_PAGE + MODEL_PAGES);
    int error = space_unmap(own->space, at, npages * PAGE_BYTES);
    ASSERT(error == 0 || error == ERR_NO_MEMORY);
    return false;
}

int space_model_map(
    struct space_model *model, unsigned i, size_t page, size_t npages, uint64_t rights, unsigned flags)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return 0;
    vaddr_t at = flags == 0 && page % 2 ? VADDR(0) : address(page);
    int expected = expected_of_map(own, page, npages, rights, flags);
    int error = space_map(own->space, &at, npages * PAGE_BYTES, rights, flags);
    if (is_shortage(model, error))
        return error;
    ASSERT(error == expected);
    if (error)
        return error;
    bool was_free = is_free(own, page, npages);
    ASSERT(!(flags & (SPACE_FIXED | SPACE_NOREPLACE)) || at.value == address(page).value);
    if (!is_in_window(own, at, &page, npages))
        return 0;
    ASSERT(flags & SPACE_FIXED || was_free || is_free(own, page, npages));
    for (size_t k = page; k < page + npages; k++)
        own->pages[k] = (struct model_page){.mapped = true, .rights = normal(rights)};
    return 0;
}

int space_model_map_frames(struct space_model *model, unsigned i, size_t page, unsigned frame, size_t npages,
    uint64_t rights, unsigned flags)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return 0;
    vaddr_t at = address(page);
    int expected = expected_of_map(own, page, npages, rights, flags);
    int error = space_map_frames(own->space, &at, pfn_add(model->frames, frame), npages, rights, flags);
    if (is_shortage(model, error))
        return error;
    ASSERT(error == expected);
    if (error || !is_in_window(own, at, &page, npages))
        return error;
    for (size_t k = 0; k < npages; k++)
        own->pages[page + k] = (struct model_page){.mapped = true,
            .foreign = true,
            .may_write = rights & PTE_W,
            .rights = normal(rights),
            .frame = (uint8_t)(frame + k)};
    return 0;
}

int space_model_unmap(struct space_model *model, unsigned i, size_t page, size_t npages)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return 0;
    int error = space_unmap(own->space, address(page), npages * PAGE_BYTES);
    if (is_shortage(model, error))
        return error;
    ASSERT(error == (npages ? 0 : ERR_INVALID));
    memset(&own->pages[page], 0, npages * sizeof(own->pages[0]));
    return error;
}

int space_model_protect(struct space_model *model, unsigned i, size_t page, size_t npages, uint64_t rights)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return 0;
    int expected = is_wrong(rights) ? ERR_PERMISSION : 0;
    for (size_t k = page; k < page + npages && !expected; k++) {
        if (!own->pages[k].mapped)
            expected = ERR_RANGE;
        else if (own->pages[k].foreign && !own->pages[k].may_write && rights & PTE_W)
            expected = ERR_PERMISSION;
    }
    int error = space_protect(own->space, address(page), npages * PAGE_BYTES, rights);
    if (is_shortage(model, error))
        return error;
    ASSERT(error == expected);
    for (size_t k = page; k < page + npages && !error; k++)
        own->pages[k].rights = normal(rights);
    return error;
}

int space_model_discard(struct space_model *model, unsigned i, size_t page, size_t npages)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return 0;
    int expected = is_free(own, page, 0) ? 0 : ERR_STATE;
    int error = space_discard(own->space, address(page), npages * PAGE_BYTES);
    if (is_shortage(model, error))
        return error;
    for (size_t k = page; k < page + npages; k++) {
        expected = own->pages[k].mapped ? expected : ERR_RANGE;
        if (!own->pages[k].foreign)
            own->pages[k].value = 0;
    }
    ASSERT(error == expected);
    return error;
}

void space_model_brk(struct space_model *model, unsigned i, uint64_t end)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return;
    uint64_t now = space_brk(own->space, VADDR(end)).value;
    bool possible = end >= USER_HEAP_BASE && end <= USER_HEAP_END;
    ASSERT(now == (possible ? end : own->brk) || (model->scarce && now == own->brk));
    own->brk = now;
}

static bool access_by_hardware(vaddr_t at, uint64_t access, uint64_t *value)
{
    if (access == PTE_X)
        return tlb_fetch(at);
    return access == PTE_W ? tlb_store(at, *value) : tlb_load(at, value);
}

int space_model_access(struct space_model *model, unsigned i, size_t page, uint64_t access)
{
    struct model_space *own = &model->spaces[i];
    if (!own->space)
        return 0;
    struct model_page *known = &own->pages[page];
    uint64_t *holds = known->foreign ? &model->frame_values[known->frame] : &known->value;
    uint64_t value = ++model->next_value;
    int expected = !known->mapped ? ERR_RANGE : known->rights & access ? 0 : ERR_PERMISSION, error = 0;
    unsigned faults = 0;
    space_enter(own->space);
    while (!error && !access_by_hardware(address(page), access, &value)) {
        error = space_fault(own->space, address(page), access);
        ASSERT(++faults <= 3);
    }
    if (is_shortage(model, error))
        return error;
    /* A hart that has not been told yet still sees what was unmapped, and which is nothing else so far. */
    if (expected == ERR_RANGE && error == 0 && own->space == space_current() && vm_design.shootdown->lazy)
        return 0;
    ASSERT(error == expected);
    if (!error && access == PTE_W)
        *holds = value;
    ASSERT(error || access != PTE_R || value == *holds);
    return error;
}

/* --- the check ----------------------------------------------------------------------------------------- */

struct comparison {
    struct space_visitor visitor;
    const struct model_space *own;
    size_t next; /* page of the window */
};

static void compare_area(struct space_visitor *visitor, const struct space_area *area)
{
    struct comparison *comparison = (struct comparison *)visitor;
    size_t first = vaddr_to_page(area->first), end = vaddr_to_page(area->end);
    if (first < MODEL_FIRST_PAGE || first >= MODEL_FIRST_PAGE + MODEL_PAGES)
        return; /* the heap */
    for (size_t page = first - MODEL_FIRST_PAGE; page < end - MODEL_FIRST_PAGE; page++) {
        const struct model_page *known = &comparison->own->pages[page];
        ASSERT(known->mapped && known->rights == area->rights && known->foreign == area->foreign);
    }
    ASSERT(is_free(comparison->own, comparison->next, first - MODEL_FIRST_PAGE - comparison->next));
    comparison->next = end - MODEL_FIRST_PAGE;
}

static void check_space(struct space_model *model, struct model_space *own)
{
    struct comparison comparison = {.visitor = {compare_area}, .own = own};
    ASSERT(space_validate(own->space) == 0);
    space_walk(own->space, &comparison.visitor);
    ASSERT(is_free(own, comparison.next, MODEL_PAGES - comparison.next));
    for (size_t page = 0; page < MODEL_PAGES; page++) {
        const struct model_page *known = &own->pages[page];
        uint64_t value = 0, holds = known->foreign ? model->frame_values[known->frame] : known->value;
        int error = space_read(own->space, address(page), &value, sizeof(value));
        ASSERT(error == (known->mapped ? 0 : ERR_RANGE) && (error || value == holds));
    }
    ASSERT(space_brk(own->space, VADDR(0)).value == own->brk);
}

void space_model_check(struct space_model *model)
{
    size_t frames = model->base_frames, shared = 0;
    epoch_drain();
    for (unsigned i = 0; i < MODEL_SPACES; i++) {
        if (!model->spaces[i].space)
            continue;
        check_space(model, &model->spaces[i]);
        frames += space_frames(model->spaces[i].space);
    }
    for (size_t i = 0; i < model->refs.nframes; i++)
        shared += model->refs.extra[i];
    if (frames_in_use(model) != frames - shared)
        panic("%zu frames are in use of %zu, %zu of them shared", frames_in_use(model), frames, shared);
}

/* --- random calls -------------------------------------------------------------------------------------- */

/* Mostly around the corners, in reach of each other. */
static size_t any_page(struct rng *rng)
{
    static const size_t corners[] = {
        MODEL_PAGES / 2, MODEL_PAGES / 2 - PAGE_ENTRIES, MODEL_PAGES / 2 + PAGE_ENTRIES};
    return corners[rng_below(rng, 3)] - 12 + rng_below(rng, 24);
}

static size_t any_size(struct rng *rng, size_t page)
{
    size_t npages = rng_below(rng, 12) ? rng_below(rng, 12) : PAGE_ENTRIES - 8 + rng_below(rng, 100);
    return MIN(npages, MODEL_PAGES - page);
}

static uint64_t any_rights(struct rng *rng)
{
    static const uint8_t rights[] = {
        0, PTE_R, PTE_R | PTE_W, PTE_R | PTE_W, PTE_R | PTE_W, PTE_W, PTE_X, PTE_R | PTE_X, PTE_W | PTE_X};
    return rights[rng_below(rng, ARRAY_SIZE(rights))];
}

static unsigned any_flags(struct rng *rng)
{
    static const uint8_t flags[] = {
        0, SPACE_FIXED, SPACE_FIXED, SPACE_FIXED | SPACE_POPULATE, SPACE_NOREPLACE};
    return flags[rng_below(rng, ARRAY_SIZE(flags))];
}

void space_model_step(struct space_model *model, struct rng *rng)
{
    unsigned i = rng_below(rng, MODEL_SPACES), frame = rng_below(rng, MODEL_FRAMES);
    size_t page = any_page(rng), npages = any_size(rng, page);
    space_model_become(rng_below(rng, MODEL_HARTS));
    if (rng_below(rng, 4) == 0)
        shootdown_quiescent();
    switch (rng_below(rng, 24)) {
    case 0: space_model_create(model, i); break;
    case 1:
    case 2: space_model_fork(model, rng_below(rng, MODEL_SPACES), i); break;
    case 3: space_model_end(model, i); break;
    case 4:
    case 5:
    case 6: space_model_map(model, i, page, npages, any_rights(rng), any_flags(rng)); break;
    case 7:
        space_model_map_frames(model, i, page, frame, MIN(npages, MODEL_FRAMES - frame), any_rights(rng),
            any_flags(rng) & ~SPACE_POPULATE);
        break;
    case 8:
    case 9: space_model_unmap(model, i, page, npages); break;
    case 10:
    case 11: space_model_protect(model, i, page, npages, any_rights(rng)); break;
    case 12: space_model_discard(model, i, page, npages); break;
    case 13: space_model_brk(model, i, USER_HEAP_BASE + rng_below(rng, 5) * 3000); break;
    default: {
        static const uint8_t kinds[] = {PTE_R, PTE_W, PTE_W, PTE_X};
        space_model_access(model, i, page, kinds[rng_below(rng, ARRAY_SIZE(kinds))]);
    }
    }
}
