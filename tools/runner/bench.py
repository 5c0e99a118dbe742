"""`make bench`: one boot that measures every combination asked for, collected as it goes.

Whatever ends the boot (a hang, a panic, Ctrl-C, a full disk), what was measured stays: a results.jsonl of
whole lines, a run.json that says how it ended, the table and the figures of what there is.
"""
import datetime
import os
import signal
import sys
import time

from . import host
from .failure import Failure
from .plot import GnuplotMissing, plot
from .progress import Progress
from .qemu import Interrupted, Interrupts, Machine, Qemu, Stall
from .results import ROOT, RunFolder, enrich
from .session import PANIC_TAIL_S, Session
from .table import caveat, table
from .units import Symbols

ELF = os.path.join(ROOT, "build", "release", "hartscale.elf")
ACCEPTED = ("BENCH", "FRAME", "LOCK", "HARTS", "CLOCK", "QUICK", "MEM", "OUT", "ARGS", "TIMEOUT", "QEMU")
CONSOLE_TAIL_LINES = 15
# A tenth of the usual measurement: enough to see that everything works and roughly how it ranks.
QUICK_WORDS = ("trials=3", "trial_ms=8")


def plan_boot(settings):
    """(harts, clock, bootargs) of what the user asked for."""
    clock = settings.clock()
    harts = settings.harts((1,) if clock == "icount" else (1, 2, 4, 8))
    if clock == "icount" and harts != [1]:
        raise Failure("CLOCK=icount counts the instructions of one hart: it needs HARTS=1")
    words = [f"bench={settings.word('BENCH') or '*'}", f"harts={','.join(map(str, harts))}"]
    for variable, key in (("FRAME", "frame"), ("LOCK", "lock")):
        if settings.word(variable):
            words.append(f"{key}={settings.word(variable)}")
    if settings.flag("QUICK"):
        words += QUICK_WORDS
    words.append(f"clock={clock}")
    return harts, clock, settings.bootargs(*words)


class Bench:
    def __init__(self, settings):
        self.settings = settings
        self.harts, self.clock, bootargs = plan_boot(settings)
        self.timeout_s = settings.timeout_s()
        self.qemu = Qemu(settings)
        self.command = self.qemu.command(ELF, max(self.harts), settings.memory(), bootargs, self.clock)
        self.results = []
        self.folder = RunFolder.create(settings.text("OUT"), host.commit())
        self.symbols = Symbols.of_stream(sys.stdout)
        self.progress = Progress(Symbols.of_stream(sys.stderr))
        self.session = Session(self.progress.begin, self._take)
        self.started = time.monotonic()
        self.run = {
            "status": "running", "reason": None, "start": self._now(), "duration_s": None,
            "clock": self.clock, "profile": None, "harts_max": max(self.harts), "bootargs": bootargs,
            "commit": host.commit(), "dirty": host.dirty(), "compiler": None, "qemu": self.qemu.version,
            "opensbi": None, "host": host.describe(), "command": ["make", "bench", *self._variables()],
            "qemu_command": self.command, "planned": None, "measured": 0, "failed": 0, "guest": {},
        }

    @staticmethod
    def _now():
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _variables(self):
        return [f"{name}={value}" for name, value in self.settings.values.items()]

    def _take(self, result):
        """A data point has come: keep it at once, with the speedup that is known by now."""
        self.results.append(result)
        full = enrich(self.results, self.clock)[-1]
        self.folder.append_result(full)
        self.progress.result(full)

    def _fail_current(self, reason):
        """The point that was being measured when the boot ended has failed."""
        point = self.session.current
        if point is not None:
            reason = f"{reason} while measuring" if reason.startswith("hang:") else reason
            self.session.current = None
            self._take({"bench": point["bench"], "variant": point["variant"], "harts": point["harts"],
                        "status": "failed", "reason": reason})

    def _listen(self, machine):
        """Read the console to its end. Returns (status, reason)."""
        session = self.session
        planned = 0
        for line in machine.lines(self.timeout_s):
            session.feed(line)
            if len(session.panic) == 1:
                # It has nothing to do any more but print its backtrace and power off.
                machine.limit(time.monotonic() - machine.started + PANIC_TAIL_S)
            elif session.planned != planned:
                planned = self.progress.planned = session.planned
                machine.limit(self.timeout_s * (planned + 2))
        return session.verdict(machine.wait())

    def _boot(self):
        """Returns (status, reason, exit status of this command)."""
        with Interrupts() as interrupts, Machine(self.command, interrupts, self.folder.append_console) as machine:
            try:
                status, reason = self._listen(machine)
                return status, reason, 0 if status == "complete" else 1
            except Stall as stall:
                if self.session.panic:
                    return "panic", self.session.panic[0], 1
                return "timeout", str(stall), 1
            except Interrupted as interrupted:
                return "interrupted", f"interrupted by {interrupted}", 128 + interrupted.signum
            except Failure as failure:
                return "write error", str(failure), 1

    def measure(self):
        for line in caveat(self.run):
            print(line, file=sys.stderr)
        self.folder.replace_run(self.run)
        status, reason, exit_status = self._boot()
        self.progress.finish()
        if status == "refused" and not self.results:
            self.folder.discard()
            raise Failure(reason)
        if status == "write error":
            self._finish_run(status, reason)
            raise Failure(reason)
        self._fail_current(reason or "no result")
        self._finish_run(status, reason)
        self._report(status, reason)
        return exit_status

    def _finish_run(self, status, reason):
        session = self.session
        # The kernel knows best what it was built from; the working tree may have moved on since.
        commit = session.config.get("commit")
        if commit:
            self.run.update(commit=commit.removesuffix("-dirty"), dirty=commit.endswith("-dirty"))
        self.run.update(
            status=status, reason=reason, duration_s=round(time.monotonic() - self.started, 1),
            compiler=session.config.get("compiler"), opensbi=session.opensbi, planned=session.planned or None,
            measured=sum(r["status"] == "ok" for r in self.results),
            failed=sum(r["status"] != "ok" for r in self.results), guest=session.config)
        self.folder.replace_run(self.run)

    def _report(self, status, reason):
        """Everything for people: what went wrong, the table, the figures, where it all lies."""
        results = enrich(self.results, self.clock)
        self.folder.replace_results(results)
        if results:
            text = table(self.run, results, self.symbols)
            self.folder.replace("table.txt", text)
            print(text, end="", flush=True)
        if status == "panic":
            print("\n".join(self.session.panic), file=sys.stderr)
        elif status == "died":
            print(f"error: {reason}; the console ended with:", file=sys.stderr)
            print(self._console_tail(), file=sys.stderr)
        elif status != "complete":
            print(f"error: {reason}", file=sys.stderr)
        if status == "timeout":
            print("If it was only slow (many harts on few cores are), give it longer: TIMEOUT=seconds", file=sys.stderr)
        for problem in self.session.malformed[1:]:
            print(f"error: {problem}", file=sys.stderr)
        if any(r["status"] == "ok" for r in results):
            try:
                plot(self.folder.path, self.run, results)
            except GnuplotMissing as missing:
                print(f"No figures: {missing}, then draw them by: make plot RUN={self.folder.shown()}",
                      file=sys.stderr)
        self.folder.close()
        self.folder.make_latest()
        print(f"Results: {self.folder.shown()}")

    def _console_tail(self):
        with open(self.folder.file("console.log"), encoding="utf-8", errors="replace") as file:
            return "".join([line for line in file if not line.startswith("@")][-CONSOLE_TAIL_LINES:]).rstrip()


def main(settings):
    bench = Bench(settings)
    try:
        return bench.measure()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
