"""The contended-line report of a run (LINES=1): what the model saw on each line, with names for its addresses.

Three sources meet here: the plugin's file of each boot, a region an object (tools/model/lines.c); the guest's @map of
each data point, which names the parts of allocators, stacks and buffers; the kernel's ELF, for static data and
for code. lines.json has everything; lines_text.py makes of it what a person looks at first.
"""
import json
import os
import tempfile

from .elf_names import ElfNames
from .failure import Failure
from .lines_text import summary, text
from .results import dump
from .table import describe

LINE_BYTES = 64
# For the kernel's command line: it is to say what lies where.
BOOT_WORD = "map=1"
# Below this share of useless fetches nobody needs to look.
USELESS_SHARE = 0.1


def number(text_in_hex):
    return int(text_in_hex, 16)


class Map:
    """Names for the physical addresses of one data point."""

    def __init__(self, parts, elf):
        self.parts = parts[::-1]    # the guest tells outer ones first
        self.elf = elf

    @staticmethod
    def _place(part, address):
        """(index of the element, offset in it), None when the address is not in the part."""
        offset = address - part["base"]
        if "count" not in part:
            return (None, offset) if 0 <= offset < part["bytes"] else None
        index, offset = divmod(offset, part["stride"])
        return (part["first"] + index, offset) if 0 <= index < part["count"] and offset < part["bytes"] else None

    def find(self, address):
        """(owner, name, index or None, offset) of what lies there; static data is its own owner."""
        for part in self.parts:
            place = self._place(part, address)
            if place:
                return part["owner"], part["name"], *place
        symbol = self.elf.data(address)
        if symbol:
            return None, symbol.name, None, address - symbol.start
        return None, "unknown memory", None, address

    def fields(self, line, mask):
        """What the marked bytes of a line are: one entry a run of bytes of one name, neighbours in an array together."""
        fields = []
        for byte in (i for i in range(LINE_BYTES) if mask >> i & 1):
            owner, name, index, offset = self.find(line + byte)
            last = fields[-1] if fields else None
            same = last and (last["owner"], last["name"]) == (owner, name)
            if same and index in (last["last"], _after(last["last"])):
                last["last"] = index
            else:
                fields.append({"owner": owner, "name": name, "first": index, "last": index, "offset": offset})
        return fields

    def name(self, line, mask):
        """The same in words: `bitmap: header, search hint`."""
        words, owner = [], None
        for field in self.fields(line, mask):
            text_of_owner = f"{field['owner']}: " if field["owner"] and field["owner"] != owner else ""
            words.append(text_of_owner + _field_text(field))
            owner = field["owner"]
        return ", ".join(words)

    def structure(self, line, mask):
        """What the first of the bytes belongs to, without an index: lines with the same belong together."""
        field = self.fields(line, mask)[0]
        return f"{field['owner']}: {field['name']}" if field["owner"] else field["name"]


def _after(index):
    return None if index is None else index + 1


def _field_text(field):
    words = field["name"] if field["first"] is None else f"{field['name']} {field['first']}"
    if field["first"] != field["last"]:
        return f"{words}-{field['last']}"
    return f"{words}+{field['offset']:#x}" if field["offset"] else words


def _accessed(hart):
    return number(hart["read"]) | number(hart["written"])


def _touched(line):
    mask = 0
    for hart in line["harts"]:
        mask |= _accessed(hart)
    return mask


def _sharing(line):
    """The verdict in a word: whether harts fight over data, over a line that unrelated data lie on, or both."""
    if line["false_sharing"]:
        return "false"
    useless = line["useless_refetches"]
    return "mixed" if useless and useless >= USELESS_SHARE * line["refetches"] else "true"


def _name_line(line, names, code):
    """The plugin's line with names: of its fields, of each hart's and of each instruction's."""
    base = number(line["paddr"])
    return {"name": names.name(base, _touched(line)), "sharing": _sharing(line), **line,
            "harts": [{**hart, "name": names.name(base, _accessed(hart))} for hart in line["harts"]],
            "pcs": [{**pc, **code[number(pc["pc"])], "name": names.name(base, number(pc["bytes"]))}
                    for pc in line["pcs"]]}


def _structures(region, names):
    """All contended lines, those that are only counted too, added up by what lies on them; the most cycles first."""
    brief = [(line["paddr"], _touched(line), line["transfers"], line["cycles"], line["false_sharing"])
             for line in region["lines"]]
    brief += [(paddr, number(mask), *rest) for paddr, mask, *rest in region["others"]]
    sums = {}
    for paddr, mask, transfers, cycles, is_false in brief:
        name = names.structure(number(paddr), mask) if mask else "page tables"
        entry = sums.setdefault(name, {"name": name, "lines": 0, "false_sharing": 0, "transfers": 0, "cycles": 0})
        entry["lines"] += 1
        entry["false_sharing"] += is_false
        entry["transfers"] += transfers
        entry["cycles"] += cycles
    return sorted(sums.values(), key=lambda entry: (-entry["cycles"], entry["name"]))


def name_region(point, ops, region, elf):
    """A data point's entry in lines.json: the guest's @begin with its @map, its operations, the plugin's region."""
    names = Map(point.get("map", []), elf)
    code = elf.code(number(pc["pc"]) for line in region["lines"] for pc in line["pcs"])
    return {**{key: point[key] for key in ("bench", "variant", "harts")}, "ops": ops,
            **{key: region[key] for key in ("contended_lines", "dropped", "transfers", "cycles")},
            "structures": _structures(region, names),
            "lines": [_name_line(line, names, code) for line in region["lines"]]}


# --- a run ---


class LinesReport:
    """Of a run, whose boots may be several: each has a file for its plugin, outside the run's folder."""

    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="hartscale-lines-")
        self.points = []

    def path(self, boot):
        """Where the plugin of this boot writes, by a word for the boot: its argument `lines`."""
        return os.path.join(self.scratch.name, f"{boot}.jsonl")

    def add(self, point, result):
        """A data point has been measured: the guest's @begin with its @map, and its result."""
        if point is not None and result["status"] == "ok":
            self.points.append((point, result["ops"]))

    def _regions(self):
        """What all plugins have written, by the number of the point. A line that the end of a boot cut short is of a
        point that has no result either."""
        regions = {}
        for name in os.listdir(self.scratch.name):
            with open(os.path.join(self.scratch.name, name), encoding="utf-8") as file:
                for line in file:
                    if line.endswith("\n"):
                        region = json.loads(line)
                        regions[region["label"]] = region
        return regions

    def finish(self, folder, elf_path, symbols):
        """Write lines.json and lines.txt into the run's folder, and return what to print."""
        regions, elf, named = self._regions(), ElfNames(elf_path), []
        for point, ops in sorted(self.points, key=lambda entry: entry[0]["point"]):
            if point["point"] not in regions:
                raise Failure(f"the model did not report the contended lines of {describe(point, symbols)}")
            named.append(name_region(point, ops, regions[point["point"]], elf))
        self.scratch.cleanup()
        rows = ",\n".join(dump(point) for point in named)
        folder.replace("lines.json", f'{{"line_bytes":{LINE_BYTES},"points":[\n{rows}\n]}}\n')
        folder.replace("lines.txt", text(named, symbols))
        return summary(named, symbols)
