"""QEMU: which one, its command line, and a running one whose console is read line by line."""
import ctypes
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time

from .failure import Failure

QEMU_DEFAULT = "qemu-system-riscv64"
QEMU_MAJOR_MIN = 10
LINE_BYTES_MAX = 1 << 20
# Without debug triggers: OpenSBI 1.5 keeps 1.6 KiB a hart for them that its heap was not sized for, and with more
# than 34 harts the last ones to come up find it full and hang.
CPU = "rv64,debug=false"
TERMINATE_GRACE_S = 3.0
PR_SET_PDEATHSIG = 1
# One request to end may come several times: make passes on a signal that its whole group was sent.
SAME_REQUEST_S = 1.0


class Stall(Exception):
    """The guest outlived a limit; the text says which."""


class Interrupted(Exception):
    """The user or the system asked this command to end."""

    def __init__(self, signum):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Qemu:
    """The QEMU program, checked to be there and new enough."""

    def __init__(self, settings):
        name = settings.text("QEMU", QEMU_DEFAULT)
        path = shutil.which(name)
        if path is None:
            raise Failure(f"{name} was not found: tools/setup installs it (QEMU {QEMU_MAJOR_MIN} or newer is needed)")
        self.path = path
        self.imsic = settings.imsic()
        self.version = self._read_version()
        if int(self.version.split(".")[0]) < QEMU_MAJOR_MIN:
            raise Failure(f"{path} is QEMU {self.version}, which is too old: {QEMU_MAJOR_MIN} or newer is needed,"
                          " and tools/setup installs it")

    def _read_version(self):
        try:
            done = subprocess.run([self.path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failure(f"{self.path} does not run: {error}") from error
        match = re.search(r"QEMU emulator version (\d+(?:\.\d+)*)", done.stdout)
        if not match:
            raise Failure(f"{self.path} does not say its version but: {done.stdout.strip()[:200]}")
        return match[1]

    def command(self, elf, harts, memory, bootargs, serial=("-serial", "stdio", "-monitor", "none"), initrd=None):
        """The whole command line. initrd: the path of an archive of files for the guest."""
        if not os.path.exists(elf):
            raise Failure(f"{elf} has not been built: run `make {os.path.basename(os.path.dirname(elf))}`")
        machine = "virt"
        if self.imsic:
            machine, bootargs = "virt,aia=aplic-imsic", f"{bootargs} ipi=imsic"
        return [self.path, "-machine", machine, "-cpu", CPU, "-smp", str(harts), "-m", memory,
                "-accel", "tcg,thread=multi", "-display", "none", *serial, "-no-reboot", "-bios", "default", "-kernel", elf,
                *(["-initrd", initrd] if initrd else []), "-append", bootargs]

    def modelled(self, elf, harts, memory, bootargs, model, ram, extra=None, initrd=None):
        """The same under a model.Model, with the guest's memory in the file `ram`. Flushing a full translation cache
        would stop all harts at once, which those that wait for their turn in the model cannot do: 512 MiB never
        fill."""
        command = self.command(elf, harts, memory, bootargs, initrd=initrd)
        command[command.index("-machine") + 1] += ",memory-backend=ram"
        command[command.index("tcg,thread=multi")] = "tcg,thread=multi,tb-size=512"
        return [*command, "-object", f"memory-backend-file,id=ram,size={memory},mem-path={ram},share=on",
                "-seed", "1", "-plugin", model.plugin(ram, extra)]


def _before_start(core):
    """What the child does before it becomes QEMU. Even a runner that is killed outright must leave no QEMU behind
    (Linux only; elsewhere a courtesy less). A core that may not be chosen is a matter of speed alone."""
    def prepare():
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None:
            try:
                os.sched_setaffinity(0, {core})
            except OSError:
                pass
    return prepare


class Interrupts:
    """While active, signals that ask for an end are kept for listen() to raise between two lines, so
    that no file is left half written. A second request acts at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self):
        self.received, self._since = None, 0.0
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._old_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def _note(self, signum, _frame):
        if self.received is None:
            self.received, self._since = signum, time.monotonic()
        elif time.monotonic() - self._since > SAME_REQUEST_S:
            raise KeyboardInterrupt

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        os.close(self.fd)
        os.close(self._write_fd)


class Machine:
    """A running QEMU in a session of its own: Ctrl-C reaches this process and not QEMU. Ends with the block."""

    def __init__(self, command, interrupts=None, raw_log=None, core=None, files=()):
        """core: the host core to run on. files: descriptors that QEMU inherits."""
        self.interrupts = interrupts
        self.raw_log = raw_log
        self.deadline = None
        self.started = self.heard = time.monotonic()
        self.pending = b""
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, start_new_session=True, pass_fds=files,
                                            preexec_fn=_before_start(core))
        except OSError as error:
            raise Failure(f"{command[0]} does not run: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.end()
        self.process.stdout.close()

    def limit(self, seconds):
        """End the run when it has taken this long, whatever the guest says meanwhile."""
        self.deadline = self.started + seconds

    def fileno(self):
        return self.process.stdout.fileno()

    def patience(self, stall_s):
        """Seconds until it counts as hung. Raises Stall when that is now."""
        now = time.monotonic()
        if self.deadline is not None and now >= self.deadline:
            raise Stall(f"hang: not finished after {self.deadline - self.started:.0f} s")
        if now - self.heard >= stall_s:
            raise Stall(f"hang: no output for {stall_s:g} s")
        wait = self.heard + stall_s - now
        return wait if self.deadline is None else min(wait, self.deadline - now)

    def read(self):
        """The lines that are complete now; None at the console's end. A line cut short by that is only logged."""
        chunk = os.read(self.fileno(), 65536)
        if not chunk:
            return None
        self.heard = time.monotonic()
        if self.raw_log:
            self.raw_log(chunk)
        *complete, pending = (self.pending + chunk).split(b"\n")
        self.pending = pending[-LINE_BYTES_MAX:]
        return [line.decode("utf-8", "replace").strip("\r") for line in complete]

    def lines(self, stall_s):
        """Yield the console's complete lines until QEMU ends.

        Raises Stall after stall_s without any output or past the limit, Interrupted on a signal.
        """
        while True:
            if not wait_for_output([self], self.patience(stall_s), self.interrupts):
                continue
            lines = self.read()
            if lines is None:
                return
            yield from lines

    def wait(self, seconds=TERMINATE_GRACE_S):
        """The exit status of a QEMU that has closed its console, or None if it does not end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self):
        """Ask QEMU's process group to end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)

    def end(self):
        """End QEMU's process group: politely, then by force. Harmless when it has ended already."""
        self.terminate()
        if self.process.poll() is None and self.wait() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def wait_for_output(machines, seconds, interrupts=None):
    """The machines that have something to read, at the latest after so many seconds. Raises Interrupted."""
    with selectors.DefaultSelector() as selector:
        for machine in machines:
            selector.register(machine, selectors.EVENT_READ)
        if interrupts:
            selector.register(interrupts.fd, selectors.EVENT_READ)
        if interrupts and interrupts.received is not None:
            raise Interrupted(interrupts.received)
        ready = [key.fileobj for key, _ in selector.select(seconds)]
        if interrupts and interrupts.received is not None:
            raise Interrupted(interrupts.received)
        return [machine for machine in machines if machine in ready]
