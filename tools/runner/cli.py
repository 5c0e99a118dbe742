"""The subcommands of tools/run. Each takes variables from the environment or as NAME=value words."""
import sys

from . import bench, boots, model_speed, monitor, plot, record, stress, sweep, table_command, testing, validate
from .failure import Failure
from .settings import VARIABLES, Settings

COMMANDS = {
    "bench": (bench.main, bench.ACCEPTED, "measure, print the table, write the results"),
    "record": (record.main, record.ACCEPTED, "the calls of a heap, as a trace that can be replayed"),
    "stress": (stress.main, stress.ACCEPTED, "every variant under contention, validated"),
    "monitor": (monitor.run, monitor.ACCEPTED, "boot to the console monitor"),
    "debug": (monitor.debug, monitor.ACCEPTED, "the same, under gdb"),
    "test": (testing.main, testing.ACCEPTED, "every test"),
    "validate-model": (validate.main, validate.ACCEPTED, "the machine model against what it must show"),
    "sweep": (sweep.main, sweep.ACCEPTED, "which rankings hold whatever the model's assumptions"),
    "model-speed": (model_speed.main, model_speed.ACCEPTED, "how fast the model simulates"),
    "boots": (boots.main, boots.ACCEPTED, "boot many times in a row"),
    "table": (table_command.main, table_command.ACCEPTED, "print a run's table again"),
    "plot": (plot.main, plot.ACCEPTED, "draw a run's figures again"),
}


def usage():
    lines = ["usage: tools/run COMMAND [NAME=value ...]", "", "Commands:"]
    for name, (_, accepted, purpose) in COMMANDS.items():
        lines += [f"  {name:<14} {purpose}", f"                 {' '.join(accepted)}"]
    lines += ["", "Variables (from the environment, where make puts them, or as words):"]
    lines += [f"  {name:<8} {meaning}" for name, meaning in VARIABLES.items()]
    return "\n".join(lines)


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    try:
        if arguments[0] not in COMMANDS:
            raise Failure(f"unknown command '{arguments[0]}' (valid: {' '.join(COMMANDS)})")
        function, accepted, _ = COMMANDS[arguments[0]]
        return function(Settings(arguments[0], accepted, arguments[1:]))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return failure.status
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130
