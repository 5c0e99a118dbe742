"""`make test`: runs every suite, shows one line for each, and ends with `N passed, N failed`.

Suites: the host programs and fuzzers of tests/host, the kernel's own tests in QEMU at several numbers of
harts, and the Python files of tests/e2e. They share the host's cores: a suite takes as many as it can use.
"""
import concurrent.futures
import fnmatch
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import host, programs, validate
from .failure import Failure
from .lab import Lab
from .qemu import Interrupted, Machine, Qemu, Stall
from .results import ROOT
from .session import Session
from .tap import Tap, Test

ACCEPTED = ("T", "QEMU", "IPI", "MEM", "HARTS", "ARGS")
GUEST_HARTS = (1, 2, 5, 8)
# On each heap the kernel boots and does what concerns its own memory; the whole suite runs on the default one.
HEAP_HARTS = 2
HEAP_TESTS = "kmalloc_*,machine_*,smp_*,bench_memory_is_counted"
# What interrupts between harts carry, on the machine where they need no firmware.
IMSIC_TESTS = "smp_*,shootdown_*,machine_*"
IMSIC_HARTS = (2, 5)
# For what hangs: many times what it takes on a host that does nothing else.
GUEST_STALL_S = 240
GUEST_LIMIT_S = 1800
PROGRAM_LIMIT_S = 900
FUZZ_SEED = 1
HOST_OUT = os.path.join("build", "host")
TAIL_LINES = 40
# Under the host's clock on so many harts that only time is lost where they have fewer cores; the others' guests wait for a person or
# run under the model, where harts take turns.
E2E_HARTS = {"test_boot_stress": 4}
# Besides those under ThreadSanitizer: on one core threads hardly meet, and the bugs that are planted for that are not caught.
THREADED = ("test_frame_llfree_races", "test_lock", "test_shootdown")
# Begun before all others that need as few cores, in this order: what would otherwise be left at the end, with one core idle.
LONGEST = ("guest 8 harts", "guest 5 harts", "e2e test_boot_bench", "e2e test_boot_vm", "validate-model", "e2e test_boot_model",
           "host tsan_frame", "e2e test_runner", "e2e test_boot_split", "e2e test_fleet", "host tsan_heap", "guest 1 hart",
           "host fuzz_page_table", "host test_heap_faults", "host fuzz_heap", "host test_space", "host test_heap",
           "e2e test_boot_monitor", "e2e test_boot_replay", "host test_frame")


class Filter:
    """What T= selects: a glob, or a part of the name of a suite or of a test."""

    def __init__(self, text):
        self.text = text

    def __call__(self, name):
        if any(character in self.text for character in "*?["):
            return fnmatch.fnmatchcase(name, self.text)
        return self.text in name

    def glob(self):
        """The same for the guest, which knows globs only."""
        return self.text if any(c in self.text for c in "*?") else f"*{self.text}*"


class Suite:
    """function: from its name to an Outcome.
    cores: how many it can use. apart: it has as many for itself; without, its threads may be wherever there is room.
    crowd: a guest of several harts. Most of its tests are the work of one of them, and it leaves a core to others, but only one
           such runs at a time: harts that wait for each other must not be starved by harts that wait as well."""

    def __init__(self, name, function, cores=1, apart=True, crowd=False):
        self.name = name
        self.function = function
        self.cores = max(1, min(cores, host.cores() - crowd))
        self.apart = apart and not crowd
        self.crowd = crowd

    def rank(self):
        """The widest first, and of those the longest: what is left at the end is short and fits anywhere."""
        return -self.cores, not self.crowd, LONGEST.index(self.name) if self.name in LONGEST else len(LONGEST)

    def fits(self, free, others):
        return self.cores <= free and not (self.crowd and any(other.crowd for other in others))

    def run(self, cores):
        """On these cores, which what it starts inherits: they are a matter of the thread."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        started = time.monotonic()
        try:
            outcome = self.function(self.name)
        except (Failure, OSError) as error:
            outcome = Outcome(self.name, [], str(error))
        except (Interrupted, KeyboardInterrupt):
            outcome = Outcome(self.name, [], "interrupted")
        outcome.seconds = time.monotonic() - started
        return outcome


class Outcome:
    """What came of a suite: its tests, and the problem of the suite itself, if it has one."""

    def __init__(self, name, tests, problem=None, text=()):
        self.name = name
        self.tests = list(tests)
        if problem:
            self.tests.append(Test("(the suite itself)", "failed", [*text, problem]))
        self.seconds = 0.0

    def count(self, status):
        return sum(test.status == status for test in self.tests)


class Processes:
    """The programs and machines under way in all threads, so that an interrupt can end them all. To a machine it is what
    qemu.Interrupts is in the main thread."""

    def __init__(self):
        self._running = set()
        self._stopping = False
        self.received = None
        self.fd, self._write_fd = os.pipe()

    def run(self, command, limit_s, environment):
        """(exit status or None when it outlived the limit, output lines)."""
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, env=environment, start_new_session=True)
            self._running.add(process)
            try:
                if self._stopping:
                    self._kill(process)
                status = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                self._kill(process)
                process.wait()
                self._running.discard(process)
            output.seek(0)
            return status, output.read().decode("utf-8", "replace").splitlines()

    @staticmethod
    def _kill(process):
        """The whole group: what a test program started must not outlive it."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self):
        self._stopping = True
        self.received = signal.SIGINT
        os.write(self._write_fd, b"!")
        for process in list(self._running):
            self._kill(process)


def clean_environment(**more):
    """The environment without what this make was told, for programs that may run make themselves."""
    dropped = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "HARTSCALE_GIVEN", "STRESS_SECONDS", "JOBS", *ACCEPTED)
    return {**{k: v for k, v in os.environ.items() if k not in dropped}, **more}


class Suites:
    """The suites of this tree."""

    def __init__(self, settings, processes):
        self.settings = settings
        self.processes = processes
        self.filter = Filter(settings.text("T"))

    def all(self):
        listed = []
        for program, runs, corpus in self._fuzzers():
            listed.append(Suite(f"host {program}", lambda name, p=program, r=runs, c=corpus: self._fuzz(name, p, r, c)))
        for kind in ("test", "tsan"):
            for source in sorted(glob.glob(os.path.join(ROOT, "tests", "host", f"{kind}_*.c"))):
                program = os.path.splitext(os.path.basename(source))[0]
                threads = kind == "tsan" or program in THREADED
                listed.append(Suite(f"host {program}", lambda name, p=program: self._program(name, p), apart=not threads))
        for harts in self.settings.harts(GUEST_HARTS):
            listed.append(Suite(f"guest {harts} hart{'s' if harts > 1 else ''}", lambda name, n=harts: self._guest(name, n), harts,
                                crowd=harts > 1))
        listed.append(Suite("guest each kernel.heap", self._guest_heaps, HEAP_HARTS, crowd=True))
        listed.append(Suite("guest ipi=imsic", self._guest_imsic, max(self.settings.harts(IMSIC_HARTS)), crowd=True))
        for path in sorted(glob.glob(os.path.join(ROOT, "tests", "e2e", "test_*.py"))):
            module = os.path.splitext(os.path.basename(path))[0]
            listed.append(Suite(f"e2e {module}", lambda name, p=path: self._python(name, p), E2E_HARTS.get(module, 1)))
        listed.append(Suite("validate-model", self._validate))
        return listed

    def _validate(self, name):
        """The experiments of `make validate-model`, a test each row. All or none are run: T= chooses the suite."""
        if not self.filter(name):
            return Outcome(name, [])
        machine, profile = validate.profile_of(self.settings)
        rows = validate.measure(Lab(self.settings, machine, interrupts=self.processes), profile)
        return Outcome(name, [Test(row.experiment, "passed" if row.good else "failed",
                                   [f"expected: {row.expected}", f"got: {row.got}"]) for row in rows if row.judged])

    def _fuzzers(self):
        with open(os.path.join(ROOT, "tests", "host", "fuzz.list"), encoding="utf-8") as file:
            for line in file:
                words = line.split("#")[0].split()
                if words:
                    program = words[0] if words[0].startswith("fuzz_") else "fuzz_" + words[0]
                    yield program, int(words[1]), words[2]

    def _from_tap(self, name, status, lines):
        tap = Tap()
        for line in lines:
            tap.feed(line)
        problem = tap.problem()
        failed = any(test.status == "failed" for test in tap.tests)
        if status is None:
            problem = f"it was ended after {PROGRAM_LIMIT_S} s"
        elif status != 0 and not failed:
            problem = f"it ended with status {status} though no test failed"
        elif status == 0 and failed:
            problem = "it ended with status 0 though tests failed"
        tests = [test for test in tap.tests if self.filter(name) or self.filter(test.name)]
        return Outcome(name, tests, problem, tap.tail())

    def _program(self, name, program):
        path = os.path.join(HOST_OUT, program)
        if not os.path.exists(os.path.join(ROOT, path)):
            return Outcome(name, [], f"{path} has not been built: run `make host-tests`")
        status, lines = self.processes.run([path], PROGRAM_LIMIT_S, clean_environment(CMOCKA_MESSAGE_OUTPUT="TAP"))
        return self._from_tap(name, status, lines)

    def _fuzz(self, name, program, runs, corpus):
        """A fuzz target is one test. It works on a copy: what it finds of interest is not for the repository."""
        if not self.filter(name):
            return Outcome(name, [])
        with tempfile.TemporaryDirectory(prefix="hartscale-fuzz-") as folder:
            scratch = os.path.join(folder, "corpus")
            shutil.copytree(os.path.join(ROOT, corpus), scratch)
            prefix = os.path.join(ROOT, HOST_OUT, program + "-")
            status, lines = self.processes.run(
                [os.path.join(HOST_OUT, program), f"-runs={runs}", f"-seed={FUZZ_SEED}", f"-artifact_prefix={prefix}",
                 scratch], PROGRAM_LIMIT_S, clean_environment())
        result = "passed" if status == 0 else "failed"
        return Outcome(name, [Test(f"{runs} runs", result, [*lines[-TAIL_LINES:], f"it ended with status {status}"])])

    def _python(self, name, path):
        command = [sys.executable, os.path.join(ROOT, "tests", "e2e", "tap.py"), path]
        if not self.filter(name):
            command.append(self.filter.glob())
        status, lines = self.processes.run(command, PROGRAM_LIMIT_S, clean_environment())
        return self._from_tap(name, status, lines)

    def _command(self, harts, *words, imsic=False):
        qemu = Qemu(self.settings)
        qemu.imsic = qemu.imsic or imsic
        return qemu.command(os.path.join(ROOT, "build", "check", "hartscale.elf"), harts,
                                           self.settings.memory(), self.settings.bootargs(*words), initrd=programs.ARCHIVE)

    def _heaps(self):
        """The names of the heaps, which the kernel says when it is asked for one that there is not."""
        refusal = re.compile(r"error: kernel\.heap=.* valid: (.*)")
        with Machine(self._command(1, "kernel.heap=none"), self.processes) as machine:
            machine.limit(GUEST_LIMIT_S)
            for line in machine.lines(GUEST_STALL_S):
                if refusal.match(line):
                    return refusal.match(line)[1].split(", ")
        raise Failure("the kernel does not say which heaps there are")

    def _guest_heaps(self, name):
        """All or none are run: T= chooses the suite."""
        outcome = Outcome(name, [])
        if self.filter(name):
            for heap in self._heaps():
                run = self._boot(name, self._command(HEAP_HARTS, f"test={HEAP_TESTS}", f"kernel.heap={heap}"))
                outcome.tests += [Test(f"{heap}: {test.name}", test.status, test.text) for test in run.tests]
        return outcome

    def _guest_imsic(self, name):
        """All or none are run: T= chooses the suite."""
        outcome = Outcome(name, [])
        if self.filter(name):
            for harts in self.settings.harts(IMSIC_HARTS):
                run = self._boot(name, self._command(harts, f"test={IMSIC_TESTS}", imsic=True))
                outcome.tests += [Test(f"{harts} harts: {test.name}", test.status, test.text) for test in run.tests]
        return outcome

    def _guest(self, name, harts):
        pattern = "*" if self.filter(name) else self.filter.glob()
        return self._boot(name, self._command(harts, f"test={pattern}"))

    def _boot(self, name, command):
        """What came of the tests of a boot."""
        tap, session = Tap(), Session(lambda point: None, lambda point, result: None)
        problem = None
        with Machine(command, self.processes) as machine:
            machine.limit(GUEST_LIMIT_S)
            try:
                for line in machine.lines(GUEST_STALL_S):
                    session.feed(line)
                    tap.feed(line)
                status = machine.wait()
            except Stall as stall:
                problem, status = str(stall), None
        failed = any(test.status == "failed" for test in tap.tests)
        if session.panic:
            return Outcome(name, tap.tests, session.panic[0], session.panic[1:])
        if session.error and tap.planned is None and self.filter.text:
            return Outcome(name, [])
        if problem is None and status != 0 and not failed:
            problem = f"QEMU ended with status {status} though no test failed"
        if problem is None and status == 0 and failed:
            problem = "QEMU ended with status 0 though tests failed"
        return Outcome(name, tap.tests, problem or tap.problem(), tap.tail())


class Report:
    def __init__(self):
        self.outcomes = []

    def add(self, outcome):
        self.outcomes.append(outcome)
        if not outcome.tests:
            return
        counts = [f"{outcome.count(status)} {status}" for status in ("passed", "failed", "skipped")
                  if outcome.count(status) or status == "passed"]
        print(f"{outcome.name:<28} {', '.join(counts):<34} {outcome.seconds:6.1f} s", flush=True)
        for test in outcome.tests:
            if test.status == "failed":
                print(f"  FAILED {test.name}")
                print("".join(f"    {line}\n" for line in test.text), end="", flush=True)

    def finish(self):
        """The last line, and the exit status."""
        totals = {status: sum(o.count(status) for o in self.outcomes) for status in ("passed", "failed", "skipped")}
        skipped = f", {totals['skipped']} skipped" if totals["skipped"] else ""
        print(f"{totals['passed']} passed, {totals['failed']} failed{skipped}", flush=True)
        return 1 if totals["failed"] else 0

    def empty(self):
        return not any(outcome.tests for outcome in self.outcomes)


def _run_all(suites, processes, report):
    """Each as soon as so many cores are free as it can use."""
    everywhere = host.core_numbers()
    free, running, waiting = list(everywhere), {}, sorted(suites, key=Suite.rank)
    with concurrent.futures.ThreadPoolExecutor(len(free)) as pool:
        try:
            while waiting or running:
                for suite in [*waiting]:
                    if suite.fits(len(free), [other for other, _ in running.values()]):
                        waiting.remove(suite)
                        cores, free = free[:suite.cores], free[suite.cores:]
                        running[pool.submit(suite.run, cores if suite.apart else everywhere)] = suite, cores
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    free += running.pop(future)[1]
                    report.add(future.result())
        except BaseException:
            # Leaving the block waits for what is under way: end that, and begin nothing more.
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise


def main(settings):
    processes, report = Processes(), Report()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run_all(Suites(settings, processes).all(), processes, report)
    except KeyboardInterrupt:
        processes.stop()
        raise Failure("interrupted; the tests are incomplete", 130) from None
    if report.empty():
        raise Failure(f"T={settings.text('T')} matches no test")
    return report.finish()
