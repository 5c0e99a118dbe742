"""What the guest has said so far in one boot, and how that boot came to its end."""
import re
import signal

from . import protocol

# What a guest that has given up may take to say why and to power off.
PANIC_TAIL_S = 10
PANIC_LINES_MAX = 200
MALFORMED_MAX = 20
# Enough for a line about each of 64 harts.
ERRORS_MAX = 200
# What QEMU says when it cannot take the model: built without plugins, or with another interface to them.
NO_PLUGIN = re.compile(r"\S*qemu\S*: (.*(?:-plugin: invalid option|[Pp]lugin .*(?:API|version|symbol)).*)")


class Session:
    """Fed with the console's lines. on_begin(point) and on_result(point, result) are told of each data point; the
    point is None for a result that nothing announced."""

    def __init__(self, on_begin, on_result):
        self.on_begin = on_begin
        self.on_result = on_result
        self.config = {}
        self.planned = None     # how many points this boot will measure
        self.total = None       # and how many were chosen altogether, of which others measure the rest
        self.current = None     # the point being measured
        self.ended = None       # the guest's @end
        self.errors = []        # complaints of the guest or of the model: `error: ...`
        self.panic = []         # from `panic:` on
        self.stress = None      # the guest's @stress
        self.trace = []         # its @trace lines
        self.recorded = None    # its @recorded
        self.booted = False     # whether its configuration has come, which it prints first
        self.opensbi = None
        self.malformed = []

    def feed(self, line):
        if self.panic:
            if len(self.panic) < PANIC_LINES_MAX:
                self.panic.append(line)
            return
        if line.startswith("panic:"):
            self.panic.append(line)
        elif line.startswith("error: "):
            if len(self.errors) < ERRORS_MAX:
                self.errors.append(line[len("error: "):])
        elif line.startswith("OpenSBI v"):
            self.opensbi = line.split()[1][1:]
        elif line.startswith("@"):
            self._feed_protocol(line)
        elif not self.booted and NO_PLUGIN.match(line):
            self.errors.append(f"this QEMU cannot load the machine model (tools/setup installs one that can):"
                               f" {NO_PLUGIN.match(line)[1]}")

    @property
    def error(self):
        """The first complaint, which is the cause of the others."""
        return self.errors[0] if self.errors else None

    @property
    def refused(self):
        """Whether it has complained before it had anything to measure, which it gives up on."""
        return bool(self.errors) and self.planned is None and self.ended is None

    def _feed_protocol(self, line):
        try:
            parsed = protocol.parse(line)
        except protocol.Malformed as problem:
            if len(self.malformed) < MALFORMED_MAX:
                self.malformed.append(str(problem))
            return
        if parsed is None:
            return
        word, value = parsed
        if word == "config":
            self.config = value
            self.booted = True
        elif word == "plan":
            self.planned = value["points"]
            self.total = value.get("total", self.planned)
        elif word == "begin":
            self.current = value
            self.on_begin(value)
        elif word == "map" and self.current is not None:
            self.current["map"] = value["parts"]
        elif word == "result":
            point, self.current = self.current, None
            self.on_result(point, value)
        elif word == "end":
            self.ended = value
        elif word == "stress":
            self.stress = value
        elif word == "trace":
            self.trace.append(value)
        elif word == "recorded":
            self.recorded = value

    def verdict(self, exit_status):
        """(status, reason) of a boot whose QEMU has ended by itself."""
        if self.panic:
            return "panic", self.panic[0]
        if self.ended is None:
            if self.error:
                return "refused" if self.planned is None else "died", self.error
            return "died", f"QEMU {_ending(exit_status)} before the guest was done"
        if self.malformed:
            return "malformed", self.malformed[0]
        if self.ended["failed"] or exit_status != 0:
            count = self.ended["failed"]
            return "failed", f"{count} data point{'' if count == 1 else 's'} failed; QEMU ended with status {exit_status}"
        return "complete", None


def _ending(exit_status):
    if exit_status is None or exit_status >= 0:
        return f"ended with status {exit_status}"
    hint = " (did the host run out of memory?)" if -exit_status in (signal.SIGKILL, signal.SIGBUS) else ""
    return f"was ended by {signal.Signals(-exit_status).name}{hint}"
