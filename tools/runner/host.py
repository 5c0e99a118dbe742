"""The machine that this runs on, and the working tree, as a result's reader wants to know them."""
import os
import platform
import re
import subprocess

from .results import ROOT


def core_numbers():
    """The CPUs that this thread may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores():
    """How many they are."""
    return len(core_numbers())


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            match = re.search(r"^(?:model name|Processor|uarch)\s*:\s*(.+)$", file.read(), re.MULTILINE)
            if match:
                return match[1]
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe():
    return {"cores": cores(), "cpu": cpu_model(), "system": f"{platform.system()} {platform.release()}"}


def _git(*words):
    try:
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def commit():
    """The short name of the checked-out commit, or "unknown"."""
    return _git("rev-parse", "--short=7", "HEAD") or "unknown"


def dirty():
    """Whether tracked files differ from that commit; None when nobody can tell."""
    status = _git("status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)
