/* The console monitor: commands that parts of the kernel register, read by a line editor. */
#ifndef KERNEL_MONITOR_H
#define KERNEL_MONITOR_H

#include "lib/base.h"

#define MONITOR_ARGS_MAX 16

struct command {
    const char *name;
    const char *usage; /* arguments: "NAME[,NAME…]"; "" for none */
    const char *help; /* one line */

    /* argv[0] is the name. 0 or a negative error; it says itself what is wrong. */
    int (*run)(unsigned argc, char **argv);
};

LINK_SET_DECLARE(commands, const struct command);

/* Registers a command: COMMAND(harts_command, .name = "harts", …); */
#define COMMAND(id, ...)                                                                                     \
    static const struct command id = {__VA_ARGS__};                                                          \
    LINK_SET_ADD(commands, id)

/** monitor_run - read and run commands until `poweroff`. Boot hart. Returns 0 or ERR_NO_MEMORY. */
int monitor_run(void);

#endif
