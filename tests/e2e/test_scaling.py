"""What a curve says of itself: coefficients that are known beforehand, knees and their causes, and how all that is shown."""
import json
import os
import random
import re
import sys
import unittest
from unittest import mock

import support
from support import FAKE_QEMU, ROOT, RUN, run

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import counters, plot, results, scaling, scaling_text, table, units  # noqa: E402

HARTS = (1, 2, 4, 8, 16, 32)


def rates(sigma, kappa, harts=HARTS, alone=3.5e6):
    """A curve by the law as its author writes it."""
    return {n: alone * n / (1 + sigma * (n - 1) + kappa * n * (n - 1)) for n in harts}


def point(variant, harts, rate, causes=None, events=None, ops=1000):
    """A result; causes and events are of one operation."""
    result = {"bench": "frame.churn", "variant": {"frame": variant, "lock": "ttas"}, "harts": harts, "ops_per_sec": rate,
              "ops": ops, "cycles_per_op": 1e9 * harts / rate, "status": "ok",
              "counters": {name: round(value * ops) for name, value in (events or {}).items()}}
    if causes:
        result["attribution"] = {cause: round(cycles * ops) for cause, cycles in causes.items()}
    return result


def curve(variant, of_harts):
    return [point(variant, n, rate) for n, rate in of_harts.items()]


class FitTest(unittest.TestCase):
    def assert_fits(self, sigma, kappa, **more):
        fitted = scaling.fit(rates(sigma, kappa, **more))
        self.assertEqual((fitted["sigma"], fitted["kappa"]), (sigma, kappa))
        self.assertLess(fitted["error"], 1e-4)
        return fitted

    def test_known_coefficients(self):
        self.assertEqual(self.assert_fits(0.05, 0.002)["peak"], 21.79)
        self.assert_fits(0.002, 0.05)
        self.assert_fits(0.6, 0.0)
        self.assert_fits(0.0, 0.3)
        self.assert_fits(1.5, 0.25)

    def test_any_hart_counts_in_any_order(self):
        self.assert_fits(0.1, 0.01, harts=(3, 64, 1, 7))

    def test_noise(self):
        """Errors of some per cent move the coefficients by as much, not more, and are what the fit says it is off by."""
        draw = random.Random(1)
        for _ in range(50):
            noisy = {n: rate * (1 + 0.02 * draw.uniform(-1, 1)) for n, rate in rates(0.1, 0.01).items()}
            fitted = scaling.fit(noisy)
            self.assertAlmostEqual(fitted["sigma"], 0.1, delta=0.03)
            self.assertAlmostEqual(fitted["kappa"], 0.01, delta=0.0015)
            self.assertLess(fitted["error"], 0.04)
            self.assertTrue(fitted["trusted"])

    def test_linear(self):
        fitted = self.assert_fits(0.0, 0.0)
        self.assertIsNone(fitted["peak"])

    def test_more_than_linear_is_bounded(self):
        fitted = scaling.fit({n: 1e6 * n ** 1.2 for n in HARTS})
        self.assertEqual((fitted["sigma"], fitted["kappa"], fitted["peak"]), (0, 0, None))
        self.assertFalse(fitted["trusted"])

    def test_flat(self):
        fitted = scaling.fit({n: 5e6 for n in HARTS})
        self.assertEqual((fitted["sigma"], fitted["kappa"], fitted["peak"], fitted["error"]), (1, 0, None, 0))

    def test_a_curve_that_collapses_has_its_peak(self):
        collapsing = rates(0.02, 0.015, harts=range(1, 33))
        fitted = scaling.fit(collapsing)
        best = max(collapsing, key=collapsing.get)
        self.assertEqual(best, 8)
        self.assertLess(abs(fitted["peak"] - best), 0.5)

    def test_a_curve_that_only_falls_peaks_at_one_hart(self):
        self.assertEqual(self.assert_fits(0.8, 0.9)["peak"], 1)

    def test_a_curve_of_another_shape_is_not_trusted(self):
        """Linear to 16 harts, then a tenth: no law of two coefficients."""
        broken = scaling.fit({n: 1e6 * n if n <= 16 else 1e5 * n for n in HARTS})
        self.assertGreater(broken["error"], scaling.ERROR_MAX)
        self.assertFalse(broken["trusted"])

    def test_three_counts_prove_nothing(self):
        fitted = self.assert_fits(0.1, 0.01, harts=(1, 2, 4))
        self.assertEqual((fitted["freedom"], fitted["trusted"]), (0, False))

    def test_too_few(self):
        for given, why in (({1: 1e6, 2: 2e6}, "3 hart counts"), ({2: 1e6, 4: 1e6, 8: 1e6}, "one hart")):
            with self.assertRaisesRegex(scaling.NoFit, why):
                scaling.fit(given)

    def test_coefficients_are_rounded(self):
        """So that another release of SciPy, which rounds otherwise, makes the same file."""
        for value in (scaling.fit(rates(1 / 3, 1 / 7))[name] for name in ("sigma", "kappa")):
            self.assertEqual(value, round(value, scaling.DIGITS))


class AnalysisTest(unittest.TestCase):
    def test_failed_points_are_left_out(self):
        of_curve = curve("a", rates(0.1, 0.01))
        spoilt = dict(of_curve[2], status="failed", ops_per_sec=1.0)
        described, = scaling.analyse([*of_curve[:2], spoilt, *of_curve[3:]])
        self.assertEqual(described["harts"], [1, 2, 8, 16, 32])
        self.assertEqual((described["usl"]["sigma"], described["usl"]["kappa"]), (0.1, 0.01))

    def test_points_at_which_nothing_was_to_be_had_are_no_part_of_the_curve(self):
        described, = scaling.analyse([*curve("a", rates(0.1, 0.01)), point("a", 64, 1), dict(point("a", 5, 1), ops_per_sec=0)])
        self.assertEqual(described["knee"]["harts"], 8)
        described, = scaling.analyse([*curve("a", rates(0, 0)), dict(point("a", 64, 1), ops_per_sec=0)])
        self.assertEqual((described["usl"]["error"], described["knee"]), (0, None))
        described, = scaling.analyse([dict(row, ops_per_sec=0) for row in curve("a", rates(0, 0))])
        self.assertEqual((described["usl"], described["knee"]), (None, None))

    def test_curves_are_kept_apart_and_in_order(self):
        rows = [row for pair in zip(curve("b", rates(0, 0)), curve("a", rates(1, 0))) for row in pair]
        self.assertEqual([(c["variant"]["frame"], c["usl"]["sigma"]) for c in scaling.analyse(rows)], [("b", 0), ("a", 1)])

    def test_without_scipy(self):
        with mock.patch.dict(sys.modules, {"scipy": None, "scipy.optimize": None}):
            described, = scaling.analyse(curve("a", rates(0.9, 0.1)))
        self.assertIsNone(described["usl"])
        self.assertRegex(described["reason"], "SciPy.*tools/setup")
        self.assertEqual(described["knee"]["harts"], 2)

    def test_scipy_is_not_loaded_before_it_is_needed(self):
        code = "import sys; from runner import cli; sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
        self.assertEqual(run("/usr/bin/python3", "-c", code, PYTHONPATH=os.path.join(ROOT, "tools")).status, 0)


class KneeTest(unittest.TestCase):
    def knee(self, *points):
        return scaling.knee({p["harts"]: p for p in points})

    def test_is_the_first_count_below_half(self):
        self.assertEqual(self.knee(*curve("a", {1: 10, 2: 15, 4: 20.1, 8: 30, 16: 20}))["harts"], 8)

    def test_half_is_not_below_half(self):
        self.assertIsNone(self.knee(*curve("a", {1: 10, 2: 10, 4: 20})))

    def test_none_when_linear_or_unknown(self):
        self.assertIsNone(self.knee(*curve("a", rates(0, 0))))
        self.assertIsNone(self.knee(*curve("a", {2: 1, 4: 1, 8: 1})))

    def test_is_never_behind_the_peak(self):
        for sigma, kappa in ((0.0, 0.3), (0.01, 0.05), (0.1, 0.01), (0.0, 0.002)):
            given = rates(sigma, kappa, harts=[2 ** i for i in range(12)])
            self.assertLessEqual(self.knee(*curve("a", given))["harts"], max(given, key=given.get))

    def test_a_peak_that_is_worth_its_harts(self):
        found = self.knee(*curve("a", {1: 10, 2: 19, 4: 35, 8: 41, 16: 30}))
        self.assertEqual((found["harts"], found["is_peak"]), (8, True))
        self.assertIsNone(self.knee(*curve("a", {1: 10, 2: 19, 4: 35, 8: 41})))     # as far as one knows it still rises

    def test_a_peak_that_is_not(self):
        found = self.knee(*curve("a", {1: 10, 2: 12, 4: 13, 8: 14, 16: 12}))
        self.assertEqual((found["harts"], found["is_peak"]), (4, False))

    def test_one_hart_is_no_knee(self):
        self.assertEqual(self.knee(*curve("a", {1: 10, 2: 9, 4: 8}))["harts"], 2)
        self.assertIsNone(self.knee(*curve("a", {1: 10})))

    def test_lock_wait_and_what_the_machine_did_meanwhile(self):
        one = point("a", 1, 10, {"compute": 90, "queue": 0, "miss": 10}, {"lock_wait_cycles": 0, "lock_contend": 0})
        two = point("a", 2, 4, {"compute": 110, "queue": 280, "miss": 110},
                    {"lock_wait_cycles": 328, "lock_contend": 0.7, "line_transfer": 4.0})
        found = self.knee(one, two)
        self.assertEqual(found["causes"], [{"name": "lock_wait_cycles", "share": 0.82}, {"name": "queue", "share": 0.7}])
        self.assertEqual([event["name"] for event in found["events"]], ["lock_contend", "line_transfer"])
        self.assertEqual(scaling_text.mark_words(found), "knee at 2: lock wait 82%")

    def test_no_lock(self):
        one = point("a", 1, 10, {"compute": 90, "miss": 10}, {"cas_retry": 0, "refill": 0.5})
        four = point("a", 4, 10, {"compute": 90, "miss": 310}, {"cas_retry": 0.25, "refill": 0.5, "lock_wait_cycles": 20})
        found = self.knee(one, four)
        self.assertEqual(found["causes"], [{"name": "miss", "share": 1.0}])
        self.assertEqual(found["events"], [{"name": "cas_retry", "one": 0.0, "knee": 0.25}])

    def test_without_causes_of_cycles(self):
        """Under the host's clock."""
        one = point("a", 1, 1e7, events={"lock_wait_cycles": 0, "lock_contend": 0})
        two = point("a", 2, 4e6, events={"lock_wait_cycles": 120, "lock_contend": 0.5})
        self.assertEqual(self.knee(one, two)["causes"], [{"name": "lock_wait_cycles", "share": 0.3}])

    def test_nothing_known(self):
        found = self.knee(*curve("a", {1: 10, 2: 12, 4: 13, 8: 14}))
        self.assertEqual(scaling_text.mark_words(found), "knee at 4: cause unknown")


class ShownTest(support.TestCase):
    RUN_OF = {"status": "complete", "reason": None, "clock": "model", "profile": "p550", "harts_max": 32, "commit": "0",
              "qemu": "10", "host": {"cores": 2, "cpu": ""}, "guest": {}}

    def text(self, rows, unicode=True):
        return table.table(self.RUN_OF, results.enrich(rows, "model", "p550"), units.Symbols(unicode))

    def rows(self, variants, **more):
        return [dict(row, spread={"min": row["ops_per_sec"], "max": row["ops_per_sec"]}, trials=1)
                for name in variants for row in curve(name, rates(**more))]

    def test_coefficients(self):
        text = self.text(self.rows(["bitmap"], sigma=0.05, kappa=0.002))
        self.assertRegex(text, r"sigma +kappa +peak +error +knee")
        self.assertRegex(text, r"bitmap×ttas +0\.0500 +0\.0020 +21\.8 +0\.0% +16")

    def test_peaks_that_are_not_given(self):
        self.assertRegex(self.text(self.rows(["a"], sigma=0, kappa=0)), r"a×ttas +0 +0 +none +0\.0% +none")
        self.assertRegex(self.text(self.rows(["a"], sigma=0, kappa=0.0001)), r"a×ttas +0 +0\.000100 +>32 ")
        text = self.text(self.rows(["a"], sigma=0.5, kappa=0.1, harts=(1, 2, 4)))
        self.assertRegex(text, r"a×ttas +0\.5000 +0\.1000 +\? +0\.0% +2")
        self.assertIn("measure more hart counts", text)

    def test_a_bad_fit_says_so(self):
        rows = [*self.rows(["good"], sigma=0.1, kappa=0.01), *curve("bad", {1: 1, 2: 2, 4: 4, 8: 8, 16: 0.16})]
        text = self.text(rows)
        self.assertRegex(text, r"bad×ttas +\S+ +\S+ +\? +\d+\.\d% +8")
        self.assertIn("The law does not describe this curve (bad×ttas).", text)

    def test_no_fit_says_why(self):
        self.assertIn("  No fit: 3 hart counts are needed.", self.text(self.rows(["a"], sigma=0, kappa=0, harts=(1, 2))))
        self.assertIn("one hart, which", self.text(self.rows(["a"], sigma=0, kappa=0, harts=(2, 4, 8))))
        self.assertNotIn("Scalability", self.text(self.rows(["a"], sigma=0, kappa=0, harts=(8,))))

    def test_events(self):
        rows = [point("a", 8, 1e6, events={"refill": 0.0156, "lock_acquire": 1, "cas_retry": 0, "insns": 400, "lock_wait_cycles": 34461}),
                point("b", 8, 1e6, events={"refill": 0, "lock_acquire": 15.5, "cas_retry": 0, "insns": 70, "novel": 2})]
        text = self.text(rows)
        self.assertRegex(text, r"refill +lock +wait cycles +novel\n  a×ttas +0\.016 +1\.00 +34461 +–\n  b×ttas +0 +15\.5 +– +2\.00\n")
        self.assertNotIn("retry", text.casefold())
        self.assertNotIn("insns", text)

    def test_precision(self):
        for rate, text in ((0, "0"), (0.0001, "<0.001"), (0.0156, "0.016"), (0.9996, "1.00"), (9.996, "10.0"), (99.97, "100")):
            self.assertEqual(counters.rate_text(rate), text)

    def test_everything_fits_100_columns(self):
        rows = []
        for name in [f"allocator_{i}" for i in range(11)]:
            for n, rate in rates(0.9, 0.5).items():
                many = {name: 123456.7 * n for name in (*counters.COUNTERS, "something_new", "something_else")}
                many["something_else"] *= 2
                rows.append(point(name, n, rate, {"compute": 1000, "queue": 1000 * n}, {**many, "lock_wait_cycles": 900 * n}))
        for unicode in (True, False):
            text = self.text(rows, unicode)
            self.assertLessEqual(max(map(len, text.splitlines())), 100)
            self.assertEqual(len(re.findall(r"something else(?: \+246913)?(?:,|$)", text, re.MULTILINE)), 1 + 11)
            self.assertNotIn("\u00a0", text)

    def figure(self, variants, **more):
        rows = results.enrich(self.rows(variants, **more), "model", "p550")
        return next(figure for figure in plot.figures(self.RUN_OF, rows) if figure.name.endswith(".throughput"))

    def test_knee_is_marked_in_the_figure(self):
        figure = self.figure(["a"], sigma=0.5, kappa=0.1)
        marks = [i for i, clause in enumerate(figure.plots) if "knee at 2: cause unknown" in clause]
        self.assertEqual(len(marks), 1)
        self.assertEqual(figure.blocks[marks[0]], f"2 {rates(0.5, 0.1)[2]:.9g}")
        self.assertIn("Ring: ", figure.script())
        self.assertNotIn("knee", self.figure(["a"], sigma=0, kappa=0).script())

    def test_words_give_way_to_many_curves(self):
        for count, worded in ((11, True), (30, False)):
            figure = self.figure([f"v{i}" for i in range(count)], sigma=0.5, kappa=0.1)
            self.assertEqual(sum("knee at" in clause for clause in figure.plots), count if worded else 0)
            self.assertEqual(sum(" pt 6 ps 2.2 " in clause for clause in figure.plots), count)

    def test_run_leaves_a_file(self):
        done = run(RUN, "bench", f"OUT={self.out}", "HARTS=1,2", "CLOCK=model", QEMU=FAKE_QEMU, FAKE_QEMU="good")
        self.assert_ok(done)
        with open(os.path.join(self.out, "scaling.json"), encoding="utf-8") as file:
            curves = json.load(file)["curves"]
        self.assertEqual([(c["variant"]["frame"], c["knee"] and c["knee"]["harts"]) for c in curves],
                         [("bitmap", 2), ("bitmap", 2), ("hartcache", None), ("hartcache", None)])
        self.assertEqual({c["reason"] for c in curves}, {"3 hart counts are needed"})
        self.assertNotIn("usl", json.dumps(self.lines()))
        self.assertIn("knee", done.out)


if __name__ == "__main__":
    unittest.main()
