/* What the files of the stress run about virtual memory share: what each hart expects of its pages (stress_vm.c), and the spaces of a
 * slice (stress_vm_slices.c). */
#ifndef BENCH_STRESS_VM_H
#define BENCH_STRESS_VM_H

#include "bench/stress.h"
#include "mm/vm/space.h"

/* A hart's own pages: some next to those of other harts, in the same tables, 2 MiB that it has alone, and single ones in tables
 * that have nothing but such pages, and so come and go. */
#define NEAR_PAGES 48
#define FAR_PAGES  512
#define LONE_PAGES 4
#define LONE_FIRST (NEAR_PAGES + FAR_PAGES)
#define OWN_PAGES  (LONE_FIRST + LONE_PAGES)

/* What a page should be. */
struct own_page {
    bool mapped;
    uint8_t rights;
    uint32_t value; /* its first word; 0: nobody has written to it */
};

struct stress_vm_hart {
    struct space *space;
    uint32_t serial;
    struct own_page pages[OWN_PAGES];
} CACHE_ALIGNED;

struct stress_vm {
    struct table_source tables;
    struct space_pool pool;
    struct table_page *table_pages;
    struct stress_vm_hart *harts;
    unsigned nspaces;
};

extern struct stress_vm stress_vm;

#endif
