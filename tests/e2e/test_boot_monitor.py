"""`make run`: the console monitor, driven through a terminal as a person would."""
import os
import pty
import select
import signal
import subprocess
import time
import unittest

import support

PROMPT = "hartscale> "
LEFT, RIGHT, UP, BACKSPACE, CTRL_A, CTRL_U = "\033[D", "\033[C", "\033[A", "\x7f", "\x01", "\x15"


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, words):
        master, slave = pty.openpty()
        self.fd = master
        self.text = ""
        self.process = subprocess.Popen(words, cwd=support.ROOT, env=support.environment(TERM="xterm"), stdin=slave,
                                        stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def type(self, text):
        """At a pace that the monitor, which polls, can follow."""
        for key in text if "\033" not in text else [text]:
            os.write(self.fd, key.encode())
            time.sleep(0.02)

    def expect(self, wanted, limit_s=60):
        """Read on until the text has come; returns what came before it."""
        deadline = time.monotonic() + limit_s
        while wanted not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"'{wanted}' did not come within {limit_s} s, but:\n{self.text}")
            try:
                chunk = os.read(self.fd, 4096)
            except OSError:  # a terminal whose last user has gone
                chunk = b""
            if not chunk:
                raise AssertionError(f"the console ended before '{wanted}' came:\n{self.text}")
            self.text += chunk.decode("utf-8", "replace")
        before, _, self.text = self.text.partition(wanted)
        return before

    def command(self, text, limit_s=60):
        """Type a line; returns what it printed."""
        self.type(text + "\r")
        return self.expect("\n" + PROMPT, limit_s)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.fd)


class MonitorCase(support.TestCase):
    WORDS = ()

    def setUp(self):
        super().setUp()
        self.terminal = Terminal(["make", "run", "HARTS=2", "MEM=256M", *self.WORDS])
        self.addCleanup(self.terminal.close)
        self.terminal.expect(PROMPT, 240)


class MonitorTest(MonitorCase):
    def assert_help(self, text):
        for command in ("help", "harts", "mem", "heap", "bench", "stats", "poweroff"):
            self.assertIn(command, text)

    def test_help(self):
        self.assert_help(self.terminal.command("help"))

    def test_run(self):
        self.assertIn(": hello there", self.terminal.command("run hello there"))
        self.assertIn("there is no program 'hallo'", self.terminal.command("run hallo"))

    def test_harts(self):
        text = self.terminal.command("harts")
        self.assertEqual(text.count("online"), 2, text)
        self.assertNotIn("offline", text)

    def test_mem(self):
        text = self.terminal.command("mem")
        self.assertIn("RAM", text)
        self.assertIn("free", text)

    def test_maps(self):
        text = self.terminal.command("maps")
        for part in ("r-x- ", "direct map", "x 2 MiB", "image", "stacks", "devices"):
            self.assertIn(part, text)
        self.assertNotIn("rwx", text)

    def test_stats(self):
        self.assertIn("lock_acquire", self.terminal.command("stats"))

    def test_heap(self):
        text = self.terminal.command("heap")
        for part in ("guard off", " KiB in 1 block,", "reserved", "fragmentation"):
            self.assertIn(part, text)
        self.assertIn("sound", self.terminal.command("heap check"))

    def test_heap_without_call_sites(self):
        """It says how to have them."""
        for action in ("mark", "since"):
            self.assertIn("make run ARGS=kernel.guard=1", self.terminal.command(f"heap {action}"))

    def test_bench(self):
        text = self.terminal.command("bench frame.churn", 240)
        self.assertIn("frame.churn", text)
        self.assertIn("hartcache", text)

    def test_bench_with_an_unknown_name(self):
        text = self.terminal.command("bench nonesuch")
        self.assertIn("nonesuch", text)
        self.assertIn("frame.churn", text)

    def test_unknown_command(self):
        text = self.terminal.command("frobnicate")
        self.assertIn("unknown command 'frobnicate'", text)
        self.assertIn("help", text)

    def test_empty_line(self):
        self.terminal.command("")
        self.assert_help(self.terminal.command("help"))

    def test_backspace(self):
        self.assert_help(self.terminal.command("helx" + BACKSPACE + "p"))

    def test_cursor_keys(self):
        self.terminal.type("hlp")
        self.terminal.type(LEFT)
        self.terminal.type(LEFT)
        self.assert_help(self.terminal.command("e"))

    def test_line_is_cleared(self):
        self.assert_help(self.terminal.command("nonsense" + CTRL_U + "help"))

    def test_start_of_line(self):
        """Ctrl-A belongs to QEMU's multiplexer; typed twice it reaches the guest."""
        self.assert_help(self.terminal.command("elp" + CTRL_A + CTRL_A + "h"))

    def test_history(self):
        self.assert_help(self.terminal.command("help"))
        self.terminal.type(UP)
        self.assert_help(self.terminal.command(""))

    def test_poweroff(self):
        self.terminal.type("poweroff\r")
        self.assertEqual(self.terminal.process.wait(60), 0)

    def test_panic(self):
        """It shows what happened, with names in the backtrace, and fails."""
        self.terminal.type("panic\r")
        self.terminal.expect("panic: ")
        self.terminal.expect("monitor_run")
        self.assertNotEqual(self.terminal.process.wait(60), 0)


class GuardedMonitorTest(MonitorCase):
    WORDS = ("HEAP=firstfit", "FRAME=cascade", "LOCK=ticket", "ARGS=kernel.guard=1")

    def test_heap(self):
        text = self.terminal.command("heap")
        for part in ("firstfit over frames of cascade, lock ticket, guard on", "asked for", "inside blocks 0."):
            self.assertIn(part, text)

    def test_checkpoints(self):
        self.assertRegex(self.terminal.command("heap since"), r"since boot.*\s+1 block, \d+ bytes, allocated by .*\(monitor_run\+")
        self.terminal.command("heap mark")
        self.terminal.command("bench lock.counter", 240)
        self.assertIn("nothing is left", self.terminal.command("heap since"))
        self.assertIn("every block is accounted for", self.terminal.command("heap check"))


class ChoiceTest(support.TestCase):
    def test_an_unknown_heap_is_answered_by_the_list(self):
        done = support.make("run", "HARTS=1", "MEM=256M", "HEAP=nosuch")
        self.assertNotEqual(done.status, 0)
        self.assertRegex(done.out, r"kernel.heap=nosuch: no such choice; valid: .*bestfit.*firstfit")

    def test_programs_run_on_the_design_of_virtual_memory_that_was_chosen(self):
        chosen = {"SPLIT": "separate", "ASID": "off", "PTLOCK": "space", "SHOOTDOWN": "lazy"}
        done = support.make("run", "HARTS=2", "ARGS=run=hello", *(f"{name}={value}" for name, value in chosen.items()))
        self.assert_ok(done)
        for name, value in chosen.items():
            self.assertIn(f'"kernel.{name.lower()}":"{value}"', done.out)
            refused = support.make("run", "HARTS=1", "ARGS=run=hello", f"{name}=nosuch")
            self.assertNotEqual(refused.status, 0)
            self.assertRegex(refused.out, rf"kernel.{name.lower()}=nosuch: .*valid: .*{value}")


if __name__ == "__main__":
    unittest.main()
