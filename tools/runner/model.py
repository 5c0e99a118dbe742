"""The machine model on the host's side: which profile, which arguments for the plugin, and the memory that QEMU
and the plugin share.

The plugin (tools/model/) walks the guest's page tables and answers it through a page of its memory, so the guest's
RAM must be a file that both map. It is one without a name (memfd): whatever happens to QEMU or to this
process, nothing is left behind, and no file system has to have room for it.
"""
import glob
import os
import re
import sys

from .failure import Failure
from .results import ROOT

PLUGIN = os.path.join(ROOT, "build", "model", "libmodel.so")
PROFILES = os.path.join(ROOT, "tools", "model", "profiles")
PROFILE_DEFAULT = "p550"
# The kernel's stacks, buffers and a small arena for 64 harts; more harts get more, since a hart's cache in an
# allocator under test is sized by its share of the arena. Smaller keeps the rounds of the bulk workloads short.
MEMORY_MIB_MIN = 256
MEMORY_MIB_A_HART = 32


def profile_names():
    return sorted(os.path.basename(path)[:-len(".conf")] for path in glob.glob(os.path.join(PROFILES, "*.conf")))


def find_profile(text):
    """The file of a profile: one of tools/model/profiles by its name, else a path."""
    if re.fullmatch(r"[\w.-]+", text) and os.path.isfile(os.path.join(PROFILES, text + ".conf")):
        return os.path.join(PROFILES, text + ".conf")
    if os.path.isfile(text):
        return os.path.abspath(text)
    raise Failure(f"PROFILE={text}: neither a file nor one of the profiles in tools/model/profiles"
                  f" (valid: {' '.join(profile_names())})")


def default_memory(harts):
    """The machine's memory under the model, as -m has it."""
    return f"{max(MEMORY_MIB_MIN, MEMORY_MIB_A_HART * harts)}M"


class Model:
    """What a modelled QEMU is given. Overrides are keys of the profile with other numbers, as for a sweep."""

    def __init__(self, profile=PROFILE_DEFAULT, overrides=None):
        if sys.platform != "linux":
            raise Failure("CLOCK=model needs Linux (the model uses its futexes and memory files): use CLOCK=host")
        if not os.path.exists(PLUGIN):
            raise Failure(f"{PLUGIN} has not been built: run `make model`")
        self.path = find_profile(profile)
        self.overrides = dict(overrides or {})

    @property
    def profile(self):
        """As results name it: the file's name up to a dot, as the plugin has it, and what was overridden."""
        name = os.path.basename(self.path).split(".")[0]
        return " ".join([name, *(f"{key}={value}" for key, value in self.overrides.items())])

    def plugin(self, ram, extra=None):
        """The value of QEMU's -plugin. `extra` are further arguments of this one boot, e.g. {"lines": path}."""
        arguments = {"ram": ram, "profile": self.path, **self.overrides, **(extra or {})}
        return ",".join([_escaped(PLUGIN), *(f"{name}={_escaped(str(value))}" for name, value in arguments.items())])


def _escaped(text):
    """As QEMU's option parser wants a comma inside a value."""
    return text.replace(",", ",,")


def memory_bytes(text):
    return int(text[:-1]) << {"M": 20, "G": 30}[text[-1]]


class GuestMemory:
    """A nameless file as large as the guest's memory, open in this process; QEMU inherits it. Ends with the block."""

    def __init__(self, size):
        self.size = size
        self.fd = None
        try:
            self.fd = os.memfd_create("hartscale-ram")
            os.truncate(self.fd, memory_bytes(size))
        except OSError as error:
            self.close()
            raise Failure(f"cannot set up the {size} of memory that the guest and the model share: {error.strerror}"
                          " (a limit on the size of files, `ulimit -f`, counts)") from error

    @property
    def path(self):
        """As QEMU and the plugin reach it."""
        return f"/proc/self/fd/{self.fd}"

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
