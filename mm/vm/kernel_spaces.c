/* See kernel_spaces.h. */
#include "mm/vm/kernel_spaces.h"
#include "arch/paging.h"
#include "lib/error.h"
#include "mm/memory.h"
#include "mm/vm/asid.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/table_entries.h"
#include "smp/call.h"
#include "smp/epoch.h"
#include "smp/shootdown.h"

struct space_pool kernel_spaces;

/* What the kernel's table and the ASIDs are made for. */
static enum vm_split settled = VM_SPLIT_SHARED;

/* Between kernel_spaces_renew() and kernel_spaces_end(): as it was. */
static struct {
    struct space_pool pool;
    struct table_source tables;
} home;

/* Of the kernel it shows the trampoline, which is alone in its GiB. */
static int make_user_root(pfn_t *root)
{
    size_t page = vaddr_to_page(VADDR(TRAMPOLINE_BASE));
    *root = table_take_frame(&kernel_table_source);
    if (pfn_is_none(*root))
        return ERR_NO_MEMORY;
    pte_t pte = entry_load(table_entry(kernel_table.root, page, PAGE_LEVEL_ROOT));
    store_relaxed(table_entry(*root, page, PAGE_LEVEL_ROOT), pte.bits); /* no hart knows it yet */
    return 0;
}

/* From the memory that the kernel has now. */
static int make_pool(unsigned nharts)
{
    kernel_spaces = (struct space_pool){.refs = &kernel_refs,
        .tables = &kernel_table_source,
        .kernel = &kernel_table,
        .nharts = nharts,
        .zero = PFN_NONE};
    int error = make_user_root(&kernel_spaces.user);
    return error ? error : space_pool_init(&kernel_spaces);
}

int kernel_spaces_init(unsigned nharts)
{
    asid_init(paging_asid_bits(), false, nharts);
    return make_pool(nharts);
}

static void forget(void *unused)
{
    (void)unused;
    paging_flush();
}

static void renew_asids(void)
{
    asid_init(paging_asid_bits(), settled == VM_SPLIT_SEPARATE, kernel_spaces.nharts);
    smp_call(hart_mask_first(hart_count()), forget, NULL);
}

/*
 * A global translation is used whatever table satp names, so a kernel that U-mode is not to have must have none. The trampoline's
 * stay: they are in every table. And numbers of spaces are given in pairs, which begin anew.
 */
void kernel_spaces_settle(void)
{
    size_t trampoline = vaddr_to_page(VADDR(TRAMPOLINE_BASE));
    if (settled == vm_design.split)
        return;
    settled = vm_design.split;
    page_table_set_global(&kernel_table, settled == VM_SPLIT_SHARED, trampoline,
        trampoline + page_level_pages(PAGE_LEVEL_ROOT));
    renew_asids();
}

static void drain_hart(void *unused)
{
    (void)unused;
    shootdown_drain();
}

void kernel_spaces_drain(void)
{
    smp_call(hart_mask_first(hart_count()), drain_hart, NULL);
    epoch_drain();
}

static void begin_anew(void)
{
    kernel_spaces_drain();
    epoch_reset();
    shootdown_reset();
    renew_asids();
}

int kernel_spaces_renew(void)
{
    begin_anew();
    home.pool = kernel_spaces;
    home.tables = kernel_table_source;
    kernel_table_source.pages = memory_plan()->table_pages;
    kernel_table_source.base = kernel_frames.base;
    return make_pool(home.pool.nharts);
}

void kernel_spaces_end(void)
{
    begin_anew();
    if (!pfn_is_none(kernel_spaces.zero))
        space_pool_destroy(&kernel_spaces);
    if (!pfn_is_none(kernel_spaces.user))
        kernel_table_source.free(&kernel_table_source, kernel_spaces.user);
    kernel_spaces = home.pool;
    kernel_table_source = home.tables;
}
