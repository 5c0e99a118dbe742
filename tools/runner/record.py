"""`make record`: the calls of one heap in one data point, or of the kernel's own heap, as a trace in a file (docs/heap-traces.md)."""
import base64
import binascii
import os
import sys

from . import heap_trace
from .failure import Failure
from .fleet import Boot, Fleet
from .plan import Plan
from .qemu import Interrupted, Interrupts

ACCEPTED = ("BENCH", "FRAME", "HEAP", "TRACE", "LOCK", "HARTS", "CLOCK", "PROFILE", "QUICK", "MEM", "OUT", "CALLS", "KERNEL", "ARGS", "TIMEOUT",
            "QEMU", "IPI")
BENCH_DEFAULT, HEAP_DEFAULT = "heap.churn", "bestfit"
CALLS_DEFAULT = 1000000


class Recording:
    """Listens to the boot; puts together what comes of the trace."""

    def __init__(self):
        self.failed = None
        self.data = bytearray()

    def begin(self, point):
        pass

    def result(self, _point, result):
        if result["status"] != "ok":
            self.failed = result["reason"]

    def assemble(self, session):
        """The file's bytes. Raises Failure where lines are missing or torn."""
        if session.recorded is None:
            raise Failure("the guest has said nothing of a recording")
        data, got = bytearray(session.recorded["bytes"]), 0
        for piece in session.trace:
            try:
                decoded = base64.b64decode(piece["data"], validate=True)
            except (binascii.Error, ValueError) as error:
                raise Failure(f"the recording is damaged at byte {piece['offset']}: {error}") from error
            data[piece["offset"]:piece["offset"] + len(decoded)] = decoded
            got += len(decoded)
        if got != session.recorded["bytes"] or len(data) != got:
            raise Failure(f"of the recording's {session.recorded['bytes']} bytes {got} have come")
        return bytes(data)


def _plan(settings):
    kernel = settings.flag("KERNEL")
    settings.values.setdefault("BENCH", "heap.replay" if settings.text("TRACE") else BENCH_DEFAULT)
    if not kernel:
        settings.values.setdefault("HEAP", HEAP_DEFAULT)
    settings.values.setdefault("HARTS", "8")
    plan = Plan(settings)
    if len(plan.harts) != 1 and not kernel:
        raise Failure(f"HARTS={settings.text('HARTS')}: one number of harts is recorded at a time")
    calls = settings.number("CALLS", CALLS_DEFAULT, 1, heap_trace.CALLS_MAX)
    plan.words += [f"record={calls}", f"record.heap={'kernel' if kernel else 'tested'}"]
    plan.jobs = 1
    return plan


def _write(path, data):
    try:
        with open(path + ".new", "wb") as file:
            file.write(data)
        os.replace(path + ".new", path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def main(settings):
    out = settings.text("OUT")
    if not out:
        raise Failure("OUT=file says where the trace is to go")
    if os.path.isdir(out) or not os.path.isdir(os.path.dirname(os.path.abspath(out))):
        raise Failure(f"OUT={out}: no file can be written there")
    plan, recording = _plan(settings), Recording()
    boot = Boot(plan.command(), recording) if plan.model is None else Boot(lambda ram: plan.command(ram=ram), recording, plan.memory)
    with Interrupts() as interrupts:
        try:
            Fleet([boot], 1, settings.timeout_s(), plan.pinned).run(interrupts)
        except Interrupted as interrupted:
            print(f"stopped by {interrupted}", file=sys.stderr)
            return 128 + interrupted.signum
    if boot.status != "complete":
        raise Failure(recording.failed or boot.reason)
    data = recording.assemble(boot.session)
    if boot.session.recorded["calls"] == 0:
        raise Failure("no heap call was made: there is nothing to record")
    try:
        trace = heap_trace.parse(data)
    except heap_trace.Damaged as damage:
        raise Failure(f"what was recorded is no right trace: {damage}") from damage
    _write(out, data)
    lost = boot.session.recorded["lost"]
    print(f"{out}: {len(trace.calls)} calls of {trace.threads} harts, {len(data)} bytes"
          f"{f'; the {lost} events behind them found no room (CALLS=)' if lost else ''}")
    return 0
