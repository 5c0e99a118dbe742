"""`make sweep`, and what `make validate-model` concludes from: rankings that flip, the Markov model, profiles, verdicts."""
import glob
import json
import os
import re
import sys
import unittest

import support
from support import ROOT, make

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import experiments, experiments_locks, sweep, validate  # noqa: E402
from runner.experiments import Row  # noqa: E402
from runner.failure import Failure  # noqa: E402
from runner.profile import Profile  # noqa: E402

PROFILES = os.path.join(ROOT, "tools", "model", "profiles")


class RankingTest(unittest.TestCase):
    def test_a_ranking_that_holds(self):
        rates = {"profile": {"a": 3, "b": 2, "c": 1}, "x": {"a": 30, "b": 29, "c": 1}}
        self.assertEqual(list(sweep.undecided(rates)), [])
        self.assertIn("holds under every setting", "\n".join(sweep.block("bench", 8, rates)))

    def test_a_pair_that_changes_places_is_named_with_the_setting(self):
        rates = {"profile": {"a": 3, "b": 2, "c": 1}, "x": {"a": 3, "b": 2, "c": 1}, "y": {"a": 3, "b": 4, "c": 1}}
        self.assertEqual(list(sweep.undecided(rates)), [("a", "b", "y")])
        text = "\n".join(sweep.block("bench", 8, rates))
        self.assertIn("undecided: a and b (change places under y)", text)
        self.assertNotIn("holds", text)

    def test_variants_that_are_equal_somewhere_did_not_change_places(self):
        self.assertEqual(list(sweep.undecided({"profile": {"a": 2, "b": 1}, "x": {"a": 1, "b": 1}})), [])


class ExpectationTest(unittest.TestCase):
    def setUp(self):
        self.p550 = Profile(os.path.join(PROFILES, "p550.conf"))

    def test_profiles_have_every_key_of_the_model(self):
        with open(os.path.join(ROOT, "tools", "model", "model.h"), encoding="utf-8") as file:
            keys = re.findall(r"^    X\((\w+), \d+, \d+\)", file.read(), re.MULTILINE)
        self.assertGreater(len(keys), 20)
        for path in glob.glob(os.path.join(PROFILES, "*.conf")):
            profile = Profile(path)
            for key in keys:
                self.assertIsInstance(getattr(profile, key), int, f"{key} in {path}")

    def test_every_number_of_the_boards_says_where_it_comes_from(self):
        for name in ("p550", "sg2042"):
            with open(os.path.join(PROFILES, name + ".conf"), encoding="utf-8") as file:
                for line in file:
                    if "=" in line.split("#")[0]:
                        self.assertRegex(line, r"# \[[SDA]\]")

    def test_a_profile_that_cannot_be_read(self):
        with self.assertRaisesRegex(Failure, r"test_boot_sweep\.py:1: expected 'key = number'"):
            Profile(__file__)

    def test_levels(self):
        self.assertEqual(self.p550.load(32), ("L1", 1))
        self.assertEqual(self.p550.load(33), ("L2", 13))
        self.assertEqual(self.p550.load(4096), ("L3", 42))
        self.assertEqual(self.p550.load(4097), ("DRAM", 250))
        self.assertEqual([self.p550.translation(n)[1] for n in (32, 33, 512, 513)], [0, 9, 9, 39])

    def test_no_point_of_the_chase_is_near_an_edge(self):
        for name in ("p550", "sg2042", "ideal"):
            profile = Profile(os.path.join(PROFILES, name + ".conf"))
            for kib, _, lines, _, _ in experiments.chase_points(profile):
                data = kib * lines / 64
                for edge in (profile.l1_kib, profile.l2_kib, profile.llc_kib):
                    self.assertFalse(edge / 1.2 < data < edge * 1.2, f"{name}: {data} KiB by an edge of {edge}")

    def test_the_markov_model_at_its_limits(self):
        markov = experiments_locks.markov
        self.assertAlmostEqual(markov(1, 400, 100, 50), 500)                # one hart: away, then through
        self.assertAlmostEqual(markov(8, 1e-6, 100, 50), 100 + 7 * 50, 3)   # nobody away: all wait
        self.assertAlmostEqual(markov(8, 1e9, 100, 50), 1e9 / 8, delta=1e3) # nobody ever meets

    def test_a_bad_row_is_seen(self):
        rows = [Row("a", "1", "1", True), Row("b", "1", "2", False), Row("c", "1", "2", False, judged=False)]
        text = validate.table(rows)
        self.assertIn("1 good, 1 bad, 1 shown", text)
        self.assertEqual([row.verdict for row in rows], ["good", "BAD", "shown"])


class SweepTest(support.TestCase):
    def test_quick(self):
        out = os.path.join(self.folder, "out")
        done = make("sweep", "BENCH=lock.counter", "LOCK=ticket,mcs", "HARTS=1,4", "QUICK=1", f"OUT={out}")
        self.assert_ok(done)
        self.assertIn("lock.counter, 4 harts", done.out)
        with open(os.path.join(out, "sweep.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual([(p["bench"], p["harts"]) for p in report["points"]], [("lock.counter", 1), ("lock.counter", 4)])
        self.assertEqual(report["settings"]["transfer ×2"], {"transfer_near": 140, "transfer_far": 140})
        four = report["points"][1]["ops_per_sec"]
        self.assertEqual(set(four), set(report["settings"]))
        self.assertGreater(four["transfer ×½"]["mcs"], four["transfer ×2"]["mcs"])
        self.assertEqual(four["profile"], four["ipi ×2"])                   # no interrupts in it

    def test_a_name_that_matches_nothing(self):
        self.assert_fails(make("sweep", "BENCH=lock.countr", "QUICK=1"), "lock.countr", "lock.counter")


if __name__ == "__main__":
    unittest.main()
