/* For tests: a trace for heap.replay that is not in the initrd. */
#ifndef BENCH_HEAP_REPLAY_H
#define BENCH_HEAP_REPLAY_H

#include "lib/base.h"

/** heap_replay_set - replay this file from now on; NULL: there is none. 0, or why it is refused (heap_trace_open()). The
 *  file must stay. */
int heap_replay_set(const void *file, size_t bytes);

#endif
