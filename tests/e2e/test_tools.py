"""The tools behind the commands: the test aggregator, the table, the symbol table, the checks of lint. A tool that
cannot fail checks nothing, so each is shown what it has to object to."""
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import unittest

import support
from support import FAKE_QEMU, ROOT, run

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import host, results, table, tap, testing, units  # noqa: E402
from runner.failure import Failure  # noqa: E402
from runner.settings import Settings  # noqa: E402


class AggregatorTest(support.TestCase):
    """`tools/run test` in a tree of its own, with programs that pass, fail, crash and lie."""

    def setUp(self):
        super().setUp()
        self.tree = os.path.join(self.folder, "tree")
        shutil.copytree(os.path.join(ROOT, "tools"), os.path.join(self.tree, "tools"))
        for folder in ("tests/host", "tests/e2e", "build/host", "build/check"):
            os.makedirs(os.path.join(self.tree, folder))
        shutil.copy(os.path.join(ROOT, "tests", "e2e", "tap.py"), os.path.join(self.tree, "tests", "e2e"))
        self.write("tests/host/fuzz.list", "")
        self.write("build/check/hartscale.elf", "")
        # The model's experiments need a machine; what is tested here has none, and so no rows of theirs.
        self.write("tools/runner/validate.py", "def profile_of(settings):\n    return None, None\n\n"
                   "def measure(lab, profile):\n    return []\n\nACCEPTED = main = counter = write = None\n")

    def write(self, path, text):
        with open(os.path.join(self.tree, path), "w", encoding="utf-8") as file:
            file.write(text)

    def program(self, name, script):
        self.write(f"tests/host/{name}.c", "")
        self.write(f"build/host/{name}", "#!/bin/sh\n" + script)
        os.chmod(os.path.join(self.tree, "build/host", name), stat.S_IRWXU)

    def aggregate(self, *words, guest="tests-pass"):
        return run(os.path.join(self.tree, "tools", "run"), "test", "HARTS=1", *words, QEMU=FAKE_QEMU, FAKE_QEMU=guest)

    def expect(self, done, last, status):
        self.assertEqual(done.out.splitlines()[-1], last, str(done))
        self.assertEqual(done.status, status, str(done))

    def test_all_pass(self):
        self.program("test_a", "echo 1..2; echo ok 1 - x; echo ok 2 - y")
        self.expect(self.aggregate(), "3 passed, 0 failed, 1 skipped", 0)

    def test_failure_is_shown_and_counted(self):
        self.program("test_a", "echo 1..2; echo 'a.c:3: 4 != 5'; echo not ok 1 - x; echo ok 2 - y; exit 1")
        done = self.aggregate()
        self.assertIn("FAILED x", done.out)
        self.assertIn("4 != 5", done.out)
        self.expect(done, "2 passed, 1 failed, 1 skipped", 1)

    def test_crash(self):
        self.program("test_a", "echo 1..2; echo ok 1 - x; echo AddressSanitizer: dreadful; kill -ABRT $$")
        done = self.aggregate()
        self.assertIn("AddressSanitizer: dreadful", done.out)
        self.expect(done, "2 passed, 1 failed, 1 skipped", 1)

    def test_crash_behind_the_last_test(self):
        self.program("tsan_a", "echo 1..1; echo ok 1 - x; exit 66")
        self.expect(self.aggregate(), "2 passed, 1 failed, 1 skipped", 1)

    def test_no_plan(self):
        self.program("test_a", "echo hello")
        done = self.aggregate()
        self.assertIn("it printed no plan", done.out)
        self.expect(done, "1 passed, 1 failed, 1 skipped", 1)

    def test_several_plans_add_up(self):
        self.program("test_a", "echo 1..1; echo ok 1 - x; echo 1..2; echo ok 1 - y; echo ok 2 - z")
        self.expect(self.aggregate(), "4 passed, 0 failed, 1 skipped", 0)

    def test_not_built(self):
        self.write("tests/host/test_a.c", "")
        done = self.aggregate()
        self.assertIn("build/host/test_a has not been built", done.out)
        self.expect(done, "1 passed, 1 failed, 1 skipped", 1)

    def test_status_without_failure(self):
        self.program("test_a", "echo 1..1; echo not ok 1 - x")
        self.expect(self.aggregate(), "1 passed, 2 failed, 1 skipped", 1)

    def test_fuzzer(self):
        os.mkdir(os.path.join(self.tree, "tests/host/corpus"))
        self.write("tests/host/corpus/seed", "A")
        self.write("tests/host/fuzz.list", "fuzz_a 10 tests/host/corpus\n")
        self.program("fuzz_a", 'echo "$@" | grep -q -e -runs=10 && for last; do :; done && echo new >"$last/found"')
        self.expect(self.aggregate(), "2 passed, 0 failed, 1 skipped", 0)
        self.assertEqual(os.listdir(os.path.join(self.tree, "tests/host/corpus")), ["seed"])
        self.program("fuzz_a", "echo SUMMARY: overflow; exit 77")
        done = self.aggregate()
        self.assertIn("SUMMARY: overflow", done.out)
        self.expect(done, "1 passed, 1 failed, 1 skipped", 1)

    def test_python(self):
        self.write("tests/e2e/test_a.py", "import unittest\nclass A(unittest.TestCase):\n"
                   "    def test_x(self):\n        pass\n    def test_y(self):\n        self.fail('no good')\n")
        done = self.aggregate()
        self.assertIn("FAILED A.test_y", done.out)
        self.assertIn("no good", done.out)
        self.expect(done, "2 passed, 1 failed, 1 skipped", 1)

    def test_python_that_does_not_load(self):
        self.write("tests/e2e/test_a.py", "import nonesuch\n")
        done = self.aggregate()
        self.assertIn("nonesuch", done.out)
        self.expect(done, "1 passed, 1 failed, 1 skipped", 1)

    def test_guest_failure(self):
        done = self.aggregate(guest="test-fails")
        self.assertIn("not true: a == b", done.out)
        self.expect(done, "1 passed, 1 failed", 1)

    def test_guest_that_stops_early(self):
        done = self.aggregate(guest="tests-stop")
        self.assertIn("planned 2 tests and reported 1", done.out)
        self.expect(done, "1 passed, 1 failed", 1)

    def test_guest_panic(self):
        done = self.aggregate(guest="tests-panic")
        self.assertIn("panic: at the disco", done.out)
        self.expect(done, "1 passed, 1 failed", 1)

    def test_guest_that_lies(self):
        self.expect(self.aggregate(guest="tests-lie"), "0 passed, 2 failed", 1)

    def test_guest_on_each_heap(self):
        done = self.aggregate(guest="heap-fails")
        self.assertIn("FAILED second: one", done.out)
        self.expect(done, "1 passed, 1 failed, 1 skipped", 1)

    def test_guest_with_an_imsic(self):
        done = self.aggregate(guest="imsic-fails")
        self.assertIn("FAILED 1 harts: one", done.out)
        self.expect(done, "1 passed, 1 failed, 1 skipped", 1)

    def test_ctrl_c_ends_what_is_under_way(self):
        marks = [os.path.join(self.folder, name) for name in "ab"]
        for name, mark in zip("ab", marks):
            self.program(f"test_{name}", f"echo $$ >{mark}; sleep 1000")
        for n in range(8):
            self.program(f"test_late_{n}", "sleep 1000")
        command = support.Command([os.path.join(self.tree, "tools", "run"), "test"], QEMU=FAKE_QEMU)
        support.wait_until(lambda: any(os.path.exists(mark) and os.path.getsize(mark) for mark in marks))
        command.signal(signal.SIGINT)
        done = command.finish(20)
        self.assert_fails(done, "interrupted", status=130)
        for mark in (mark for mark in marks if os.path.exists(mark) and os.path.getsize(mark)):
            with open(mark, encoding="utf-8") as file:
                self.assertEqual(support.group_members(int(file.read())), [])

    def test_ctrl_c_ends_a_guest(self):
        pid_file = os.path.join(self.folder, "pid")
        command = support.Command([os.path.join(self.tree, "tools", "run"), "test", "HARTS=1"], QEMU=FAKE_QEMU, FAKE_QEMU="hang",
                                  FAKE_QEMU_PID=pid_file)
        support.wait_until(lambda: os.path.exists(pid_file) and os.path.getsize(pid_file))
        command.signal(signal.SIGINT)
        self.assert_fails(command.finish(60), "interrupted", status=130)
        with open(pid_file, encoding="utf-8") as file:
            self.assertFalse([pid for pid in map(int, file) if support.alive(pid)])

    def test_programs_have_a_core_each_and_threads_all(self):
        # Under `make test` this one has a core itself.
        own = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, own)
        os.sched_setaffinity(0, range(os.cpu_count()))
        self.program("test_a", "echo 1..1; [ $(nproc) = 1 ] && echo ok 1 - x || echo not ok 1 - x")
        self.program("tsan_a", f"echo 1..1; [ $(nproc) = {len(os.sched_getaffinity(0))} ] && echo ok 1 - x || echo not ok 1 - x")
        self.expect(self.aggregate(), "3 passed, 0 failed, 1 skipped", 0)

    def test_filter(self):
        self.program("test_a", "echo 1..2; echo ok 1 - apple; echo ok 2 - pear")
        self.expect(self.aggregate("T=pea"), "3 passed, 0 failed, 1 skipped".replace("3", "2"), 0)

    def test_filter_that_matches_nothing(self):
        self.assert_fails(self.aggregate("T=nonesuch", guest="refuse"), "T=nonesuch matches no test", status=1)


class SuiteTest(unittest.TestCase):
    def test_guests_of_several_harts_run_one_at_a_time_beside_others(self):
        eight, two = (testing.Suite("guest", None, harts, crowd=True) for harts in (8, 2))
        program, wide = testing.Suite("host test_a", None), testing.Suite("e2e test_b", None, 4)
        self.assertFalse(two.fits(8, [eight]))
        self.assertTrue(two.fits(8, [program]) and program.fits(1, [eight]))
        self.assertFalse(program.fits(0, []))
        self.assertEqual(wide.cores, min(4, host.cores()))
        self.assertTrue(eight.cores == 1 or eight.cores < host.cores())

    def test_what_takes_long_is_begun_early(self):
        suites = [testing.Suite(name, None) for name in ("host test_args", testing.LONGEST[-1], testing.LONGEST[0])]
        self.assertEqual(sorted(suites, key=testing.Suite.rank), suites[::-1])

    def test_names_of_those_that_take_long(self):
        listed = testing.Suites(Settings("test", testing.ACCEPTED, (), {}), testing.Processes()).all()
        self.assertLessEqual(set(testing.LONGEST), {suite.name for suite in listed})


class TapTest(unittest.TestCase):
    def parse(self, *lines):
        parser = tap.Tap()
        for line in lines:
            parser.feed(line)
        return parser

    def test_names_and_remarks(self):
        parser = self.parse("1..4", "ok 1 - a b", "ok 2 c", "not ok 3 - d # why", "ok 4 - e # skip no reason")
        self.assertEqual([(t.name, t.status) for t in parser.tests],
                         [("a b", "passed"), ("c", "passed"), ("d", "failed"), ("e", "skipped")])
        self.assertIsNone(parser.problem())

    def test_other_text_is_no_result(self):
        parser = self.parse("1..1", "okay then", "  ok 9 - indented", "this is ok", "ok 1 - a")
        self.assertEqual([t.name for t in parser.tests], ["a"])

    def test_too_many(self):
        self.assertIn("planned 1", self.parse("1..1", "ok 1 - a", "ok 2 - b").problem())


class TableTest(unittest.TestCase):
    def results(self, variants, harts):
        return results.enrich([{"bench": "frame.churn", "variant": variant, "harts": n, "ops_per_sec": 1234567 * n,
                                "spread": {"min": 1, "max": 10 ** 12}, "trials": 5, "status": "ok"}
                               for variant in variants for n in harts], "host", None)

    def text(self, rows, harts_max):
        run_of = {"status": "complete", "reason": None, "clock": "host", "harts_max": harts_max, "host": {"cores": 1}}
        return table.table(run_of, rows, units.Symbols(True))

    def test_many_harts_stay_within_100_columns(self):
        harts = (1, 2, 4, 8, 16, 32, 64)
        text = self.text(self.results([{"frame": "hartcache", "lock": "ticket"}], harts), 64)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        for n in harts:
            self.assertEqual(len(re.findall(rf"\b{n} harts?\b", text.split("Operations")[0])), 1, text)

    def test_speedup_waits_for_its_base(self):
        rows = self.results([{"lock": "tas"}], (2, 4))
        self.assertEqual([row["speedup"] for row in rows], [None, None])
        self.assertNotIn("×", self.text(rows, 4).split("Operations")[0])

    def test_si(self):
        for value, text in ((0.5, "500m"), (1, "1.00"), (999.4, "999"), (999.9, "1.00k"), (31.2e6, "31.2M"),
                            (99.96e3, "100k"), (5e12, "5.00T"), (0, "0")):
            self.assertEqual(units.si(value), text)


class AppenderTest(support.TestCase):
    def test_a_line_that_does_not_fit_is_cut_off_again(self):
        path = os.path.join(self.folder, "file")
        appender = results.Appender(path)
        self.addCleanup(appender.close)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            appender.write(b"a" * 599 + b"\n")
            with self.assertRaises(Failure) as failure:
                appender.write(b"b" * 599 + b"\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertIn("File too large", str(failure.exception))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"a" * 599 + b"\n")


class KsymsTest(support.TestCase):
    def table(self, text):
        return subprocess.run([os.path.join(ROOT, "tools", "ksyms")], input=text, capture_output=True, text=True,
                              check=False)

    def test_table(self):
        done = self.table("0000000080000000 T _text\n0000000080000000 t early\n0000000080000010 t .Lhidden\n"
                          "0000000080000010 t local\n0000000080000010 T global\n0000000080000020 W weak\n"
                          "0000000080000030 T _etext\n0000000080000040 T behind\n0000000080000050 D data\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(re.findall(r'\.asciz "(\w+)"', done.stdout), ["early", "global", "weak"])
        self.assertIn("ksyms_count:\n    .word 3\n", done.stdout)
        self.assertIn("ksyms_offset:\n    .word 0, 16, 32\n", done.stdout)
        self.assertIn("ksyms_name:\n    .word 0, 6, 13\n", done.stdout)

    def test_empty(self):
        self.assertIn("ksyms_count:\n    .word 0\n", self.table("").stdout)

    def test_no_bounds(self):
        done = self.table("0000000080000000 T main\n")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("_text and _etext", done.stderr)

    def test_the_kernels_table_names_its_functions(self):
        """Every function of the built kernel, at its address."""
        with open(os.path.join(ROOT, "build/check/ksyms.S"), encoding="utf-8") as file:
            names = re.findall(r'\.asciz "([^"]+)"', file.read())
        for name in ("kernel_main", "monitor_run"):
            self.assertIn(name, names)


class CheckTest(support.TestCase):
    """The checks of `make lint`, given what they must find."""

    def check(self, tool, path, text):
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return subprocess.run([os.path.join(ROOT, "tools", tool), path], cwd=self.folder, capture_output=True, text=True,
                              check=False)

    def assert_objects(self, done, text):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(text, done.stderr)

    def test_include_of_a_layer_below(self):
        self.assert_objects(self.check("check-layers", "smp/lock.c", '#include "lib/base.h"\n#include "mm/frame/frame.h"\n'),
                            "smp/lock.c:2: smp/ must not include")

    def test_include_of_the_c_library(self):
        self.assert_objects(self.check("check-layers", "lib/x.c", "#include <stdio.h>\n"), "without a C library")

    def test_include_from_nowhere(self):
        self.assert_objects(self.check("check-layers", "lib/x.c", '#include "extra/x.h"\n'), "belongs to no layer")

    def test_file_of_no_layer(self):
        self.assert_objects(self.check("check-layers", "extra/x.c", ""), "is no layer")

    def test_right_includes(self):
        text = '#include <stdint.h>\n#include "arch/csr.h"\n#include "lib/base.h"\n#include "boot.h"\n'
        self.assertEqual(self.check("check-layers", "smp/boot.c", text).returncode, 0)
        self.assertEqual(self.check("check-layers", "tests/host/x.c", '#include "bench/bench.h"\n').returncode, 0)

    def test_long_function(self):
        text = "int long_one(void)\n{\n" + "    step();\n" * 69 + "}\n"
        self.assert_objects(self.check("check-lengths", "lib/x.c", text), "long_one is 71 lines long")

    def test_function_of_just_the_length(self):
        text = "int f(void)\n{\n" + "    step();\n" * 68 + "}\n\nstruct x {\n" + "    int a;\n" * 90 + "};\n"
        self.assertEqual(self.check("check-lengths", "lib/x.c", text).returncode, 0)


if __name__ == "__main__":
    unittest.main()
