/*
 * The kernel's own page table; see kernel_map.h. It is made with the calls that every table is made with: a large range is
 * mapped with the largest leaves that fit, and what must not be like the rest is cut out of it.
 */
#include "mm/vm/kernel_map.h"
#include "arch/console.h"
#include "arch/image.h"
#include "arch/panic.h"
#include "arch/paging.h"
#include "arch/split.h"
#include "lib/error.h"
#include "mm/memory.h"

#define RX (PTE_R | PTE_X)
#define RW (PTE_R | PTE_W)

#define STACK_ORDER (HART_STACK_SHIFT - PAGE_SHIFT)

struct page_table kernel_table;

static pfn_t take_table(struct table_source *source)
{
    (void)source;
    return frame_alloc(&kernel_frames, 0, FRAME_ZERO);
}

static void give_table(struct table_source *source, pfn_t pfn)
{
    (void)source;
    frame_free(&kernel_frames, pfn, 0);
}

struct table_source kernel_table_source = {.alloc = take_table, .free = give_table};

static vaddr_t direct(uint64_t paddr)
{
    return VADDR((uint64_t)paddr_to_direct(PADDR(paddr)));
}

/* No hart uses the table yet: what is gathered needs no flush. */

static int cut_out(uint64_t first, uint64_t end)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    first = ALIGN_DOWN(first, (uint64_t)PAGE_BYTES);
    end = MIN(ALIGN_UP(end, (uint64_t)PAGE_BYTES), paging_direct_limit().value);
    if (first >= end)
        return 0;
    int error = page_table_unmap(&kernel_table, direct(first), end - first, &gather);
    page_table_release(&kernel_table, &gather);
    return error;
}

static int make_read_only(const void *first, const void *end)
{
    struct table_gather gather = TABLE_GATHER_INIT;
    size_t bytes = (size_t)((const char *)end - (const char *)first);
    int error = page_table_protect(&kernel_table, direct(image_to_paddr(first).value), bytes, PTE_R, &gather);
    page_table_release(&kernel_table, &gather);
    return error;
}

/* All RAM, but for what firmware has reserved: it is not the kernel's, and to touch some of it is an access fault. The
 * code and the constants can be read through it. */
static int map_ram(const struct machine *machine)
{
    int error = 0;
    for (unsigned i = 0; i < machine->nram && !error; i++) {
        uint64_t first = ALIGN_UP(machine->ram[i].base, (uint64_t)PAGE_BYTES);
        uint64_t end = MIN(machine->ram[i].base + machine->ram[i].bytes, paging_direct_limit().value);
        end = ALIGN_DOWN(end, (uint64_t)PAGE_BYTES);
        if (first < end)
            error =
                page_table_map(&kernel_table, direct(first), PADDR(first), end - first, RW, PAGE_LEVEL_ROOT);
    }
    for (unsigned i = 0; i < machine->nreserved && !error; i++)
        error = cut_out(machine->reserved[i].base, machine->reserved[i].base + machine->reserved[i].bytes);
    return error ? error : make_read_only(_image_start, _data);
}

static int map_part_of_image(const char *first, const char *end, uint64_t rights)
{
    return page_table_map(&kernel_table, VADDR((uint64_t)first), image_to_paddr(first), (size_t)(end - first),
        rights, PAGE_LEVEL_2M);
}

static int map_image(void)
{
    int error = map_part_of_image(_text, _rodata, RX);
    if (!error)
        error = map_part_of_image(_rodata, _data, PTE_R);
    return error ? error : map_part_of_image(_data, _image_end, RW);
}

static int map_registers(uint64_t base, uint64_t bytes)
{
    uint64_t first = ALIGN_DOWN(base, (uint64_t)PAGE_BYTES);
    uint64_t end = ALIGN_UP(base + bytes, (uint64_t)PAGE_BYTES);
    if (bytes == 0 || end > MMIO_MAP_BYTES)
        return 0;
    vaddr_t at = VADDR(MMIO_MAP_BASE + first);
    return page_table_map(&kernel_table, at, PADDR(first), end - first, RW, 0);
}

/* The registers that the kernel uses, and no others. */
static int map_devices(const struct machine *machine)
{
    int error = map_registers(machine->exit_device.base, machine->exit_device.bytes);
    for (unsigned i = 0; i < machine->nharts && !error && machine->imsic[i] != 0; i++)
        error = map_registers(machine->imsic[i], PAGE_BYTES);
    return error;
}

static int map_block(const void *vaddr, unsigned order)
{
    pfn_t pfn = frame_alloc(&kernel_frames, order, FRAME_ZERO);
    if (pfn_is_none(pfn))
        return ERR_NO_MEMORY;
    return page_table_map(
        &kernel_table, VADDR((uint64_t)vaddr), pfn_to_paddr(pfn), (size_t)PAGE_BYTES << order, RW, 0);
}

static int map_stacks(unsigned nharts)
{
    int error = 0;
    for (unsigned i = 0; i < nharts && !error; i++) {
        error = map_block(hart_stack_base(i), STACK_ORDER);
        if (!error)
            error = map_block(hart_emergency_base(i), 0);
    }
    return error;
}

/* Of the two pages that are in the tables of U-mode, too, where it has its own. */
static int map_trampoline(void)
{
    int error = page_table_map(
        &kernel_table, VADDR(TRAMPOLINE_BASE), image_to_paddr(split_text()), PAGE_BYTES, RX, 0);
    if (!error)
        error = page_table_map(
            &kernel_table, VADDR(TRAMPOLINE_SLOTS), image_to_paddr(split_slots()), PAGE_BYTES, RW, 0);
    return error;
}

/* Every entry of the root that will be used, be it empty today. */
static int keep_roots(void)
{
    static const uint64_t places[] = {WINDOW_BASE, TRAMPOLINE_BASE, KERNEL_MAP_BASE, MMIO_MAP_BASE};
    int error = 0;
    for (size_t i = 0; i < ARRAY_SIZE(places) && !error; i++)
        error = page_table_keep(&kernel_table, VADDR(places[i]));
    page_table_seal(&kernel_table);
    return error;
}

int kernel_map_init(const struct machine *machine, const struct lock_ops *lock_kind)
{
    kernel_table_source.pages = memory_plan()->table_pages;
    kernel_table_source.base = kernel_frames.base;
    int error = page_table_init(&kernel_table, &kernel_table_source, TABLE_LOCK_SPACE, lock_kind, NULL);
    if (!error)
        error = map_ram(machine);
    if (!error)
        error = map_image();
    if (!error)
        error = map_devices(machine);
    if (!error)
        error = map_stacks(machine->nharts);
    if (!error)
        error = map_trampoline();
    if (!error)
        error = keep_roots();
    if (error)
        console_format("error: the kernel's page table with stacks of %u harts: %s\n", machine->nharts,
            error_text(error));
    return error;
}

const char *kernel_map_region(vaddr_t vaddr)
{
    static const struct {
        uint64_t first, end;
        const char *name;
    } regions[] = {
        {WINDOW_BASE, WINDOW_BASE + WINDOW_BYTES, "window"},
        {TRAMPOLINE_BASE, TRAMPOLINE_SLOTS + PAGE_BYTES, "trampoline"},
        {DIRECT_MAP_BASE, DIRECT_MAP_END, "direct map"},
        {KERNEL_MAP_BASE, HART_SLOTS_BASE, "image"},
        {HART_SLOTS_BASE, MMIO_MAP_BASE, "stacks"},
        {MMIO_MAP_BASE, MMIO_MAP_BASE + MMIO_MAP_BYTES, "devices"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
        if (vaddr.value >= regions[i].first && vaddr.value < regions[i].end)
            return regions[i].name;
    }
    return "";
}

paddr_t kernel_to_paddr(const void *object)
{
    paddr_t paddr;
    bool mapped = page_table_translate(&kernel_table, VADDR((uint64_t)object), &paddr);
    ASSERT(mapped);
    return paddr;
}
