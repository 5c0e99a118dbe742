"""The machine model from outside: the same bytes whatever the host does, the curves it is there for, and its errors."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

import support
from support import ROOT, make, run

KERNEL = os.path.join(ROOT, "build", "check", "hartscale.elf")
PLUGIN = os.path.join(ROOT, "build", "model", "libmodel.so")
PROFILE = os.path.join(ROOT, "tools", "model", "profiles", "p550.conf")


class ModelTest(support.TestCase):
    def measure(self, name, *words):
        out = os.path.join(self.folder, name)
        self.assert_ok(make("bench", f"OUT={out}", *words))
        return out

    @staticmethod
    def bytes_of(out):
        read = []
        for name in ("results.jsonl", "scaling.json", "table.txt"):
            with open(os.path.join(out, name), "rb") as file:
                read.append(file.read())
        return read

    def test_the_host_does_not_matter(self):
        words = ("BENCH=frame.churn,frame.remote,lock.counter,heap.kernel,vm.map_local,vm.shootdown", "HEAP=hartbuddy", "PTLOCK=node",
                 "SHOOTDOWN=sbi,ipi,lazy,tracked", "HARTS=1,8", "QUICK=1")
        idle = self.measure("idle", *words, "JOBS=1", "PIN=0")
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
        try:
            loaded = self.measure("loaded", *words, "JOBS=2")
        finally:
            for process in busy:
                process.kill()
                process.wait()
        self.assertEqual(self.bytes_of(idle), self.bytes_of(loaded))

    def test_curves(self):
        self.measure("out", "BENCH=frame.churn,lock.counter", "HARTS=1,8")
        self.out = os.path.join(self.folder, "out")
        eight = {next(iter(r["variant"].values())): r for r in self.lines() if r["harts"] == 8}
        self.assertGreaterEqual(eight["hartcache"]["speedup"], 7.8)
        self.assertLess(eight["bitmap"]["speedup"], 1.5)
        self.assertEqual(eight["hartcache"]["counters"]["line_transfer"], 0)
        self.assertGreater(eight["mcs"]["speedup"], 1.5 * eight["ticket"]["speedup"])

    def test_the_curves_of_linux(self):
        """Its lists spare the zone in a churn, and do not where frames come back to other harts in any order."""
        self.out = self.measure("out", "BENCH=frame.churn,frame.random", "FRAME=buddy_pcp", "HARTS=1,8")
        churn, random = ([r for r in self.lines() if r["bench"] == bench] for bench in ("frame.churn", "frame.random"))
        self.assertGreaterEqual(churn[-1]["speedup"], 7.8)
        self.assertGreaterEqual(random[-1]["cycles_per_op"], 3 * random[0]["cycles_per_op"])

    def test_sixty_four_harts(self):
        self.out = self.measure("out", "BENCH=frame.churn", "FRAME=hartcache", "HARTS=1,64")
        self.assertGreaterEqual(self.lines()[-1]["speedup"], 58)

    def test_no_hang_and_the_same_every_time(self):
        """With COUNT=200 it is what a release should pass."""
        done = make("boots", "COUNT=10", "HARTS=8", "CLOCK=model", "BENCH=lock.counter", "ARGS=trial_cycles=60000")
        self.assert_ok(done)
        self.assertIn("0 failed", done.out)

    def test_profiles(self):
        for profile in ("p550", "sg2042", "ideal"):
            self.out = self.measure(profile, "BENCH=frame.churn", "HARTS=1,8", "QUICK=1", f"PROFILE={profile}")
            self.assertEqual({r["profile"] for r in self.lines()}, {profile})
            self.assertEqual({r["status"] for r in self.lines()}, {"ok"})

    def test_a_wrong_profile_is_explained(self):
        done = make("bench", "PROFILE=nope", f"OUT={self.out}")
        self.assertNotEqual(done.status, 0)
        for name in ("nope", "p550", "sg2042", "ideal"):
            self.assertIn(name, done.err)
        path = os.path.join(self.folder, "mine.conf")
        with open(PROFILE, encoding="utf-8") as good, open(path, "w", encoding="utf-8") as bad:
            bad.write(good.read() + "llc_latencyy = 3\n")
        done = make("bench", "QUICK=1", "BENCH=frame.churn", "HARTS=1", f"PROFILE={path}", f"OUT={self.out}")
        self.assertNotEqual(done.status, 0)
        self.assertRegex(done.err + done.out, r"mine\.conf:\d+: unknown key 'llc_latencyy'")


class ByHandTest(support.TestCase):
    """The plugin and the kernel, without the runner between."""

    @classmethod
    def setUpClass(cls):
        for target in ("check", "model"):
            done = make(target)
            assert done.status == 0, str(done)

    def boot(self, arguments, harts, plugin=True):
        with tempfile.NamedTemporaryFile(dir=self.folder) as ram:
            os.truncate(ram.name, 256 << 20)
            words = ["-machine", "virt,memory-backend=ram", "-object",
                     f"memory-backend-file,id=ram,size=256M,mem-path={ram.name},share=on"]
            if plugin:
                words += ["-plugin", f"{PLUGIN},ram={ram.name},profile={PROFILE}"]
            return run("qemu-system-riscv64", *words, "-cpu", "rv64,debug=false", "-smp", str(harts), "-m", "256M",
                       "-accel", "tcg,thread=multi,tb-size=512", "-display", "none", "-serial", "stdio", "-monitor",
                       "none", "-kernel", KERNEL, "-append", arguments, limit_s=60)

    def test_a_deadlock_is_reported(self):
        done = self.boot("crash=deadlock clock=model", 4)
        self.assertEqual(done.status, 3, str(done))
        self.assertIn("deadlock", done.err)
        for hart in range(4):
            self.assertRegex(done.err, rf"hart {hart} spins on a line at pc 0x[0-9a-f]+ in ticket_wait")

    def test_stale_translations_are_reported(self):
        words = "bench=model.stale harts=4 trial_cycles=60000 clock=model"
        done = self.boot(words, 4)
        self.assert_ok(done)
        self.assertNotIn("stale translation", done.err)
        use = r"error: model: hart 3 at pc 0x[0-9a-f]+ in stale uses a stale translation of 0x40000000: "
        for plant, why in (("flush", r"the shootdown had returned on hart 0 at pc 0x[0-9a-f]+\n"),
                           ("asid", "address space id 1 had another table and was not flushed\n")):
            done = self.boot(f"{words} tlb_plant={plant}", 4)
            self.assertEqual(done.status, 1, str(done))
            self.assertEqual(len(re.findall(use + why, done.err)), 2, done.err)      # once a trial
            self.assertIn("translations were used 2 times behind the shootdown", done.out)

    def test_a_kernel_without_a_model_says_so(self):
        done = self.boot("bench=frame.churn clock=model", 2, plugin=False)
        self.assertEqual(done.status, 1, str(done))
        self.assertIn("error: clock=model: no model answers", done.out)


if __name__ == "__main__":
    unittest.main()
