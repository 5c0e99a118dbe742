"""`make bench LINES=1` with the real kernel: the lines that harts fight over have the right names and verdicts."""
import json
import os
import unittest

import support
from support import make


class LinesTest(support.TestCase):
    def bench(self, *words, out=None):
        out = out or self.out
        self.done = make("bench", "QUICK=1", "HARTS=4", "LINES=1", f"OUT={out}", *words)
        self.assert_ok(self.done)
        with open(os.path.join(out, "lines.json"), encoding="utf-8") as file:
            return {self.key(point): point for point in json.load(file)["points"]}

    @staticmethod
    def key(point):
        return " ".join([point["bench"], *point["variant"].values()])

    def assert_shown(self, *parts):
        """At the end of the run and in lines.txt."""
        with open(os.path.join(self.out, "lines.txt"), encoding="utf-8") as file:
            text = file.read()
        for part in parts:
            self.assertIn(part, text)
            self.assertIn(part, self.done.out)

    def test_false_sharing(self):
        points = self.bench("BENCH=model.write_packed,model.write_padded")
        line = points["model.write_packed"]["lines"][0]
        self.assertTrue(line["false_sharing"])
        self.assertEqual(line["sharing"], "false")
        self.assertTrue(line["name"].startswith("model.write_packed: "), line["name"])
        masks = [int(hart["written"], 16) for hart in line["harts"]]
        self.assertEqual(len(masks), 4)
        self.assertEqual(sum(masks), masks[0] | masks[1] | masks[2] | masks[3], "harts write the same bytes")
        self.assertEqual({pc["source"].split(":")[0] for pc in line["pcs"]}, {"bench/model_lines.c"})
        self.assertEqual(points["model.write_padded"]["contended_lines"], 0)
        self.assert_shown("model.write_packed, 4 harts: 1 contended line", "false sharing: hart 0 writes",
                          "model.write_padded, 4 harts: no contended line")

    def test_a_lock(self):
        points = self.bench("BENCH=lock.counter", "LOCK=ticket,ttas")
        for lock in ("ticket", "ttas"):
            line = points[f"lock.counter {lock}"]["lines"][0]
            self.assertEqual(line["name"], "lock.counter: lock")
            self.assertFalse(line["false_sharing"])
            self.assertEqual([hart["hart"] for hart in line["harts"]], [0, 1, 2, 3])
            self.assertTrue(all(f"{lock}_" in pc["function"] for pc in line["pcs"]), line["pcs"])
            self.assertTrue(all(pc["source"].startswith(f"smp/lock_{lock}.c:") for pc in line["pcs"]), line["pcs"])
            self.assertIn("atomic", {pc["access"] for pc in line["pcs"]})
        # Whoever draws a ticket takes the line from those who look at the one that is served.
        self.assertEqual(points["lock.counter ticket"]["lines"][0]["sharing"], "mixed")
        self.assertEqual(points["lock.counter ttas"]["lines"][0]["useless_refetches"], 0)
        self.assert_shown("lock.counter: lock", "lock.counter: count", "ticket_acquire  smp/lock_ticket.c:")

    def test_allocators(self):
        points = self.bench("BENCH=frame.churn", "LOCK=ticket")
        names = [line["name"] for line in points["frame.churn bitmap ticket"]["lines"]]
        self.assertEqual(names[0], "bitmap: lock")
        for name in ("bitmap: taken word 0", "bitmap: head word 0", "bitmap: header, count of free frames, search hint"):
            self.assertIn(name, names)
        self.assertEqual(points["frame.churn hartcache ticket"]["contended_lines"], 0)
        self.assert_shown("bitmap: lock", "frame.churn hartcache×ticket, 4 harts: no contended line")

    @staticmethod
    def falsely_shared(point):
        """The blocks of a heap that harts share falsely."""
        heap = point["variant"]["heap"]
        return [line for line in point["lines"] if line["false_sharing"] and line["name"].startswith(f"{heap}: blocks in page")]

    def test_heaps(self):
        """A heap for each hart gives two harts no line; magazines hand a hart again what another allocated."""
        points = self.bench("BENCH=heap.cache_*", "HEAP=hartbuddy,slab")
        for point in ("heap.cache_scratch hartbuddy ttas", "heap.cache_thrash hartbuddy ttas", "heap.cache_thrash slab ttas"):
            self.assertEqual(points[point]["contended_lines"], 0, point)
        lines = self.falsely_shared(points["heap.cache_scratch slab ttas"])
        self.assertTrue(lines)
        self.assertTrue(all("bench/marks.h:" in pc["source"] for line in lines for pc in line["pcs"]), lines)
        self.assert_shown("heap.cache_scratch hartbuddy×ttas, 4 harts: no contended line",
                          "writes slab: blocks in page")

    def test_heaps_behind_a_lock(self):
        """Where harts take turns with the lines of all blocks, these have names, too."""
        rows = self.bench("BENCH=heap.cache_thrash", "HEAP=bestfit")["heap.cache_thrash bestfit ttas"]["structures"]
        self.assertIn("bestfit: blocks in page", [row["name"] for row in rows])

    def test_sums(self):
        """The structures add up to all lines, and the lines' instructions to the line."""
        for point in self.bench("BENCH=frame.remote", "LOCK=ticket").values():
            rows = point["structures"]
            self.assertGreater(point["contended_lines"], len(point["lines"]))
            self.assertEqual(sum(row["lines"] for row in rows), point["contended_lines"])
            for name in ("transfers", "cycles"):
                self.assertEqual(sum(row[name] for row in rows), point[name])
            for line in point["lines"]:
                counted = sum(pc["transactions"] for pc in line["pcs"]) + line["other_pcs"]["transactions"]
                self.assertEqual(counted, line["transactions"])
            counters = next(r["counters"] for r in self.lines() if r["variant"] == point["variant"])
            self.assertLessEqual(point["transfers"], counters["line_transfer"])
            self.assertGreater(point["transfers"], 0.95 * counters["line_transfer"])

    def test_same_bytes(self):
        texts = []
        for jobs in (1, 2):
            out = os.path.join(self.folder, str(jobs))
            self.bench("BENCH=frame.churn,lock.counter", f"JOBS={jobs}", f"PIN={jobs - 1}", out=out)
            for name in ("lines.json", "lines.txt"):
                with open(os.path.join(out, name), encoding="utf-8") as file:
                    texts.append(file.read())
        self.assertEqual(texts[:2], texts[2:])

    def test_only_under_the_model(self):
        self.assert_fails(make("bench", "LINES=1", "CLOCK=host", f"OUT={self.out}"), "LINES", "CLOCK=host")
        self.assertFalse(os.path.exists(self.out))


if __name__ == "__main__":
    unittest.main()
