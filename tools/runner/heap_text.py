"""Heap calls as text, made into a trace. Which lines are read, docs/heap-traces.md says: a call a line as
tools/heaptrace-preload.c writes them, or what ltrace prints. Every complaint names the line."""
import re

from .failure import Failure
from .heap_trace import BYTES_MAX, CALLS_MAX, THREADS_MAX, Builder

# Of up to 64 bits, written at length at most.
NUMBER = r"(?:0x[0-9a-fA-F]{1,16}|\d{1,20}|\(nil\)|nil|NULL)"
# A call a line: its name, what the columns mean.
PLAIN = {"malloc": ("size", "new"), "calloc": ("count", "size", "new"), "realloc": ("old", "size", "new"),
         "memalign": ("align", "size", "new"), "aligned_alloc": ("align", "size", "new"), "free": ("old",)}
# ltrace: a call's arguments; it prints more than there are where it does not know how many those are.
ARGUMENTS = {"malloc": ("size",), "calloc": ("count", "size"), "realloc": ("old", "size"), "memalign": ("align", "size"),
             "aligned_alloc": ("align", "size"), "free": ("old",)}
PREFIX = re.compile(r"(?:\[pid (?P<a>\d+)\] |(?P<b>\d+) )?(?:\d+(?::\d+:\d+)?(?:\.\d+)? )?")
CALL = re.compile(r"(?:[^\s()]+->)?(?P<name>[A-Za-z_]\w*)\((?P<arguments>.*)")
RESULT = re.compile(r"(?P<arguments>.*)\)\s+= (?P<result>.*)")
RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed> .*?\)\s+= (?P<result>.*)")
OPEN = re.compile(r"(?P<arguments>.*?) ?<(?:unfinished|no return) \.\.\.>")
NOTE = re.compile(r"(?:\+\+\+|---) ")


def _number(text):
    return 0 if text in ("(nil)", "nil", "NULL") else int(text, 0 if text.startswith("0x") else 10)


class Conversion:
    """Calls, one after the other, as a trace. A pointer is the object that was given out there last."""

    def __init__(self, lenient=False, skip_large=False):
        self.lenient = lenient
        self.skip_large = skip_large
        self.builder = Builder()
        self.at = {}            # pointer: (object or None for one left out, line)
        self.moving = {}        # by thread: (pointer, what is there or None) of a realloc that has not returned
        self.threads = {}
        self.line = 0
        self.left_out = {}      # why: how many calls

    def fail(self, why):
        raise Failure(f"line {self.line}: {why}")

    def _leave_out(self, why):
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def _unknown(self, why):
        """A call that cannot be understood from what was recorded."""
        if not self.lenient:
            self.fail(f"{why} (is the record incomplete? --lenient leaves such calls out)")
        self._leave_out("of unknown pointers")

    def thread(self, name):
        if name not in self.threads:
            if len(self.threads) == THREADS_MAX:
                self.fail(f"more than {THREADS_MAX} threads")
            self.threads[name] = len(self.threads)
        return self.threads[name]

    def _room(self):
        if self.builder.calls == CALLS_MAX:
            self.fail(f"more than {CALLS_MAX} calls")

    def _vacate(self, thread, pointer):
        """Before something is given out there."""
        if pointer in self.at:
            self._unknown(f"{pointer:#x} is given out, and it has not been freed since line {self.at[pointer][1]}")
            self._free(thread, pointer)

    def _is_large(self, size, align):
        if size <= BYTES_MAX and align <= BYTES_MAX:
            return False
        if not self.skip_large:
            self.fail(f"{size} bytes aligned to {align}: a heap serves up to {BYTES_MAX} of either"
                      " (--skip-large leaves such objects out)")
        self._leave_out("of objects too large")
        return True

    def _free(self, thread, pointer):
        thing, _ = self.at.pop(pointer)
        if thing is not None:
            self._room()
            self.builder.free(thread, thing)

    def move(self, old, thread_name):
        """A realloc begins: until it returns, the pointer may be given out to others."""
        self.moving[thread_name] = old, self.at.pop(old, None)

    def call(self, name, values, thread_name):
        """A call that has returned. values: by the names of PLAIN's columns."""
        thread = self.thread(thread_name)
        moving = self.moving.pop(thread_name, None)
        size = values.get("size", 0) * values.get("count", 1)
        align, old, new = values.get("align", 0), values.get("old", 0), values.get("new", 0)
        if align & (align - 1):
            self.fail(f"an alignment of {align}, which is no power of two")
        if name == "realloc" and old and new:
            self._realloc(thread, moving[1] if moving else self.at.pop(old, None), size, new)
            return
        if moving and moving[1]:
            self.at[old] = moving[1]
        if name == "free" or (name == "realloc" and old and not size):
            if old and old not in self.at:
                self._unknown(f"{old:#x} is freed, and no line before gives it out")
            elif old:
                self._free(thread, old)
        elif not new:
            self._leave_out("that found no memory")
        else:
            large = self._is_large(size, align)
            self._vacate(thread, new)
            if not large:
                self._room()
            self.at[new] = None if large else self.builder.alloc(thread, size, align), self.line

    def _realloc(self, thread, entry, size, new):
        if entry is None:
            self._unknown("what gets another size is nothing that a line before gives out")
        thing = entry[0] if entry else None
        large = self._is_large(size, 0)
        self._vacate(thread, new)
        if not large or thing is not None:
            self._room()
        if large:
            made = None
            if thing is not None:
                self.builder.free(thread, thing)
        else:
            made = self.builder.alloc(thread, size) if thing is None else self.builder.realloc(thread, thing, size)
        self.at[new] = made, self.line


class Reader:
    """Lines of text to calls of a Conversion."""

    def __init__(self, conversion):
        self.to = conversion
        self.open = {}          # by thread: the ltrace call that has not returned

    def feed(self, line):
        self.to.line += 1
        text = line.strip()
        if not text or text.startswith("#"):
            return
        words = text.split()
        if words[0] in PLAIN and "(" not in words[0]:
            self._plain(words)
        else:
            self._ltrace(text)

    def _plain(self, words):
        name, columns = words[0], PLAIN[words[0]]
        if len(words) != len(columns) + 2:
            self.to.fail(f"expected '{name} {' '.join(columns)} thread', got '{' '.join(words)}'")
        for word, column in zip(words[1:], columns):
            if not re.fullmatch(NUMBER, word):
                self.to.fail(f"'{word}' is no number for {column}")
        values = {column: _number(word) for word, column in zip(words[1:], columns)}
        self.to.call(name, values, words[-1])

    def _ltrace(self, text):
        prefix = PREFIX.match(text)
        thread = prefix["a"] or prefix["b"] or "0"
        rest = text[prefix.end():].strip()
        if NOTE.match(rest):
            return
        resumed, call = RESUMED.match(rest), CALL.match(rest)
        if resumed:
            name, arguments = self.open.pop(thread, (None, None))
            if name != resumed["name"]:
                if resumed["name"] in ARGUMENTS:
                    self.to.fail(f"{resumed['name']} returns, and thread {thread} has not called it")
                return
            if name != "free":
                self._done(thread, name, arguments, resumed["result"])
        elif call and call["name"] in ARGUMENTS:
            self._called(thread, call["name"], call["arguments"])
        elif call and call["name"] == "posix_memalign":
            self.to._unknown("ltrace does not say which pointer posix_memalign has given out")
        elif not call:
            self.to.fail(f"neither a call nor what ltrace prints: '{text[:80]}'")

    def _called(self, thread, name, text):
        unfinished, whole = OPEN.fullmatch(text), RESULT.fullmatch(text)
        if unfinished:
            self.open[thread] = name, unfinished["arguments"]
            # The memory may be given out again before these return.
            if name == "free":
                self._done(thread, name, unfinished["arguments"], "<void>")
            elif name == "realloc":
                self.to.move(self._values(name, unfinished["arguments"])["old"], thread)
        elif whole:
            self._done(thread, name, whole["arguments"], whole["result"])
        else:
            self.to.fail(f"a call of {name} without a result")

    def _values(self, name, text):
        given = [word.strip() for word in text.rstrip(") ").split(",")]
        columns = ARGUMENTS[name]
        if len(given) < len(columns) or not all(re.fullmatch(NUMBER, word) for word in given[:len(columns)]):
            self.to.fail(f"arguments of {name} that cannot be read: '{text}'")
        return {column: _number(word) for word, column in zip(given, columns)}

    def _done(self, thread, name, text, result):
        values = self._values(name, text)
        if name != "free":
            word = (result.split() or [""])[0]
            if not re.fullmatch(NUMBER, word):
                self.to.fail(f"a result of {name} that cannot be read: '{result}'")
            values["new"] = _number(word)
        self.to.call(name, values, thread)


def convert(lines, name, lenient=False, skip_large=False):
    """(the trace's bytes, {why: how many calls were left out}) of these lines of text. Raises Failure."""
    conversion = Conversion(lenient, skip_large)
    reader = Reader(conversion)
    for line in lines:
        reader.feed(line)
    if conversion.builder.calls == 0:
        raise Failure("no heap calls in it")
    return conversion.builder.finish(name), conversion.left_out


def text_of(trace):
    """The calls of a trace as lines that convert() makes the same trace of, but for the numbers of threads."""
    made = 0
    for kind, thread, size, align, old in trace.calls:
        new = hex((made + 1) << 4)
        gone = hex((old + 1) << 4) if old is not None else None
        yield (f"malloc {size} {new} {thread}", f"memalign {align} {size} {new} {thread}",
               f"realloc {gone} {size} {new} {thread}", f"free {gone} {thread}")[kind]
        made += kind != 3
