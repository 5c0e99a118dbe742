"""The traces of heap calls that a run replays, and the archive in which the guest is given them."""
import fnmatch
import os
import zlib

from . import cpio, heap_server, heap_trace, programs
from .failure import Failure
from .model import memory_bytes
from .results import ROOT

REPLAY, KERNEL = "heap.replay", "heap.kernel"
FOLDER = os.path.join(ROOT, "build", "initrd")
MIB = 1 << 20
# What the kernel needs besides: its image, stacks and tables, and room in the arena for what blocks waste.
KERNEL_BYTES = 24 * MIB
WASTE_FACTOR = 2
ARENA_BYTES_MAX = 1 << 30
MEMORY_MAX = 64 << 30


def _wanted(benchmarks, name):
    return any(fnmatch.fnmatchcase(name, item) for item in benchmarks)


def write_archive(files):
    """The path of an archive of these files under build/, named by its contents: those who make the same share it."""
    data = cpio.archive(files)
    path = os.path.join(FOLDER, f"{zlib.crc32(data):08x}.cpio")
    try:
        os.makedirs(FOLDER, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
    return path


class Traces:
    """Of the chosen benchmarks: which traces the guest needs. `initrd` is the archive's path, None where it needs none."""

    def __init__(self, settings, benchmarks):
        items = [item for item in benchmarks.split(",") if item != "*"] # which has no heaps
        self.traces = {}
        path = settings.text("TRACE")
        if path and not _wanted(items, REPLAY):
            raise Failure(f"TRACE={path} is for {REPLAY}, which BENCH={benchmarks} does not have")
        if not path and REPLAY in items:
            raise Failure(f"{REPLAY} needs a trace of heap calls: TRACE=file (docs/heap-traces.md says how to get one)")
        if path:
            self.traces["replay.heaptrace"] = heap_trace.load(path, "TRACE")
        if _wanted(items, KERNEL):
            self.traces["kernel.heaptrace"] = heap_trace.parse(heap_server.make())
        self.path = path
        files = {name: trace.data for name, trace in self.traces.items()}
        if any(item.startswith("vm.") or fnmatch.fnmatchcase("vm.fault", item) for item in items):
            files.update(programs.files())
        self.initrd = write_archive(files) if files else None

    def describe(self):
        """For run.json."""
        return {name.split(".")[0]: {"name": trace.name, "checksum": f"{trace.checksum:#010x}", "calls": len(trace.calls),
                                     "threads": trace.threads, **({"file": self.path} if name == "replay.heaptrace" else {})}
                for name, trace in self.traces.items()}

    def _fit(self, memory, harts):
        """Whether all fit with this much memory: in half of what is free, a power of two, is the arena; the programs for the
        harts are in the rest."""
        free = memory - KERNEL_BYTES - sum(len(trace.data) for trace in self.traces.values())
        if free <= 0:
            return False
        arena = min(1 << ((free // 2).bit_length() - 1), ARENA_BYTES_MAX)
        for trace in self.traces.values():
            copies = -(-harts // trace.threads)
            peak = heap_trace.summarise(trace).peak_bytes * copies
            programs = (len(trace.calls) * copies * 10 + trace.objects * (8 + 4 * copies)) * 5 // 4
            if peak * WASTE_FACTOR > arena or programs > (free - arena) // 2:
                return False
        return True

    def memory(self, text, harts):
        """The machine's memory, more than this where the traces need it."""
        if not self.traces:
            return text
        count = memory_bytes(text)
        while not self._fit(count, harts):
            count *= 2
            if count > MEMORY_MAX:
                raise Failure(f"TRACE={self.path}: with {harts} harts it needs more memory than {MEMORY_MAX >> 30} GiB")
        return text if count == memory_bytes(text) else f"{count >> 20}M"
