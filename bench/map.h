/* What lies where in a data point, for the runner: it knows contended lines by their physical addresses only. */
#ifndef BENCH_MAP_H
#define BENCH_MAP_H

#include "bench/bench.h"

/** map_report - the mark @map, if the key `map` asks for it: the parts of memory by name. For bench_plan.ready. */
void map_report(struct bench_run *run);

#endif
