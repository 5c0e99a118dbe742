"""A profile of the machine model as numbers, read as the plugin reads it, and what follows from them for a load."""
import re

from .failure import Failure

LINE_BYTES = 64
PAGE_KIB = 4


class Profile:
    """The keys of a profile's file as attributes."""

    def __init__(self, path, overrides=()):
        self.path = path
        try:
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    self._take(number, line.split("#")[0].strip())
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}") from error
        for key, value in overrides:
            setattr(self, key, value)

    def _take(self, number, text):
        match = re.fullmatch(r"([a-z0-9_]+)\s*=\s*(\d+)", text)
        if match:
            setattr(self, match[1], int(match[2]))
        elif text:
            raise Failure(f"{self.path}:{number}: expected 'key = number'")

    @property
    def hz(self):
        return self.clock_mhz * 1000000

    def walk(self):
        """Cycles of a page-table walk whose three entries are where walks keep them."""
        return 3 * (self.l2_latency if self.l2_kib else self.llc_latency)

    def load(self, kib):
        """(level, cycles) of a load from a set of that many KiB that is walked over again and again. An L1 hit is in
        the base of one cycle an instruction, so it is 1, whatever l1_latency says."""
        if kib <= self.l1_kib:
            return "L1", 1
        if self.l2_kib and kib <= self.l2_kib:
            return "L2", self.l2_latency
        if self.llc_kib == 0 or kib <= self.llc_kib:
            return "L3", self.llc_latency
        return "DRAM", self.dram_latency

    def translation(self, pages):
        """(level, cycles) beyond the DTLB for a set of that many 4 KiB pages, each load on another one."""
        if pages <= self.dtlb_entries:
            return "DTLB", 0
        if pages <= self.stlb_entries:
            return "second-level TLB", self.stlb_latency
        return "walk", self.walk()

    def transfer(self, one, other):
        return self.transfer_near if one // self.cluster_harts == other // self.cluster_harts else self.transfer_far
