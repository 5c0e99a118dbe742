/* What tests on the host say to the shim that stands in the machine's place. */
#ifndef TESTS_HOST_SHIM_HOST_H
#define TESTS_HOST_SHIM_HOST_H

#include "arch/addr.h"
#include "lib/base.h"

/** host_become_hart - this thread is hart `index` from now on. A program starts as hart 0. */
void host_become_hart(unsigned index);

/** host_run_harts - run function(argument) in n threads, the harts 0 … n − 1, and wait for all of them. */
void host_run_harts(unsigned n, void (*function)(void *argument), void *argument);

/** host_map_frames - make pfn_to_direct(base) show `memory`, which is aligned to a page. */
void host_map_frames(void *memory, pfn_t base);

/**
 * host_console_capture - keep what is written to the console from now on, up to 16 KiB, in place of printing
 * it. host_console_release - print again; returns what was kept, valid until the next capture.
 */
void host_console_capture(void);
const char *host_console_release(void);

#endif
