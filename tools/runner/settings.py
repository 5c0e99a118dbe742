"""What the user asked for: the variables of the make command line, checked, with their defaults.

They come by environment (the Makefile exports them) or as NAME=value words of tools/run. What only the
guest can judge (names of benchmarks and variants) is passed on; what would fail obscurely there (hart
counts, sizes, times) is judged here.
"""
import os
import re

from .failure import Failure

HARTS_MAX = 64
CLOCKS = ("model", "host")
JOBS_MAX = 1024

VARIABLES = {
    "BENCH": "benchmarks: a comma list of names and globs, e.g. frame.churn,lock.*",
    "FRAME": "frame allocators to measure: a comma list of names and globs (default: a few that stand for the others; all,"
             " where BENCH is given)",
    "HEAP": "heaps to measure: a comma list of names and globs; without BENCH it means BENCH=heap.*",
    "TRACE": "a trace of heap calls for heap.replay (docs/heap-traces.md); without BENCH it means BENCH=heap.replay",
    "SPLIT": "shared, separate: whether user and kernel share a page table; without BENCH this and the next three mean BENCH=vm.*",
    "ASID": "on, off: whether address spaces have identifiers in the TLB",
    "PTLOCK": "space, node: what a lock of page tables covers",
    "SHOOTDOWN": "schemes of TLB shootdown: a comma list of names and globs. Of these four a benchmark is measured over those that it"
                 " is about, all of their values if none are named. For run and debug each is one name, as for FRAME",
    "LOCK": "locks to measure: a comma list of names and globs. For run and debug FRAME, HEAP and LOCK are each one name: what the"
            " kernel itself runs on",
    "HARTS": f"hart counts: a comma list of numbers from 1 to {HARTS_MAX} (default 1,2,4,8, and 16 under CLOCK=model)",
    "CLOCK": "model: deterministic virtual time with cache coherence (default); host: wall clock of this machine",
    "PROFILE": "the machine that CLOCK=model models: a name in tools/model/profiles, or a file (default p550)",
    "JOBS": "how many machines CLOCK=model runs side by side (default: one for each host core)",
    "PIN": "0: let the host move them between its cores",
    "LINES": "1: report the cache lines that harts fight over (CLOCK=model)",
    "QUICK": "1: short trials, for a look rather than for figures to keep",
    "MEM": "memory of the machine, e.g. 512M or 2G (default 1G; under CLOCK=model 32M a hart, at least 256M)",
    "OUT": "folder for the results (default results/<date>-<commit>); of record, the file",
    "CALLS": "how many heap calls to record at most; a change of size counts twice (default 1000000)",
    "KERNEL": "1: record the kernel's own heap, from boot to the end of the benchmark",
    "IPI": "how harts interrupt each other: sbi, through the firmware (default), or imsic, by their own stores, on a machine that"
           " has that",
    "ARGS": "more words for the kernel's command line",
    "TIMEOUT": "seconds without a word from the guest until it counts as hung (default 120)",
    "SECONDS": "how long to stress (default 30)",
    "SEED": "seed of the stress run; the same seed gives each hart the same operations",
    "PLANT": "a bug to plant, e.g. bitmap.lost, to see it caught",
    "T": "only tests whose name contains this, or matches it as a glob",
    "RUN": "folder of an earlier run (default results/latest)",
    "COUNT": "how many times to boot (default 50)",
    "QEMU": "the QEMU to use (default qemu-system-riscv64)",
}

# What a design of virtual memory is made of.
VM_CHOICES = ("SPLIT", "ASID", "PTLOCK", "SHOOTDOWN")

# Variables that the Makefile reads, too; any target may be given them.
MAKE_VARIABLES = ("CROSS", "HOST_CC", "JOBS", "V")


class Settings:
    """The variables that one subcommand accepts. An empty value counts as not given."""

    def __init__(self, command, accepted, words, environment=os.environ):
        self.command = command
        self.values = {}
        for name in accepted:
            # bash keeps SECONDS for itself, so the Makefile passes it by another name.
            value = environment.get("STRESS_SECONDS" if name == "SECONDS" else name, "")
            if value:
                self.values[name] = value
        given = [name for name in environment.get("HARTSCALE_GIVEN", "").split() if name not in MAKE_VARIABLES]
        for word in words:
            name, separator, value = word.partition("=")
            if not separator:
                raise Failure(f"cannot read '{word}': arguments are NAME=value")
            given.append(name)
            self.values[name] = value
        for name in given:
            if name not in accepted:
                raise Failure(f"{command} takes no {name} (valid: {' '.join(sorted(accepted))})")

    def text(self, name, default=""):
        return self.values.get(name) or default

    def word(self, name):
        """A value that goes onto the kernel's command line, where a blank or a quote would end it."""
        value = self.text(name)
        if re.search(r"[\s\"]", value):
            raise Failure(f"{name}='{value}': no blanks or quotes (separate names by commas)")
        return value

    def number(self, name, default, low, high):
        text = self.text(name, str(default))
        if not re.fullmatch(r"\d{1,18}", text) or not low <= int(text) <= high:
            raise Failure(f"{name}={text}: expected a number from {low} to {high}")
        return int(text)

    def harts(self, default):
        """The hart counts, ascending, so that the base of every speedup is measured first."""
        text = self.text("HARTS")
        if not text:
            return list(default)
        counts = []
        for item in text.split(","):
            if not re.fullmatch(r"\d{1,9}", item) or not 1 <= int(item) <= HARTS_MAX:
                raise Failure(f"HARTS={text}: '{item}' is not a number from 1 to {HARTS_MAX}"
                              " (expected a comma list such as 1,2,4,8)")
            if int(item) in counts:
                raise Failure(f"HARTS={text}: {item} is there twice")
            counts.append(int(item))
        return sorted(counts)

    def harts_max(self, default):
        """For commands that want one number of harts: the largest that was asked for."""
        return max(self.harts((default,)))

    def memory(self, default="1G"):
        text = self.text("MEM", default)
        if not re.fullmatch(r"[1-9]\d{0,5}[MG]", text):
            raise Failure(f"MEM={text}: expected a size such as 512M or 2G")
        return text

    def flag(self, name, default="0"):
        text = self.text(name, default)
        if text not in ("0", "1"):
            raise Failure(f"{name}={text}: expected 0 or 1")
        return text == "1"

    def imsic(self):
        text = self.text("IPI", "sbi")
        if text not in ("sbi", "imsic"):
            raise Failure(f"IPI={text}: no such means (valid: sbi imsic)")
        return text == "imsic"

    def clock(self, default="model"):
        text = self.text("CLOCK", default)
        if text not in CLOCKS:
            raise Failure(f"CLOCK={text}: no such clock (valid: {' '.join(CLOCKS)})")
        return text

    def timeout_s(self):
        return self.number("TIMEOUT", 120, 1, 86400)

    def bootargs(self, *words):
        """The kernel's command line: the given words, then what the user adds by ARGS."""
        return " ".join([*words, *self.text("ARGS").split()])
