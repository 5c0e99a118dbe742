"""The figures: what tells curves apart, names beside points, and speed against waste. No guest."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tools"))

from runner import figure, labels, plot, waste  # noqa: E402

RUN = {"clock": "model", "profile": "p550", "commit": "0123456789ab", "qemu": "10.0.2", "harts_max": 8,
       "host": {"cores": 2, "cpu": "some"}, "guest": {"clock_unit": "cycles"}}
DESIGNS = ("bitmap", "hartcache", "cascade", "buddy", "buddy_pcp", "tracker", "stack", "list", "caslist", "llfree",
           "llfree_locked", "another")


def point(frame, harts=8, bench="frame.churn", rate=1e6, lock="ttas", stranded=0, **more):
    latency = {"p50": 1, "p90": 2, "p99": 3, "p999": 4, "max": 5}
    variant = {"frame": frame, "lock": lock} if lock else {"frame": frame}
    return {"bench": bench, "variant": variant, "harts": harts, "ops": 100 if rate else 0, "cycles": 1000, "ops_per_sec": rate,
            "cycles_per_op": 1e9 / rate if rate else None, "latency": latency if rate else None, "fairness": 1.0, "status": "ok",
            "memory": {"arena_frames": 1000, "metadata_bytes": 40960, "stranded_frames": 0, "stranded_frames_max": stranded,
                       "fragmentation": None}, **more}


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


class LookTest(unittest.TestCase):
    def test_twelve_designs_are_told_apart_by_colour_and_by_shape(self):
        curves = figure.curves_of([point(design) for design in DESIGNS])
        looks = [curve.style.split(" dt ")[0] for curve in curves]
        self.assertEqual(len({look.split(" pt ")[0] for look in looks}), len(DESIGNS))
        self.assertEqual(len({look.split(" pt ")[1] for look in looks}), len(DESIGNS))

    def test_a_design_looks_the_same_where_others_are_left_out(self):
        of_run = [point(design) for design in DESIGNS]
        some = [point(design, bench="frame.huge") for design in DESIGNS[1::2]]
        looks = {curve.title: curve.style for curve in figure.curves_of(of_run)}
        for curve in figure.curves_of(some, of_run):
            self.assertEqual(curve.style, looks[curve.title])

    def test_no_lock_is_no_other_lock(self):
        titles = [curve.title for curve in figure.curves_of([point("bitmap"), point("llfree", lock=None)])]
        self.assertEqual(titles, ["bitmap", "llfree"])
        both = figure.curves_of([point("bitmap"), point("bitmap", lock="mcs"), point("llfree", lock=None)])
        self.assertEqual([curve.title for curve in both], ["bitmap × ttas", "bitmap × mcs", "llfree"])
        self.assertEqual(len({curve.style for curve in both}), 3)


class LabelTest(unittest.TestCase):
    SIZE = (750, 370)

    def place(self, points, corners=()):
        placed = labels.place(DESIGNS[:len(points)], points, self.SIZE, corners)
        for i, label in enumerate(placed):
            for other in placed[:i]:
                self.assertFalse(overlap(label.box, other.box), f"{label.box} and {other.box}")
            for x, y in points:
                self.assertFalse(overlap(label.box, (x - 5, y - 5, x + 5, y + 5)), f"{label.box} and the point {x}, {y}")
            self.assertTrue(0 <= label.box[0] and label.box[2] <= self.SIZE[0], label.box)
            self.assertTrue(0 <= label.box[1] and label.box[3] <= self.SIZE[1], label.box)
        return placed

    def test_alone_it_stands_to_the_right(self):
        label, = self.place([(100, 100)])
        self.assertEqual((label.anchor, label.leader), ("left", False))

    def test_at_the_edge_it_stands_to_the_left(self):
        label, = self.place([(745, 100)])
        self.assertEqual(label.anchor, "right")

    def test_crowds(self):
        for distance in (0, 3, 8, 20):
            self.place([(300 + distance * (i % 4), 200 + distance * (i // 4)) for i in range(11)])

    def test_a_line_is_kept_clear(self):
        label, = self.place([(100, 100)], [(100, 100), (400, 100)])
        self.assertFalse(overlap(label.box, (100, 99, 400, 101)))


class WasteTest(unittest.TestCase):
    def test_share(self):
        self.assertEqual(waste.wasted(point("bitmap")), 0.01)
        self.assertEqual(waste.wasted(point("hartcache", stranded=90)), 0.1)
        self.assertIsNone(waste.wasted({"memory": {"arena_frames": 0, "metadata_bytes": 0, "stranded_frames_max": 0}}))
        self.assertIsNone(waste.wasted({}))

    def test_heaps_by_bytes(self):
        """What is in pages and in no block counts, and so does what is in a block but was not asked for."""
        memory = {"arena_frames": 1000, "metadata_bytes": 4096, "live_bytes": 3000, "block_bytes": 5000, "reserved_bytes": 65536,
                  "reserved_bytes_max": 131072}
        self.assertEqual(waste.wasted_bytes({"memory": memory}), 4096 + 65536 - 3000)
        self.assertIsNone(waste.wasted_bytes(point("bitmap")))
        results = [{**point("bitmap", bench="heap.churn"), "variant": {"heap": heap}, "memory": {**memory, "metadata_bytes": bytes}}
                   for heap, bytes in (("bestfit", 4096), ("slab", 65536))]
        script = self.drawn(results)["heap.churn.waste"].script()
        self.assertIn("set xlabel 'waste, bytes'", script)
        self.assertIn("'100k' 100000", script)
        self.assertIn("set label 'slab' at graph", script)

    def test_line_of_what_nothing_beats(self):
        self.assertEqual(waste._efficient([(0.2, 5), (0.1, 1), (0.3, 4), (0.4, 9)]),
                         [(0.1, 1), (0.2, 1), (0.2, 5), (0.4, 5), (0.4, 9)])

    def drawn(self, results):
        return {drawn.name: drawn for drawn in plot.figures(RUN, results)}

    def test_every_variant_has_its_name_at_the_largest_hart_count(self):
        results = [point(design, harts, rate=1e6 * (i + 1), stranded=i) for i, design in enumerate(DESIGNS) for harts in (1, 8)]
        script = self.drawn(results)["frame.churn.waste"].script()
        self.assertIn("at 8 harts", script)
        for design in DESIGNS:
            self.assertEqual(script.count(f"set label '{design}' at graph"), 1)

    def test_many_have_a_key(self):
        results = [point(f"design{i}", rate=1e6 * (i + 1)) for i in range(waste.NAMES_MAX + 1)]
        script = self.drawn(results)["frame.churn.waste"].script()
        self.assertNotIn("set label 'design", script)
        self.assertIn("title 'design1'", script)

    def test_nothing_had_is_not_drawn(self):
        results = [point("bitmap", 1, "frame.frag"), point("bitmap", 8, "frame.frag", rate=0)]
        drawn = self.drawn(results)
        self.assertNotIn("frame.frag.waste", drawn)
        self.assertIn("A throughput of 0", drawn["frame.frag.throughput"].script())
        self.assertEqual(drawn["frame.frag.throughput"].data().split("\n\n\n")[-1].split(), ["1", "1000000"] + ["1000000"] * 2)

    def test_nothing_had_anywhere(self):
        drawn = self.drawn([point("bitmap", n, "frame.frag", rate=0) for n in (1, 8)])
        self.assertEqual(set(drawn), {"frame.frag.fairness"})


if __name__ == "__main__":
    unittest.main()
