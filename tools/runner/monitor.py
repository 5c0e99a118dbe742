"""`make run` and `make debug`: QEMU on the user's terminal, and QEMU under gdb."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from . import programs
from .failure import Failure
from .qemu import Qemu
from .results import ROOT

ACCEPTED = ("HARTS", "MEM", "FRAME", "HEAP", "LOCK", "SPLIT", "ASID", "PTLOCK", "SHOOTDOWN", "ARGS", "QEMU", "IPI")

# Nothing is measured but by commands typed in, which take every variant: what is chosen is what the kernel itself runs on.
KERNEL_KEYS = {"FRAME": "kernel.frame", "HEAP": "kernel.heap", "LOCK": "kernel.lock", "SPLIT": "kernel.split", "ASID": "kernel.asid",
               "PTLOCK": "kernel.ptlock", "SHOOTDOWN": "kernel.shootdown"}


def _command(settings, flavour, serial):
    elf = os.path.join(ROOT, "build", flavour, "hartscale.elf")
    words = [f"{key}={settings.word(name)}" for name, key in KERNEL_KEYS.items() if settings.text(name)]
    return elf, Qemu(settings).command(elf, settings.harts_max(8), settings.memory(), settings.bootargs(*words), serial=serial,
                                        initrd=programs.ARCHIVE)


def run(settings):
    """Become QEMU: the terminal, its signals and the exit status are the monitor's."""
    _, command = _command(settings, "release", ("-serial", "mon:stdio"))
    print("Ctrl-A X ends QEMU, Ctrl-A H lists its other keys; `help` lists the monitor's commands.", flush=True)
    os.execv(command[0], command)


def debug(settings):
    """QEMU halted before its first instruction, gdb attached. The console goes where gdb's output goes."""
    gdb = shutil.which("gdb-multiarch") or shutil.which("riscv64-elf-gdb")
    if gdb is None:
        raise Failure("gdb-multiarch was not found (Debian: sudo apt-get install gdb-multiarch)")
    elf, command = _command(settings, "check", ("-serial", "stdio", "-monitor", "none"))
    with tempfile.TemporaryDirectory(prefix="hartscale-gdb-") as folder:
        socket = os.path.join(folder, "socket")
        command += ["-S", "-chardev", f"socket,id=gdb,path={socket},server=on,wait=off", "-gdb", "chardev:gdb"]
        # In a session of its own, so that Ctrl-C stops the guest by way of gdb and does not end QEMU.
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.run([gdb, "-q", elf, "-ex", "set architecture riscv:rv64",
                                   "-ex", f"target remote {socket}", "-ex", "hbreak kernel_main"],
                                  check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)).returncode
        finally:
            machine.terminate()
            machine.wait()
            sys.stdout.flush()
