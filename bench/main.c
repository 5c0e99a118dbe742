/* `bench=` in the boot arguments and `bench` at the monitor: the keys that choose, and the run over the points. */
#include "arch/console.h"
#include "arch/model.h"
#include "bench/map.h"
#include "bench/points.h"
#include "bench/report.h"
#include "kernel/config.h"
#include "kernel/monitor.h"
#include "kernel/record.h"
#include "lib/error.h"
#include "smp/hart.h"
#include "smp/shootdown.h"

static struct bench_plan plan;

static int apply_bench(const char *value, struct writer *why)
{
    return selection_set_bench(value, why);
}

static int apply_trials(const char *value, struct writer *why)
{
    uint64_t number = 0;
    int error = config_apply_number(value, 1, TRIALS_MAX, &number, why);
    plan.trials = (unsigned)number;
    return error;
}

/* A minute is longer than anyone waits for one trial. */
static int apply_trial_ms(const char *value, struct writer *why)
{
    return config_apply_number(value, 1, 60000, &plan.trial_ms, why);
}

/* A working size, and the largest up to the machine's: 1, 2, 4, 8, … and all. */
static void default_harts(struct bench_selection *chosen)
{
    for (unsigned n = 1; n < hart_count(); n *= 2)
        chosen->harts[chosen->nharts++] = n;
    chosen->harts[chosen->nharts++] = hart_count();
}

/* Long enough for hundreds of operations of the slowest variant on each of 64 harts, short enough that the whole
 * default selection takes a minute or two. */
static int apply_trial_cycles(const char *value, struct writer *why)
{
    return config_apply_number(value, 1000, 1000000000, &plan.trial_cycles, why);
}

static int check_machine(void)
{
    struct bench_selection *chosen = bench_selection();
    plan.seed = chosen->seed;
    if (clock_kind() == CLOCK_MODEL)
        plan.trials = 1; /* they would all be the same */
    if (chosen->nharts == 0)
        default_harts(chosen);
    uint64_t most = chosen->harts[chosen->nharts - 1];
    if (most > hart_count()) {
        console_format("error: harts=%lu: this machine has %u\n", most, hart_count());
        return ERR_RANGE;
    }
    char text[240];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    int error = selection_check_available(&why.writer);
    if (error) {
        console_format("error: %s\n", text);
        return error;
    }
    if (points_total() == 0) {
        console_format(
            "error: nothing to measure: none of the allocators in frame=%s has blocks as large as the "
            "workloads in bench=%s ask for\n",
            chosen->frame, chosen->bench);
        return ERR_INVALID;
    }
    if (record_wanted() && points_total() != 1) {
        console_format(
            "error: record= is about one data point of a heap, and %u are chosen: bench=, heap=, lock= and "
            "harts= have to be one each\n",
            points_total());
        return ERR_INVALID;
    }
    return 0;
}

/* With what all data points need. */
static int begin(void)
{
    int error = check_machine();
    if (error)
        return error;
    error = bench_prepare();
    if (error) {
        console_format("error: no memory for the histograms of %u harts\n", hart_count());
        bench_finish();
    }
    return error;
}

struct progress {
    bool for_people;
    unsigned failed;
    bool lasts; /* a point has been measured that others of its kind must not come behind */
    unsigned next; /* the first point that is left for another boot; 0: none */
};

/* Whether a point is for the next boot: if there will be one, and if it would not be the same here as it is there. */
static bool is_left(const struct bench_point *point, struct progress *progress)
{
    bool lasting = point->variant.vm && point->variant.vm->shootdown->lasting && point->nharts > 1;
    bool again = bench_selection()->from != 0 && clock_kind() == CLOCK_MODEL;
    if (lasting && progress->lasts && again && progress->next == 0)
        progress->next = point->number;
    progress->lasts = progress->lasts || lasting;
    return progress->next != 0;
}

static void measure_point(const struct bench_point *point, void *argument)
{
    struct progress *progress = argument;
    struct bench_result result;
    char text[200];
    struct buffer_writer why;
    if (is_left(point, progress))
        return;
    buffer_writer_init(&why, text, sizeof(text));
    plan.ready = progress->for_people ? NULL : map_report;
    if (!progress->for_people)
        report_begin(point);
    plan.label = point->number;
    int error = bench_measure(point->workload, point->variant, point->nharts, &plan, &result, &why.writer);
    const char *reason = error ? text : NULL;
    if (progress->for_people)
        report_for_people(point, &result, reason);
    else
        report_result(point, &result, plan.trials, reason);
    progress->failed += error != 0;
}

static int run_bench(void)
{
    struct progress progress = {.for_people = false};
    int error = begin();
    if (error)
        return error;
    report_plan(points_for_each(NULL, NULL), points_total());
    points_for_each(measure_point, &progress);
    report_end(progress.failed, progress.next);
    bench_finish();
    return progress.failed ? ERR_CORRUPT : 0;
}

CONFIG_KEY(bench_key, .name = "bench", .valid = "comma list of workloads or globs", .initial = "*",
    .apply = apply_bench, .run = run_bench);
CONFIG_KEY(trials_key, .name = "trials", .valid = "1 to 31", .initial = "5", .apply = apply_trials);
CONFIG_KEY(trial_cycles_key, .name = "trial_cycles",
    .valid = "cycles a trial lasts under clock=model, 1000 to 10^9", .initial = "300000",
    .apply = apply_trial_cycles);
CONFIG_KEY(trial_ms_key, .name = "trial_ms", .valid = "milliseconds a trial lasts, 1 to 60000",
    .initial = "50", .apply = apply_trial_ms);

static int bench_command_run(unsigned argc, char **argv)
{
    struct progress progress = {.for_people = true};
    char text[400];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    const char *names = argc > 1 ? argv[1] : "*";
    if (argc > 2) {
        console_format("usage: bench [NAME[,NAME…]]\n");
        return ERR_INVALID;
    }
    int error = selection_set_bench(names, &why.writer);
    if (error) {
        console_format("%s\n", text);
        return error;
    }
    error = begin();
    if (error)
        return error;
    points_for_each(measure_point, &progress);
    bench_finish();
    return 0;
}

COMMAND(bench_command, .name = "bench", .usage = "[NAME[,NAME…]]",
    .help = "measure workloads, by name or glob", .run = bench_command_run);
