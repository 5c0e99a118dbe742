"""How runs end that end badly: with a report, soon, and with a failing status of QEMU, on a busy host too."""
import os
import subprocess
import sys
import unittest

import support
from support import make, run

KERNEL = os.path.join(support.ROOT, "build", "check", "hartscale.elf")


def boot(arguments, harts):
    return run("qemu-system-riscv64", "-machine", "virt", "-smp", str(harts), "-m", "256M", "-display", "none",
               "-serial", "stdio", "-monitor", "none", "-kernel", KERNEL, "-append", arguments, limit_s=60)


class CrashTest(support.TestCase):
    @classmethod
    def setUpClass(cls):
        done = make("check")
        assert done.status == 0, str(done)

    def test_any_hart_may_panic(self):
        for harts in (1, 2, 8):
            done = boot("crash=panic", harts)
            self.assertEqual(done.status, 1, str(done))
            report = done.out[done.out.index("panic: "):]
            self.assertIn(f"panic: hart {harts - 1}: on purpose", report)
            for function in ("panics+", "crash_among_talkers+"):
                self.assertIn(function, report)
            self.assertNotIn("talks", report, "a hart was not stopped before the report")

    def test_a_fault_shows_registers(self):
        done = boot("crash=fault", 2)
        self.assertEqual(done.status, 1, str(done))
        for part in ("hart 1: load page fault (scause 13)", "stval 0x0000000000000008", "  s11 ", "faults+"):
            self.assertIn(part, done.out)

    def test_a_fault_in_the_report_ends_the_run(self):
        self.assertEqual(boot("crash=nested", 2).status, 1)

    def test_a_test_that_leaves_blocks_behind_fails(self):
        done = boot("test=kmalloc_planted_leak", 2)
        self.assertEqual(done.status, 1, str(done))
        for size in (100, 200):
            self.assertRegex(done.out, rf"# left behind: 1 block, {size} bytes, allocated by 0x\w+ \(kmalloc_planted_leak\+0x")
        self.assertEqual(done.out.count("allocated by"), 2, str(done))
        self.assertIn("not ok 1 - kmalloc_planted_leak", done.out)
        self.assertIn("1..0", boot("test=kmalloc_planted*", 2).out)

    def test_a_stack_overflow_is_told_with_its_hart(self):
        for harts in (1, 2, 8):
            done = boot("crash=overflow", harts)
            self.assertEqual(done.status, 1, str(done))
            report = done.out[done.out.index("panic: "):]
            self.assertIn(f"panic: hart {harts - 1}: stack overflow, noticed by: store page fault (scause 15)", report)
            self.assertRegex(report, r"#0 \S+ recurses")
            self.assertGreater(report.count("recurses"), 20, report)
            self.assertNotIn("talks", report, "a hart was not stopped before the report")

    def test_a_lost_stack_pointer_is_told(self):
        done = boot("crash=stack", 2)
        self.assertEqual(done.status, 1, str(done))
        self.assertIn("panic: hart 1: the stack pointer is outside of the stack: store page fault", done.out)
        self.assertIn("  sp  0000000000000040", done.out)

    def test_text_cannot_be_written(self):
        done = boot("crash=text", 2)
        self.assertEqual(done.status, 1, str(done))
        for part in ("hart 1: store page fault (scause 15)", "writes_text+"):
            self.assertIn(part, done.out)

    def test_data_cannot_be_executed(self):
        done = boot("crash=data", 2)
        self.assertEqual(done.status, 1, str(done))
        for part in ("hart 1: instruction page fault (scause 12)", "crash_among_talkers+"):
            self.assertIn(part, done.out)

    def test_a_store_to_a_freed_frame_is_told(self):
        """As of a hart that has missed a shootdown. The frame is in quarantine, if there is one."""
        for words in ("crash=freed", "crash=freed kernel.quarantine=1"):
            done = boot(words, 2)
            self.assertEqual(done.status, 1, str(done))
            self.assertRegex(done.out, r"panic: hart 1: frame 0x\w+, which hart 1 has freed, was written to: 0x7 at offset 0x48, expected 0xa5")
        self.assertNotIn("panic", boot("poweroff=1 kernel.quarantine=1024", 8).out)
        self.assertIn("kernel.quarantine=1025", boot("poweroff=1 kernel.quarantine=1025", 1).out)

    def test_too_many_harts_or_words_fail(self):
        for arguments, harts, reason in (("poweroff=1", 65, "more than 64 harts"),
                                         ("bench=" + "x" * 1100, 1, "bootargs too long")):
            done = boot(arguments, harts)
            self.assertIn(reason, done.out)
            self.assertEqual(done.status, 1, str(done))

    def test_failure_stays_failure_on_a_busy_host(self):
        """QEMU takes its time to exit; the firmware must not get in a word of success meanwhile."""
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
        try:
            self.assertEqual([boot("crash=panic", 1).status for _ in range(10)], 10 * [1])
        finally:
            for process in busy:
                process.kill()
                process.wait()


if __name__ == "__main__":
    unittest.main()
