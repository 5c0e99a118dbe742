"""What a measurement is to boot: QEMU's command lines, from what the user asked for."""
import os

from . import host, traces
from .failure import Failure
from .fleet import Boot
from .lines import BOOT_WORD, LinesReport
from .model import PROFILE_DEFAULT, Model, default_memory
from .qemu import Qemu
from .results import ROOT
from .settings import HARTS_MAX, JOBS_MAX, VM_CHOICES

ELF = os.path.join(ROOT, "build", "release", "hartscale.elf")
MODEL_ONLY = ("PROFILE", "PIN", "LINES")
# What is measured when nobody says. Under the model a point's work grows with the square of the harts and more: up to
# 16 of them a run takes about a minute and a half on two cores, 32 would take six times as long.
HARTS_DEFAULT = {"model": (1, 2, 4, 8, 16), "host": (1, 2, 4, 8)}
# The allocators that stand for the others when nobody names benchmarks or allocators: one lock around everything, this
# project's own, what Linux has, and the best that others have proposed. Those behind one lock take most of the time, and
# half a dozen of them differ little.
FRAME_DEFAULT = ("bitmap", "hartcache", "buddy_pcp", "llfree")
# Likewise of heaps, and in which workloads: what teaching kernels have, a buddy system behind one lock, this project's own,
# and what Solaris and Linux have. They add 160 points and about half a minute on two cores to a run.
HEAP_DEFAULT = ("bestfit", "buddy", "hartbuddy", "slab")
HEAP_BENCH_DEFAULT = ("heap.churn", "heap.threadtest", "heap.larson", "heap.remote", "heap.cache_scratch", "heap.mixed",
                      "heap.realloc", "heap.frag")
# And of virtual memory: what each of its choices buys, in a workload or two.
VM_DEFAULT = {"SHOOTDOWN": "ipi,tracked"}
VM_BENCH_DEFAULT = ("vm.map_local", "vm.syscall", "vm.shootdown")
# Who chooses one of these has chosen what is measured.
CHOICES = ("BENCH", "FRAME", "HEAP", "TRACE", *VM_CHOICES)
# A fraction of the usual measurement: enough to see that everything works and roughly how it ranks.
QUICK_WORDS = {"host": ("trials=3", "trial_ms=8"), "model": ("trial_cycles=60000",)}


class Plan:
    """What the user asked for, as the boots that do it."""

    def __init__(self, settings):
        self.clock = settings.clock()
        self.harts = settings.harts(HARTS_DEFAULT[self.clock])
        self.model = None
        if self.clock == "model":
            self.model = Model(settings.text("PROFILE", PROFILE_DEFAULT))
        else:
            self._refuse_model_variables(settings)
        self.jobs = settings.number("JOBS", host.cores(), 1, JOBS_MAX) if self.model else 1
        self.pinned = self.model is not None and settings.flag("PIN", "1")
        self.few_frames = not (any(settings.text(name) for name in CHOICES) or " frame=" in f" {settings.text('ARGS')}")
        self.some_heaps = self.few_frames and bool(HEAP_DEFAULT)
        benchmarks = settings.word("BENCH") or self._everything(settings)
        self.traces = traces.Traces(settings, benchmarks)
        memory = default_memory(max(self.harts)) if self.model else "1G"
        self.memory = settings.memory(memory if settings.text("MEM") else self.traces.memory(memory, max(self.harts)))
        self.words = self._selection(settings, benchmarks)
        if settings.flag("QUICK"):
            self.words += QUICK_WORDS[self.clock]
        self.words.append(f"clock={self.clock}")
        self.lines = None
        if settings.flag("LINES"):
            self.lines = LinesReport()
            self.words.append(BOOT_WORD)
        self.settings = settings
        self.qemu = Qemu(settings)

    def _everything(self, settings):
        """The benchmarks of who names none. Who chooses heaps means those of heaps: the others would not heed it; likewise of
        virtual memory. Who gives a trace wants it replayed. `*` alone has neither, but those that stand beside it."""
        if settings.text("TRACE"):
            return traces.REPLAY
        if settings.word("HEAP"):
            return "heap.*"
        if any(settings.word(name) for name in VM_CHOICES):
            return "vm.*"
        some = (*(HEAP_BENCH_DEFAULT if self.some_heaps else ()), *(VM_BENCH_DEFAULT if self.few_frames else ()))
        return ",".join(["*", *some])

    def _selection(self, settings, benchmarks):
        frame = ",".join(FRAME_DEFAULT) if self.few_frames else settings.word("FRAME")
        heap = ",".join(HEAP_DEFAULT) if self.some_heaps else settings.word("HEAP")
        chosen = (("bench", benchmarks), ("harts", ",".join(map(str, self.harts))), ("frame", frame), ("heap", heap),
                  ("lock", settings.word("LOCK")),
                  *((name.lower(), settings.word(name) or self.few_frames and VM_DEFAULT.get(name)) for name in VM_CHOICES))
        return [f"{key}={value}" for key, value in chosen if value]

    def _refuse_model_variables(self, settings):
        # JOBS is make's, too, and may be there for its sake.
        for name in MODEL_ONLY:
            if settings.text(name):
                raise Failure(f"{name} is about the machine model: CLOCK={self.clock} knows none (leave CLOCK out)")

    def left_out(self):
        """What a run without a selection does not measure, and how to get it: lines for people."""
        said = []
        if self.few_frames:
            said.append("the other allocators (FRAME=*, many minutes)")
        if self.clock == "model" and not any(self.settings.text(name) for name in (*CHOICES, "LOCK", "HARTS", "ARGS")):
            more = [n for n in (32, HARTS_MAX) if n > max(self.harts)]
            said += [f"{' and '.join(map(str, more))} harts (HARTS={','.join(map(str, [*self.harts, *more]))}, many minutes;"
                     " frame.bulk takes most of them)",
                     f"{'other' if self.some_heaps else 'kernel'} heaps (BENCH=heap.*), virtual memory in full (BENCH=vm.*)",
                     "other locks under the allocators (LOCK=*)",
                     "the machine's own costs (BENCH=model.*)"]
        return [("  " if i else "Left out for time: ") + text + ("," if i < len(said) - 1 else ".") for i, text in enumerate(said)]

    def bootargs(self, shard=None, first=None):
        words = list(self.words)
        if shard is not None and self.jobs > 1:
            words.append(f"shard={shard}/{self.jobs}")
        if first is not None:
            words.append(f"from={first}")
        return self.settings.bootargs(*words)

    def command(self, shard=None, first=None, ram="RAM"):
        """QEMU's command line. `first` is the number of the first point to measure, `ram` the file behind the guest's memory, where there
        is one."""
        extra = {"lines": self.lines.path(f"{shard or 0}.{first or 1}")} if self.lines else None
        if self.model is None:
            return self.qemu.command(ELF, max(self.harts), self.memory, self.bootargs(), initrd=self.traces.initrd)
        return self.qemu.modelled(ELF, max(self.harts), self.memory, self.bootargs(shard, first), self.model, ram, extra,
                                  initrd=self.traces.initrd)

    def _boot(self, listener, shard, first, log):
        """Of a shard, from a point on; what it leaves for another boot, that one measures."""
        return Boot(lambda ram: self.command(shard, first, ram), listener, self.memory, log,
                    again=lambda number: self._boot(listener, shard, number, log))

    def boots(self, listener, folder):
        if self.model is None:
            return [Boot(self.command(), listener, log=folder.console("console.log"))]
        return [self._boot(listener, shard, 1, folder.console("console.log" if self.jobs == 1 else f"console.{shard + 1}.log"))
                for shard in range(self.jobs)]

    def weight(self, number):
        """How long a point takes in comparison with others, roughly. Hart counts alternate fastest, and the model's
        work grows with the harts and with what each of them waits for."""
        return 1 if self.model is None else self.harts[(number - 1) % len(self.harts)] ** 2
