"""`make record`: what a heap was asked for becomes a trace, and replaying it asks for the same."""
import base64
import collections
import os
import sys
import unittest

import support
from support import ROOT, make

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import heap_trace, record  # noqa: E402
from runner.failure import Failure  # noqa: E402


class RecordTest(support.TestCase):
    def setUp(self):
        super().setUp()
        self.trace = os.path.join(self.folder, "some.heaptrace")

    def record(self, *words, out=None):
        out = out or self.trace
        done = make("record", "QUICK=1", f"OUT={out}", *words)
        self.assert_ok(done)
        trace = heap_trace.load(out)
        self.assertIn(f"{out}: {len(trace.calls)} calls of {trace.threads} harts", done.out)
        return trace, done

    def replay(self, path, *words):
        self.assert_ok(make("bench", "QUICK=1", f"TRACE={path}", f"OUT={self.out}", *words))
        return self.lines()

    def test_round_trip(self):
        trace, _ = self.record("BENCH=heap.churn", "HARTS=3")
        found = heap_trace.summarise(trace)
        self.assertEqual((trace.name, trace.threads, found.left_objects), ("heap.churn", 3, 0))
        self.assertEqual(found.kinds[heap_trace.ALLOC], found.kinds[heap_trace.FREE])
        self.assertEqual(found.sizes, {64: trace.objects})
        for result in self.replay(self.trace, "HEAP=*fit", "HARTS=1,3,4"):
            # Four harts have two copies of three threads.
            copies = 2 if result["harts"] == 4 else 1
            self.assertEqual(result["figures"]["calls"], copies * len(trace.calls))
            self.assertEqual(result["ops"] % (copies * len(trace.calls)), 0)

    def test_recording_a_replay(self):
        """Of a trace that is replayed the very calls come back, of each thread and as often as it was replayed."""
        trace, _ = self.record("BENCH=heap.larson", "HARTS=2", "HEAP=firstfit")
        left = heap_trace.summarise(trace).left_objects
        again, _ = self.record(f"TRACE={self.trace}", "HARTS=2", out=self.trace + ".again")
        made = len([call for call in trace.calls if call[0] == heap_trace.ALLOC])
        rounds = len([call for call in again.calls if call[0] == heap_trace.ALLOC]) // made
        self.assertGreaterEqual(rounds, 4)
        self.assertEqual(len(again.calls), rounds * len(trace.calls) + (rounds - 1) * left)

        def allocations(of):
            return collections.Counter((thread, size) for kind, thread, size, _, _ in of.calls if kind == heap_trace.ALLOC)
        self.assertEqual(allocations(again), {key: rounds * count for key, count in allocations(trace).items()})
        self.assertEqual(heap_trace.summarise(again).left_objects, left)

    def test_the_model_records_the_same_twice(self):
        one, _ = self.record("BENCH=heap.remote", "HARTS=4")
        two, _ = self.record("BENCH=heap.remote", "HARTS=4", out=self.trace + "2")
        self.assertEqual(one.data, two.data)
        self.assertGreater(heap_trace.summarise(one).handed, 0)

    def test_the_kernels_own_heap(self):
        """Over several data points, each of which has memory of its own: the harness's buffers, which all have gone back at the end."""
        trace, _ = self.record("KERNEL=1", "BENCH=frame.bulk,lock.counter", "FRAME=hartcache", "HARTS=1,2")
        found = heap_trace.summarise(trace)
        self.assertGreater(found.peak_bytes, 100000)
        self.assertGreater(len(trace.calls), 18)    # which are those of the histograms
        self.assertEqual(found.left_objects, 0)
        self.assertEqual(self.replay(self.trace, "HEAP=bestfit", "HARTS=1")[0]["figures"]["peak_bytes"], found.peak_bytes)

    def test_no_more_than_were_asked_for(self):
        trace, done = self.record("BENCH=heap.threadtest", "HARTS=1", "CLOCK=host", "CALLS=10")
        self.assertEqual(len(trace.calls), 10)
        self.assertRegex(done.out, r"the \d+ events behind them found no room \(CALLS=\)")

    def refuse(self, *words, said):
        done = make("record", *words)
        self.assert_fails(done, "error: ", said)
        self.assertFalse(os.path.exists(self.trace))

    def test_bad_input(self):
        self.refuse(said="OUT=file says where the trace is to go")
        self.refuse(f"OUT={self.folder}", said="no file can be written there")
        self.refuse(f"OUT={self.folder}/a/b", said="no file can be written there")
        self.refuse(f"OUT={self.trace}", "HARTS=1,2", said="one number of harts is recorded at a time")
        self.refuse(f"OUT={self.trace}", "CALLS=99999999", said="CALLS=99999999: expected a number from 1 to 16777216")
        self.refuse(f"OUT={self.trace}", "BENCH=heap.*", "QUICK=1", said="record= is about one data point of a heap")
        self.refuse(f"OUT={self.trace}", "BENCH=heap.chum", said="heap.churn")
        # A benchmark of frames has no heap under test.
        self.refuse(f"OUT={self.trace}", "BENCH=frame.churn", "QUICK=1", "HARTS=1", "ARGS=frame=bitmap", said="there is nothing to record")


class AssembleTest(support.TestCase):
    """The lines of a recording, as the console may have them."""

    class Session:
        def __init__(self, data, pieces, recorded=True):
            self.recorded = {"name": "x", "calls": 1, "bytes": len(data), "lost": 0} if recorded else None
            self.trace = [{"offset": at, "data": base64.b64encode(data[at:end]).decode()} for at, end in pieces]

    def test_pieces_come_in_any_order(self):
        data = bytes(range(200))
        session = self.Session(data, [(64, 150), (150, 200), (0, 64)])
        self.assertEqual(record.Recording().assemble(session), data)

    def test_what_is_missing_or_torn_is_refused(self):
        data = bytes(range(200))
        torn = self.Session(data, [(0, 200)])
        torn.trace[0]["data"] = torn.trace[0]["data"][:-5]
        for session, said in ((self.Session(data, [(0, 64), (100, 200)]), "of the recording's 200 bytes 164 have come"),
                              (self.Session(data, [(0, 200), (0, 10)]), "of the recording's 200 bytes 210 have come"),
                              (self.Session(data, [], recorded=False), "the guest has said nothing of a recording"),
                              (torn, "the recording is damaged at byte 0")):
            with self.assertRaises(Failure) as caught:
                record.Recording().assemble(session)
            self.assertIn(said, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
