"""`make bench BENCH=heap.replay TRACE=file` and heap.kernel: what is replayed, and what is refused before anything boots."""
import os
import sys
import unittest

import schema
import support
from support import FAKE_QEMU, ROOT, RUN, make, run

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import cpio, heap_server, heap_text, heap_trace, traces  # noqa: E402
from runner.settings import Settings  # noqa: E402

# Two threads; the second frees and resizes what the first has made, and an object of 1000 bytes is left.
CALLS = "".join(f"malloc {16 * i} {i * 0x1000:#x} a\nrealloc {i * 0x1000:#x} {40 * i} {i * 0x1000 + 16:#x} b\n" for i in range(1, 60)) \
    + "".join(f"free {i * 0x1000 + 16:#x} {'ab'[i % 2]}\n" for i in range(1, 60)) + "memalign 256 1000 0x10 b\n"
COUNT = 3 * 59 + 1


class ReplayTest(support.TestCase):
    def setUp(self):
        super().setUp()
        self.trace = os.path.join(self.folder, "some.heaptrace")
        self.write(heap_text.convert(CALLS.splitlines(), "two threads")[0])

    def write(self, data):
        with open(self.trace, "wb") as file:
            file.write(data)

    def bench(self, *words, out=None):
        return make("bench", "QUICK=1", f"OUT={out or self.out}", *words)

    def test_every_heap(self):
        """The counts are the trace's, whatever the number of harts; more harts than threads get more copies of it."""
        self.assert_ok(self.bench("BENCH=heap.replay", f"TRACE={self.trace}", "HARTS=1,2,3,8"))
        results = self.lines()
        schema.check_set(results)
        self.assertLessEqual({"bestfit", "firstfit"}, {r["variant"]["heap"] for r in results})
        for r in results:
            copies = -(-r["harts"] // 2)
            where = f"{r['variant']} {r['harts']}"
            self.assertEqual((r["figures"]["calls"], r["figures"]["copies"]), (COUNT * copies, copies), where)
            # A round is all calls and the free of what the one before has left.
            self.assertEqual(r["ops"] % ((COUNT + 1) * copies), 0, where)
            self.assertEqual(r["memory"]["live_bytes"], 1000 * copies, where)
            self.assertEqual(r["counters"]["failed_ops"], 0, where)
            self.assertEqual(r["figures"]["handed"] == 0, r["harts"] == 1, where)
            self.assertEqual(r["parameters"]["trace"], "two threads", where)
        trace = heap_trace.load(self.trace)
        self.assertEqual(self.run_json()["traces"], {"replay": {"name": "two threads", "checksum": f"{trace.checksum:#010x}", "calls": COUNT,
                                                                "threads": 2, "file": self.trace}})
        self.assertEqual(results[0]["parameters"]["checksum"], f"{trace.checksum:#010x}")
        self.assertIn("-initrd", self.run_json()["qemu_command"])

    def test_trace_alone_means_replay_and_is_deterministic(self):
        for out in ("a", "b"):
            self.assert_ok(self.bench(f"TRACE={self.trace}", "HEAP=bestfit", "HARTS=2,5", out=os.path.join(self.folder, out)))
        one, two = (self.lines(os.path.join(self.folder, out)) for out in ("a", "b"))
        self.assertEqual({r["bench"] for r in one}, {"heap.replay"})
        self.assertEqual(one, two)

    def test_kernel_trace_is_made(self):
        """heap.* has it without being asked, and no heap.replay, for which there is no trace."""
        self.assert_ok(self.bench("BENCH=heap.k*,heap.rep*,heap.churn", "HEAP=bestfit", "HARTS=4"))
        results = self.lines()
        schema.check_set(results)
        self.assertLessEqual({"heap.churn", "heap.kernel"}, {r["bench"] for r in results})
        self.assertNotIn("heap.replay", {r["bench"] for r in results})
        kernel = next(r for r in results if r["bench"] == "heap.kernel")
        found = heap_trace.summarise(heap_trace.parse(heap_server.make()))
        self.assertEqual(kernel["figures"]["peak_bytes"], found.peak_bytes)
        self.assertEqual(kernel["memory"]["live_bytes"], found.left_bytes)
        self.assertEqual(self.run_json()["traces"]["kernel"]["name"], "server seed 1")

    def refuse(self, *words, said):
        done = self.bench(*words)
        self.assert_fails(done, "error: ", said)
        self.assertEqual(len([line for line in done.err.splitlines() if line.startswith("error: ")]), 1, str(done))
        self.assertFalse(os.path.exists(self.out))

    def test_bad_input_is_refused_before_anything_boots(self):
        self.refuse("BENCH=heap.replay", said="heap.replay needs a trace of heap calls: TRACE=file")
        self.refuse("BENCH=heap.churn", f"TRACE={self.trace}", said="is for heap.replay, which BENCH=heap.churn does not have")
        for bench in ("*", "*,heap.churn"):
            self.refuse(f"BENCH={bench}", f"TRACE={self.trace}", said=f"is for heap.replay, which BENCH={bench} does not have")
        self.refuse(f"TRACE={self.trace}x", said=f"TRACE={self.trace}x: No such file")
        self.refuse(f"TRACE={self.folder}", said=f"TRACE={self.folder}: Is a directory")
        with open(self.trace, "rb") as file:
            data = file.read()
        self.write(data[:-1])
        self.refuse(f"TRACE={self.trace}", said=f"byte {len(data) - 1}: the file ends before its records do")
        self.write(data[:80] + bytes([data[80] ^ 1]) + data[81:])
        self.refuse(f"TRACE={self.trace}", said="byte 12: the checksum is not that of the contents")
        self.write(b"")
        self.refuse(f"TRACE={self.trace}", said="byte 0: no trace of heap calls")
        self.refuse("BENCH=heap.rep*", "HEAP=bestfit", said="heap.replay: there is no file replay.heaptrace in the initrd")

    def test_memory_is_what_the_trace_needs(self):
        self.write(heap_text.convert([f"malloc 4000000 {(i + 1) * 16:#x} {i % 2}" for i in range(20)], "large")[0])
        chosen = traces.Traces(Settings("bench", ("TRACE",), (), {"TRACE": self.trace}), "heap.replay")
        self.assertEqual(chosen.memory("256M", 2), "1024M")
        self.assertEqual(chosen.memory("1G", 2), "1G")
        # Eight harts have four copies.
        self.assertEqual(chosen.memory("256M", 8), "4096M")
        # Told how much there is, the guest says that it is too little.
        done = self.bench(f"TRACE={self.trace}", "HEAP=bestfit", "HARTS=2", "MEM=64M")
        self.assert_fails(done, "1 data point failed")
        self.assertEqual(self.lines()[0]["reason"], "setup: out of memory")

    def test_without_traces_there_is_no_initrd(self):
        # Those of virtual memory have one, of programs.
        self.assert_ok(run(RUN, "bench", "BENCH=frame.*", f"OUT={self.out}", "CLOCK=host", QEMU=FAKE_QEMU))
        self.assertNotIn("-initrd", self.run_json()["qemu_command"])
        self.assertEqual(self.run_json()["traces"], {})


class InitrdTest(support.TestCase):
    """What the kernel itself says of an archive; it was built for the tests before."""

    def boot(self, data, *words):
        path = os.path.join(self.folder, "initrd")
        with open(path, "wb") as file:
            file.write(data)
        return run("qemu-system-riscv64", "-machine", "virt", "-cpu", "rv64,debug=false", "-smp", "2", "-m", "256M", "-display", "none",
                   "-serial", "stdio", "-monitor", "none", "-no-reboot", "-bios", "default", "-kernel",
                   os.path.join(ROOT, "build", "release", "hartscale.elf"), "-initrd", path, "-append", " ".join(words))

    def setUp(self):
        super().setUp()
        self.assert_ok(make("release"))

    def test_hostile_archives_end_the_run(self):
        good = cpio.archive({"a": b"hello"})
        for data, said in ((b"\x1f\x8b\x08\x00 this is no archive" * 40, "byte 0: no header of a file"),
                           (good[:150], "byte 120: a header that reaches out of the archive"),
                           (good[:120], "byte 120: the archive ends before its trailer"),
                           (good[:54] + b"ffffffff" + good[62:], "byte 0: a file that reaches out of the archive"),
                           (b"070707" + good[6:], "byte 0: an archive of the old format; newc is wanted")):
            done = self.boot(data, "poweroff=1")
            self.assertNotEqual(done.status, 0, str(done))
            self.assertIn("error: the initrd is no right archive: ", done.out)
            self.assertIn(said, done.out)

    def test_it_does_not_take_memory_from_the_arena(self):
        def arena(done):
            self.assert_ok(done)
            return done.out.partition('"arena_frames":')[2].partition(",")[0]
        small = arena(self.boot(cpio.archive({"a": b"x"}), "poweroff=1"))
        self.assertEqual(small, arena(self.boot(cpio.archive({"a": b"x" * (1 << 20)}), "poweroff=1")))
        self.assertEqual(small, "16384")

    def test_damaged_trace_in_the_archive(self):
        for data, said in ((b"HSHEAPTR", "byte 8: the file ends in its header"), (b"", "byte 0: no trace of heap calls")):
            done = self.boot(cpio.archive({"kernel.heaptrace": data}), "bench=heap.*", "heap=bestfit", "harts=1")
            self.assertNotEqual(done.status, 0, str(done))
            self.assertIn(f"error: heap.kernel: kernel.heaptrace is no right trace of heap calls: {said}", done.out)
        done = self.boot(cpio.archive({"a": b"x"}), "bench=heap.kernel", "harts=1")
        self.assertIn("error: heap.kernel: there is no file kernel.heaptrace in the initrd", done.out)


if __name__ == "__main__":
    unittest.main()
