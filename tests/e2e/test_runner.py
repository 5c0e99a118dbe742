"""The runner against a guest that behaves and guests that do not: what was measured is kept, QEMU is gone
afterwards, and the user is told what happened. The guest is tests/e2e/fake-qemu."""
import os
import resource
import shutil
import signal
import subprocess
import time
import unittest

import schema
import support
from support import FAKE_QEMU, ROOT, RUN, alive, group_members, run, wait_until


class RunnerCase(support.TestCase):
    """A run with the fake guest; test_fleet.py has several."""

    def setUp(self):
        super().setUp()
        self.pid_file = os.path.join(self.folder, "pid")

    def words(self, *more):
        return (RUN, "bench", f"OUT={self.out}", "HARTS=1,2", "CLOCK=host", *more)

    def bench(self, mode, *more, **environment):
        return run(*self.words(*more), QEMU=FAKE_QEMU, FAKE_QEMU=mode, FAKE_QEMU_PID=self.pid_file, **environment)

    def start(self, mode):
        return support.Command(self.words(), QEMU=FAKE_QEMU, FAKE_QEMU=mode, FAKE_QEMU_PID=self.pid_file)

    def qemu_pids(self):
        with open(self.pid_file, encoding="utf-8") as file:
            return [int(line) for line in file]

    def assert_qemu_gone(self):
        for pid in self.qemu_pids():
            self.assertFalse(alive(pid), "QEMU is still running")
            self.assertEqual(group_members(pid), [], "processes of QEMU's group are still running")

    def assert_kept(self, ok, failed, status):
        """So many points are in a valid results.jsonl, and run.json, the table and the figures agree."""
        results = self.lines()
        for result in results:
            schema.check_result(result)
        self.assertEqual([r["status"] for r in results], ["ok"] * ok + ["failed"] * failed)
        described = self.run_json()
        self.assertEqual((described["status"], described["measured"], described["failed"]), (status, ok, failed))
        self.assertTrue(os.path.getsize(os.path.join(self.out, "table.txt")))
        self.assertTrue(os.path.exists(os.path.join(self.out, "plots", "frame.churn.throughput.svg")))
        return results

    def interrupt(self, number, mode="slow"):
        command = self.start(mode)
        wait_until(lambda: os.path.exists(os.path.join(self.out, "results.jsonl")) and len(self.lines()) >= 2)
        command.signal(number)
        return command.finish(30)


class RunnerTest(RunnerCase):
    def test_good_run(self):
        done = self.bench("good")
        self.assert_ok(done)
        results = self.assert_kept(8, 0, "complete")
        schema.check_set(results)
        schema.check_run(self.run_json())
        self.assertEqual(results[5]["speedup"], 2.0)
        self.assertEqual(results[1]["efficiency"], 0.25)
        for word in ("frame.churn", "hartcache", "mcs", "2 harts", "2.00×", "100%"):
            self.assertIn(word, done.out)

    def test_table_fits_100_columns(self):
        done = self.bench("good")
        self.assertLessEqual(max(map(len, done.out.splitlines())), 100)

    def test_designs_of_virtual_memory(self):
        """Four choices a variant: all columns of the table, and in the figures what differs."""
        self.assert_ok(done := self.bench("vm"))
        results = self.lines()
        schema.check_set(results)
        self.assertEqual(len(results), 12)
        self.assertLessEqual(max(map(len, done.out.splitlines())), 100)
        self.assertRegex(done.out, r"  split +asid +ptlock +shootdown +1 hart +2 harts\n")
        self.assertRegex(done.out, r"  separate +on +node +tracked +1.00M")
        with open(os.path.join(self.out, "plots", "vm.map_local.throughput.gp"), encoding="utf-8") as file:
            self.assertIn("separate × tracked", file.read())

    def test_every_figure_is_drawn_twice(self):
        self.assert_ok(self.bench("good"))
        plots = os.listdir(os.path.join(self.out, "plots"))
        for figure in ("throughput", "cycles", "latency", "fairness"):
            for ending in ("svg", "png", "gp", "dat"):
                self.assertIn(f"frame.churn.{figure}.{ending}", plots)
        with open(os.path.join(self.out, "plots", "frame.churn.throughput.png"), "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

    def test_no_unicode_where_the_locale_has_none(self):
        done = run(*self.words(), QEMU=FAKE_QEMU, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        self.assert_ok(done)
        self.assertTrue(done.out.isascii() and done.err.isascii(), str(done))
        self.assertIn("2.00x", done.out)

    def test_progress_counts_the_points(self):
        done = self.bench("good")
        for part in ("[1/8] frame.churn bitmap×ttas 1 hart ", "[8/8]", "left", "Mops/s", "±"):
            self.assertIn(part, done.err)

    def test_warns_when_harts_outnumber_cores(self):
        done = run(RUN, "bench", f"OUT={self.out}", "HARTS=1,64", "CLOCK=host", QEMU=FAKE_QEMU)
        self.assert_ok(done)
        for text in (done.err, done.out):
            self.assertIn("up to 64 harts shared", text)

    def test_hang_is_ended_and_explained(self):
        started = time.monotonic()
        done = self.bench("hang", "TIMEOUT=2")
        self.assert_fails(done, "hang: no output for 2 s", "TIMEOUT=", status=1)
        self.assertLess(time.monotonic() - started, 30)
        results = self.assert_kept(3, 1, "timeout")
        self.assertIn("hang: no output for 2 s while measuring", results[-1]["reason"])
        self.assertEqual((results[-1]["variant"], results[-1]["harts"]), ({"frame": "bitmap", "lock": "mcs"}, 2))
        self.assert_qemu_gone()

    def test_endless_chatter_is_ended(self):
        self.assert_fails(self.bench("chatter", "TIMEOUT=1"), "hang: not finished after 3 s", status=1)
        self.assert_qemu_gone()

    def test_panic_is_shown(self):
        done = self.bench("panic")
        self.assert_fails(done, "panic: frame 42 is free twice", "bitmap_free+0x10", status=1)
        self.assertIn("panic: frame 42", self.assert_kept(2, 1, "panic")[-1]["reason"])

    def test_panic_that_does_not_power_off(self):
        started = time.monotonic()
        self.assert_fails(self.bench("panic-hang"), "panic: frame 42 is free twice", status=1)
        self.assertLess(time.monotonic() - started, 60)
        self.assert_kept(2, 1, "panic")
        self.assert_qemu_gone()

    def test_half_a_line_is_no_result(self):
        self.assert_fails(self.bench("half-line"), "before the guest was done", status=1)
        self.assert_kept(2, 1, "died")

    def test_no_end(self):
        self.assert_fails(self.bench("no-end"), "before the guest was done", status=1)
        self.assert_kept(2, 0, "died")

    def test_garbage_fails_the_run_and_keeps_the_points(self):
        self.assert_fails(self.bench("garbage"), "no valid JSON", 'no valid "variant"', status=1)
        self.assert_kept(2, 0, "malformed")

    def test_failed_point_fails_the_command(self):
        done = self.bench("failed-point")
        self.assert_fails(done, "1 data point failed", status=1)
        self.assertIn("validate: 3 frames are lost", done.out)
        self.assert_kept(1, 1, "failed")

    def test_refusal_is_one_line_and_leaves_nothing(self):
        done = self.bench("refuse", "HARTS=1") # with more there is a warning, on a host of few cores
        self.assert_fails(done, "error: bench=nonesuch: no such benchmark; valid: frame.churn, frame.batch", status=1)
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.assertFalse(os.path.exists(self.out))

    def test_refusal_that_does_not_power_off(self):
        started = time.monotonic()
        self.assert_fails(self.bench("refuse-hang"), 'error: bench=nope: "nope" matches nothing', status=1)
        self.assertLess(time.monotonic() - started, 60)
        self.assertFalse(os.path.exists(self.out))
        self.assert_qemu_gone()

    def test_ctrl_c(self):
        done = self.interrupt(signal.SIGINT)
        self.assert_fails(done, "interrupted by SIGINT", status=130)
        self.assertGreaterEqual(len(self.lines()), 2)
        self.assertEqual(self.run_json()["status"], "interrupted")
        self.assertIn("frame.churn", done.out)
        self.assert_qemu_gone()

    def test_terminate(self):
        self.assert_fails(self.interrupt(signal.SIGTERM), "interrupted by SIGTERM", status=143)
        self.assertEqual(self.run_json()["status"], "interrupted")
        self.assert_qemu_gone()

    def test_one_request_that_comes_twice(self):
        """As when make passes on what its whole group was sent."""
        command = self.start("slow")
        wait_until(lambda: os.path.exists(os.path.join(self.out, "results.jsonl")) and len(self.lines()) >= 2)
        command.signal(signal.SIGTERM)
        time.sleep(0.02)
        command.signal(signal.SIGTERM)
        self.assert_fails(command.finish(30), status=None)
        self.assertNotEqual(self.run_json()["status"], "running")
        self.assert_qemu_gone()

    def test_killed_outright_leaves_no_qemu(self):
        self.interrupt(signal.SIGKILL, "hang")
        for result in self.lines():
            schema.check_result(result)
        wait_until(lambda: not any(map(alive, self.qemu_pids())), 10)

    def test_full_disk(self):
        """A limit on the size of files stands for it: the console log outgrows it in the middle of the run."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
        done = subprocess.run(self.words(), cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False,
                              env=support.environment(QEMU=FAKE_QEMU, FAKE_QEMU="flood", FAKE_QEMU_PID=self.pid_file))
        self.assert_fails(support.Done(done.returncode, done.stdout, done.stderr), "cannot write", "console.log",
                          "File too large", status=1)
        self.assertEqual(len(self.lines()), 2)
        self.assert_qemu_gone()

    def test_gnuplot_missing_keeps_the_results(self):
        done = self.bench("good", PATH=self.path_without("gnuplot"))
        self.assert_ok(done)
        self.assertIn("gnuplot was not found; tools/setup installs it", done.err)
        self.assertIn(f"make plot RUN={self.out}", done.err)
        self.assertEqual(len(self.lines()), 8)

    def test_table_again(self):
        done = self.bench("good")
        again = run(RUN, "table", f"RUN={self.out}")
        self.assert_ok(again)
        self.assertEqual(again.out, done.out.partition("Results:")[0])

    def test_plot_again(self):
        self.assert_ok(self.bench("good"))
        shutil.rmtree(os.path.join(self.out, "plots"))
        self.assert_ok(run(RUN, "plot", f"RUN={self.out}"))
        self.assertTrue(os.path.getsize(os.path.join(self.out, "plots", "frame.churn.latency.svg")))


class SetupTest(support.TestCase):
    def test_is_skipped_at_once_when_all_is_there(self):
        started = time.monotonic()
        self.assert_ok(run("tools/setup", "bench", "test"))
        self.assertLess(time.monotonic() - started, 1.0)

    def test_unknown_group(self):
        self.assert_fails(run("tools/setup", "everything"), "usage: tools/setup", status=2)

    def other_system(self, identity):
        """What it says on a system that is not Debian, with a compiler missing."""
        release = os.path.join(self.folder, "os-release")
        with open(release, "w", encoding="utf-8") as file:
            file.write(identity)
        return run("tools/setup", "bench", PATH=self.path_without("riscv64-linux-gnu-gcc"), OS_RELEASE=release)

    def test_fedora(self):
        self.assert_fails(self.other_system("ID=fedora\n"), "sudo dnf install gcc-riscv64-linux-gnu", status=1)

    def test_arch(self):
        self.assert_fails(self.other_system("ID=arch\n"), "sudo pacman -S --needed riscv64-linux-gnu-gcc", status=1)

    def test_unknown_system(self):
        self.assert_fails(self.other_system("ID=plan9\n"), "Debian", "dnf", "pacman", "brew install riscv64-elf-gcc",
                          status=1)


if __name__ == "__main__":
    unittest.main()
