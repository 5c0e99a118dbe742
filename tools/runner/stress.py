"""`make stress`: all variants under contention, every operation checked by the guest; its lines shown live."""
import os
import secrets
import sys

from .failure import Failure
from .qemu import Interrupted, Interrupts, Machine, Qemu, Stall
from .results import ROOT
from .session import Session
from .settings import VM_CHOICES

ACCEPTED = ("SECONDS", "SEED", "HARTS", "FRAME", "HEAP", "LOCK", *VM_CHOICES, "PLANT", "MEM", "ARGS", "TIMEOUT", "QEMU", "IPI")
# What bringing up, pausing for validation and winding down may add to the seconds asked for.
OVERHEAD_S = 120


def main(settings):
    seconds = settings.number("SECONDS", 30, 1, 86400)
    seed = settings.number("SEED", secrets.randbelow(1 << 32), 0, (1 << 63) - 1)
    plant = settings.word("PLANT")
    words = [f"stress={seconds}", f"seed={seed}"]
    for variable in ("FRAME", "HEAP", "LOCK", *VM_CHOICES, "PLANT"):
        if settings.word(variable):
            words.append(f"{variable.lower()}={settings.word(variable)}")
    harts = settings.harts_max(8)
    elf = os.path.join(ROOT, "build", "check" if plant else "release", "hartscale.elf")
    command = Qemu(settings).command(elf, harts, settings.memory(), settings.bootargs(*words))
    print(f"Stressing {harts} harts for {seconds} s, SEED={seed}", flush=True)
    with Interrupts() as interrupts, Machine(command, interrupts) as machine:
        machine.limit(seconds + OVERHEAD_S)
        return _listen(machine, settings.timeout_s())


def _listen(machine, stall_s):
    session = Session(lambda point: None, lambda point, result: None)
    try:
        for line in machine.lines(stall_s):
            session.feed(line)
            if session.booted and not line.startswith("@"):
                print(line, flush=True)
    except Stall as stall:
        raise Failure(str(stall)) from stall
    except Interrupted as interrupted:
        print(f"stopped by {interrupted}", file=sys.stderr)
        return 128 + interrupted.signum
    status = machine.wait()
    if session.error:
        raise Failure(session.error)
    if session.stress is None:
        raise Failure(f"QEMU ended with status {status} before the stress run was done")
    total = session.stress
    print(f"{total['operations']} operations, {total['checks']} checks, {total['failures']} failures in"
          f" {total['seconds']:.0f} s on {total['harts']} harts, {total['designs']} allocators, {total['heaps']} heaps,"
          f" {total['vms']} designs of virtual memory; SEED={total['seed']} repeats it",
          flush=True)
    return 0 if status == 0 and total["failures"] == 0 else 1
