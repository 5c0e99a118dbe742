/*
 * `record=N` in the boot arguments: the first N calls of a heap become a trace that goes out over the console
 * (docs/heap-traces.md). `record.heap=` says of which: the one under test, or the kernel's own from boot to the end.
 */
#ifndef KERNEL_RECORD_H
#define KERNEL_RECORD_H

#include "mm/heap/heap.h"

/** record_wanted - whether the calls of heaps under test are wanted. */
bool record_wanted(void);

/** record_prepare - get the memory for what is to be recorded, and begin if that is the kernel's own heap. Boot hart, behind
 *  memory_init(). 0 or ERR_NO_MEMORY. */
int record_prepare(void);

/** record_start, record_stop - of a heap under test, if those are wanted; once a boot. The harts are quiet. */
void record_start(struct heap *heap);
void record_stop(struct heap *heap);

/** record_report - stop, and say on the console what was recorded. @name: for the trace. Nothing where nothing is wanted. */
void record_report(const char *name);

#endif
