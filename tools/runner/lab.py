"""Many small modelled machines for one purpose: each a Trial, with its own profile numbers and boot words, run side by
side. What `make validate-model`, `make sweep` and `make model-speed` are made of.
"""
import contextlib
import dataclasses

from . import host
from .failure import Failure
from .fleet import FINISHED, Boot, Fleet
from .model import Model, default_memory
from .plan import ELF
from .qemu import Interrupted, Interrupts, Qemu

STALL_S = 120


@dataclasses.dataclass(frozen=True)
class Trial:
    """What to boot. Two that are equal give the same results; `copy` is for those that want it twice."""

    words: str                  # of the kernel's command line, without clock= and harts=
    harts: tuple
    overrides: tuple = ()       # (key of the profile, number) pairs
    memory: str = ""            # default: by the number of harts
    copy: int = 0
    fails: bool = False         # its points are to end badly, and have counters all the same

    def __str__(self):
        changed = "".join(f" {key}={value}" for key, value in self.overrides)
        return f"{self.words} harts={','.join(map(str, self.harts))}{changed}"


class Listener:
    """Keeps a trial's results."""

    def __init__(self):
        self.results = []

    def begin(self, _point):
        pass

    def result(self, _point, result):
        self.results.append(result)


class Lab:
    """Boots trials under one profile. `run` may be called many times; what has been run is not run again.

    interrupts: what ends it, where that is not for this thread to be told by signals."""

    def __init__(self, settings, profile, progress=None, interrupts=None):
        self.qemu = Qemu(settings)
        self.profile = profile
        self.jobs = settings.number("JOBS", host.cores(), 1, 1024)
        self.progress = progress or (lambda done, total: None)
        self.interrupts = interrupts
        self.done = {}          # Trial: Listener

    def _boot(self, trial):
        model = Model(self.profile, trial.overrides)
        memory = trial.memory or default_memory(max(trial.harts))
        bootargs = f"{trial.words} harts={','.join(map(str, trial.harts))} clock=model"
        listener = Listener()
        return listener, Boot(
            lambda ram: self.qemu.modelled(ELF, max(trial.harts), memory, bootargs, model, ram), listener, memory)

    def run(self, trials, jobs=None, pinned=True):
        """Boot those that have not been; one that does not end well is a Failure."""
        boots = {trial: self._boot(trial) for trial in dict.fromkeys(trials) if trial not in self.done}
        for done, batch in enumerate(_batches(list(boots), jobs or self.jobs)):
            self.progress(done * (jobs or self.jobs), len(boots))
            self._run_batch({trial: boots[trial] for trial in batch}, jobs or self.jobs, pinned)
        self.progress(len(boots), len(boots))
        self.done.update({trial: listener for trial, (listener, _) in boots.items()})

    def _run_batch(self, boots, jobs, pinned):
        fleet = Fleet([boot for _, boot in boots.values()], jobs, STALL_S, pinned)
        with contextlib.nullcontext(self.interrupts) if self.interrupts else Interrupts() as interrupts:
            try:
                bad = fleet.run(interrupts)
            except Interrupted:
                raise KeyboardInterrupt from None
        # The one that ended all others first: they have no reason of their own.
        for trial, (listener, boot) in sorted(boots.items(), key=lambda item: item[1][1] is not bad):
            if trial.fails and boot.status in FINISHED:
                continue
            failed = [result["reason"] for result in listener.results if result["status"] != "ok"]
            if boot is bad or boot.status != "complete":
                raise Failure(f"{trial}: {failed[0] if failed else boot.reason}")

    def results(self, trial):
        return self.done[trial].results


def _batches(items, size):
    """For progress: as many at a time as run side by side, and some to keep all of them busy."""
    size *= 4
    return [items[i:i + size] for i in range(0, len(items), size)]


def cycles_of(hz, result):
    """Cycles from one operation of the whole machine to the next."""
    return hz / result["ops_per_sec"]
