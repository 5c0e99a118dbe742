"""Names out of the kernel's ELF, by the cross binutils: static data by physical address, code by its address."""
import bisect
import collections
import os
import shutil
import subprocess

from .failure import Failure
from .results import ROOT

# As the Makefile looks for the compiler.
PREFIXES = ("riscv64-linux-gnu-", "riscv64-elf-", "riscv64-unknown-elf-")
# arch/riscv/include/arch/layout.h
KERNEL_VIRT_TO_PHYS_OFFSET = 0xffffffff80000000 - 0x80000000
DATA_KINDS = "bBdDrRsSgG"
CODE_KINDS = "tTwW"
# Below the kernel's image lies the firmware.
FIRMWARE_END = 0x80200000

Symbol = collections.namedtuple("Symbol", "start size name")


def _tool(name):
    for prefix in PREFIXES:
        path = shutil.which(prefix + name)
        if path:
            return path
    return None


def _run(words, stdin=""):
    try:
        return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{words[0]} does not run: {error}") from error


class ElfNames:
    """Of one ELF. Without addr2line code has the names of its functions only."""

    def __init__(self, elf):
        self.elf = elf
        nm = _tool("nm")
        if nm is None:
            raise Failure("no RISC-V nm was found: tools/setup installs the cross binutils")
        self._data, self._code = [], []
        for line in _run([nm, "-S", "-n", "--defined-only", elf]).splitlines():
            words = line.split()
            if len(words) == 4:
                self._add(int(words[0], 16), int(words[1], 16), words[2], words[3])

    def _add(self, address, size, kind, name):
        if kind in DATA_KINDS:
            self._data.append(Symbol(address - KERNEL_VIRT_TO_PHYS_OFFSET, size, name))
        elif kind in CODE_KINDS:
            self._code.append(Symbol(address, size, name))

    @staticmethod
    def _find(symbols, address):
        at = bisect.bisect_right(symbols, address, key=lambda symbol: symbol.start) - 1
        return symbols[at] if at >= 0 and address < symbols[at].start + symbols[at].size else None

    def data(self, paddr):
        """The object that holds a physical address, or None."""
        return self._find(self._data, paddr)

    def _function(self, address):
        symbol = self._find(self._code, address)
        if symbol:
            return symbol.name
        return "firmware" if address < FIRMWARE_END else f"{address:#x}"

    def code(self, addresses):
        """{address: {"function", "source"}}; an inlined function is named with the one that it is inlined into."""
        addresses = sorted(set(addresses))
        found = {address: {"function": self._function(address), "source": None} for address in addresses}
        addr2line = _tool("addr2line")
        known = [address for address in addresses if self._find(self._code, address)]
        if addr2line and known:
            output = _run([addr2line, "-a", "-f", "-i", "-e", self.elf], "\n".join(map(hex, known)))
            for address, frames in _frames(output).items():
                found[address] = _place(frames, found[address]["function"])
        return found


def _frames(output):
    """{address: [(function, file:line)]}, innermost first, of what addr2line -a -f -i prints."""
    frames, current, function = {}, None, None
    for line in output.splitlines():
        if line.startswith("0x"):
            current, function = frames.setdefault(int(line, 16), []), None
        elif function is None:
            function = line
        else:
            current.append((function, line.split(" (discriminator")[0].removeprefix(ROOT + os.sep)))
            function = None
    return frames


def _place(frames, symbol):
    function, source = frames[0]
    if source.startswith("??"):
        return {"function": symbol, "source": None}
    return {"function": function if function == symbol else f"{function} in {symbol}", "source": source}
