"""How the contended-line report names addresses and harts, and what it prints: without a kernel or QEMU."""
import os
import sys
import unittest
from collections import namedtuple

from support import ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))

from runner import elf_names, lines, lines_text, units  # noqa: E402

Symbol = namedtuple("Symbol", "start size name")
BASE = 0x80400000
SYMBOLS = units.Symbols(True)


class FakeElf:
    """One object, the line below BASE."""

    def data(self, paddr):
        return Symbol(BASE - 64, 64, "table") if BASE - 64 <= paddr < BASE else None

    def code(self, addresses):
        return {address: {"function": f"f{address:x}", "source": None} for address in addresses}


def part(name, offset, size, **array):
    return {"owner": "thing", "name": name, "base": BASE + offset, "bytes": size, **array}


def bits(low, high):
    return (1 << high) - (1 << low)


class MapTest(unittest.TestCase):
    def name(self, parts, mask, line=BASE):
        return lines.Map(parts, FakeElf()).name(line, mask)

    def test_the_last_told_is_the_inner_one(self):
        """Whichever is larger."""
        parts = [part("whole", 0, 64), part("field", 8, 4)]
        self.assertEqual(self.name(parts, bits(8, 12)), "thing: field")
        self.assertEqual(self.name(parts, bits(8, 16)), "thing: field, whole+0xc")
        self.assertEqual(self.name(parts[::-1], bits(8, 12)), "thing: whole+0x8")

    def test_arrays(self):
        words = part("word", 0, 8, count=100, first=0, stride=8)
        self.assertEqual(self.name([words], bits(0, 8)), "thing: word 0")
        self.assertEqual(self.name([words], bits(0, 64)), "thing: word 0-7")
        self.assertEqual(self.name([words], bits(0, 64), BASE + 64), "thing: word 8-15")
        self.assertEqual(self.name([words], bits(4, 8)), "thing: word 0+0x4")
        self.assertEqual(self.name([words], bits(0, 8) | bits(40, 64)), "thing: word 0, word 5-7")

    def test_a_member_of_each_element(self):
        members = part("count of hart", 16, 8, count=4, first=0, stride=128)
        self.assertEqual(self.name([members], bits(16, 24), BASE + 256), "thing: count of hart 2")
        self.assertEqual(self.name([members], bits(24, 32)), "unknown memory+0x80400018")
        self.assertEqual(self.name([members], bits(16, 24), BASE + 512), "unknown memory+0x80400210")

    def test_an_element_by_itself(self):
        stack = part("stack of hart", 0, 4096, count=1, first=3, stride=4096)
        self.assertEqual(self.name([stack], bits(0, 8), BASE + 64), "thing: stack of hart 3+0x40")

    def test_static_data(self):
        self.assertEqual(self.name([], bits(8, 16), BASE - 64), "table+0x8")
        self.assertEqual(self.name([part("all", -64, 64)], bits(8, 16), BASE - 64), "thing: all+0x8")


class TextTest(unittest.TestCase):
    def test_harts(self):
        for mask, text in ((1, "hart 0"), (0b11, "harts 0-1"), (0b1000_1101, "harts 0,2-3,7"), (1 << 63, "hart 63"),
                           (sum(1 << i for i in range(0, 64, 3)), "22 harts of 0-63")):
            self.assertEqual(lines_text.harts_text(mask), text)

    @staticmethod
    def region(count):
        def line(number):
            return {"paddr": hex(BASE + 64 * number), "vaddr": "0x0", "transactions": 4, "transfers": 2, "invalidations": 0,
                    "cycles": 100, "refetches": 0, "useless_refetches": 0, "false_sharing": number == 0,
                    "harts": [{"hart": 0, "read": "0x0", "written": "0xff"}, {"hart": 1, "read": "0xff00", "written": "0x0"}],
                    "pcs": [{"pc": pc, "access": "load", "harts": "0x3", "bytes": "0xff", "transactions": 2, "cycles": 50}
                            for pc in ("0x10", "0x20")], "other_pcs": {"transactions": 0, "cycles": 0}}
        return {"label": 1, "contended_lines": count, "dropped": 0, "transfers": 2 * count, "cycles": 100 * count,
                "lines": [line(n) for n in range(min(count, 16))],
                "others": [[hex(BASE + 64 * n), "0xff", 2, 100, False] for n in range(16, count)]}

    def point(self, count):
        point = {"bench": "b", "variant": {"lock": "l"}, "harts": 2, "point": 1,
                 "map": [part("line", 0, 64, count=32, first=0, stride=64), part("rest", 64 * 32, 1 << 20)]}
        return lines.name_region(point, 10, self.region(count), FakeElf())

    def test_structures_add_up(self):
        point = self.point(40)
        rows = [(row["name"], row["lines"], row["false_sharing"], row["transfers"], row["cycles"])
                for row in point["structures"]]
        self.assertEqual(rows, [("thing: line", 32, 1, 64, 3200), ("thing: rest", 8, 0, 16, 800)])

    def test_report(self):
        text = lines_text.text([self.point(1), self.point(0)], SYMBOLS)
        for part_of_it in ("b l, 2 harts: 1 contended line, 0.20 transfers, 10.0 cycles an operation\n", "  1. thing: line 0\n",
                           "false sharing: hart 0 writes thing: line 0; hart 1 reads thing: line 0+0x8\n",
                           "      2 x   25 cycles  load    harts 0-1   f10  0x10\n", "b l, 2 harts: no contended line\n"):
            self.assertIn(part_of_it, text)

    def test_many_points_are_a_line_each(self):
        few, many = [self.point(1)] * 8, [self.point(1)] * 9 + [self.point(0)]
        self.assertEqual(lines_text.summary(few, SYMBOLS), lines_text.text(few, SYMBOLS))
        shown = lines_text.summary(many, SYMBOLS).splitlines()
        self.assertEqual(shown[1:], ["  b l, 2 harts: 0.20 transfers, 10.0 cycles; 100% thing: line; 100% false sharing"] * 9
                         + ["  1 data point without any"])

    def test_lines_that_cost_nothing(self):
        """A region that was left at once may have transfers of no cycles."""
        point = {**self.point(1), "cycles": 0, "ops": 0}
        self.assertIn("1 contended line", lines_text.text([point], SYMBOLS))


class ElfTest(unittest.TestCase):
    def test_inlined_code(self):
        output = ("0x0000000080200000\ninner\n" + os.path.join(ROOT, "mm/a.c") + ":7 (discriminator 3)\nouter\n/x/b.c:9\n"
                  "0x0000000080200004\nalone\nmm/c.c:1\n0x0000000080200008\n??\n??:0\n")
        frames = elf_names._frames(output)
        self.assertEqual(elf_names._place(frames[0x80200000], "outer"), {"function": "inner in outer", "source": "mm/a.c:7"})
        self.assertEqual(elf_names._place(frames[0x80200004], "alone"), {"function": "alone", "source": "mm/c.c:1"})
        self.assertEqual(elf_names._place(frames[0x80200008], "outer"), {"function": "outer", "source": None})


if __name__ == "__main__":
    unittest.main()
