"""Traces of heap calls: the format of docs/heap-traces.md, read, checked and written. lib/heap_trace.c reads the same."""
import dataclasses
import struct
import zlib

from .failure import Failure

ALLOC, ALIGNED, REALLOC, FREE = range(4)
MAGIC = b"HSHEAPTR"
VERSION = 1
HEADER = struct.Struct("<8sIIQIIII24s")
SUMMED_FROM = 16                # behind the checksum
CALLS_MAX = 1 << 24
THREADS_MAX = 4096
BYTES_MAX = 4 << 20             # of an object, and of an alignment: what the kernel's heaps serve
ALIGN_MIN = 32                  # less has every object
NAME_BYTES = 24                 # the NUL included
RECORD_BYTES_MAX = 1 + 5 + 5 + 5
FILE_BYTES_MAX = 64 + CALLS_MAX * RECORD_BYTES_MAX
THREAD_FOLLOWS = 4


class Damaged(Exception):
    """A file that is no right trace; the text says what is wrong and at which byte."""

    def __init__(self, what, offset):
        super().__init__(f"byte {offset}: {what}")


@dataclasses.dataclass
class Trace:
    """A right file: what its header says, and its calls as (kind, thread, bytes, align, old object)."""

    name: str
    checksum: int
    threads: int
    objects: int
    calls: list
    data: bytes


def _number(data, at):
    """(value, offset behind it) of the number at this offset."""
    value, shift, began = 0, 0, at
    while True:
        if at == len(data):
            raise Damaged("the last record is cut short", at)
        byte = data[at]
        at += 1
        if shift and byte == 0:
            raise Damaged("a number that could be shorter", began)
        value |= (byte & 0x7f) << shift
        if value >> 32 or (shift == 28 and byte & 0x80):
            raise Damaged("a number of more than 32 bits", began)
        if not byte & 0x80:
            return value, at
        shift += 7


def _header(data):
    if data[:8] != MAGIC:
        raise Damaged("no trace of heap calls", 0)
    if len(data) < HEADER.size:
        raise Damaged("the file ends in its header", len(data))
    _, version, checksum, length, calls, threads, objects, zero, name = HEADER.unpack_from(data)
    if version != VERSION:
        raise Damaged(f"another version of the format than {VERSION}: {version}", 8)
    if length > len(data) - HEADER.size:
        raise Damaged("the file ends before its records do", len(data))
    if length < len(data) - HEADER.size:
        raise Damaged("bytes behind the records", HEADER.size + length)
    if zlib.crc32(data[SUMMED_FROM:]) != checksum:
        raise Damaged("the checksum is not that of the contents", 12)
    for offset, bad, what in ((24, calls == 0, "no calls"), (24, calls > CALLS_MAX, "more than 2^24 calls"),
                              (28, threads == 0, "no threads"), (28, threads > THREADS_MAX, "more than 4096 threads"),
                              (32, objects > calls, "more objects than calls"), (36, zero != 0, "what must be 0 is not")):
        if bad:
            raise Damaged(what, offset)
    text = name.rstrip(b"\0")
    for offset, byte in enumerate(text):
        if not 0x20 <= byte <= 0x7e:
            raise Damaged("a name that is no text", 40 + offset)
    if len(text) == NAME_BYTES:
        raise Damaged("a name without an end", 40)
    return checksum, calls, threads, objects, text.decode("ascii")


def parse(data):
    """The Trace that these bytes are. Raises Damaged."""
    checksum, ncalls, nthreads, nobjects, name = _header(data)
    calls, thread, threads, objects, at = [], 0, 0, 0, HEADER.size
    ended = bytearray(nobjects)
    while at < len(data):
        began, first = at, data[at]
        at += 1
        if first & ~(3 | THREAD_FOLLOWS):
            raise Damaged("no kind of call", began)
        kind, size, align, old = first & 3, 0, 0, None
        if len(calls) == ncalls:
            raise Damaged("more calls than the header says", began)
        if kind != FREE and objects == nobjects:
            raise Damaged("more objects than the header says", began)
        if first & THREAD_FOLLOWS:
            other, behind = _number(data, at)
            if other == thread:
                raise Damaged("the thread of the call before, once more", at)
            if other >= nthreads:
                raise Damaged("a thread that the header does not count", at)
            thread, at = other, behind
        if kind in (REALLOC, FREE):
            back, behind = _number(data, at)
            if not 1 <= back <= objects:
                raise Damaged("an object that has not been made", at)
            old, at = objects - back, behind
        if kind != FREE:
            size, behind = _number(data, at)
            if size > BYTES_MAX:
                raise Damaged("an object of more than 4 MiB", at)
            at = behind
            objects += 1
        if kind == ALIGNED:
            if at == len(data):
                raise Damaged("the last record is cut short", at)
            if not 5 <= data[at] <= 22:
                raise Damaged("an alignment outside 2^5 to 2^22", at)
            align, at = 1 << data[at], at + 1
        if old is not None:
            if ended[old]:
                raise Damaged("an object ends that has ended", began)
            ended[old] = 1
        threads = max(threads, thread + 1)
        calls.append((kind, thread, size, align, old))
    for offset, said, counted, what in ((24, ncalls, len(calls), "calls"), (32, nobjects, objects, "objects"),
                                        (28, nthreads, threads, "threads")):
        if said != counted:
            raise Damaged(f"more {what} than there are", offset)
    return Trace(name, checksum, nthreads, nobjects, calls, data)


def load(path, variable=None):
    """The Trace in a file. Raises Failure with the reason, the variable that named the file before it."""
    said = f"{variable}={path}" if variable else path
    try:
        with open(path, "rb") as file:
            data = file.read(len(MAGIC))
            if data == MAGIC:
                data += file.read(FILE_BYTES_MAX - len(data) + 1)
        if len(data) > FILE_BYTES_MAX:
            raise Damaged("longer than 2^24 calls can be", FILE_BYTES_MAX)
        return parse(data)
    except OSError as error:
        raise Failure(f"{said}: {error.strerror}") from error
    except Damaged as damage:
        raise Failure(f"{said} is no right trace of heap calls: {damage}") from damage


class Builder:
    """Makes a trace of calls in their order. Objects are what alloc and realloc return."""

    def __init__(self):
        self.records = bytearray()
        self.calls = self.threads = self.objects = self._thread = 0

    @staticmethod
    def _number(value):
        said = bytearray()
        while value > 0x7f:
            said.append(value & 0x7f | 0x80)
            value >>= 7
        said.append(value)
        return said

    def _begin(self, kind, thread):
        self.calls += 1
        self.threads = max(self.threads, thread + 1)
        if thread == self._thread:
            self.records.append(kind)
        else:
            self.records.append(kind | THREAD_FOLLOWS)
            self.records += self._number(thread)
        self._thread = thread

    def _made(self, size):
        self.records += self._number(size)
        self.objects += 1
        return self.objects - 1

    def alloc(self, thread, size, align=0):
        self._begin(ALIGNED if align >= ALIGN_MIN else ALLOC, thread)
        made = self._made(size)
        if align >= ALIGN_MIN:
            self.records.append(align.bit_length() - 1)
        return made

    def realloc(self, thread, old, size):
        self._begin(REALLOC, thread)
        self.records += self._number(self.objects - old)
        return self._made(size)

    def free(self, thread, old):
        self._begin(FREE, thread)
        self.records += self._number(self.objects - old)

    def finish(self, name):
        """The bytes of the file."""
        text = "".join(c if " " <= c <= "~" else "?" for c in name).encode("ascii")[:NAME_BYTES - 1]
        header = HEADER.pack(MAGIC, VERSION, 0, len(self.records), self.calls, self.threads, self.objects, 0, text)
        checksum = zlib.crc32(self.records, zlib.crc32(header[SUMMED_FROM:]))
        return header[:12] + struct.pack("<I", checksum) + header[SUMMED_FROM:] + bytes(self.records)


@dataclasses.dataclass
class Summary:
    """What adds up over a trace, in the order of its file."""

    kinds: list                 # calls of each kind
    by_thread: list             # calls of each thread
    sizes: dict                 # objects by the power of two that they fit
    handed: int                 # objects that another thread ended than made them
    peak_objects: int
    peak_bytes: int             # live at most, as asked for
    left_objects: int           # live at the end
    left_bytes: int


def summarise(trace):
    made, live, peak_objects, peak_bytes, handed = [], {}, 0, 0, 0
    kinds, by_thread, sizes, live_bytes = [0] * 4, [0] * trace.threads, {}, 0
    for kind, thread, size, _, old in trace.calls:
        kinds[kind] += 1
        by_thread[thread] += 1
        if old is not None:
            live_bytes -= live.pop(old)
            handed += made[old] != thread
        if kind != FREE:
            live[len(made)] = size
            made.append(thread)
            live_bytes += size
            octave = 1 << max(size - 1, 15).bit_length()
            sizes[octave] = sizes.get(octave, 0) + 1
        peak_objects, peak_bytes = max(peak_objects, len(live)), max(peak_bytes, live_bytes)
    return Summary(kinds, by_thread, dict(sorted(sizes.items())), handed, peak_objects, peak_bytes, len(live), live_bytes)
