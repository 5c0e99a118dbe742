/*
 * The console monitor: a prompt, a line editor, and commands from anywhere in the kernel. Reads by polling,
 * because the firmware's console has no interrupt, and sleeps in between.
 */
#include "kernel/monitor.h"
#include "arch/clock.h"
#include "arch/console.h"
#include "arch/panic.h"
#include "lib/error.h"
#include "lib/line_edit.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/hart.h"
#include "trace/counter.h"

/* A key is answered before a person notices, and an idle monitor takes 2 % of a host core at most. */
#define POLL_HZ 100

static bool leaving;

static const char *command_name_at(size_t i)
{
    return i < (size_t)(__stop_hs_commands - __start_hs_commands) ? __start_hs_commands[i]->name : NULL;
}

static int help_run(unsigned argc, char **argv)
{
    (void)argc;
    (void)argv;
    LINK_SET_FOR_EACH (commands, const struct command, command)
        console_format("  %-8s %-22s %s\n", (*command)->name, (*command)->usage, (*command)->help);
    return 0;
}

COMMAND(help_command, .name = "help", .usage = "", .help = "this list", .run = help_run);

static int harts_run(unsigned argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < hart_count(); i++)
        console_format("  hart %2u  id %-4lu %s%s\n", i, harts[i].arch.id.value,
            atomic_load_explicit(&harts[i].online, memory_order_relaxed) ? "online" : "offline",
            i == hart_index() ? ", booted, runs this monitor" : "");
    return 0;
}

COMMAND(harts_command, .name = "harts", .usage = "", .help = "the harts and their ids", .run = harts_run);

static int mem_run(unsigned argc, char **argv)
{
    (void)argc;
    (void)argv;
    const struct memory_plan *plan = memory_plan();
    console_format("  RAM      %#lx – %#lx\n", plan->ram_first.value, plan->ram_end.value);
    console_format(
        "  kernel   %#lx, %lu KiB, allocator %s: %lu of %lu frames free, %lu of them in caches of harts\n",
        plan->kernel_first.value, plan->kernel_bytes / 1024, kernel_frames.ops->name,
        frame_free_count(&kernel_frames), kernel_frames.nframes, frame_stranded_count(&kernel_frames));
    console_format("  arena    %#lx, %lu frames for allocators under test, and %lu KiB for their metadata\n",
        pfn_to_paddr(plan->arena_base).value, plan->arena_frames, plan->metadata_bytes / 1024);
    return 0;
}

COMMAND(
    mem_command, .name = "mem", .usage = "", .help = "how the RAM is divided, what is free", .run = mem_run);

static int stats_run(unsigned argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        console_format("  %-14s %lu\n", counter_name(i), counter_sum(i));
    return 0;
}

COMMAND(stats_command, .name = "stats", .usage = "", .help = "event counters over all harts, since boot",
    .run = stats_run);

static int panic_run(unsigned argc, char **argv)
{
    (void)argc;
    (void)argv;
    panic("asked for at the monitor");
}

COMMAND(panic_command, .name = "panic", .usage = "", .help = "end in a panic, to see what one looks like",
    .run = panic_run);

static int poweroff_run(unsigned argc, char **argv)
{
    (void)argc;
    (void)argv;
    leaving = true;
    return 0;
}

COMMAND(poweroff_command, .name = "poweroff", .usage = "", .help = "end", .run = poweroff_run);

static unsigned split(char *line, char **argv)
{
    unsigned argc = 0;
    while (argc < MONITOR_ARGS_MAX) {
        while (*line == ' ' || *line == '\t')
            *line++ = '\0';
        if (*line == '\0')
            break;
        argv[argc++] = line;
        while (*line != '\0' && *line != ' ' && *line != '\t')
            line++;
    }
    return argc;
}

static void execute(char *line)
{
    char *argv[MONITOR_ARGS_MAX];
    unsigned argc = split(line, argv);
    if (argc == 0)
        return;
    LINK_SET_FOR_EACH (commands, const struct command, command) {
        if (strcmp((*command)->name, argv[0]) == 0) {
            (*command)->run(argc, argv);
            return;
        }
    }
    console_format("unknown command '%s'; `help` lists the valid ones\n", argv[0]);
}

static char read_byte(void)
{
    char byte;
    while (console_read(&byte, 1) == 0)
        time_sleep(time_hz() / POLL_HZ);
    return byte;
}

/* Edits one line; the events that end it are the editor's. */
static enum line_event read_line(struct line_edit *edit)
{
    enum line_event event;
    console_lock();
    line_edit_begin(edit);
    console_unlock();
    do {
        char byte = read_byte();
        console_lock();
        event = line_edit_feed(edit, byte);
        console_unlock();
    } while (event == LINE_MORE);
    return event;
}

int monitor_run(void)
{
    struct line_edit *edit = kmalloc(sizeof(*edit)); /* with its history too large for a stack */
    if (!edit) {
        console_format("error: no memory for the monitor\n");
        return ERR_NO_MEMORY;
    }
    line_edit_init(edit, console_writer(), "hartscale> ", command_name_at);
    console_format("hartscale: `help` lists the commands, `poweroff` ends\n");
    leaving = false;
    while (!leaving) {
        switch (read_line(edit)) {
        case LINE_DONE: execute(edit->text); break;
        case LINE_END: leaving = true; break;
        default: break;
        }
    }
    kfree(edit);
    return 0;
}
