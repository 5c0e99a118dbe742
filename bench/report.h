/* Results on the console: JSON lines for the runner, or one line a point for people at the monitor. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/harness.h"
#include "bench/points.h"

/* The lines that the runner reads begin with a mark: @plan, @begin, @result, @end. docs/results.md. */

/** report_plan - how many points will be measured here, and how many were chosen in all shards together. */
void report_plan(unsigned points, unsigned total);
void report_begin(const struct bench_point *point);

/** report_result - a measured point. @reason: NULL when it is right, else why it is not. */
void report_result(
    const struct bench_point *point, const struct bench_result *result, unsigned trials, const char *reason);

/** report_end - the last word. @next: the number of the first point that is left for another boot; 0: none. */
void report_end(unsigned failed, unsigned next);

/** report_for_people - the same in one line. */
void report_for_people(
    const struct bench_point *point, const struct bench_result *result, const char *reason);

/** report_mark_begin, report_mark_end - a line for the runner, `@mark {…}`; its members are written in between. */
void report_mark_begin(struct json *json, const char *mark);
void report_mark_end(struct json *json);

#endif
