"""`make bench`: the boots that measure every combination asked for, collected as they go.

Whatever ends them (a hang, a panic, Ctrl-C, a full disk), what was measured stays: a results.jsonl of whole
lines, a run.json that says how it ended, the table and the figures of what there is.
"""
import datetime
import signal
import sys
import time

from . import host, scaling
from .failure import Failure
from .fleet import FINISHED, Fleet
from .plan import ELF, Plan
from .plot import GnuplotMissing, plot
from .progress import Progress
from .qemu import Interrupted, Interrupts
from .results import RunFolder, enrich
from .settings import VM_CHOICES
from .table import caveat, table
from .units import Symbols

ACCEPTED = ("BENCH", "FRAME", "HEAP", "TRACE", "LOCK", *VM_CHOICES, "HARTS", "CLOCK", "PROFILE", "JOBS", "PIN", "LINES", "QUICK", "MEM",
            "OUT", "ARGS", "TIMEOUT", "QEMU", "IPI")
CONSOLE_TAIL_LINES = 15


class Bench:
    """A run: the listener of its boots, and the keeper of its folder."""

    def __init__(self, settings):
        self.settings = settings
        self.plan = Plan(settings)
        self.timeout_s = settings.timeout_s()
        self.numbered = []      # (number of the point, result) in the order in which they came
        self.folder = RunFolder.create(settings.text("OUT"), host.commit())
        self.boots = self.plan.boots(self, self.folder)
        self.symbols = Symbols.of_stream(sys.stdout)
        self.progress = Progress(Symbols.of_stream(sys.stderr), self.plan.weight)
        self.started = time.monotonic()
        plan = self.plan
        self.run = {
            "status": "running", "reason": None, "start": self._now(), "duration_s": None,
            "clock": plan.clock, "profile": plan.model.profile if plan.model else None, "harts_max": max(plan.harts),
            "bootargs": plan.bootargs(), "commit": host.commit(), "dirty": host.dirty(), "compiler": None,
            "qemu": plan.qemu.version, "opensbi": None, "host": host.describe(),
            "command": ["make", "bench", *self._variables()], "qemu_command": plan.command(), "jobs": plan.jobs,
            "traces": plan.traces.describe(), "left_out": plan.left_out(), "planned": None, "measured": 0, "failed": 0, "guest": {},
        }

    @staticmethod
    def _now():
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _variables(self):
        return [f"{name}={value}" for name, value in self.settings.values.items()]

    def _results(self):
        """By number, whichever machine measured them and when."""
        results = [result for _, result in sorted(self.numbered, key=lambda pair: pair[0])]
        return enrich(results, self.run["clock"], self.run["profile"])

    def begin(self, point):
        self._expect()
        self.progress.begin(point)

    def _expect(self):
        """How many points there will be, once any of the machines has said so."""
        self.progress.planned = next((boot.session.total for boot in self.boots if boot.session.total), 0)

    def result(self, point, result):
        """A data point has come: keep it at once, with the speedup that is known by now."""
        self._expect()
        number = point["point"] if point and isinstance(point.get("point"), int) else len(self.numbered) + 1
        self.numbered.append((number, result))
        if self.plan.lines:
            self.plan.lines.add(point, result)
        full = next(r for r, (n, _) in zip(self._results(), sorted(self.numbered, key=lambda pair: pair[0])) if n == number)
        self.folder.append_result(full)
        self.progress.result(full, number)

    def _fail_current(self, boot, reason):
        """The point that was being measured when the boot ended has failed."""
        point = boot.session.current
        if point is not None:
            reason = f"{reason} while measuring" if reason.startswith("hang:") else reason
            boot.session.current = None
            self.result(point, {"bench": point["bench"], "variant": point["variant"], "harts": point["harts"],
                                "status": "failed", "reason": reason})

    def _run_boots(self):
        """Returns (status, reason, exit status of this command, the boot whose end decided it)."""
        fleet = Fleet(self.boots, self.plan.jobs, self.timeout_s, self.plan.pinned)
        with Interrupts() as interrupts:
            try:
                bad = fleet.run(interrupts)
            except Interrupted as interrupted:
                return "interrupted", f"interrupted by {interrupted}", 128 + interrupted.signum, None
            except Failure as failure:
                return "error", str(failure), 1, None
        if bad is None:
            bad = max(self.boots, key=lambda boot: FINISHED.index(boot.status))
        return bad.status, bad.reason, 0 if bad.status == "complete" else 1, bad

    def measure(self):
        for line in caveat(self.run):
            print(line, file=sys.stderr)
        self.folder.replace_run(self.run)
        status, reason, exit_status, decisive = self._run_boots()
        self.progress.finish()
        if status in ("refused", "error") and not self.numbered:
            self.folder.discard()
            raise Failure(reason)
        if status == "error":
            self._finish_run(status, reason)
            raise Failure(reason)
        for boot in self.boots if status == "interrupted" else [decisive]:
            self._fail_current(boot, reason or "no result")
        if status == "failed":
            reason = self._count_failed()
        self._finish_run(status, reason)
        self._report(status, reason, decisive)
        return exit_status

    def _count_failed(self):
        count = sum(result["status"] != "ok" for _, result in self.numbered)
        return f"{count} data point{'' if count == 1 else 's'} failed"

    def _finish_run(self, status, reason):
        # What a guest says of itself all of them say.
        session = next((boot.session for boot in self.boots if boot.session.config), self.boots[0].session)
        # The kernel knows best what it was built from; the working tree may have moved on since.
        commit = session.config.get("commit")
        if commit:
            self.run.update(commit=commit.removesuffix("-dirty"), dirty=commit.endswith("-dirty"))
        statuses = [result["status"] for _, result in self.numbered]
        self.run.update(
            status=status, reason=reason, duration_s=round(time.monotonic() - self.started, 1),
            compiler=session.config.get("compiler"), opensbi=session.opensbi, planned=session.total or None,
            measured=statuses.count("ok"), failed=len(statuses) - statuses.count("ok"), guest=session.config)
        self.folder.replace_run(self.run)

    def _report(self, status, reason, decisive):
        """Everything for people: what went wrong, the table, the figures, where it all lies."""
        results = self._results()
        self.folder.replace_results(results)
        if results:
            text = table(self.run, results, self.symbols)
            self.folder.replace("table.txt", text)
            self.folder.replace("scaling.json", scaling.dump(results))
            print(text, end="", flush=True)
        if self.plan.lines and results:
            print("", self.plan.lines.finish(self.folder, ELF, self.symbols), sep="\n", flush=True)
        self._explain(status, reason, decisive)
        if any(r["status"] == "ok" for r in results):
            try:
                plot(self.folder.path, self.run, results)
            except GnuplotMissing as missing:
                print(f"No figures: {missing}, then draw them by: make plot RUN={self.folder.shown()}",
                      file=sys.stderr)
        self.folder.close()
        self.folder.make_latest()
        print(f"Results: {self.folder.shown()}")

    def _explain(self, status, reason, decisive):
        """What went wrong, in the words of who noticed it."""
        if status == "panic":
            print("\n".join(decisive.session.panic), file=sys.stderr)
        elif status == "died" and decisive.session.errors:
            for problem in decisive.session.errors:
                print(f"error: {problem}", file=sys.stderr)
        elif status == "died":
            print(f"error: {reason}; the console ended with:", file=sys.stderr)
            print(_tail(decisive.log.path), file=sys.stderr)
        elif status != "complete":
            print(f"error: {reason}", file=sys.stderr)
        if status == "timeout":
            print("If it was only slow (many harts on few cores are), give it longer: TIMEOUT=seconds", file=sys.stderr)
        malformed = [problem for boot in self.boots for problem in boot.session.malformed]
        for problem in malformed[1:]:
            print(f"error: {problem}", file=sys.stderr)


def _tail(path):
    """The last that a console said to people."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join([line for line in file if not line.startswith("@")][-CONSOLE_TAIL_LINES:]).rstrip()


def main(settings):
    bench = Bench(settings)
    try:
        return bench.measure()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
