/* `run=` and the monitor's `run`: a program of the initrd, with arguments. */
#include "arch/console.h"
#include "kernel/config.h"
#include "kernel/monitor.h"
#include "kernel/program.h"
#include "lib/error.h"

/* What came of it, on the console; whether it ended with 0. */
static int run_program(unsigned argc, const char *const *argv)
{
    char text[200];
    int status = 0;
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    int error = program_run(argc, argv, &status, &why.writer);
    if (why.length > 0)
        console_format("error: %s\n", text);
    if (error)
        return error;
    if (status & 0x7f)
        console_format("%s was ended by signal %d\n", argv[0], status & 0x7f);
    else if (status != 0)
        console_format("%s ended with %d\n", argv[0], status >> 8);
    return status == 0 ? 0 : ERR_STATE;
}

static int run_command_run(unsigned argc, char **argv)
{
    if (argc < 2) {
        console_format("usage: run PROGRAM [ARGUMENT…]\n");
        return ERR_INVALID;
    }
    return run_program(argc - 1, (const char *const *)(argv + 1));
}

COMMAND(run_command, .name = "run", .usage = "PROGRAM [ARGUMENT…]",
    .help = "run a program of the initrd on all harts", .run = run_command_run);

static int run_key_run(void);

CONFIG_KEY(run_key, .name = "run", .valid = "a program of the initrd, and its arguments, separated by commas",
    .initial = "", .run = run_key_run);

static int run_key_run(void)
{
    const char *argv[PROGRAM_ARGUMENTS];
    unsigned argc = 0;
    for (char *at = run_key.given; at && argc < PROGRAM_ARGUMENTS;) {
        argv[argc++] = at;
        while (*at != '\0' && *at != ',')
            at++;
        at = *at == ',' ? (*at = '\0', at + 1) : NULL;
    }
    return run_program(argc, argv);
}
