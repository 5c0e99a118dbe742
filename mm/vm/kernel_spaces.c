/* See kernel_spaces.h. */
#include "mm/vm/kernel_spaces.h"
#include "arch/paging.h"
#include "mm/memory.h"
#include "mm/vm/asid.h"
#include "mm/vm/kernel_map.h"

struct space_pool kernel_spaces;

int kernel_spaces_init(unsigned nharts)
{
    kernel_spaces = (struct space_pool){
        .refs = &kernel_refs, .tables = &kernel_table_source, .kernel = &kernel_table, .nharts = nharts};
    asid_init(paging_asid_bits());
    return space_pool_init(&kernel_spaces);
}
