"""What `make bench` asks the kernel for. No guest."""
import os
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tools"))

from runner import plan  # noqa: E402
from runner.bench import ACCEPTED  # noqa: E402
from runner.settings import Settings  # noqa: E402


def words(*given):
    return plan.Plan(Settings("bench", ACCEPTED, ["CLOCK=host", *given], {})).words


def value(key, *given):
    return next((word.partition("=")[2] for word in words(*given) if word.startswith(f"{key}=")), None)


class HeapsTest(unittest.TestCase):
    def setUp(self):
        patch = mock.patch.object(plan, "HEAP_DEFAULT", ("bestfit", "slab"))
        patch.start()
        self.addCleanup(patch.stop)

    def test_some_are_measured_when_nobody_chooses(self):
        self.assertEqual(value("bench"), ",".join(["*", *plan.HEAP_BENCH_DEFAULT, *plan.VM_BENCH_DEFAULT]))
        self.assertEqual(value("heap"), "bestfit,slab")

    def test_who_chooses_gets_what_was_chosen(self):
        for given in ("BENCH=frame.*", "FRAME=bitmap"):
            self.assertIsNone(value("heap", given), given)
        self.assertEqual(value("bench", "FRAME=bitmap"), "*")
        self.assertEqual((value("bench", "HEAP=*"), value("heap", "HEAP=*")), ("heap.*", "*"))

    def test_virtual_memory(self):
        """Some of it when nobody chooses; who names one of its choices means its benchmarks, and all values of the others."""
        self.assertLessEqual(set(plan.VM_BENCH_DEFAULT), set(value("bench").split(",")))
        self.assertEqual(value("shootdown"), plan.VM_DEFAULT["SHOOTDOWN"])
        for given in ("BENCH=vm.*", "HEAP=*", "FRAME=bitmap"):
            self.assertIsNone(value("shootdown", given), given)
        for given in ("SPLIT=shared", "ASID=off", "PTLOCK=node,space", "SHOOTDOWN=ipi"):
            key, _, name = given.partition("=")
            self.assertEqual((value("bench", given), value(key.lower(), given)), ("vm.*", name))
        self.assertEqual(value("bench", "BENCH=vm.fault", "SHOOTDOWN=ipi"), "vm.fault")

    def test_no_heaps_no_benchmarks_of_them(self):
        with mock.patch.object(plan, "HEAP_DEFAULT", ()):
            self.assertEqual((value("bench"), value("heap")), (",".join(["*", *plan.VM_BENCH_DEFAULT]), None))


if __name__ == "__main__":
    unittest.main()
