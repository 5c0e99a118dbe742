"""tools/heaptrace and the files that it makes: text in, traces out, and damaged ones refused with the place."""
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import unittest
import zlib

import support
from support import ROOT, make, run

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import cpio, heap_server, heap_text, heap_trace  # noqa: E402
from runner.failure import Failure  # noqa: E402

HEAPTRACE = os.path.join(ROOT, "tools", "heaptrace")
PLAIN = """
# a comment
malloc 24 0x1000 main
memalign 64 4096 0x2000 7
realloc 0x1000 100 0x1000 7
free 0x2000 main
free (nil) main
malloc 10 (nil) main
free 0x1000 7
"""
LTRACE = """\
[pid 7] 12:00:01.5 prog->malloc(24)                    = 0x1000
[pid 7] strlen("malloc(3) = 4")                        = 13
[pid 8] memalign(64, 4096, 0x1000, 3 <unfinished ...>
[pid 7] realloc(0x1000, 100 <unfinished ...>
[pid 8] <... memalign resumed> )                       = 0x2000
[pid 9] malloc(5)                                      = 0x1000
[pid 7] <... realloc resumed> )                        = 0x3000
[pid 8] free(0x1000 <no return ...>
[pid 9] malloc(6)                                      = 0x1000
[pid 8] <... free resumed> )                           = <void>
--- SIGCHLD (Child exited) ---
[pid 7] exit(0 <unfinished ...>
[pid 7] +++ exited (status 0) +++
"""


def example():
    """The file of docs/heap-traces.md."""
    with open(os.path.join(ROOT, "docs", "heap-traces.md"), encoding="utf-8") as file:
        text = file.read().partition("As an example")[2]
    lines = re.findall(r"^    ((?:[0-9a-f]{2} *)+)", text, re.MULTILINE)
    return bytes.fromhex("".join(lines))


def converted(text, **options):
    data, left_out = heap_text.convert(text.splitlines(), "test", **options)
    return heap_trace.parse(data), left_out


class FormatTest(support.TestCase):
    def test_example_of_the_documentation(self):
        data = example()
        trace = heap_trace.parse(data)
        self.assertEqual((trace.name, trace.threads, trace.objects, len(data)), ("example", 2, 3, 80))
        self.assertEqual(trace.calls, [(heap_trace.ALLOC, 0, 24, 0, None), (heap_trace.ALIGNED, 1, 4096, 64, None),
                                       (heap_trace.REALLOC, 1, 100, 0, 0), (heap_trace.FREE, 0, 0, 0, 1),
                                       (heap_trace.FREE, 1, 0, 0, 2)])
        # The reader in C is tested with the same bytes.
        with open(os.path.join(ROOT, "tests", "host", "corpus_heap_trace", "example"), "rb") as file:
            self.assertEqual(file.read(), data)

    def test_damage_is_found_wherever_it_is(self):
        data = example()
        for length in range(len(data)):
            with self.assertRaises(heap_trace.Damaged):
                heap_trace.parse(data[:length])
        for bit in range(8 * len(data)):
            spoilt = bytearray(data)
            spoilt[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(heap_trace.Damaged):
                heap_trace.parse(bytes(spoilt))
            # With the checksum made right it is another trace, or refused with a place inside of it.
            spoilt[12:16] = struct.pack("<I", zlib.crc32(spoilt[16:]))
            try:
                heap_trace.parse(bytes(spoilt))
            except heap_trace.Damaged as damage:
                self.assertLessEqual(int(re.match(r"byte (\d+): ", str(damage))[1]), len(data))

    def test_refusals_name_the_file_and_the_byte(self):
        path = os.path.join(self.folder, "bad.heaptrace")
        for spoil, said in ((lambda d: d[:70], "byte 70: the file ends before its records do"),
                            (lambda d: d[:12] + b"xxxx" + d[16:], "byte 12: the checksum is not"),
                            (lambda d: d[:8] + b"\2" + d[9:], "byte 8: another version of the format than 1: 2"),
                            (lambda d: b"", "byte 0: no trace of heap calls")):
            with open(path, "wb") as file:
                file.write(spoil(example()))
            self.assert_fails(run(HEAPTRACE, "summary", path), f"error: {path} is no right trace of heap calls: {said}", status=1)
        self.assert_fails(run(HEAPTRACE, "summary", path + "x"), "No such file", status=1)

    def test_what_is_too_long_is_not_read_to_its_end(self):
        def with_little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        done = subprocess.run([HEAPTRACE, "summary", "/dev/zero"], capture_output=True, check=False, preexec_fn=with_little_memory)
        self.assertIn(b"byte 0: no trace of heap calls", done.stderr)
        path = os.path.join(self.folder, "long.heaptrace")
        with open(path, "wb") as file:
            file.write(example())
            file.truncate(heap_trace.FILE_BYTES_MAX + 1)
        done = subprocess.run([HEAPTRACE, "summary", path], capture_output=True, check=False, preexec_fn=with_little_memory)
        self.assertIn(f"byte {heap_trace.FILE_BYTES_MAX}: longer than 2^24 calls can be".encode(), done.stderr)

    def test_archive_is_what_cpio_makes(self):
        """The header of each file, its name and its data at multiples of four bytes."""
        data = cpio.archive({"a": b"hello", "trace": b""})
        self.assertEqual(data[:6], b"070701")
        self.assertEqual(data.index(b"hello") % 4, 0)
        self.assertEqual(data.index(b"070701", 6) % 4, 0)
        self.assertTrue(data.rstrip(b"\0").endswith(b"TRAILER!!!"))
        self.assertEqual(len(data) % 4, 0)


class ConvertTest(support.TestCase):
    def test_plain_lines(self):
        trace, left_out = converted(PLAIN)
        # The threads are numbered as they come; all else is that of the example.
        self.assertEqual(trace.calls, heap_trace.parse(example()).calls)
        self.assertEqual(left_out, {"that found no memory": 1})

    def test_ltrace(self):
        """Memory that a call under way has given back is given out to others before it returns."""
        trace, left_out = converted(LTRACE)
        self.assertEqual([call[0] for call in trace.calls],
                         [heap_trace.ALLOC, heap_trace.ALIGNED, heap_trace.ALLOC, heap_trace.REALLOC, heap_trace.FREE, heap_trace.ALLOC])
        self.assertEqual([call[4] for call in trace.calls], [None, None, None, 0, 2, None])
        self.assertEqual([call[1] for call in trace.calls], [0, 1, 2, 0, 1, 2])
        self.assertEqual(left_out, {})

    def test_errors_name_the_line(self):
        for text, said in (("malloc 24 0x1000", "line 1: expected 'malloc size new thread'"),
                           ("\nmalloc x 0x1000 0", "line 2: 'x' is no number for size"),
                           (f"malloc {'9' * 5000} 0x1000 0", "' is no number for size"),
                           (f"7 malloc(0x{'9' * 5000}) = 0x1000", "line 1: arguments of malloc"),
                           ("7 realloc(0x10, 8 <unfinished ...>\n8 malloc(8) = 0x10\n7 <... realloc resumed> ) = 0x20",
                            "line 3: what gets another size"),
                           ("free 0x10 0", "line 1: 0x10 is freed, and no line before gives it out"),
                           ("realloc 0x10 5 0x20 0", "line 1: what gets another size"),
                           ("malloc 1 0x10 0\nmalloc 1 0x10 0", "line 2: 0x10 is given out, and it has not been freed since line 1"),
                           ("memalign 48 1 0x30 0", "line 1: an alignment of 48"),
                           ("malloc 4194305 0x10 0", "line 1: 4194305 bytes"),
                           ("7 malloc(1)", "line 1: a call of malloc without a result"),
                           ("7 malloc(x) = 0x10", "line 1: arguments of malloc"),
                           ("7 <... malloc resumed> ) = 0x10", "line 1: malloc returns, and thread 7 has not called it"),
                           ("posix_memalign(0x7ff, 64, 5) = 0", "line 1: ltrace does not say which pointer"),
                           ("hello world", "line 1: neither a call nor what ltrace prints: 'hello world'"),
                           ("", "no heap calls in it")):
            with self.assertRaises(Failure, msg=text) as caught:
                converted(text)
            self.assertIn(said, str(caught.exception))

    def test_lenient(self):
        trace, left_out = converted("free 0x10 0\nrealloc 0x20 5 0x30 0\nmalloc 7 0x30 0\nposix_memalign(0x7ff, 64, 5) = 0\n",
                                    lenient=True)
        self.assertEqual([call[:1] + call[4:] for call in trace.calls],
                         [(heap_trace.ALLOC, None), (heap_trace.FREE, 0), (heap_trace.ALLOC, None)])
        self.assertEqual(left_out, {"of unknown pointers": 4})

    def test_skip_large(self):
        trace, left_out = converted("malloc 5000000 0x10 0\nrealloc 0x10 6000000 0x20 0\nrealloc 0x20 6 0x30 0\n"
                                    "realloc 0x30 9999999 0x40 0\nfree 0x40 0\nmalloc 1 0x50 0", skip_large=True)
        self.assertEqual([call[0] for call in trace.calls],
                         [heap_trace.ALLOC, heap_trace.FREE, heap_trace.ALLOC])
        self.assertEqual(left_out, {"of objects too large": 3})

    def test_command(self):
        text, trace = os.path.join(self.folder, "calls.txt"), os.path.join(self.folder, "calls.heaptrace")
        with open(text, "w", encoding="utf-8") as file:
            file.write(PLAIN)
        self.assert_ok(run(HEAPTRACE, "convert", text, trace, "--name", "example"))
        with open(trace, "rb") as file:
            self.assertEqual(file.read(), example())
        done = run(HEAPTRACE, "summary", trace)
        self.assert_ok(done)
        self.assertIn("example: 5 calls (1 alloc, 1 alloc_aligned, 1 realloc, 2 free), checksum 0xf2b8e064, 80 bytes", done.out)
        self.assertIn("objects: 3, 2 ended by another thread than made them", done.out)
        self.assertIn("live: at most 2 objects and 4196 B, at the end 0 objects and 0 B", done.out)
        with open(text, "a", encoding="utf-8") as file:
            file.write("free 0x99 0\n")
        self.assert_fails(run(HEAPTRACE, "convert", text, trace + "2"), f"{text}: line 10: 0x99 is freed", status=1)
        self.assertFalse(os.path.exists(trace + "2"))
        self.assert_fails(run(HEAPTRACE, "convert", text, "/proc/nothing/there", "--lenient"), "cannot write /proc/nothing/there", status=1)

    def test_where_it_reads_and_writes(self):
        trace = os.path.join(self.folder, "a.heaptrace")
        convert = [HEAPTRACE, "convert", "-"]
        calls = b"malloc 24 0x10 0\n"
        # What is no text is complained of, whatever the locale makes of it.
        done = subprocess.run([*convert, trace], input=calls + b"\xff\n", capture_output=True, check=False,
                              env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
        self.assertIn(b"line 2: neither a call", done.stderr)
        # What is no file stays what it is, and what could not be written leaves nothing behind.
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
            subprocess.run([*convert, pipe], input=calls, check=True, timeout=60)
            self.assertEqual(len(heap_trace.parse(reader.communicate(timeout=60)[0]).calls), 1)
        self.assertFalse(os.path.isfile(pipe))
        os.symlink("/dev/full", trace + ".new")
        done = subprocess.run([*convert, trace], input=calls, capture_output=True, check=False)
        self.assertIn(b"No space left on device", done.stderr)
        self.assertEqual(os.listdir(self.folder), ["pipe"])
        with open("/dev/full", "wb") as full:
            self.assert_ok(run(HEAPTRACE, "server", trace, "--requests", "1"))
            done = subprocess.run([HEAPTRACE, "summary", trace], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (1, b"error: cannot write to standard output: No space left on device\n"))

    def test_interrupted(self):
        with subprocess.Popen([HEAPTRACE, "convert", "-", os.path.join(self.folder, "x")], stdin=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdin.write(b"# no call\n" * 65536) # more than a pipe holds: it has begun to read
            process.send_signal(signal.SIGINT)
            self.assertEqual((process.communicate(timeout=60)[1], process.returncode), (b"", 130))


class ServerTest(support.TestCase):
    def test_a_seed_is_a_trace(self):
        one = heap_server.make(1)
        self.assertEqual(one, heap_server.make(1))
        self.assertNotEqual(one, heap_server.make(2))
        trace = heap_trace.parse(one)
        found = heap_trace.summarise(trace)
        self.assertEqual(trace.threads, heap_server.THREADS)
        # All threads have their share, objects do pass between them, and it ends while it works.
        self.assertGreater(min(found.by_thread), 0.5 * max(found.by_thread))
        self.assertTrue(0.05 < found.handed / trace.objects < 0.2)
        self.assertGreater(found.left_objects, 0.8 * found.peak_objects)

    def test_text_and_back(self):
        path = os.path.join(self.folder, "server.heaptrace")
        self.assert_ok(run(HEAPTRACE, "server", path, "--seed", "5", "--threads", "3", "--requests", "7"))
        trace = heap_trace.load(path)
        data, left_out = heap_text.convert(heap_text.text_of(trace), trace.name)
        self.assertEqual((data, left_out), (trace.data, {}))
        self.assert_fails(run(HEAPTRACE, "server", path, "--threads", "0"), "--threads", "from 1 to 4096")


class PreloadTest(support.TestCase):
    """The recorder on a program of several threads that this machine has."""

    PROGRAM = ("import json, threading\n"
               "def work():\n    for _ in range(20): json.loads(json.dumps(list(map(str, range(1000, 3000)))))\n"
               "threads = [threading.Thread(target=work) for _ in range(3)]\n"
               "for thread in threads: thread.start()\n"
               "for thread in threads: thread.join()\n")

    def setUp(self):
        super().setUp()
        self.assert_ok(make("heaptrace-preload"))
        self.text = os.path.join(self.folder, "calls.txt")

    def record(self, *command):
        done = run(*command, HEAPTRACE=self.text, LD_PRELOAD=os.path.join(ROOT, "build", "heaptrace-preload.so"))
        self.assert_ok(done)
        with open(self.text, encoding="utf-8") as lines:
            data, left_out = heap_text.convert(lines, "program")
        self.assertEqual(left_out, {})
        return heap_trace.summarise(heap_trace.parse(data)), done

    def test_threads(self):
        found, _ = self.record(os.path.realpath(sys.executable), "-S", "-c", self.PROGRAM)
        self.assertGreaterEqual(len(found.by_thread), 4)
        self.assertGreater(min(found.by_thread[:4]), 100)
        self.assertGreater(found.kinds[heap_trace.REALLOC], 0)

    def test_children_are_not_recorded(self):
        found, done = self.record("/bin/sh", "-c", "echo $(echo a; echo b | sort)")
        self.assertEqual(done.out, "a b\n")
        self.assertEqual(len(found.by_thread), 1)

    def test_where_no_file_can_be_is_said(self):
        done = run("/bin/true", HEAPTRACE=os.path.join(self.folder, "none", "calls.txt"),
                   LD_PRELOAD=os.path.join(ROOT, "build", "heaptrace-preload.so"))
        self.assert_ok(done)
        self.assertIn("heaptrace: cannot create the file", done.err)

    def test_every_call(self):
        source, program = os.path.join(self.folder, "t.c"), os.path.join(self.folder, "t")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <malloc.h>\n#include <stdlib.h>\nint main(void) {\n void *p;\n"
                       " free(realloc(calloc(3, 8), 5000)); free(memalign(64, 100)); free(aligned_alloc(4096, 4096));\n"
                       " if (posix_memalign(&p, 128, 10) || !posix_memalign(&p, 3, 10)) return 1;\n free(p); free(NULL);\n"
                       " p = malloc(9); p = realloc(p, 0); return p != NULL; }\n")
        subprocess.run(["cc", "-fno-builtin", "-w", "-o", program, source], check=True)
        found, _ = self.record(program)
        self.assertEqual(found.kinds, [2, 3, 1, 5])
        self.assertEqual(found.left_objects, 0)


if __name__ == "__main__":
    unittest.main()
