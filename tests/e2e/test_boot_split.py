"""U-mode on a page table of its own: that all of it runs under the model, whose oracle sees what is left in a TLB."""
import os
import sys
import tempfile
import unittest

import support
from support import ROOT, make, run

sys.path.insert(0, os.path.join(ROOT, "tools"))
from runner import programs  # noqa: E402

KERNEL = os.path.join(ROOT, "build", "check", "hartscale.elf")
PLUGIN = os.path.join(ROOT, "build", "model", "libmodel.so")
PROFILE = os.path.join(ROOT, "tools", "model", "profiles", "p550.conf")


class OracleTest(support.TestCase):
    """The plugin and the kernel, without the runner between: planted bugs need a check build."""

    @classmethod
    def setUpClass(cls):
        for target in ("check", "model"):
            done = make(target)
            assert done.status == 0, str(done)

    def boot(self, arguments, harts):
        with tempfile.NamedTemporaryFile(dir=self.folder) as ram:
            os.truncate(ram.name, 512 << 20)
            return run("qemu-system-riscv64", "-machine", "virt,memory-backend=ram", "-object",
                       f"memory-backend-file,id=ram,size=512M,mem-path={ram.name},share=on", "-plugin",
                       f"{PLUGIN},ram={ram.name},profile={PROFILE}", "-cpu", "rv64,debug=false", "-smp", str(harts), "-m", "512M",
                       "-accel", "tcg,thread=multi,tb-size=512", "-display", "none", "-serial", "stdio", "-monitor", "none",
                       "-no-reboot", "-kernel", KERNEL, "-initrd", programs.ARCHIVE, "-append",
                       f"clock=model kernel.quarantine=0 {arguments} harts={harts}", limit_s=120)

    def test_nothing_is_left(self):
        for asid in ("on", "off"):
            words = f"bench=vm.syscall,vm.switch,vm.map_pipeline,vm.fault split=separate asid={asid} shootdown=ipi trial_cycles=300000"
            done = self.boot(words, 3)
            self.assert_ok(done)
            self.assertNotIn("error: model:", done.err)

    def test_a_switch_without_a_flush_is_seen(self):
        words = "bench=vm.syscall split=separate asid=off trial_cycles=300000"
        self.assertNotIn("error: model:", self.boot(words, 1).err)
        done = self.boot(f"{words} kernel.plant=split.noflush", 1)
        self.assertNotEqual(done.status, 0, str(done))
        self.assertRegex(done.err, "returns with a translation of 0xf+[0-9a-f]+ that its page table does not have")

    def test_a_shootdown_of_half_a_space_is_seen(self):
        words = "bench=vm.map_global,vm.fault_shared split=separate asid=on ptlock=node shootdown=ipi trial_cycles=5000000"
        done = self.boot(f"{words} kernel.plant=split.oneasid", 4)
        self.assertNotEqual(done.status, 0, str(done))
        self.assertIn("uses a stale translation", done.err)


if __name__ == "__main__":
    unittest.main()
