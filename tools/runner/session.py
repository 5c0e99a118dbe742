"""What the guest has said so far in one boot, and how that boot came to its end."""
from . import protocol

PANIC_TAIL_S = 10
PANIC_LINES_MAX = 200
MALFORMED_MAX = 20


class Session:
    """Fed with the console's lines. Keeps the points; on_begin and on_result are told of each."""

    def __init__(self, on_begin, on_result):
        self.on_begin = on_begin
        self.on_result = on_result
        self.config = {}
        self.planned = 0
        self.current = None     # the point being measured
        self.ended = None       # the guest's @end
        self.error = None       # its own complaint: `error: ...`
        self.panic = []         # from `panic:` on
        self.stress = None      # the guest's @stress
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
            self.error = self.error or line[len("error: "):]
        elif line.startswith("OpenSBI v"):
            self.opensbi = line.split()[1][1:]
        elif line.startswith("@"):
            self._feed_protocol(line)

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
        elif word == "begin":
            self.current = value
            self.on_begin(value)
        elif word == "result":
            self.current = None
            self.on_result(value)
        elif word == "end":
            self.ended = value
        elif word == "stress":
            self.stress = value

    def verdict(self, exit_status):
        """(status, reason) of a boot whose QEMU has ended by itself."""
        if self.panic:
            return "panic", self.panic[0]
        if self.ended is None:
            if self.error:
                return "refused", self.error
            return "died", f"QEMU ended with status {exit_status} before the guest was done"
        if self.malformed:
            return "malformed", self.malformed[0]
        if self.ended["failed"] or exit_status != 0:
            count = self.ended["failed"]
            return "failed", f"{count} data point{'' if count == 1 else 's'} failed; QEMU ended with status {exit_status}"
        return "complete", None
