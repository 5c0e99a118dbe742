"""Programs in U-mode, as a person runs them: at the monitor, by `run=`, and such as must not run."""
import os
import re
import struct
import sys
import unittest

import support
from support import ROOT, make, run

sys.path.insert(0, os.path.join(ROOT, "tools"))
from runner import cpio, programs  # noqa: E402

# What the project promises; Linux 6.12 takes 443.
NULL_CALL_INSNS_MAX = 150


class UserCase(support.TestCase):
    def setUp(self):
        super().setUp()
        self.assert_ok(make("release"))

    def boot(self, word, archive=None, harts=2, accel="tcg,thread=multi", more=()):
        path = programs.ARCHIVE
        if archive is not None:
            path = os.path.join(self.folder, "initrd")
            with open(path, "wb") as file:
                file.write(archive)
        return run("qemu-system-riscv64", "-machine", "virt", "-cpu", "rv64,debug=false", "-smp", str(harts), "-m", "256M",
                   "-accel", accel, *more, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-bios", "default",
                   "-kernel", os.path.join(ROOT, "build", "release", "hartscale.elf"), "-initrd", path, "-append", word)


class RunTest(UserCase):
    def test_a_program_gets_its_arguments(self):
        done = self.boot("run=hello,a,bc")
        self.assert_ok(done)
        self.assertRegex(done.out, r"hello from process \d+ on hart [01]: hello a bc\n")

    def test_the_exit_status_is_the_program_s(self):
        done = self.boot("run=threads,exit_group")
        self.assertNotEqual(done.status, 0, str(done))
        self.assertIn("threads ended with 7", done.out)

    def test_a_fault_is_told_and_the_kernel_goes_on(self):
        done = self.boot("run=fault,write_kernel")
        self.assertNotEqual(done.status, 0, str(done))
        self.assertRegex(done.out, r"program fault, process \d+, thread \d+: store page fault: .* at pc 0x[0-9a-f]+, address 0xffff")
        self.assertIn("fault was ended by signal 11", done.out)
        self.assertNotIn("panic", done.out)

    def test_a_program_that_is_not_there(self):
        done = self.boot("run=nothing")
        self.assertNotEqual(done.status, 0, str(done))
        self.assertIn("error: there is no program 'nothing' in the initrd", done.out)

    def test_a_null_system_call_is_short(self):
        """Counted by the guest, on a QEMU that counts the hart's instructions and nothing else."""
        done = self.boot("run=null", harts=1, accel="tcg,thread=single", more=("-icount", "shift=0"))
        self.assert_ok(done)
        insns = float(re.search(r"null: ([\d.]+) instructions a call", done.out)[1])
        self.assertLessEqual(insns, NULL_CALL_INSNS_MAX)
        self.assertGreater(insns, 62)  # the registers alone


class HostileTest(UserCase):
    """Programs that are none. tests/host/test_elf.c has every kind; here it is that the kernel says why and ends."""

    def refuse(self, program, said):
        done = self.boot("run=bad", cpio.archive({"bad": program}))
        self.assertNotEqual(done.status, 0, str(done))
        self.assertRegex(done.out, "error: .*" + said)
        self.assertNotIn("panic", done.out)

    def test_programs_that_are_none(self):
        good = programs.files()["hello"]
        entry, headers = struct.unpack_from("<QQ", good, 24)
        self.refuse(b"", "")
        self.refuse(b"#!/bin/sh\n" * 100, "")
        self.refuse(good[:200], "")
        self.refuse(good[:24] + struct.pack("<Q", entry + (1 << 40)) + good[32:], "")
        # Its code where the kernel is, and where the null page is.
        for address in (0xffffffff80200000, 0):
            self.refuse(good[:headers + 16] + struct.pack("<Q", address) + good[headers + 24:], "")

    def test_a_program_that_is_whole_runs(self):
        done = self.boot("run=bad", cpio.archive({"bad": programs.files()["hello"]}))
        self.assert_ok(done)


if __name__ == "__main__":
    unittest.main()
