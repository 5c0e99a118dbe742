"""`make boots`: boot to power-off many times in a row. A boot that fails or hangs once in fifty is found here. With
BENCH= each boot measures that, too, and under CLOCK=model all must measure exactly the same."""
import os
import statistics
import time

from .failure import Failure
from .fleet import Boot, Fleet
from .model import PROFILE_DEFAULT, Model, default_memory
from .qemu import Interrupted, Interrupts, Qemu
from .results import ROOT, dump

ACCEPTED = ("COUNT", "HARTS", "CLOCK", "PROFILE", "BENCH", "MEM", "ARGS", "TIMEOUT", "QEMU", "IPI")
TAIL_LINES = 20
ELF = os.path.join(ROOT, "build", "release", "hartscale.elf")


class Tail:
    """The last that a console printed, as a Boot's log."""

    def __init__(self):
        self.text = b""

    def write(self, data):
        self.text = (self.text + data)[-16384:]

    def lines(self):
        return self.text.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]


class Series:
    """What is booted, and the listener of each boot."""

    def __init__(self, settings):
        self.bench = settings.word("BENCH")
        clock = settings.clock("host")
        self.harts = settings.harts_max(8)
        self.stall_s = settings.timeout_s()
        self.results = []
        self.first = None
        self.model = Model(settings.text("PROFILE", PROFILE_DEFAULT)) if clock == "model" else None
        if settings.text("PROFILE") and not self.model:
            raise Failure("PROFILE is about the machine model: give CLOCK=model, too")
        self.memory = settings.memory(default_memory(self.harts) if self.model else "1G")
        what = [f"bench={self.bench}", f"harts={self.harts}"] if self.bench else ["poweroff=1"]
        self.bootargs = settings.bootargs(*what, f"clock={clock}")
        self.qemu = Qemu(settings)

    def begin(self, point):
        pass

    def result(self, _point, result):
        self.results.append(result)

    def _boot(self, log):
        plain = self.qemu.command(ELF, self.harts, self.memory, self.bootargs)
        if self.model is None:
            return Boot(plain, self, log=log)
        return Boot(lambda ram: self.qemu.modelled(ELF, self.harts, self.memory, self.bootargs, self.model, ram), self,
                    self.memory, log)

    def once(self, interrupts):
        """(what went wrong or None, the console's last lines) of one boot."""
        self.results = []
        log = Tail()
        boot = self._boot(log)
        Fleet([boot], 1, self.stall_s, pinned=self.model is not None).run(interrupts)
        return self._problem(boot), log.lines()

    def _problem(self, boot):
        if boot.status != "complete" and (self.bench or boot.status in ("timeout", "panic")):
            return boot.reason
        if boot.session.error:
            return boot.session.error
        if boot.exit_status != 0:
            return f"QEMU ended with status {boot.exit_status}"
        if self.model is None:
            return None
        measured = dump(self.results)
        self.first = self.first or measured
        return None if measured == self.first else "it measured something else than the first boot"


def main(settings):
    count = settings.number("COUNT", 50, 1, 100000)
    series = Series(settings)
    times, failed = [], 0
    with Interrupts() as interrupts:
        for n in range(1, count + 1):
            started = time.monotonic()
            try:
                problem, tail = series.once(interrupts)
            except Interrupted as interrupted:
                print(f"stopped by {interrupted}")
                return 128 + interrupted.signum
            times.append(time.monotonic() - started)
            print(f"[{n}/{count}] {times[-1]:.2f} s {problem or 'ok'}", flush=True)
            if problem:
                failed += 1
                print("\n".join("    " + line for line in tail), flush=True)
    print(f"{count} boots at {series.harts} harts: {min(times):.2f} / {statistics.median(times):.2f} / {max(times):.2f} s"
          f" (least, median, most), {failed} failed")
    return 1 if failed else 0
