"""What the end-to-end tests share: commands as a user types them, in a clean environment, with a time limit."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RUN = os.path.join(ROOT, "tools", "run")
FAKE_QEMU = os.path.join(HERE, "fake-qemu")
# Generous: the machine may be busy with other suites.
LIMIT_S = 600
# A shell starts what runs in its background with this ignored, which every command of a test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# What a user's shell might have set and what make sets would change what is tested.
DROPPED = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "HARTSCALE_GIVEN", "STRESS_SECONDS", "BENCH", "FRAME",
           "HEAP", "TRACE", "LOCK", "SPLIT", "ASID", "PTLOCK", "SHOOTDOWN", "HARTS", "CLOCK", "QUICK", "MEM", "OUT", "ARGS", "TIMEOUT", "SECONDS",
           "SEED", "PLANT", "T", "RUN", "COUNT", "QEMU", "IPI", "PROFILE", "JOBS", "PIN", "LINES", "CALLS", "KERNEL")


def environment(**more):
    clean = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return {**clean, "LC_ALL": "C.UTF-8", **more}


class Done:
    """A finished command."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    def __str__(self):
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Command:
    """A command under way in a session of its own, so that a signal can be sent to it as Ctrl-C would be."""

    def __init__(self, words, **more):
        self.process = subprocess.Popen(words, cwd=ROOT, env=environment(**more), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                        start_new_session=True)

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def finish(self, limit_s=LIMIT_S):
        try:
            out, err = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            out, err = self.process.communicate()
            raise AssertionError(f"still running after {limit_s} s\n{out}\n{err}") from None
        return Done(self.process.returncode, out, err)


def run(*words, limit_s=LIMIT_S, **more):
    return Command(words, **more).finish(limit_s)


def make(*words, **more):
    return run("make", *words, **more)


def wait_until(condition, limit_s=30):
    """What the condition returns once that is true."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{condition} did not come true within {limit_s} s")


def _stat(pid):
    """(state, process group) of a process, or None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            return fields[0], int(fields[2])
    except OSError:
        return None


def alive(pid):
    """Whether the process exists and is more than a dead one that nobody has waited for."""
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def group_members(group):
    """The ids of the living processes of a group."""
    return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc"))
            if alive(pid) and (_stat(pid) or ("", 0))[1] == group]


class TestCase(unittest.TestCase):
    """Gives each test a folder of its own, and the assertions that several files need."""

    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hartscale-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.out = os.path.join(self.folder, "out")

    def path_without(self, *names):
        """A PATH that has all the usual programs but these."""
        folder = os.path.join(self.folder, "bin")
        os.mkdir(folder)
        for source in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for name in os.listdir(source):
                link = os.path.join(folder, name)
                if name not in names and not os.path.lexists(link):
                    os.symlink(os.path.join(source, name), link)
        return folder

    def lines(self, folder=None):
        """The data points of a run, each line of which must be valid JSON."""
        with open(os.path.join(folder or self.out, "results.jsonl"), encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text == "" or text.endswith("\n"), "the last line is cut short")
        return [json.loads(line) for line in text.splitlines()]

    def run_json(self, folder=None):
        with open(os.path.join(folder or self.out, "run.json"), encoding="utf-8") as file:
            return json.load(file)

    def assert_fails(self, done, *parts, status=None):
        """It failed, said all the parts on stderr, and spared the user a traceback."""
        if status is None:
            self.assertNotEqual(done.status, 0, str(done))
        else:
            self.assertEqual(done.status, status, str(done))
        for part in parts:
            self.assertTrue(part in done.err, f"stderr lacks '{part}'\n{done}")
        self.assertNotIn("Traceback", done.err, str(done))

    def assert_ok(self, done):
        self.assertEqual(done.status, 0, str(done))
