/* The monitor's `maps`: the kernel's own page table as ranges that are alike. */
#include "arch/console.h"
#include "kernel/monitor.h"
#include "mm/vm/kernel_map.h"

struct range {
    struct table_visitor visitor; /* first: the walk is given this */
    struct table_leaf first;
    size_t
        nleaves; /* that go on from it in both address spaces, of its size and with its rights; 0: none yet */
};

static void print_range(const struct range *range)
{
    static const char *const sizes[PAGE_LEVELS] = {"4 KiB", "2 MiB", "1 GiB"};
    const struct table_leaf *leaf = &range->first;
    size_t bytes = range->nleaves << page_level_shift(leaf->level);
    if (range->nleaves == 0)
        return;
    console_format("  %016lx - %016lx  %c%c%c%c  %10lu KiB  %5lu x %s  at %#lx  %s\n", leaf->vaddr.value,
        leaf->vaddr.value + bytes - 1, leaf->rights & PTE_R ? 'r' : '-', leaf->rights & PTE_W ? 'w' : '-',
        leaf->rights & PTE_X ? 'x' : '-', leaf->rights & PTE_U ? 'u' : '-', bytes / 1024, range->nleaves,
        sizes[leaf->level], pfn_to_paddr(leaf->pfn).value, kernel_map_region(leaf->vaddr));
}

static bool goes_on(const struct range *range, const struct table_leaf *leaf)
{
    const struct table_leaf *first = &range->first;
    size_t pages = range->nleaves * page_level_pages(first->level);
    return range->nleaves > 0 && leaf->level == first->level && leaf->rights == first->rights &&
           leaf->vaddr.value == first->vaddr.value + pages * PAGE_BYTES &&
           pfn_equal(leaf->pfn, pfn_add(first->pfn, pages));
}

static void visit(struct table_visitor *visitor, const struct table_leaf *leaf)
{
    struct range *range = (struct range *)visitor;
    if (!goes_on(range, leaf)) {
        print_range(range);
        range->first = *leaf;
        range->nleaves = 0;
    }
    range->nleaves++;
}

static int maps_run(unsigned argc, char **argv)
{
    struct range range = {.visitor = {visit}};
    (void)argc;
    (void)argv;
    page_table_walk(&kernel_table, &range.visitor);
    print_range(&range);
    console_format("  %lu tables below the root\n", page_table_count(&kernel_table));
    return 0;
}

COMMAND(maps_command, .name = "maps", .usage = "", .help = "what the kernel's page table shows, and how",
    .run = maps_run);
