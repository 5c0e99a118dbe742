"""`make boots`: boot to power-off many times in a row. A boot that fails or hangs once in fifty is found here."""
import os
import statistics
import time

from .qemu import Interrupted, Interrupts, Machine, Qemu, Stall
from .results import ROOT

ACCEPTED = ("COUNT", "HARTS", "MEM", "ARGS", "TIMEOUT", "QEMU")
TAIL_LINES = 20


def _boot(command, stall_s, interrupts):
    """(seconds, what went wrong or None, the console's last lines) of one boot."""
    started = time.monotonic()
    console, problem = [], None
    with Machine(command, interrupts) as machine:
        machine.limit(stall_s)
        try:
            console += machine.lines(stall_s)
            status = machine.wait()
            if status != 0:
                problem = f"QEMU ended with status {status}"
        except Stall as stall:
            problem = str(stall)
    return time.monotonic() - started, problem, console[-TAIL_LINES:]


def main(settings):
    count = settings.number("COUNT", 50, 1, 100000)
    harts = settings.harts_max(8)
    command = Qemu(settings).command(os.path.join(ROOT, "build", "release", "hartscale.elf"), harts, settings.memory(),
                                     settings.bootargs("poweroff=1"))
    times, failed = [], 0
    with Interrupts() as interrupts:
        for n in range(1, count + 1):
            try:
                seconds, problem, tail = _boot(command, settings.timeout_s(), interrupts)
            except Interrupted as interrupted:
                print(f"stopped by {interrupted}")
                return 128 + interrupted.signum
            times.append(seconds)
            print(f"[{n}/{count}] {seconds:.2f} s {problem or 'ok'}", flush=True)
            if problem:
                failed += 1
                print("\n".join("    " + line for line in tail), flush=True)
    print(f"{count} boots at {harts} harts: {min(times):.2f} / {statistics.median(times):.2f} / {max(times):.2f} s"
          f" (least, median, most), {failed} failed")
    return 1 if failed else 0
