"""Input that cannot work is refused before anything boots, by a message that says what would."""
import os
import stat
import unittest

import support
from support import FAKE_QEMU, RUN, make, run


class HartsTest(support.TestCase):
    def refuse(self, harts, *parts):
        self.assert_fails(make("bench", f"HARTS={harts}", f"OUT={self.out}"), "HARTS", *parts)
        self.assertFalse(os.path.exists(self.out))

    def test_zero(self):
        self.refuse("0", "'0' is not a number from 1 to 64")

    def test_sixty_five(self):
        self.refuse("65", "'65' is not a number from 1 to 64")

    def test_word(self):
        self.refuse("abc", "'abc' is not a number from 1 to 64")

    def test_one_bad_of_several(self):
        self.refuse("1,2,x", "'x' is not a number from 1 to 64")

    def test_empty_item(self):
        self.refuse("1,,2", "'' is not a number from 1 to 64")

    def test_twice(self):
        self.refuse("2,2", "2 is there twice")

    def test_enormous(self):
        self.refuse("99999999999999999999", "is not a number from 1 to 64")


class VariableTest(support.TestCase):
    def test_unknown_variable_names_the_valid_ones(self):
        self.assert_fails(make("bench", "HART=2"), "unknown variable: HART", "HARTS", "BENCH", "OUT")

    def test_variable_of_another_target(self):
        self.assert_fails(make("bench", "SEED=2"), "bench takes no SEED", "BENCH")

    def test_clock_that_does_not_exist(self):
        self.assert_fails(make("bench", "CLOCK=wall"), "CLOCK=wall", "model", "host")

    def test_memory(self):
        self.assert_fails(make("bench", "MEM=plenty"), "MEM=plenty", "512M")

    def test_timeout(self):
        self.assert_fails(make("bench", "TIMEOUT=0"), "TIMEOUT=0", "from 1 to")

    def test_quick(self):
        self.assert_fails(make("bench", "QUICK=yes"), "QUICK=yes", "0 or 1")

    def test_jobs(self):
        for jobs in ("0", "x", "-1"):
            done = make("bench", f"JOBS={jobs}")
            self.assert_fails(done, f"JOBS={jobs}: expected a number from 1 to 1024")
            self.assertNotIn("This program built for", done.err + done.out)

    def test_blank_in_a_name(self):
        self.assert_fails(make("bench", "BENCH=frame.churn frame.bulk"), "BENCH", "commas")

    def test_seconds(self):
        self.assert_fails(make("stress", "SECONDS=soon"), "SECONDS=soon")

    def test_unknown_subcommand(self):
        self.assert_fails(run(RUN, "benchmark"), "unknown command 'benchmark'", "bench")


class QemuTest(support.TestCase):
    def test_missing(self):
        path = self.path_without("qemu-system-riscv64")
        self.assert_fails(run(RUN, "bench", PATH=path), "qemu-system-riscv64 was not found", "tools/setup")

    def test_setup_reports_it_missing(self):
        done = run("tools/setup", "--check", "bench", PATH=self.path_without("qemu-system-riscv64"))
        self.assert_fails(done, "qemu-system-riscv", "QEMU 10 or newer", status=1)

    def test_too_old(self):
        done = run(RUN, "bench", QEMU=FAKE_QEMU, FAKE_QEMU_VERSION="7.2.11")
        self.assert_fails(done, "QEMU 7.2.11", "too old", "10 or newer", "tools/setup")

    def test_setup_reports_it_too_old(self):
        path = self.path_without("qemu-system-riscv64")
        os.symlink(FAKE_QEMU, os.path.join(path, "qemu-system-riscv64"))
        done = run("tools/setup", "--check", "bench", PATH=path, FAKE_QEMU_VERSION="7.2.11")
        self.assert_fails(done, "found: QEMU 7.2.11", status=1)

    def test_no_qemu_at_all(self):
        self.assert_fails(run(RUN, "bench", QEMU="/bin/echo"), "/bin/echo does not say its version")

    def test_not_executable(self):
        path = os.path.join(self.folder, "qemu")
        with open(path, "w", encoding="utf-8") as file:
            file.write("no program\n")
        self.assert_fails(run(RUN, "bench", QEMU=path), f"{path} was not found")
        os.chmod(path, stat.S_IRWXU)
        self.assert_fails(run(RUN, "bench", QEMU=path), path)

    def test_guest_memory_cannot_be_had(self):
        done = run(RUN, "bench", f"OUT={self.out}", "CLOCK=host", QEMU=FAKE_QEMU, FAKE_QEMU="no-boot")
        self.assert_fails(done, "QEMU ended with status 1", "cannot set up guest memory")


class OutTest(support.TestCase):
    """The tests may run as root, whom permissions do not stop: these places cannot be written by anyone."""

    def refuse(self, out, *parts):
        self.assert_fails(run(RUN, "bench", f"OUT={out}", "CLOCK=host", QEMU=FAKE_QEMU), *parts)

    def test_below_a_file(self):
        path = os.path.join(self.folder, "file")
        with open(path, "w", encoding="utf-8"):
            pass
        self.refuse(os.path.join(path, "out"), "cannot write results to", "Not a directory")

    def test_is_a_file(self):
        path = os.path.join(self.folder, "file")
        with open(path, "w", encoding="utf-8"):
            pass
        self.refuse(path, "cannot write results to", "File exists")

    def test_kernel_file_system(self):
        self.refuse("/proc/hartscale-results", "cannot write results to /proc")

    def test_holds_results_already(self):
        self.assert_ok(run(RUN, "bench", f"OUT={self.out}", "CLOCK=host", QEMU=FAKE_QEMU))
        before = self.lines()
        self.refuse(self.out, "holds results already", "another OUT")
        self.assertEqual(self.lines(), before)

    def test_empty_folder_is_fine(self):
        os.mkdir(self.out)
        self.assert_ok(run(RUN, "bench", f"OUT={self.out}", "CLOCK=host", QEMU=FAKE_QEMU))


class ReplotTest(support.TestCase):
    def test_no_run_there(self):
        self.assert_fails(make("plot", f"RUN={self.out}"), "is not the folder of a run")

    def test_gnuplot_missing(self):
        self.assert_ok(run(RUN, "bench", f"OUT={self.out}", "CLOCK=host", QEMU=FAKE_QEMU))
        done = run(RUN, "plot", f"RUN={self.out}", PATH=self.path_without("gnuplot"))
        self.assert_fails(done, "gnuplot was not found", "tools/setup")


if __name__ == "__main__":
    unittest.main()
