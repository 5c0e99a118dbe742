"""Several machines side by side, as CLOCK=model runs them, with the fake guest of tests/e2e/fake-qemu: one result, one
end, and nothing left behind."""
import os
import resource
import signal
import subprocess
import unittest

import schema
import support
from support import FAKE_QEMU, ROOT, RUN, alive, run, wait_until
from test_runner import RunnerCase

JOBS = 2
# Of the machines that misbehave in some way, only this one does; the other is slow.
CULPRIT = "1"


def result_lines(folder):
    with open(os.path.join(folder, "results.jsonl"), encoding="utf-8") as file:
        return file.read()


class FleetTest(RunnerCase):
    def words(self, *more, out=None, jobs=JOBS):
        return (RUN, "bench", f"OUT={out or self.out}", "HARTS=1,2", "CLOCK=model", f"JOBS={jobs}", *more)

    def bench(self, mode, *more, jobs=JOBS, out=None, **environment):
        shards = "0123456789" if jobs == 1 or mode in ("good", "again", "refuse") else CULPRIT
        return run(*self.words(*more, jobs=jobs, out=out), QEMU=FAKE_QEMU, FAKE_QEMU=mode, FAKE_QEMU_PID=self.pid_file,
                   FAKE_QEMU_SHARD=shards, **environment)

    def assert_valid(self):
        for result in self.lines():
            schema.check_result(result)

    def test_results_are_in_order_and_the_same_for_any_number_of_machines(self):
        for jobs in (1, 2, 3, 12):
            out = os.path.join(self.folder, str(jobs))
            done = self.bench("good", jobs=jobs, out=out)
            self.assert_ok(done)
            self.assertIn("[8/8]", done.err)
            schema.check_set(self.lines(out))
            self.assertEqual(result_lines(out), result_lines(os.path.join(self.folder, "1")))
            described = self.run_json(out)
            self.assertEqual((described["jobs"], described["planned"], described["measured"]), (jobs, 8, 8))

    def test_each_console_is_kept(self):
        """Of all boots, where the guest wants several."""
        for mode in ("good", "again"):
            out = os.path.join(self.folder, mode)
            self.assert_ok(self.bench(mode, out=out))
            for name in ("console.1.log", "console.2.log"):
                with open(os.path.join(out, name), encoding="utf-8") as file:
                    self.assertEqual(file.read().count("@result"), 4)

    def test_points_that_are_left_for_another_boot(self):
        for jobs in (1, 2):
            good, again = (os.path.join(self.folder, f"{mode}{jobs}") for mode in ("good", "again"))
            self.assert_ok(self.bench("good", jobs=jobs, out=good))
            self.assert_ok(self.bench("again", jobs=jobs, out=again))
            self.assertEqual(result_lines(again), result_lines(good))
            self.assertEqual(self.run_json(again)["measured"], 8)

    def test_virtual_time_has_no_spread_and_no_warning(self):
        done = self.bench("good", "PIN=0")
        self.assertIn("in virtual time of p550", done.out)
        self.assertNotIn("±", done.out + done.err)
        self.assertNotIn("Warning", done.out + done.err)

    def test_causes_are_shown(self):
        done = self.bench("good")
        self.assertIn("Cycles of an operation at 2 harts, by cause", done.out)
        self.assertLessEqual(max(map(len, done.out.splitlines())), 100)
        for ending in ("svg", "png"):
            self.assertTrue(os.path.getsize(os.path.join(self.out, "plots", f"frame.churn.attribution.{ending}")))

    def test_what_was_left_out_is_said_only_of_everything(self):
        done = run(RUN, "bench", f"OUT={self.out}", "JOBS=1", QEMU=FAKE_QEMU)
        self.assertIn("Left out for time: the other allocators (FRAME=*", done.out)
        self.assertIn("  32 and 64 harts (HARTS=1,2,4,8,16,32,64", done.out)
        self.assertIn(" frame=bitmap,hartcache", self.run_json()["bootargs"])
        some = self.bench("good", out=self.out + "2")
        self.assertIn("Left out for time: the other allocators", some.out)
        self.assertNotIn("32 and 64 harts", some.out)
        for i, word in enumerate(("FRAME=bitmap", "BENCH=frame.*", "ARGS=frame=buddy")):
            out = f"{self.out}-{i}"
            self.assertNotIn("Left out", self.bench("good", word, out=out).out)
            self.assertNotIn("frame=bitmap,", self.run_json(out)["bootargs"])

    def test_panic_of_one_ends_all(self):
        self.assert_fails(self.bench("panic"), "panic: frame 42 is free twice", "bitmap_free+0x10", status=1)
        self.assertEqual([r["status"] for r in self.lines() if r["status"] != "ok"], ["failed"])
        self.assert_valid()
        self.assert_qemu_gone()

    def test_hang_of_one_ends_all(self):
        self.assert_fails(self.bench("hang", "TIMEOUT=3"), "hang: no output for 3 s", status=1)
        self.assertIn("hang: no output for 3 s while measuring", [r.get("reason") for r in self.lines()])
        self.assert_valid()
        self.assert_qemu_gone()

    def test_failed_point_of_one_ends_none(self):
        self.assert_fails(self.bench("failed-point"), "1 data point failed", status=1)
        self.assertEqual([r["status"] for r in self.lines()].count("ok"), 5)

    def test_refusal_is_said_once(self):
        done = self.bench("refuse")
        self.assert_fails(done, "error: bench=nonesuch: no such benchmark", status=1)
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.assertFalse(os.path.exists(self.out))
        self.assert_qemu_gone()

    def test_ctrl_c(self):
        done = self.interrupt(signal.SIGINT)
        self.assert_fails(done, "interrupted by SIGINT", status=130)
        self.assertEqual(self.run_json()["status"], "interrupted")
        self.assert_valid()
        self.assert_qemu_gone()

    def test_killed_outright_leaves_no_qemu(self):
        self.interrupt(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, self.qemu_pids())), 10)
        self.assert_valid()

    def test_deadlock_names_every_hart(self):
        done = self.bench("deadlock")
        self.assert_fails(done, "error: model: deadlock: no hart can go on", "hart 0 idle", "hart 1 idle", status=1)
        reasons = [r["reason"] for r in self.lines() if r["status"] == "failed"]
        self.assertEqual(reasons, ["model: deadlock: no hart can go on"])
        self.assertEqual(self.run_json()["status"], "died")

    def test_qemu_without_plugins(self):
        done = self.bench("no-plugins", jobs=1)
        self.assert_fails(done, "cannot load the machine model", "tools/setup", "-plugin: invalid option", status=1)
        self.assertFalse(os.path.exists(self.out))

    def test_qemu_with_other_plugins(self):
        self.assert_fails(self.bench("old-plugins"), "cannot load the machine model", "API version 4", status=1)

    def test_memory_cannot_be_had(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
        done = subprocess.run(self.words(), cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False,
                              env=support.environment(QEMU=FAKE_QEMU))
        self.assert_fails(support.Done(done.returncode, done.stdout, done.stderr), "cannot set up the 256M of memory",
                          "File too large", status=1)
        self.assertFalse(os.path.exists(self.out))


class ModelVariableTest(RunnerCase):
    def refuse(self, word, *parts):
        self.assert_fails(run(RUN, "bench", f"OUT={self.out}", word, QEMU=FAKE_QEMU), *parts, status=1)
        self.assertFalse(os.path.exists(self.out))

    def test_unknown_profile(self):
        self.refuse("PROFILE=cray1", "PROFILE=cray1", "valid:", "p550")

    def test_profile_without_the_model(self):
        done = run(RUN, "bench", "CLOCK=host", "PROFILE=p550", QEMU=FAKE_QEMU)
        self.assert_fails(done, "PROFILE is about the machine model", status=1)

    def test_jobs(self):
        self.refuse("JOBS=0", "JOBS=0", "from 1 to")

    def test_pin(self):
        self.refuse("PIN=maybe", "PIN=maybe", "0 or 1")

    def test_a_profile_by_its_path(self):
        self.assert_ok(run(RUN, "bench", f"OUT={self.out}", "HARTS=1,2", f"PROFILE={ROOT}/tools/model/profiles/p550.conf",
                           QEMU=FAKE_QEMU))
        self.assertEqual({r["profile"] for r in self.lines()}, {"p550"})


if __name__ == "__main__":
    unittest.main()
